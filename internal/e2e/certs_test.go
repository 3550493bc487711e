package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// authority signs certificates for the tests.
type authority struct {
	name string
	cert *x509.Certificate
	key  crypto.Signer
}

var (
	ourCA   *authority // of servers and sites: $FILES/ca.pem
	otherCA *authority // nobody trusts it unless told to: $FILES/other-ca.pem
	roots   *x509.CertPool
)

// makeCertificates fills dir with what the tests need: NAME.pem and NAME.key for each.
func makeCertificates(dir string) {
	ourCA, otherCA = newAuthority(dir, "ca"), newAuthority(dir, "other-ca")
	roots = x509.NewCertPool()
	roots.AddCert(ourCA.cert)
	ourCA.issue(dir, "site", newECDSA(), "a.example", "*.a.example")
	ourCA.issue(dir, "site-rsa", newRSA(), "a.example", "*.a.example")
	ourCA.issue(dir, "other", newECDSA(), "b.example")
	ourCA.issue(dir, "server", newECDSA(), "a.example", "*.a.example", "b.example")
	ourCA.issue(dir, "client", newECDSA(), "client.example")
	otherCA.issue(dir, "stranger", newECDSA(), "a.example", "client.example")
}

func newAuthority(dir, name string) *authority {
	a := &authority{name: name, key: newECDSA()}
	t := template(name)
	t.IsCA, t.BasicConstraintsValid, t.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, t, t, a.key.Public(), a.key)
	must(err)
	a.cert, err = x509.ParseCertificate(der)
	must(err)
	writePEM(filepath.Join(dir, name+".pem"), "CERTIFICATE", der)
	return a
}

// issue writes a certificate for some names.
func (a *authority) issue(dir, file string, key crypto.Signer, names ...string) {
	t := template(names[0])
	t.DNSNames = names
	t.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	t.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, key.Public(), a.key)
	must(err)
	writePEM(filepath.Join(dir, file+".pem"), "CERTIFICATE", der)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	writePEM(filepath.Join(dir, file+".key"), "PRIVATE KEY", pkcs8)
}

func template(name string) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	must(err)
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
}

func newECDSA() crypto.Signer {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	return k
}

func newRSA() crypto.Signer {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	return k
}

func writePEM(path, kind string, der []byte) {
	must(os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

// must ends the tests: without certificates there is nothing to test.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// keyPair is one of the certificates in $FILES.
func keyPair(name string) tls.Certificate {
	c, err := tls.LoadX509KeyPair(filepath.Join(files, name+".pem"), filepath.Join(files, name+".key"))
	must(err)
	return c
}
