package tlsio

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// CertSource is where a certificate comes from: files, or their content if that was read before. The names of the files
// are for messages then.
type CertSource struct {
	CertFile string // PEM, leaf first
	KeyFile  string // PEM, not encrypted
	OCSPFile string // DER of an OCSP response; "" none

	CertPEM, KeyPEM, OCSP []byte
}

// hostCert is a certificate of ours with what is known about it. It does not change once it is loaded.
type hostCert struct {
	cert        tls.Certificate // without the staple
	leaf        *x509.Certificate
	staple      []byte
	stapleUntil time.Time // the staple is sent before this time; zero: it has no end
	names       coverage
	id          [sha256.Size]byte // of the leaf
	rank        int               // cheaper signatures first
}

// chainBytesMax bounds what a server sends in its first flight.
const chainBytesMax = 64 << 10

// loader collects everything that is wrong with the files of a configuration, in one pass.
type loader struct {
	now      time.Time
	errs     []error
	warnings []string
}

func (l *loader) errorf(format string, args ...any) {
	l.errs = append(l.errs, fmt.Errorf(format, args...))
}

func (l *loader) warnf(format string, args ...any) {
	l.warnings = append(l.warnings, fmt.Sprintf(format, args...))
}

// content returns what was read before, or reads the file.
func (l *loader) content(file string, content []byte) ([]byte, bool) {
	if content != nil || file == "" {
		return content, content != nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		l.errorf("%w", err)
		return nil, false
	}
	return b, true
}

// certificate loads a certificate with its key; nil when something is wrong with it. usage is what it is for.
func (l *loader) certificate(s *CertSource, usage x509.ExtKeyUsage) *hostCert {
	certPEM, ok1 := l.content(s.CertFile, s.CertPEM)
	keyPEM, ok2 := l.content(s.KeyFile, s.KeyPEM)
	if !ok1 || !ok2 {
		return nil
	}
	chain, err := parseCertificates(certPEM)
	if err != nil {
		l.errorf("%s: %w", s.CertFile, err)
		return nil
	}
	c, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		l.errorf("%s: %w", s.KeyFile, keyProblem(err, s.CertFile))
		return nil
	}
	c.Leaf = chain[0]
	h := &hostCert{cert: c, leaf: chain[0], names: coverageOf(chain[0]), id: sha256.Sum256(chain[0].Raw), rank: rankOf(chain[0].PublicKey)}
	if !l.usable(s.CertFile, chain, usage) {
		return nil
	}
	l.staple(s, h, chain)
	return h
}

// keyProblem says in our words what tls.X509KeyPair found: the certificates were good before it was called. crypto/tls has
// no values for these errors.
func keyProblem(err error, certFile string) error {
	switch err.Error() {
	case "tls: private key does not match public key", "tls: private key type does not match public key type":
		return fmt.Errorf("the key does not belong to the certificate in %s", certFile)
	}
	return err
}

// parseCertificates reads all certificates of a PEM file.
func parseCertificates(b []byte) (certs []*x509.Certificate, err error) {
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(certs)+1, err)
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, errors.New("there is no PEM block of type CERTIFICATE")
	}
	return certs, nil
}

// usable checks what peers will check. Time makes warnings only: an expired certificate must not keep a reload from
// mending the rest.
func (l *loader) usable(file string, chain []*x509.Certificate, usage x509.ExtKeyUsage) bool {
	leaf, size := chain[0], 0
	for i, c := range chain {
		size += len(c.Raw)
		if i+1 < len(chain) && c.CheckSignatureFrom(chain[i+1]) != nil {
			l.warnf("%s: certificate %d was not issued by the one after it; clients may not find the chain", file, i+1)
		}
	}
	if size > chainBytesMax {
		l.errorf("%s: the chain has %d bytes, more than %d are not sent", file, size, chainBytesMax)
		return false
	}
	if k, ok := leaf.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() > 8192 {
		l.errorf("%s: an RSA key of %d bits is refused by clients, 8192 are the most", file, k.N.BitLen())
		return false
	} else if ok && k.N.BitLen() < 2048 {
		l.warnf("%s: an RSA key of %d bits is weak", file, k.N.BitLen())
	}
	switch {
	case l.now.Before(leaf.NotBefore):
		l.warnf("%s: the certificate is not valid before %s UTC", file, leaf.NotBefore.UTC().Format(time.DateTime))
	case l.now.After(leaf.NotAfter):
		l.warnf("%s: the certificate expired on %s UTC", file, leaf.NotAfter.UTC().Format(time.DateTime))
	}
	if usage == x509.ExtKeyUsageServerAuth && len(leaf.DNSNames)+len(leaf.IPAddresses) == 0 {
		l.warnf("%s: the certificate has no subject alternative names; clients will not accept it for any host", file)
	}
	if len(leaf.ExtKeyUsage) > 0 && !slices.Contains(leaf.ExtKeyUsage, usage) && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny) {
		l.warnf("%s: the certificate's extended key usage does not allow what it is used for", file)
	}
	return true
}

// rankOf orders certificates for the same name by what a signature costs us: measured by BenchmarkSign.
func rankOf(key crypto.PublicKey) int {
	switch k := key.(type) {
	case ed25519.PublicKey:
		return 0
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return 1
		}
		return 2
	}
	return 3
}

// authorities reads a file of CA certificates. id identifies its content whatever the order and the comments in it.
func (l *loader) authorities(file string, content []byte) (pool *x509.CertPool, id [sha256.Size]byte) {
	b, ok := l.content(file, content)
	if !ok {
		return nil, id
	}
	certs, err := parseCertificates(b)
	if err != nil {
		l.errorf("%s: %w", file, err)
		return nil, id
	}
	slices.SortFunc(certs, func(a, b *x509.Certificate) int { return bytes.Compare(a.Raw, b.Raw) })
	pool = x509.NewCertPool()
	h := sha256.New()
	for i, c := range certs {
		if i > 0 && c.Equal(certs[i-1]) {
			continue
		}
		pool.AddCert(c)
		sum := sha256.Sum256(c.Raw)
		h.Write(sum[:])
		if l.now.After(c.NotAfter) {
			l.warnf("%s: the CA %q expired on %s UTC", file, c.Subject, c.NotAfter.UTC().Format(time.DateTime))
		}
	}
	return pool, [sha256.Size]byte(h.Sum(nil))
}
