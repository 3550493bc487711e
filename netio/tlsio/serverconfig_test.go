package tlsio

import (
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// helloFor is what a client says that can verify signatures of one kind.
func helloFor(sni, kind string) *tls.ClientHelloInfo {
	schemes := map[string][]tls.SignatureScheme{
		"rsa":  {tls.PSSWithSHA256},
		"p256": {tls.ECDSAWithP256AndSHA256},
		"p384": {tls.ECDSAWithP384AndSHA384},
		"any":  {tls.Ed25519, tls.ECDSAWithP256AndSHA256, tls.ECDSAWithP384AndSHA384, tls.PSSWithSHA256},
	}
	return &tls.ClientHelloInfo{
		ServerName: sni, SupportedVersions: []uint16{tls.VersionTLS13}, SignatureSchemes: schemes[kind],
		CipherSuites: []uint16{tls.TLS_AES_128_GCM_SHA256}, SupportedCurves: []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384},
	}
}

func TestServerConfigProblems(t *testing.T) {
	ca := newAuthority(t, "test CA")
	good, second := ca.issue(t, "p256", nil, "a.example"), ca.issue(t, "p256", nil, "b.example")
	rsaCert := ca.issue(t, "rsa", nil, "a.example")
	mixed := good
	mixed.KeyPEM = second.KeyPEM
	wrongKind := good
	wrongKind.KeyPEM = rsaCert.KeyPEM
	noPEM := good
	noPEM.CertPEM = []byte("hello")
	keyIsCert := good
	keyIsCert.KeyPEM = good.CertPEM
	cutDER := good
	cutDER.CertPEM = []byte("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
	missing := CertSource{CertFile: "/nonexistent/cert.pem", KeyFile: "/nonexistent/key.pem"}
	date := func(from, to time.Duration) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Now().Add(from), time.Now().Add(to) }
	}
	chain := good
	chain.CertPEM = append(append([]byte{}, good.CertPEM...), second.CertPEM...)
	withOCSP := good
	withOCSP.OCSPFile, withOCSP.OCSP = "ocsp.der", []byte("no DER")
	wantProblems(t, good, []problemCase{
		{"nothing wrong", func(o *ServerOptions) {}, nil, ""},
		{"no certificate", func(o *ServerOptions) { o.Certificates = nil }, []string{"at least one certificate"}, ""},
		{"another's key", func(o *ServerOptions) { o.Certificates[0] = mixed }, []string{"key.pem: the key does not belong to the certificate in cert.pem"}, ""},
		{"a key of another kind", func(o *ServerOptions) { o.Certificates[0] = wrongKind }, []string{"key.pem: the key does not belong to the certificate in cert.pem"}, ""},
		{"not PEM", func(o *ServerOptions) { o.Certificates[0] = noPEM }, []string{"cert.pem: there is no PEM block"}, ""},
		{"a certificate for a key", func(o *ServerOptions) { o.Certificates[0] = keyIsCert }, []string{"key.pem: "}, ""},
		{"a torn certificate", func(o *ServerOptions) { o.Certificates[0] = cutDER }, []string{"cert.pem: certificate 1: "}, ""},
		{"all at once", func(o *ServerOptions) {
			o.Certificates = []CertSource{missing, mixed, good}
			o.ClientAuth = ClientAuthRequire
		}, []string{"/nonexistent/cert.pem", "/nonexistent/key.pem", "key.pem: the key", "there is no CA"}, ""},
		{"a CA file that is none", func(o *ServerOptions) {
			o.ClientAuth, o.ClientCAFile, o.ClientCAPEM = ClientAuthRequest, "ca.pem", []byte("x")
		}, []string{"ca.pem: there is no PEM block"}, ""},
		{"a CA file that is missing", func(o *ServerOptions) {
			o.ClientAuth, o.ClientCAFile = ClientAuthRequest, "/nonexistent/ca.pem"
		}, []string{"/nonexistent/ca.pem"}, ""},
		{"a CA for nothing", func(o *ServerOptions) { o.ClientCAFile, o.ClientCAPEM = "ca.pem", ca.pem() }, nil, "ca.pem: a CA for clients is of no use"},
		{"expired", func(o *ServerOptions) { o.Certificates[0] = ca.issue(t, "p256", date(-2*time.Hour, -time.Hour), "a") }, nil, "cert.pem: the certificate expired on"},
		{"not yet valid", func(o *ServerOptions) { o.Certificates[0] = ca.issue(t, "p256", date(time.Hour, 2*time.Hour), "a") }, nil, "cert.pem: the certificate is not valid before"},
		{"for no host", func(o *ServerOptions) { o.Certificates[0] = ca.issue(t, "p256", nil) }, nil, "cert.pem: the certificate has no subject alternative names"},
		{"for clients", func(o *ServerOptions) {
			o.Certificates[0] = ca.issue(t, "p256", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, "a")
		}, nil, "extended key usage"},
		{"a chain that is none", func(o *ServerOptions) { o.Certificates[0] = chain }, nil, "cert.pem: certificate 1 was not issued by the one after it"},
		{"OCSP that is none", func(o *ServerOptions) { o.Certificates[0] = withOCSP }, []string{"ocsp.der: "}, ""},
	})
}

type problemCase struct {
	name   string
	edit   func(o *ServerOptions)
	errs   []string
	warned string
}

func wantProblems(t *testing.T, good CertSource, cases []problemCase) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := &ServerOptions{Certificates: []CertSource{good}}
			c.edit(o)
			cfg, warnings, err := NewServerConfig(o)
			if (err != nil) != (len(c.errs) > 0) || (cfg != nil) == (err != nil) {
				t.Fatalf("config %v, error %v", cfg != nil, err)
			}
			for _, want := range c.errs {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if got := strings.Join(warnings, "\n"); !strings.Contains(got, c.warned) || c.warned == "" && got != "" {
				t.Errorf("warnings %q, want %q", got, c.warned)
			}
		})
	}
}

func TestServerConfigReadsFiles(t *testing.T) {
	ca := newAuthority(t, "test CA")
	dir := t.TempDir()
	src := ca.issue(t, "p256", nil, "a.example")
	for name, b := range map[string][]byte{"c.pem": src.CertPEM, "k.pem": src.KeyPEM, "ca.pem": ca.pem()} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, warnings, err := NewServerConfig(&ServerOptions{
		Certificates: []CertSource{{CertFile: filepath.Join(dir, "c.pem"), KeyFile: filepath.Join(dir, "k.pem")}},
		ClientAuth:   ClientAuthRequire, ClientCAFile: filepath.Join(dir, "ca.pem"),
	})
	if err != nil || len(warnings) != 0 {
		t.Fatal(err, warnings)
	}
}

// respond makes an OCSP response about the leaf of src.
func (a *authority) respond(t *testing.T, src CertSource, edit func(*ocsp.Response)) []byte {
	t.Helper()
	rsp := ocsp.Response{
		Status: ocsp.Good, SerialNumber: src.keyPair(t).Leaf.SerialNumber,
		ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour),
	}
	if edit != nil {
		edit(&rsp)
	}
	der, err := ocsp.CreateResponse(a.cert, a.cert, rsp, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestOCSPStaple(t *testing.T) {
	bothVersions(t, func(t *testing.T, version uint16) {
		ca := newAuthority(t, "test CA")
		src := ca.issue(t, "p256", nil, "a.example")
		src.CertPEM = append(src.CertPEM, ca.pem()...)
		src.OCSPFile = "ocsp.der"
		staple := ca.respond(t, src, nil)
		for _, c := range []struct {
			name    string
			der     []byte
			warned  string
			failed  string
			stapled bool
		}{
			{"good", staple, "", "", true},
			{"without an end", ca.respond(t, src, func(r *ocsp.Response) { r.NextUpdate = time.Time{} }), "", "", true},
			{"revoked", ca.respond(t, src, func(r *ocsp.Response) { r.Status, r.RevokedAt = ocsp.Revoked, time.Now() }), "was revoked", "", false},
			{"unknown", ca.respond(t, src, func(r *ocsp.Response) { r.Status = ocsp.Unknown }), "does not say that", "", false},
			{"over", ca.respond(t, src, func(r *ocsp.Response) { r.NextUpdate = time.Now().Add(-time.Minute) }), "ended on", "", false},
			{"about another", ca.respond(t, src, func(r *ocsp.Response) { r.SerialNumber = big.NewInt(12345) }), "", "ocsp.der: ", false},
			{"by another CA", newAuthority(t, "other").respond(t, src, nil), "", "ocsp.der: ", false},
		} {
			s := src
			s.OCSP = c.der
			clock := newClock()
			cfg, warnings, err := NewServerConfig(&ServerOptions{Certificates: []CertSource{s}, Now: clock.now})
			if c.failed != "" {
				if err == nil || !strings.Contains(err.Error(), c.failed) {
					t.Errorf("%s: %v", c.name, err)
				}
				continue
			}
			if err != nil || !strings.Contains(strings.Join(warnings, "\n"), c.warned) || c.warned == "" && len(warnings) > 0 {
				t.Errorf("%s: %v, warnings %q", c.name, err, warnings)
				continue
			}
			v := newVisitor(version)
			var got []byte
			v.cfg.VerifyConnection = func(cs tls.ConnectionState) error { got = cs.OCSPResponse; return nil }
			v.wantVisit(t, c.name, cfg, "a.example", false)
			if (string(got) == string(c.der)) != c.stapled {
				t.Errorf("%s: %d bytes were stapled", c.name, len(got))
			}
			clock.advance(2 * time.Hour) // past the end
			v.wantVisit(t, c.name, cfg, "a.example", false)
			if c.name == "good" && got != nil {
				t.Error("a response that has ended is still stapled")
			}
		}
	})
}

func TestClientAuthRequest(t *testing.T) {
	bothVersions(t, func(t *testing.T, version uint16) {
		ca, stranger := newAuthority(t, "test CA"), newAuthority(t, "stranger")
		o := ServerOptions{Certificates: []CertSource{ca.issue(t, "p256", nil, "a.example")}, ClientAuth: ClientAuthRequest}
		open := serverConfig(t, &o)
		withCA := o
		withCA.ClientCAPEM = ca.pem()
		verifying := serverConfig(t, &withCA)
		for _, c := range []struct {
			name     string
			server   *ServerConfig
			by       *authority
			ok       bool
			verified bool
			subject  string
		}{
			{"none given", verifying, nil, true, false, ""},
			{"a good one", verifying, ca, true, true, "CN=test p256"},
			{"a stranger's", verifying, stranger, false, false, ""},
			{"no CA to verify with", open, stranger, true, false, "CN=test p256"},
		} {
			v := newVisitor(version)
			if c.by != nil {
				own := c.by.issue(t, "p256", nil, "client").keyPair(t)
				v.cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }
			}
			_, conn, err := v.visit(t, c.server, "a.example")
			if (err == nil) != c.ok {
				t.Errorf("%s: %v", c.name, err)
			} else if st := conn.State(); st.PeerVerified != c.verified || st.PeerSubject != c.subject {
				t.Errorf("%s: verified %v, subject %q", c.name, st.PeerVerified, st.PeerSubject)
			}
		}
	})
}
