package config

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// secretBytesMax bounds every file that a configuration names.
const secretBytesMax = 4 << 20

// expirySoon is how long before its end a certificate is warned about.
const expirySoon = 7 * 24 * time.Hour

// file reads the file that a value names, and notes the name. It returns nil after reporting why it could not.
func (l *loader) file(v *value, name *string) []byte {
	s, ok := l.text(v)
	if !ok {
		return nil
	}
	*name = s
	if s == "" {
		l.badValue(v, "", "a file name is needed")
		return nil
	}
	if l.blind {
		return nil
	}
	b, err := readFile(l.path(s), secretBytesMax)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		l.badValue(v, l.fileHint(s), "cannot read %s: %v", l.path(s), err)
		return nil
	}
	if b == nil {
		b = []byte{}
	}
	return b
}

// fileHint names the file next to a missing one whose name is nearest.
func (l *loader) fileHint(name string) string {
	entries, err := os.ReadDir(filepath.Dir(l.path(name)))
	if err != nil || len(entries) > 1000 {
		return ""
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() && e.Name() != filepath.Base(name) {
			names = append(names, e.Name())
		}
	}
	return didYouMean(filepath.Base(name), names)
}

// directoryOf reports a file to be created in a directory that does not exist.
func (l *loader) directoryOf(v *value, path string) {
	dir := filepath.Dir(path)
	if l.blind {
		return
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		l.badValue(v, "", "there is no directory %s", dir)
	}
}

// authorities reads a file of certificate authorities; an empty name is none.
func (l *loader) authorities(v *value) (name string, pemBytes []byte) {
	if s, ok := l.text(v); !ok || s == "" {
		return "", nil
	}
	b := l.file(v, &name)
	if b == nil {
		return name, nil
	}
	certs, err := parseChain(b)
	switch {
	case err != nil:
		l.badValue(v, "", "%s: %v", name, err)
		return name, nil
	case !certs[0].IsCA && certs[0].Version == 3:
		l.problem(Warning, v.at, "", fmt.Sprintf("%s: the certificate in %s is no authority, it can verify nothing but itself", l.key, name))
	}
	return name, b
}

// certificate checks what the two files of a certificate say, and that they belong together. What could not be read was
// reported before. It returns the chain unless something is wrong with it.
func (l *loader) certificate(tab *table, c *Certificate) []*x509.Certificate {
	var chain []*x509.Certificate
	var private crypto.Signer
	var err error
	if c.CertPEM != nil {
		if chain, err = parseChain(c.CertPEM); err != nil {
			l.errorf(tab.get("cert").val.at, "cert: %s: %v", c.CertFile, err)
		}
	}
	if c.KeyPEM != nil {
		if private, err = parseKey(c.KeyPEM); err != nil {
			l.errorf(tab.get("key").val.at, "key: %s: %v", c.KeyFile, err)
		}
	}
	if chain == nil || !l.presentable(tab.get("cert").val.at, c.CertFile, chain) {
		return nil
	}
	if private == nil {
		return chain
	}
	leaf := chain[0]
	public, ok := private.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(leaf.PublicKey) {
		l.errorf(tab.get("key").val.at, "key: %s does not belong to the certificate in %s", c.KeyFile, c.CertFile)
		return chain
	}
	c.Names, c.NotAfter = leafNames(leaf), leaf.NotAfter
	l.validity(tab.get("cert").val.at, c.CertFile, leaf)
	return chain
}

// What a peer, or crypto/tls here, would not take.
const (
	chainBytesMax = 64 << 10
	rsaBitsMax    = 8192
)

// presentable reports whether a handshake can be made with a chain.
func (l *loader) presentable(at span, file string, chain []*x509.Certificate) bool {
	size := 0
	for _, c := range chain {
		size += len(c.Raw)
	}
	if size > chainBytesMax {
		l.errorf(at, "cert: the chain in %s has %d bytes, more than %d are not sent", file, size, chainBytesMax)
		return false
	}
	switch k := chain[0].PublicKey.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() > rsaBitsMax {
			l.errorf(at, "cert: %s has an RSA key of %d bits, %d are the most", file, k.N.BitLen(), rsaBitsMax)
			return false
		}
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P224() {
			l.errorf(at, "cert: %s has a key on the curve P-224, which TLS has no signatures for", file)
			return false
		}
	case ed25519.PublicKey:
	default:
		l.errorf(at, "cert: %s has a key of a kind that TLS here cannot sign with (%v)", file, chain[0].PublicKeyAlgorithm)
		return false
	}
	return true
}

// validity warns: clients decide what they accept, and an expired certificate must not keep a reload from mending the rest.
func (l *loader) validity(at span, file string, leaf *x509.Certificate) {
	date := leaf.NotAfter.UTC().Format(time.DateTime)
	switch {
	case l.now.Before(leaf.NotBefore):
		l.problem(Warning, at, "", fmt.Sprintf("cert: %s is not valid before %s UTC", file, leaf.NotBefore.UTC().Format(time.DateTime)))
	case l.now.After(leaf.NotAfter):
		l.problem(Warning, at, "", fmt.Sprintf("cert: %s expired on %s UTC", file, date))
	case l.now.Add(expirySoon).After(leaf.NotAfter):
		l.problem(Warning, at, "", fmt.Sprintf("cert: %s expires on %s UTC", file, date))
	}
}

func leafNames(leaf *x509.Certificate) []string {
	var names []string
	for _, n := range leaf.DNSNames {
		names = append(names, strings.ToLower(n))
	}
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 && leaf.Subject.CommonName != "" {
		names = append(names, strings.ToLower(leaf.Subject.CommonName))
	}
	return names
}

// parseChain reads every certificate of a PEM file. There is at least one.
func parseChain(b []byte) (chain []*x509.Certificate, err error) {
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(chain)+1, err)
		}
		chain = append(chain, c)
	}
	switch {
	case len(chain) > 0:
		return chain, nil
	case bytes.Contains(b, []byte("PRIVATE KEY")):
		return nil, errors.New("holds a private key and no certificate")
	}
	return nil, errors.New("holds no PEM certificate")
}

// parseKey reads the first private key of a PEM file: PKCS #8, PKCS #1 or SEC 1.
func parseKey(b []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if strings.HasPrefix(block.Type, "ENCRYPTED") || block.Headers["DEK-Info"] != "" {
			return nil, errors.New("the private key is encrypted")
		}
		var k any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			k, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			k, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			k, err = x509.ParseECPrivateKey(block.Bytes)
		default:
			continue
		}
		if err != nil {
			return nil, err
		}
		if s, ok := k.(crypto.Signer); ok {
			return s, nil
		}
		return nil, fmt.Errorf("a private key of type %T cannot sign", k)
	}
	return nil, errors.New("holds no PEM private key")
}
