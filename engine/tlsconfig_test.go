package engine

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"weir/internal/config"
	"weir/netio/tlsio"
)

// testSite is the files of a TLS listener: a certificate and its key with an OCSP staple, the CA that issued them, and keys
// for tickets.
func testSite(t testing.TB) map[string][]byte {
	t.Helper()
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	template := func(serial int64, name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(240 * time.Hour),
		}
	}
	caKey, siteKey := key(), key()
	ca, site := template(1, "test CA"), template(2, "a.example")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	caDER, err1 := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	siteDER, err2 := x509.CreateCertificate(rand.Reader, site, ca, siteKey.Public(), caKey)
	keyDER, err3 := x509.MarshalPKCS8PrivateKey(siteKey)
	issued, err5 := x509.ParseCertificate(caDER) // a response names its issuer as the certificate does
	staple, err4 := ocsp.CreateResponse(issued, issued, ocsp.Response{
		Status: ocsp.Good, SerialNumber: site.SerialNumber, ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour),
	}, caKey)
	for _, err := range []error{err1, err2, err3, err4, err5} {
		if err != nil {
			t.Fatal(err)
		}
	}
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	return map[string][]byte{
		"site.pem": append(block("CERTIFICATE", siteDER), block("CERTIFICATE", caDER)...), "site.key": block("PRIVATE KEY", keyDER),
		"ca.pem": block("CERTIFICATE", caDER), "site.ocsp": staple,
		"tickets": []byte("# two keys\nQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB\n" + fmt.Sprintf("%0128x\n", 7)),
	}
}

const testSiteTables = `
[frontend.web]
bind = [{ address = "127.0.0.1:443", tls = "site" }]
backend = "api"
[tls.site]
certificates = [{ cert = "site.pem", key = "site.key", ocsp = "site.ocsp" }]
client-auth = "require"
client-ca = "ca.pem"
ticket-keys = "tickets"
[backend.api]
servers = [{ address = "127.0.0.1:1" }]
tls = { enabled = true, ca = "ca.pem", cert = "site.pem", key = "site.key" }
`

// TestCheckedFilesLoad damages the files of a listener at random: what the configuration accepts, the engine must be able to
// load, or `weir check` would have called a file good that a reload then refuses.
func TestCheckedFilesLoad(t *testing.T) {
	files, dir := testSite(t), t.TempDir()
	write := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, b := range files {
		write(name, b)
	}
	e := &Engine{log: slog.New(slog.NewTextHandler(io.Discard, nil)), tickets: tlsio.NewTicketStore()}
	load := func() (accepted bool, err error) {
		cfg, rep := config.Parse("weir.toml", []byte(testSiteTables), dir)
		if cfg == nil {
			if rep.OK() {
				t.Fatal("refused without an error")
			}
			return false, nil
		}
		if _, err := e.serverTLS(cfg.Frontends[0].Binds[0]); err != nil {
			return true, err
		}
		_, err = e.clientTLS(cfg.Backends[0], nil)
		return true, err
	}
	if accepted, err := load(); !accepted || err != nil {
		t.Fatal(accepted, err)
	}
	const rounds = 150
	rng := mrand.New(mrand.NewPCG(1, 2))
	for name, whole := range files {
		accepted := 0
		for range rounds {
			b := append([]byte(nil), whole...)
			switch i := rng.IntN(len(b)); rng.IntN(4) {
			case 0:
				b = b[:i]
			case 1:
				b[i] ^= byte(1 << rng.IntN(8))
			case 2:
				b = append(b[:i], b[min(len(b), i+rng.IntN(40)):]...)
			default:
				b = append(b[:i], whole[rng.IntN(i+1):]...)
			}
			write(name, b)
			ok, err := load()
			if err != nil {
				t.Errorf("%s: the configuration takes what the engine refuses: %v\n%q", name, err, b)
			}
			if ok {
				accepted++
			}
		}
		write(name, whole)
		t.Logf("%s: %d of %d damaged files are accepted", name, accepted, rounds)
		if accepted == rounds {
			t.Errorf("%s: no damage was ever noticed", name)
		}
	}
}
