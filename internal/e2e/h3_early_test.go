package e2e

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// noticedTickets tells when a ticket has come.
type noticedTickets struct {
	tls.ClientSessionCache
	put chan struct{}
}

func (n *noticedTickets) Put(key string, s *tls.ClientSessionState) {
	n.ClientSessionCache.Put(key, s)
	if s != nil {
		select {
		case n.put <- struct{}{}:
		default:
		}
	}
}

// deafConn hears nothing until hears is closed, and has nothing more to say from then on: a client over it cannot complete
// its handshake before it has sent its early data.
type deafConn struct {
	net.PacketConn
	hears chan struct{}
}

func (c *deafConn) ReadFrom(p []byte) (int, net.Addr, error) {
	n, a, err := c.PacketConn.ReadFrom(p)
	<-c.hears
	return n, a, err
}

func (c *deafConn) WriteTo(p []byte, a net.Addr) (int, error) {
	select {
	case <-c.hears:
		return len(p), nil
	default:
		return c.PacketConn.WriteTo(p, a)
	}
}

// RFC 8470: what comes in 0-RTT may be a replay. Safe methods go on, marked; others are answered 425. The server's own 425
// reaches the client.
func TestH3EarlyData(t *testing.T) {
	t.Parallel()
	o := httpOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/too-early" && r.Header.Get("Early-Data") == "1" {
			w.WriteHeader(http.StatusTooEarly)
		}
		_, _ = io.WriteString(w, "early: "+r.Header.Get("Early-Data"))
	})
	w := start(t, setup{over: tlsed, bind: "h3 = true", servers: []*origin{o}, backend: `reuse = "always"`, global: `access-log = "$DIR/lines"`})
	tc := asClient("a.example")
	tc.NextProtos = []string{"h3"}
	tickets := &noticedTickets{tls.NewLRUClientSessionCache(4), make(chan struct{}, 1)}
	tc.ClientSessionCache = tickets
	for _, c := range []struct{ method, path, status, body string }{
		{"GET", "/full", "200", "early: "},
		{"GET", "/safe", "200", "early: 1"},
		{"POST", "/unsafe", "425", "too-early\n"},
		{"GET", "/too-early", "425", "early: 1"},
	} {
		status, body := w.earlyRequest(t, tc, c.method, c.path, c.path != "/full")
		if status != c.status || body != c.body {
			t.Errorf("%s %s: %s %q", c.method, c.path, status, body)
		}
	}
	lines := w.lines(4)
	lines[0].want(t, "path", "/full", "tls_resumed", false, "protocol", "HTTP/3")
	lines[1].want(t, "path", "/safe", "tls_resumed", true, "status", 200)
	lines[2].want(t, "path", "/unsafe", "status", 425, "reason", "too-early")
	lines[3].want(t, "path", "/too-early", "status", 425, "reason", "")
}

// earlyRequest sends a request on a connection of its own; early: before the handshake can be complete.
func (w *weir) earlyRequest(t *testing.T, tc *tls.Config, method, path string, early bool) (status, body string) {
	t.Helper()
	u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	deaf := &deafConn{u, make(chan struct{})}
	tr := &quic.Transport{Conn: u}
	if early {
		tr.Conn = deaf
	}
	defer tr.Close()
	q, err := tr.DialEarly(t.Context(), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(w.front())), tc, unhurried())
	if err != nil {
		t.Fatal(err)
	}
	p := &h3Peer{t, q}
	p.uni(h3Control, h3Frame(h3Settings, nil))
	s := p.stream(h3Request(method, path))
	_ = s.Close()
	if early {
		eventually(t, "the request is logged", func() bool {
			b, _ := os.ReadFile(filepath.Join(w.dir, "lines"))
			return strings.Contains(string(b), path)
		})
		close(deaf.hears)
	}
	status, content := p.answer(s)
	if !early {
		<-tc.ClientSessionCache.(*noticedTickets).put
	}
	if used := q.ConnectionState().Used0RTT; used != early {
		t.Errorf("%s %s: 0-RTT used: %v", method, path, used)
	}
	_ = q.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
	return status, string(content)
}
