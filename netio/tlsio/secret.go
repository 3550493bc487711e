package tlsio

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
)

// Secret derives a key for a purpose from the first certificate's private key, so that whoever serves that certificate has the
// same one without keeping it anywhere. It tells nothing of the private key. It reports false when the key cannot be read.
func (s *ServerConfig) Secret(purpose []byte) (key [sha256.Size]byte, ok bool) {
	private, err := x509.MarshalPKCS8PrivateKey(s.certs[0].cert.PrivateKey)
	if err != nil {
		return key, false
	}
	h := hmac.New(sha256.New, private)
	h.Write(purpose)
	h.Sum(key[:0])
	return key, true
}
