package e2e

import (
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// sServer is a server that OpenSSL speaks for: what it is told on its standard input it sends, and R asks the other side to
// shake hands anew.
type sServer struct {
	t    *testing.T
	o    *origin
	in   io.Writer
	said transcript
}

func newSServer(t *testing.T, args ...string) *sServer {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	s := &sServer{t: t, o: listen(t, tlsed)}
	_ = s.o.ln.Close() // it is the other's to listen at this address
	c := exec.Command(path, append([]string{
		"s_server", "-accept", s.o.addr, "-cert", filepath.Join(files, "server.pem"), "-key", filepath.Join(files, "server.key"),
	}, args...)...)
	c.WaitDelay = patience
	if s.in, err = c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	c.Stdout, c.Stderr = &s.said, &s.said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	s.until("ACCEPT")
	return s
}

func (s *sServer) until(said string) {
	s.t.Helper()
	eventually(s.t, "s_server says "+said, func() bool { return strings.Contains(s.said.String(), said) })
}

func (s *sServer) send(text string) {
	s.t.Helper()
	if _, err := io.WriteString(s.in, text); err != nil {
		s.t.Fatal(err)
	}
}

// renegotiate sends a HelloRequest. Its R must not be read together with anything else, so that what was sent before must
// have been seen.
func (s *sServer) renegotiate() {
	s.t.Helper()
	s.send("R\n")
}

// A server that asks for a new handshake (RFC 5246 section 7.4.1.1; RFC 8446 has none) gets a no_renegotiation alert and loses
// its connection, whatever that is about. Clients of other connections do not notice.
func TestTLSServerRenegotiates(t *testing.T) {
	t.Parallel()
	const hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
	server := newSServer(t, "-tls1_2")
	w := start(t, setup{over: plain, servers: []*origin{server.o}, backend: `reuse = "always"`})

	client := w.dial()
	client.ask("GET /first HTTP/1.1", host)
	server.until("GET /first ")
	server.send(hello)
	client.response().want(t, ok, "", "hello")

	server.renegotiate() // on an idle connection
	server.until("no renegotiation")
	w.wantMetric(1, "weir_server_connections_closed_total", "cause", "protocol-error")
	client.ask("POST /second HTTP/1.1", host, "Content-Length: 3", "", "abc")
	server.until("POST /second ")

	server.renegotiate() // while a response is awaited that must not be asked for twice
	if m := client.response(); m.status() != 502 {
		t.Errorf("awaited: %s", m)
	}
	w.wantMetric(2, "weir_server_connections_closed_total", "cause", "protocol-error")

	client.ask("GET /third HTTP/1.1", host)
	server.until("GET /third ")
	server.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
	client.responseHead()
	client.bytes("hello")
	server.renegotiate() // inside a body: that it is cut short shows
	client.end()
	w.wantMetric(3, "weir_server_connections_closed_total", "cause", "protocol-error")

	client = w.dial()
	client.ask("GET /fourth HTTP/1.1", host)
	server.until("GET /fourth ")
	server.send(hello)
	client.response().want(t, ok, "", "hello")
	if got := strings.Count(server.said.String(), "POST /second "); got != 1 {
		t.Errorf("the POST was sent %d times", got)
	}
}
