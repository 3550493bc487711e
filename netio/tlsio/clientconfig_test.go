package tlsio

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"
)

// dial connects a client to a server on one worker, and reports the client's error.
func dial(t *testing.T, p *Peer, server *ServerConfig) (client, srv *Conn, err error) {
	t.Helper()
	w := newWorker(new(sockets))
	a, b := socketpair(t)
	client, srv = w.Client(a, p), w.Server(b, server)
	t.Cleanup(func() { client.Close(); srv.Close() })
	for range 10 {
		doneC, _, errC := client.Handshake()
		doneS, _, errS := srv.Handshake()
		if errC != nil {
			return client, srv, errC
		}
		if errS != nil {
			return client, srv, errS
		}
		if doneC && doneS {
			client.Recv(make([]byte, 10)) // the ticket of 1.3
			return client, srv, nil
		}
	}
	t.Fatal("the handshake does not end")
	return
}

func TestVerify(t *testing.T) {
	bothVersions(t, func(t *testing.T, version uint16) {
		ca, stranger := newAuthority(t, "test CA"), newAuthority(t, "stranger")
		old := func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
		}
		server := func(src CertSource) *ServerConfig {
			return serverConfig(t, &ServerOptions{Certificates: []CertSource{src}, MaxVersion: version})
		}
		named := server(ca.issue(t, "p256", nil, "s.example", "192.0.2.7"))
		expired := server(ca.issue(t, "p256", old, "s.example"))
		strange := server(stranger.issue(t, "p256", nil, "s.example"))
		for _, c := range []struct {
			why       string
			verify    Verify
			server    *ServerConfig
			sni, name string
			ok        bool
		}{
			{"full", VerifyFull, named, "s.example", "", true},
			{"full, another name", VerifyFull, named, "other.example", "", false},
			{"full, expired", VerifyFull, expired, "s.example", "", false},
			{"full, another CA", VerifyFull, strange, "s.example", "", false},
			{"full, an address", VerifyFull, named, "192.0.2.7", "", true},
			{"full, another address", VerifyFull, named, "192.0.2.8", "", false},
			{"full, no SNI", VerifyFull, named, "", "s.example", true},
			{"full, no SNI, an address", VerifyFull, named, "", "192.0.2.7", true},
			{"full, no SNI, another name", VerifyFull, named, "", "other.example", false},
			{"full, no SNI, another CA", VerifyFull, strange, "", "s.example", false},
			{"full, no SNI, expired", VerifyFull, expired, "", "s.example", false},
			{"full, SNI is not the name", VerifyFull, named, "front.example", "s.example", true},
			{"full, SNI is not the name, another name", VerifyFull, named, "s.example", "other.example", false},
			{"ca", VerifyCA, named, "other.example", "", true},
			{"ca, no SNI", VerifyCA, named, "", "", true},
			{"ca, expired", VerifyCA, expired, "s.example", "", false},
			{"ca, another CA", VerifyCA, strange, "s.example", "", false},
			{"none", VerifyNone, strange, "other.example", "", true},
			{"none, expired", VerifyNone, expired, "", "", true},
		} {
			cfg := clientConfig(t, &ClientOptions{Verify: c.verify, CAPEM: ca.pem()})
			client, srv, err := dial(t, cfg.Peer("s", c.sni, c.name), c.server)
			if (err == nil) != c.ok {
				t.Errorf("%s: %v", c.why, err)
			}
			if !c.ok && client.Failure() != FailCertificate {
				t.Errorf("%s: failure %v", c.why, client.Failure())
			}
			wantSNI := c.sni
			if strings.HasPrefix(wantSNI, "192") {
				wantSNI = "" // addresses are not sent (RFC 6066 section 3)
			}
			if c.ok && srv.State().ServerName != wantSNI {
				t.Errorf("%s: SNI %q", c.why, srv.State().ServerName)
			}
			if c.ok && client.State().Version != version {
				t.Errorf("%s: version %x", c.why, client.State().Version)
			}
		}
		for _, c := range []struct {
			why    string
			server *ServerConfig
			sni    string
			ok     bool
		}{
			{"any name", named, "", true}, {"any name, asked by another", named, "other.example", true},
			{"any name, another CA", strange, "", false}, {"any name, expired", expired, "", false},
		} {
			cfg := clientConfig(t, &ClientOptions{Verify: VerifyFull, CAPEM: ca.pem()})
			_, srv, err := dial(t, cfg.Unnamed("s", c.sni), c.server)
			if (err == nil) != c.ok || c.ok && srv.State().ServerName != c.sni {
				t.Errorf("%s: %v", c.why, err)
			}
		}
	})
}

func TestSessionsWithServers(t *testing.T) {
	bothVersions(t, func(t *testing.T, version uint16) {
		ca, otherCA := newAuthority(t, "test CA"), newAuthority(t, "another CA")
		server := serverConfig(t, &ServerOptions{
			Certificates: []CertSource{ca.issue(t, "p256", nil, "a.example", "b.example")}, MaxVersion: version,
			Tickets: NewTicketStore(), ClientAuth: ClientAuthRequest,
		})
		clock := newClock()
		store := NewSessionStore(100)
		ownCert := ca.issue(t, "p256", nil, "client")
		make := func(edit func(o *ClientOptions)) *ClientConfig {
			o := &ClientOptions{CAPEM: append(ca.pem(), otherCA.pem()...), Sessions: store, Now: clock.now}
			edit(o)
			return clientConfig(t, o)
		}
		plain := make(func(o *ClientOptions) {})
		byCA := make(func(o *ClientOptions) { o.Verify = VerifyCA })
		unverified := make(func(o *ClientOptions) { o.Verify = VerifyNone })
		onlyCA := make(func(o *ClientOptions) { o.CAPEM = ca.pem() })
		withCert := make(func(o *ClientOptions) { o.Cert = &ownCert })
		for _, c := range []struct {
			why           string
			first, second *Peer
			resumed       bool
		}{
			{"the same", plain.Peer("s1", "a.example", ""), plain.Peer("s1", "a.example", ""), true},
			{"after a reload", plain.Peer("s1", "a.example", ""), make(func(o *ClientOptions) {}).Peer("s1", "a.example", ""), true},
			{"another server", plain.Peer("s1", "a.example", ""), plain.Peer("s2", "a.example", ""), false},
			{"another SNI", plain.Peer("s1", "a.example", ""), plain.Peer("s1", "b.example", ""), false},
			{"no SNI", plain.Peer("s1", "a.example", ""), plain.Peer("s1", "", "a.example"), false},
			{"another name", plain.Peer("s1", "", "a.example"), plain.Peer("s1", "", "b.example"), false},
			{"unnamed", plain.Unnamed("s1", "a.example"), plain.Peer("s1", "a.example", ""), false},
			{"unnamed again", plain.Unnamed("s1", ""), plain.Unnamed("s1", ""), true},
			{"never verified", unverified.Peer("s1", "a.example", ""), plain.Peer("s1", "a.example", ""), false},
			{"verified less", byCA.Peer("s1", "a.example", ""), plain.Peer("s1", "a.example", ""), false},
			{"other CAs", plain.Peer("s1", "a.example", ""), onlyCA.Peer("s1", "a.example", ""), false},
			{"a client certificate", plain.Peer("s1", "a.example", ""), withCert.Peer("s1", "a.example", ""), false},
			{"no client certificate", withCert.Peer("s1", "a.example", ""), plain.Peer("s1", "a.example", ""), false},
			{"verified by CA", byCA.Peer("s1", "a.example", ""), byCA.Peer("s1", "a.example", ""), true},
			{"verified without SNI", plain.Peer("s1", "", "a.example"), plain.Peer("s1", "", "a.example"), true},
			{"not verified", unverified.Peer("s1", "a.example", ""), unverified.Peer("s1", "a.example", ""), true},
			{"with the same certificate", withCert.Peer("s1", "a.example", ""), withCert.Peer("s1", "a.example", ""), true},
		} {
			*store = *NewSessionStore(100)
			if client, _, err := dial(t, c.first, server); err != nil || client.State().Resumed {
				t.Fatalf("%s, first: %v", c.why, err)
			}
			client, srv, err := dial(t, c.second, server)
			if err != nil {
				t.Fatalf("%s: %v", c.why, err)
			}
			if client.State().Resumed != c.resumed || srv.State().Resumed != c.resumed {
				t.Errorf("%s: resumed %v, want %v", c.why, client.State().Resumed, c.resumed)
			}
		}
		// Time goes on after the chain was verified.
		p := byCA.Peer("s1", "a.example", "")
		dial(t, p, server)
		clock.advance(20 * time.Hour) // the leaf is over, the CA is not
		if _, _, err := dial(t, p, server); err == nil {
			t.Error("an expired certificate was accepted")
		}
	})
}

// A chain ends with the first of its certificates, for a session too.
func TestResumedSessionWithAnExpiredCA(t *testing.T) {
	bothVersions(t, func(t *testing.T, version uint16) {
		ca, clock := newAuthority(t, "test CA"), newClock()
		late := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(100 * time.Hour) } // the CA ends after 24
		server := serverConfig(t, &ServerOptions{Certificates: []CertSource{ca.issue(t, "p256", late, "a.example")},
			MaxVersion: version, Tickets: NewTicketStore()})
		for _, verify := range []Verify{VerifyFull, VerifyCA} {
			cfg := clientConfig(t, &ClientOptions{Verify: verify, CAPEM: ca.pem(), Sessions: NewSessionStore(1), Now: clock.now})
			for _, p := range []*Peer{cfg.Peer("s", "a.example", ""), cfg.Peer("s", "", "a.example")} {
				dial(t, p, server)
				if client, _, err := dial(t, p, server); err != nil || !client.State().Resumed {
					t.Fatalf("second: resumed %v, %v", client.State().Resumed, err)
				}
				clock.advance(25 * time.Hour)
				if _, _, err := dial(t, p, server); err == nil {
					t.Error("a chain with an expired CA was accepted")
				}
				clock.advance(-25 * time.Hour)
			}
		}
	})
}

func TestClientCertificateIsAlwaysSent(t *testing.T) {
	ca, issuer := newAuthority(t, "test CA"), newAuthority(t, "an issuer the server does not announce")
	own := issuer.issue(t, "p256", nil, "client")
	server := serverConfig(t, &ServerOptions{Certificates: []CertSource{ca.issue(t, "p256", nil, "a.example")},
		ClientAuth: ClientAuthRequire, ClientCAPEM: ca.pem(), MaxVersion: tls.VersionTLS12})
	cfg := clientConfig(t, &ClientOptions{CAPEM: ca.pem(), Cert: &own})
	_, srv, err := dial(t, cfg.Peer("s", "a.example", ""), server)
	if err == nil || srv.Failure() != FailCertificate && srv.Failure() != FailNone {
		t.Fatalf("%v, %v", err, srv.Failure())
	}
	if strings.Contains(err.Error(), "didn't provide") {
		t.Errorf("no certificate was sent: %v", err)
	}
}

func TestClientConfigProblems(t *testing.T) {
	ca := newAuthority(t, "test CA")
	bad := ca.issue(t, "p256", nil, "client")
	bad.KeyPEM = nil
	bad.KeyFile = "/nonexistent/key.pem"
	_, _, err := NewClientConfig(&ClientOptions{CAFile: "/nonexistent/ca.pem", Cert: &bad})
	if err == nil || !strings.Contains(err.Error(), "/nonexistent/ca.pem") || !strings.Contains(err.Error(), "/nonexistent/key.pem") {
		t.Errorf("error %v", err)
	}
	if _, _, err := NewClientConfig(&ClientOptions{CAFile: "ca.pem", CAPEM: []byte("x")}); err == nil || !strings.Contains(err.Error(), "ca.pem: there is no PEM") {
		t.Errorf("error %v", err)
	}
	serverOnly := ca.issue(t, "p256", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, "x")
	if _, warnings, err := NewClientConfig(&ClientOptions{CAPEM: ca.pem(), Cert: &serverOnly}); err != nil || len(warnings) != 1 {
		t.Errorf("error %v, warnings %q", err, warnings)
	}
}

func TestPeersAreKeptAndBounded(t *testing.T) {
	cfg := clientConfig(t, &ClientOptions{Verify: VerifyNone})
	p := cfg.Peer("s", "a.example", "")
	if cfg.Peer("s", "a.example", "a.example") != p {
		t.Error("the same server is another Peer")
	}
	for i := range 3 * peersMax {
		cfg.Peer("s", strings.Repeat("x", i%60)+string(rune('a'+i/60%26))+string(rune('a'+i/1560)), "")
		if len(cfg.peers) > peersMax {
			t.Fatalf("%d peers", len(cfg.peers))
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic: full verification of nobody")
		}
	}()
	clientConfig(t, &ClientOptions{CAPEM: newAuthority(t, "CA").pem()}).Peer("s", "", "")
}
