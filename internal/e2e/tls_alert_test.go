package e2e

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// muchMore is what a client says behind that which TLS fails over: more than one read of weir's takes.
var muchMore = strings.Repeat("x", 300<<10)

// wantAlert reads a fatal alert in the clear and after it an orderly end, which a RST would not be.
func (p *peer) wantAlert(what string, code byte) {
	p.t.Helper()
	p.drain()
	if len(p.in) != 7 || p.in[0] != 21 || !bytes.Equal(p.in[3:], []byte{0, 2, 2, code}) {
		p.t.Errorf("%s: got % x, want alert %d", what, clip(p.in), code)
	}
	if p.err != nil {
		p.t.Errorf("%s: behind the alert the connection ends with %v", what, p.err)
	}
}

// helloOf is the first flight of a client.
func helloOf(t *testing.T, c *tls.Config) string {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		_ = far.SetDeadline(time.Now().Add(patience))
		_ = tls.Client(far, c).Handshake()
		_ = far.Close()
	}()
	b := make([]byte, 16<<10)
	n, err := near.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

// A handshake that fails says why, and whoever is still sending can read it: a socket closed with unread bytes would answer
// with a RST instead.
func TestTLSAlertsOutliveWhatFollows(t *testing.T) {
	t.Parallel()
	w := start(t, behind(site("site"), setup{bind: `alpn = ["http/1.1"]`, servers: []*origin{httpOrigin(t, sayHello)}}))
	for _, c := range []struct {
		what, first string
		alert       byte
	}{
		{"version", helloOf(t, asClient("a.example", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 })), 70},
		{"ALPN", helloOf(t, asClient("a.example", func(c *tls.Config) { c.NextProtos = []string{"gopher"} })), 120},
		{"cipher suites", helloOf(t, asClient("a.example", func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
		})), 40},
		{"a record of 64 KiB", "\x16\x03\x01\xff\xff", 22},
		{"a hello that is none", "\x16\x03\x01\x00\x04\x63\x00\x00\x00", 10},
	} {
		p := w.dialRaw("8080")
		p.send(c.first + muchMore)
		p.send(muchMore) // there is somebody who takes it
		p.wantAlert(c.what, c.alert)
		p.send(muchMore) // still
		p.close()
	}
	w.wantMetric(0, "weir_frontend_connections")
}

// A limit that lets no handshake begin says so in the same way.
func TestTLSAlertOfALimit(t *testing.T) {
	t.Parallel()
	w := start(t, behind(site("site"), setup{
		servers: []*origin{httpOrigin(t, sayHello)}, frontend: `limits = "tight"`,
		tables: "[limits.tight]\nqueue-timeout = \"100ms\"\nmax-ssl-conn = 1\n",
	}))
	w.dialTLS(t, asClient("a.example")).get(t, "a.example", "/")
	p := w.dialRaw("8080")
	p.send(string(clientHello(t)) + muchMore)
	p.send(muchMore)
	p.wantAlert("max-ssl-conn", 80)
}

// spoiler damages the next record that goes through it.
type spoiler struct {
	net.Conn
	armed bool
}

func (s *spoiler) Write(p []byte) (int, error) {
	if s.armed {
		s.armed, p = false, bytes.Clone(p)
		p[len(p)-1] ^= 1
	}
	return s.Conn.Write(p)
}

// wantRemote reads on and wants the alert of that name.
func (p *peer) wantRemote(what, alert string) {
	p.t.Helper()
	p.drain()
	if p.err == nil || !strings.Contains(p.err.Error(), "remote error: tls: "+alert) {
		p.t.Errorf("%s: it ends with %v, want the alert %q", what, p.err, alert)
	}
	// Behind the alert stands the end of the stream, no RST.
	raw := p.conn.(*tls.Conn).NetConn()
	_ = raw.SetReadDeadline(time.Now().Add(patience))
	if _, err := raw.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		p.t.Errorf("%s: behind the alert the connection ends with %v", what, err)
	}
}

// TLS that fails later, or whose client is refused by the last message of its handshake, ends in the same way. What was
// under way does not look whole.
func TestTLSAlertsOfEstablishedConnections(t *testing.T) {
	eachVersion(t, func(t *testing.T, v uint16) {
		back := listen(t, plain)
		w := start(t, behind(site("site"), setup{servers: []*origin{back}}))
		version := func(c *tls.Config) { c.MinVersion, c.MaxVersion = v, v }
		for _, served := range []bool{false, true} {
			s := &spoiler{Conn: w.dialRaw("8080").conn}
			p := newPeer(t, secured(t, s, asClient("a.example", version)))
			var server *peer
			if served {
				p.ask("POST / HTTP/1.0", host, "Content-Length: 1000000", "", "abc")
				server = back.accept()
				server.requestHead()
				server.answer(ok, "", "the beginning")
				p.responseHead()
				p.bytes("the beginning")
			}
			s.armed = true
			p.send("POST / HTTP/1.1\r\n")
			_ = p.trySend(muchMore)
			p.wantRemote("a damaged record", "bad record MAC")
			p.close()
			if served {
				server.gone()
			}
		}
	})
}

func TestTLSAlertOfARefusedCertificate(t *testing.T) {
	t.Parallel()
	w := start(t, behind(site("site")+"client-auth = \"require\"\nclient-ca = \"$FILES/ca.pem\"\n", setup{servers: []*origin{httpOrigin(t, sayHello)}}))
	for alert, change := range map[string]func(*tls.Config){"certificate required": func(*tls.Config) {}, "unknown certificate authority": asMember("stranger")} {
		p := w.dialTLS(t, asClient("a.example", change)) // in TLS 1.3 the client is done before it is refused
		_ = p.trySend("POST / HTTP/1.1\r\n" + host + "\r\nContent-Length: 1000000\r\n\r\n" + muchMore)
		p.wantRemote(alert, alert)
		p.close()
	}
}

// HTTP without TLS, sent to a listener that speaks TLS, is answered in the clear: whoever sent it would not understand an alert.
func TestTLSListenerIsSpokenToInTheClear(t *testing.T) {
	t.Parallel()
	back := listen(t, plain)
	w := start(t, behind(site("site"), setup{servers: []*origin{back}}))
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc", "GET /",
	} {
		conn, err := net.Dial("tcp", w.front())
		if err != nil {
			t.Fatal(err)
		}
		client := newPeer(t, conn)
		client.send(request)
		client.response().want(t, "HTTP/1.1 400 Bad Request", "Connection: close", `Proxy-Status: weir; error=http_request_error; details="bad-request"`)
		client.end()
	}
	w.wantMetric(3, "weir_frontend_tls_handshake_failures_total")
	if back.connections() != 0 {
		t.Error("one has reached the server")
	}
}
