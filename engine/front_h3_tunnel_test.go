package engine

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// webSocketOrigin agrees to every WebSocket and sends back what it gets, in capitals. It speaks raw HTTP/1.1: what crosses is
// to be seen as it is.
func webSocketOrigin(t *testing.T) (addr string, heads chan string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	heads = make(chan string, 10)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReader(c)
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				var head bytes.Buffer
				req.Header.Write(&head)
				heads <- req.Method + " " + req.RequestURI + "\n" + head.String()
				io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n")
				buf := make([]byte, 4096)
				for {
					n, err := r.Read(buf)
					if err != nil {
						return
					}
					c.Write(bytes.ToUpper(buf[:n]))
				}
			}()
		}
	}()
	return l.Addr().String(), heads
}

// RFC 9220: a WebSocket over HTTP/3 becomes an Upgrade towards an HTTP/1.1 server.
func TestH3WebSocket(t *testing.T) {
	r := newH3Rig(t, 1, "")
	addr, heads := webSocketOrigin(t)
	cfg := r.config(1, "")
	s := cfg.Backends[0].Servers[0]
	s.Name, s.Address, s.Addr = "s2", addr, netip.MustParseAddrPort(addr)
	if _, _, err := r.e.Reload(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
	q := r.quic()
	c := (&http3.Transport{}).NewClientConn(q)
	st, err := c.OpenRequestStream(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequest(http.MethodConnect, r.url("/chat"), nil)
	req.Proto = "websocket"
	req.Header.Set("Sec-WebSocket-Version", "13")
	if err := st.SendRequestHeader(req); err != nil {
		t.Fatal(err)
	}
	rsp, err := st.ReadResponse()
	if err != nil || rsp.StatusCode != 200 {
		t.Fatal(rsp, err)
	}
	if h := <-heads; !strings.HasPrefix(h, "GET /chat\n") || !strings.Contains(h, "Upgrade: websocket") || !strings.Contains(h, "Sec-Websocket-Key: ") {
		t.Errorf("the server saw\n%s", h)
	}
	for _, text := range []string{"hello", "world"} {
		st.Write([]byte(text))
		got := make([]byte, len(text))
		if _, err := io.ReadFull(st, got); err != nil || string(got) != strings.ToUpper(text) {
			t.Fatal(string(got), err)
		}
	}
	st.Close()
	if b, err := io.ReadAll(st); err != nil || len(b) != 0 {
		t.Error(b, err)
	}
	if l := r.line("the tunnel's", func(l *h3Line) bool { return l.Path == "/chat" }); l.Status != 200 && l.Status != 101 {
		t.Errorf("%+v", l)
	}
}

// quic is a raw connection.
func (r *h3Rig) quic() *quic.Conn {
	tc := r.tls()
	tc.NextProtos = []string{"h3"}
	q, err := quic.DialAddr(context.Background(), r.front.String(), tc, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { q.CloseWithError(0x100, "") })
	return q
}

// A client that stops in the middle of its body is answered 408 in the end; one that stops reading is reset.
func TestH3ClientTimeout(t *testing.T) {
	r := newH3Rig(t, 1, "[timeouts.short]\nclient = \"200ms\"\n")
	cfg := r.config(1, "[timeouts.short]\nclient = \"200ms\"\n")
	cfg.Frontends[0].Timeouts = cfg.Timeouts["short"]
	if _, _, err := r.e.Reload(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
	up, feed := io.Pipe()
	go feed.Write(h3Body(100))
	rsp, err := r.client().Post(r.url("/sum"), "text/plain", up)
	if b := mustRead(t, rsp, err); rsp.StatusCode != 408 || string(b) != "client-timeout\n" {
		t.Error(rsp.StatusCode, string(b))
	}
	feed.Close()
	rsp, err = r.client().Get(r.url("/bytes/30000000"))
	if err != nil {
		t.Fatal(err)
	}
	l := r.line("the stalled reader's", func(l *h3Line) bool { return l.Path == "/bytes/30000000" })
	if l.Reason != "client-timeout" || l.BytesOut >= 30_000_000 {
		t.Errorf("%+v", l)
	}
	if n, err := io.Copy(io.Discard, rsp.Body); err == nil {
		t.Error(n, "bytes came as if that were all")
	}
}

// An idle connection is ended after http-keep-alive.
func TestH3KeepAlive(t *testing.T) {
	r := newH3Rig(t, 1, "[timeouts.short]\nhttp-keep-alive = \"100ms\"\n")
	cfg := r.config(1, "[timeouts.short]\nhttp-keep-alive = \"100ms\"\n")
	cfg.Frontends[0].Timeouts = cfg.Timeouts["short"]
	if _, _, err := r.e.Reload(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
	q := r.quic()
	c := (&http3.Transport{}).NewClientConn(q)
	req, _ := http.NewRequest("GET", r.url("/bytes/5"), nil)
	rsp, err := c.RoundTrip(req)
	mustRead(t, rsp, err)
	select {
	case <-q.Context().Done():
	case <-time.After(10 * time.Second):
		t.Error("the connection lives")
	}
}
