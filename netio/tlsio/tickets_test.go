package tlsio

import (
	"bytes"
	"context"
	"crypto/tls"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// wallet is a client's session cache that offers its newest session to every server, whatever its name: an attacker's.
type wallet struct{ session *tls.ClientSessionState }

func (w *wallet) Get(string) (*tls.ClientSessionState, bool) { return w.session, w.session != nil }
func (w *wallet) Put(_ string, s *tls.ClientSessionState) {
	if s != nil {
		w.session = s
	}
}

// visitor is a client that resumes whatever it can.
type visitor struct {
	wallet wallet
	cfg    tls.Config
}

func newVisitor(version uint16) *visitor {
	v := new(visitor)
	v.cfg = tls.Config{InsecureSkipVerify: true, MaxVersion: version, MinVersion: tls.VersionTLS12, ClientSessionCache: &v.wallet}
	return v
}

// visit connects to server with an SNI and reports whether the session was resumed, as the server sees it.
func (v *visitor) visit(t *testing.T, server *ServerConfig, sni string) (resumed bool, conn *Conn, err error) {
	t.Helper()
	a, b := socketpair(t)
	cfg := v.cfg.Clone()
	cfg.ServerName = sni
	raw := netConn(t, a)
	told := make(chan error, 1)
	go func() {
		client := tls.Client(raw, cfg)
		_, err := client.Read(make([]byte, 1)) // the tickets of 1.3 come with the first read
		told <- err
	}()
	conn = newWorker(new(sockets)).Server(b, server)
	t.Cleanup(conn.Close)
	if err = handshakeOn(t, conn); err == nil {
		conn.Send([]byte("x"))
	}
	unix.Shutdown(b, unix.SHUT_WR)
	clientErr := <-told
	if err == nil && clientErr != nil {
		t.Fatalf("the client failed: %v", clientErr)
	}
	return err == nil && conn.State().Resumed, conn, err
}

// wantVisit demands that a visit succeeds, and is resumed or not.
func (v *visitor) wantVisit(t *testing.T, why string, server *ServerConfig, sni string, resumed bool) *Conn {
	t.Helper()
	got, conn, err := v.visit(t, server, sni)
	if err != nil {
		t.Fatalf("%s: %v", why, err)
	}
	if got != resumed {
		t.Errorf("%s: resumed %v, want %v", why, got, resumed)
	}
	return conn
}

func bothVersions(t *testing.T, f func(t *testing.T, version uint16)) {
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(v), func(t *testing.T) { f(t, v) })
	}
}

func TestTicketOfAnotherVirtualHost(t *testing.T) {
	bothVersions(t, func(t *testing.T, version uint16) {
		ca := newAuthority(t, "test CA")
		server := serverConfig(t, &ServerOptions{Tickets: NewTicketStore(), Certificates: []CertSource{
			ca.issue(t, "p256", nil, "default.example"), ca.issue(t, "p256", nil, "a.example", "alias.example"),
			ca.issue(t, "p256", nil, "b.example"), ca.issue(t, "p256", nil, "*.wild.example"),
		}})
		for _, c := range []struct {
			first, second string
			resumed       bool
		}{
			{"a.example", "a.example", true},
			{"a.example", "alias.example", true}, // the same certificate
			{"a.example", "b.example", false},
			{"b.example", "a.example", false},
			{"a.example", "default.example", false},
			{"a.example", "", false},        // the default certificate
			{"a.example", "unknown", false}, // the default certificate
			{"", "default.example", true},
			{"", "a.example", false},
			{"x.wild.example", "y.wild.example", true},
			{"x.wild.example", "a.example", false},
			{"A.EXAMPLE", "a.example", true},
		} {
			v := newVisitor(version)
			v.wantVisit(t, "first "+c.first, server, c.first, false)
			v.wantVisit(t, c.first+" then "+c.second, server, c.second, c.resumed)
		}
	})
}

// A ticket is bound to the certificate that was shown, not to the name: RSA and ECDSA for one name do not share theirs.
func TestTicketOfTheOtherKindOfCertificate(t *testing.T) {
	ca := newAuthority(t, "test CA")
	server := serverConfig(t, &ServerOptions{Tickets: NewTicketStore(), Certificates: []CertSource{
		ca.issue(t, "rsa", nil, "a.example", "only-rsa.example"), ca.issue(t, "p256", nil, "a.example"),
	}})
	v := newVisitor(tls.VersionTLS12)
	v.cfg.CipherSuites = []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	conn := v.wantVisit(t, "RSA", server, "a.example", false)
	if !conn.CoversHost("only-rsa.example") {
		t.Error("the RSA certificate was not shown")
	}
	conn = v.wantVisit(t, "RSA again", server, "a.example", true)
	if !conn.CoversHost("only-rsa.example") {
		t.Error("the resumed session forgot its certificate")
	}
	v.cfg.CipherSuites = []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
	conn = v.wantVisit(t, "now ECDSA is possible", server, "a.example", false)
	if conn.CoversHost("only-rsa.example") {
		t.Error("the ECDSA certificate does not cover that host")
	}
}

func TestTicketsAcrossReloads(t *testing.T) {
	bothVersions(t, func(t *testing.T, version uint16) {
		ca, oldCA, newCA := newAuthority(t, "server CA"), newAuthority(t, "old client CA"), newAuthority(t, "new client CA")
		cert, renewed := ca.issue(t, "p256", nil, "a.example"), ca.issue(t, "p256", nil, "a.example")
		store := NewTicketStore()
		base := ServerOptions{Tickets: store, Certificates: []CertSource{cert}}
		with := func(edit func(o *ServerOptions)) *ServerConfig {
			o := base
			edit(&o)
			return serverConfig(t, &o)
		}
		none := with(func(o *ServerOptions) {})
		request := with(func(o *ServerOptions) { o.ClientAuth, o.ClientCAPEM = ClientAuthRequest, oldCA.pem() })
		require := with(func(o *ServerOptions) { o.ClientAuth, o.ClientCAPEM = ClientAuthRequire, oldCA.pem() })
		requireBoth := with(func(o *ServerOptions) {
			o.ClientAuth, o.ClientCAPEM = ClientAuthRequire, append(newCA.pem(), oldCA.pem()...)
		})
		same := with(func(o *ServerOptions) { // the same content in another order, with comments
			o.ClientAuth, o.ClientCAPEM = ClientAuthRequire, append([]byte("# both\n"), append(oldCA.pem(), newCA.pem()...)...)
		})
		for _, c := range []struct {
			why           string
			first, second *ServerConfig
			resumed       bool
		}{
			{"nothing relevant changed", none, with(func(o *ServerOptions) { o.ALPN = []string{"h2"} }), true},
			{"the certificate was renewed", none, with(func(o *ServerOptions) { o.Certificates = []CertSource{renewed} }), false},
			{"the store is another", none, with(func(o *ServerOptions) { o.Tickets = NewTicketStore() }), false},
			{"tickets were switched off", none, with(func(o *ServerOptions) { o.Tickets = nil }), false},
			{"a certificate is demanded now", none, require, false},
			{"a certificate is asked for now", none, request, false},
			{"none is asked for any more", require, none, false},
			{"asked for becomes demanded", request, require, false},
			{"demanded becomes asked for", require, request, false},
			{"a CA was added", require, requireBoth, false},
			{"a CA was removed", requireBoth, require, false},
			{"the CA file was rearranged", requireBoth, same, true},
			{"mutual TLS stays as it was", require, with(func(o *ServerOptions) {
				o.ClientAuth, o.ClientCAPEM = ClientAuthRequire, oldCA.pem()
			}), true},
		} {
			v := newVisitor(version)
			own := oldCA.issue(t, "p256", nil, "client").keyPair(t)
			v.cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }
			v.wantVisit(t, c.why+", first", c.first, "a.example", false)
			conn := v.wantVisit(t, c.why, c.second, "a.example", c.resumed)
			if st := conn.State(); c.second.opts.ClientAuth != ClientAuthNone && (!st.PeerVerified || st.PeerSubject != "CN=test p256") {
				t.Errorf("%s: client verified %v, subject %q", c.why, st.PeerVerified, st.PeerSubject)
			}
		}
	})
}

// A client whose CA is no longer trusted must not come in by a session of better days.
func TestResumedClientOfARemovedCAIsRefused(t *testing.T) {
	bothVersions(t, func(t *testing.T, version uint16) {
		ca, oldCA, newCA := newAuthority(t, "server CA"), newAuthority(t, "old client CA"), newAuthority(t, "new client CA")
		o := ServerOptions{Tickets: NewTicketStore(), Certificates: []CertSource{ca.issue(t, "p256", nil, "a.example")},
			ClientAuth: ClientAuthRequire, ClientCAPEM: oldCA.pem()}
		before := serverConfig(t, &o)
		after := o
		after.ClientCAPEM = newCA.pem()
		v := newVisitor(version)
		own := oldCA.issue(t, "p256", nil, "client").keyPair(t)
		v.cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }
		v.wantVisit(t, "first", before, "a.example", false)
		v.wantVisit(t, "again", before, "a.example", true)
		if _, conn, err := v.visit(t, serverConfig(t, &after), "a.example"); err == nil || conn.Failure() != FailCertificate {
			t.Errorf("after the reload: %v, %v", err, conn.Failure())
		}
		v.wantVisit(t, "the old configuration still serves", before, "a.example", true)
	})
}

func TestTicketKeyFileIsSharedByMachines(t *testing.T) {
	bothVersions(t, func(t *testing.T, version uint16) {
		ca := newAuthority(t, "test CA")
		a, b := ca.issue(t, "p256", nil, "a.example"), ca.issue(t, "p256", nil, "b.example")
		line := func(c byte) []byte { return bytes.Repeat([]byte{c}, 48) }
		machine := func(keys ...[]byte) *ServerConfig {
			return serverConfig(t, &ServerOptions{Certificates: []CertSource{a, b}, Tickets: NewTicketStore(), TicketKeys: keys})
		}
		for _, c := range []struct {
			why           string
			first, second *ServerConfig
			sni           string
			resumed       bool
		}{
			{"the same file", machine(line('X')), machine(line('X')), "a.example", true},
			{"another host", machine(line('X')), machine(line('X')), "b.example", false},
			{"a new key on top", machine(line('X')), machine(line('Y'), line('X')), "a.example", true},
			{"the other machine is not there yet", machine(line('Y'), line('X')), machine(line('X')), "a.example", false},
			{"the key was dropped", machine(line('X')), machine(line('Y')), "a.example", false},
		} {
			v := newVisitor(version)
			v.wantVisit(t, c.why+", first", c.first, "a.example", false)
			v.wantVisit(t, c.why, c.second, c.sni, c.resumed)
		}
	})
}

// clock is a time that tests move.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.ns.Store(time.Now().UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()) }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

func TestTicketKeysRotate(t *testing.T) {
	bothVersions(t, func(t *testing.T, version uint16) {
		ca := newAuthority(t, "test CA")
		c := newClock()
		server := serverConfig(t, &ServerOptions{Tickets: NewTicketStore(), Now: c.now,
			Certificates: []CertSource{ca.issue(t, "p256", nil, "a.example")}})
		v := newVisitor(version)
		v.wantVisit(t, "first", server, "a.example", false)
		first := v.wallet
		for range ticketKept {
			c.advance(ticketPeriod)
			v.wantVisit(t, "an old ticket", server, "a.example", true)
			v.wallet = first // the client comes with its first ticket again and again
		}
		c.advance(ticketPeriod)
		v.wantVisit(t, "a ticket that is too old", server, "a.example", false)
	})
}

func TestTicketStoreForgetsOverAPause(t *testing.T) {
	s := NewTicketStore()
	start := time.Now()
	_, first := s.current(start)
	if _, again := s.current(start.Add(ticketPeriod - 1)); &again[0][0] != &first[0][0] {
		t.Error("rotated too early")
	}
	for _, c := range []struct {
		pause time.Duration
		want  int
	}{{ticketPeriod, 2}, {ticketPeriod, 3}, {ticketPeriod, 3}, {2 * ticketPeriod, 2}, {ticketPeriod * 3, 1}, {1000 * ticketPeriod, 1}} {
		start = start.Add(c.pause)
		before := s.state.Load()
		epoch, secrets := s.current(start)
		if len(secrets) != c.want {
			t.Errorf("after %v: %d secrets, want %d", c.pause, len(secrets), c.want)
		}
		if epoch == before.number || bytes.Equal(secrets[0], before.secrets[0]) {
			t.Errorf("after %v: not rotated", c.pause)
		}
	}
}

// The session tickets of TCP and those of QUIC do not open each other, although certificate and policy are the same.
func TestQUICTicketsAreTheirOwn(t *testing.T) {
	ca := newAuthority(t, "test CA")
	server := serverConfig(t, &ServerOptions{Tickets: NewTicketStore(), ALPN: []string{"h2"},
		Certificates: []CertSource{ca.issue(t, "p256", nil, "a.example")}})
	quic := server.QUIC([]string{"h3"})
	if quic.MinVersion != tls.VersionTLS13 || quic.NextProtos[0] != "h3" {
		t.Errorf("QUIC configuration: version %x, ALPN %q", quic.MinVersion, quic.NextProtos)
	}
	overQUIC := func(v *visitor) bool {
		cfg := v.cfg.Clone()
		cfg.ServerName, cfg.NextProtos, cfg.MinVersion = "a.example", []string{"h3"}, tls.VersionTLS13
		client := tls.QUICClient(&tls.QUICConfig{TLSConfig: cfg})
		srv := tls.QUICServer(&tls.QUICConfig{TLSConfig: quic})
		client.SetTransportParameters([]byte("x"))
		srv.SetTransportParameters([]byte("y"))
		runQUIC(t, client, srv)
		return srv.ConnectionState().DidResume
	}
	v := newVisitor(tls.VersionTLS13)
	v.wantVisit(t, "first over TCP", server, "a.example", false)
	if overQUIC(v) {
		t.Error("a ticket of TCP opened over QUIC")
	}
	if !overQUIC(v) {
		t.Error("a ticket of QUIC did not open over QUIC")
	}
	v.wantVisit(t, "a ticket of QUIC", server, "a.example", false)
}

// runQUIC carries the handshake of two QUICConns to its end, ticket included.
func runQUIC(t *testing.T, client, server *tls.QUICConn) {
	t.Helper()
	for _, c := range []*tls.QUICConn{client, server} {
		if err := c.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	pass := func(from, to *tls.QUICConn) (moved bool) {
		for {
			e := from.NextEvent()
			switch e.Kind {
			case tls.QUICNoEvent:
				return moved
			case tls.QUICWriteData:
				if err := to.HandleData(e.Level, e.Data); err != nil {
					t.Fatal(err)
				}
				moved = true
			case tls.QUICHandshakeDone:
				if from == server {
					if err := server.SendSessionTicket(tls.QUICSessionTicketOptions{EarlyData: true}); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
	for pass(client, server) || pass(server, client) {
	}
}
