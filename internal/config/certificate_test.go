package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// authority makes files of certificates in a directory.
type authority struct {
	t    *testing.T
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.key = a.newKey()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: testNow.Add(-time.Hour), NotAfter: testNow.AddDate(10, 0, 0), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.write("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return a
}

func (a *authority) newKey() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	return k
}

func (a *authority) write(name string, b []byte) {
	if err := os.WriteFile(filepath.Join(a.dir, name), b, 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// issue writes NAME.pem and NAME.key.
func (a *authority) issue(name string, notBefore, notAfter time.Time) {
	key := a.newKey()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{"WWW.example.com"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: notBefore, NotAfter: notAfter,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

// parse parses a file in the authority's directory, with [global] limits so that nothing else is warned about.
func (a *authority) parse(text string) (*Config, *Report) {
	return parse("weir.toml", []byte("[global]\nlimits = \"l\"\n[limits.l]\n"+text), a.dir, testNow)
}

func tlsFile(inner string) string {
	return "[frontend.f]\nbind = [{ address = \":443\", tls = \"t\", h3 = true }]\nbackend = \"b\"\n" +
		"[backend.b]\nservers = [{ address = \"127.0.0.1:1\" }]\n[tls.t]\n" + inner
}

func TestCertificatesAreReadAndChecked(t *testing.T) {
	a := newAuthority(t)
	a.issue("site", testNow.Add(-time.Hour), testNow.AddDate(1, 0, 0))
	a.issue("other", testNow.Add(-time.Hour), testNow.AddDate(1, 0, 0))
	a.issue("old", testNow.AddDate(-2, 0, 0), testNow.AddDate(0, 0, -1))
	a.issue("ending", testNow.AddDate(-2, 0, 0), testNow.AddDate(0, 0, 1))
	a.issue("future", testNow.AddDate(0, 0, 1), testNow.AddDate(1, 0, 1))
	a.write("short", make([]byte, 31))
	a.write("long", make([]byte, 80))
	a.write("ocsp.der", []byte{0x30, 3, 0x0a, 1, 6})
	for _, c := range []struct {
		name, keys, want string
		severity         Severity
	}{
		{"good", `certificates = [{ cert = "site.pem", key = "site.key" }]`, "", ""},
		{"two", `certificates = [{ cert = "site.pem", key = "site.key" }, { cert = "other.pem", key = "other.key" }]`, "", ""},
		{"mismatch", `certificates = [{ cert = "site.pem", key = "other.key" }]`, "other.key does not belong to the certificate in site.pem", Error},
		{"swapped", `certificates = [{ cert = "site.key", key = "site.pem" }]`, "holds a private key and no certificate", Error},
		{"expired", `certificates = [{ cert = "old.pem", key = "old.key" }]`, "old.pem expired on 2030-01-01", Warning},
		{"ending", `certificates = [{ cert = "ending.pem", key = "ending.key" }]`, "ending.pem expires on 2030-01-03", Warning},
		{"future", `certificates = [{ cert = "future.pem", key = "future.key" }]`, "future.pem is not valid before 2030-01-03", Warning},
		{"typo", `certificates = [{ cert = "sites.pem", key = "site.key" }]`, "no such file or directory", Error},
		{"none", `certificates = []`, "at least one certificate", Error},
		{"missing", ``, `needs the key "certificates"`, Error},
		{"keyless", `certificates = [{ cert = "site.pem" }]`, `certificates needs the key "key"`, Error},
		{"ocsp", `certificates = [{ cert = "site.pem", key = "site.key", ocsp = "ocsp.der" }]`, "not a successful OCSP response", Error},
		{"ticket", "certificates = [{ cert = \"site.pem\", key = \"site.key\" }]\nticket-keys = \"short\"", "a raw key has 32 to 1024 bytes, here are 31", Error},
		{"tickets", "certificates = [{ cert = \"site.pem\", key = \"site.key\" }]\nticket-keys = \"long\"", "", ""},
		{"clients", "certificates = [{ cert = \"site.pem\", key = \"site.key\" }]\nclient-auth = \"request\"\nclient-ca = \"ca.pem\"", "", ""},
		{"leaf as ca", "certificates = [{ cert = \"site.pem\", key = \"site.key\" }]\nclient-auth = \"request\"\nclient-ca = \"site.pem\"", "is no authority", Warning},
		{"bad ca", "certificates = [{ cert = \"site.pem\", key = \"site.key\" }]\nclient-ca = \"long\"", "holds no PEM certificate", Error},
		{"version", "certificates = [{ cert = \"site.pem\", key = \"site.key\" }]\nmin-version = 1.2", "not a float", Error},
	} {
		_, r := a.parse(tlsFile(c.keys))
		switch {
		case c.want == "" && len(r.Problems) > 0:
			t.Errorf("%s: %v", c.name, r.Problems)
		case c.want != "" && (len(r.Problems) != 1 && c.name != "swapped" || !strings.Contains(r.Problems[0].Message, c.want) || r.Problems[0].Severity != c.severity):
			t.Errorf("%s: want %s %q, got %v", c.name, c.severity, c.want, r.Problems)
		}
	}
}

func TestCertificateContent(t *testing.T) {
	a := newAuthority(t)
	a.issue("site", testNow.Add(-time.Hour), testNow.AddDate(1, 0, 0))
	text := tlsFile("min-version = \"1.3\"\nclient-auth = \"require\"\nclient-ca = \"ca.pem\"\ncertificates = [{ cert = \"site.pem\", key = \"site.key\" }]")
	c, r := a.parse(text)
	if !r.OK() {
		t.Fatal(r.Err())
	}
	tl := c.Frontends[0].Binds[0].TLS
	if tl != c.TLS["t"] || tl.MinVersion != VersionTLS13 || tl.ClientAuth != ClientAuthRequire || tl.ClientCAPEM == nil {
		t.Errorf("%+v", tl)
	}
	if got := tl.Certificates[0]; !reflect.DeepEqual(got.Names, []string{"www.example.com", "127.0.0.1"}) || got.CertPEM == nil || got.KeyPEM == nil {
		t.Errorf("%+v", got)
	}
	if s := c.WriteTOML(); strings.Contains(s, "PRIVATE") || !strings.Contains(s, `key = "site.key"`) {
		t.Errorf("effective configuration:\n%s", s)
	}

	same, _ := a.parse(text)
	if !c.TLS["t"].Same(same.TLS["t"]) || !c.Frontends[0].Same(same.Frontends[0]) {
		t.Error("nothing changed, and yet it is not the same")
	}
	a.issue("site", testNow.Add(-time.Hour), testNow.AddDate(2, 0, 0))
	renewed, _ := a.parse(text)
	if c.TLS["t"].Same(renewed.TLS["t"]) || c.Frontends[0].Same(renewed.Frontends[0]) {
		t.Error("a renewed certificate went unnoticed")
	}
	if !c.Frontends[0].SameSessions(renewed.Frontends[0]) {
		t.Error("clients that know the old certificate cannot go on")
	}
	trusted, err := os.ReadFile(filepath.Join(newAuthority(t).dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	a.write("ca.pem", trusted)
	if others, _ := a.parse(text); renewed.Frontends[0].SameSessions(others.Frontends[0]) {
		t.Error("clients of an authority that is trusted no longer go on")
	}
}

func TestServerTLSFiles(t *testing.T) {
	a := newAuthority(t)
	a.issue("client", testNow.Add(-time.Hour), testNow.AddDate(1, 0, 0))
	base := "[frontend.f]\nbind = [{ address = \":80\" }]\nbackend = \"b\"\n[backend.b]\nservers = [{ address = \"127.0.0.1:1\" }]\n"
	c, r := a.parse(base + `tls = { enabled = true, sni = "App.example.com", ca = "ca.pem", cert = "client.pem", key = "client.key" }`)
	if !r.OK() || len(r.Problems) > 0 {
		t.Fatal(r.Problems)
	}
	got := c.Backends[0].TLS
	if !got.Enabled || got.SNI != SNIFixed || got.SNIName != "app.example.com" || got.CAPEM == nil || got.Cert.KeyPEM == nil {
		t.Errorf("%+v", got)
	}
	plain, _ := a.parse(base + `tls = { enabled = true, sni = "" }`)
	if plain.Backends[0].TLS.SNI != SNINone || c.Backends[0].SameConnections(plain.Backends[0]) {
		t.Errorf("%+v", plain.Backends[0].TLS)
	}
	for _, bad := range []string{`cert = "client.pem"`, `key = "client.key"`, `ca = "none.pem"`, `sni = "10.0.0.1"`, `verify = "no"`} {
		if c, _ := a.parse(base + "tls = { enabled = true, " + bad + " }"); c != nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}
