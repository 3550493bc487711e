package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// h3Client is a client of HTTP/3 that tells how many connections it has needed.
type h3Client struct {
	http.Client
	dials atomic.Int32
	conn  atomic.Pointer[quic.Conn]
	close func() // ends its connections
}

func (w *weir) h3Client(t *testing.T) *h3Client {
	return h3ClientTo(t, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(w.front())))
}

// h3ClientVia is a client whose packets take a path.
func (w *weir) h3ClientVia(t *testing.T, p *udpPath) *h3Client { return h3ClientTo(t, p.addr()) }

func h3ClientTo(t *testing.T, to *net.UDPAddr) *h3Client {
	t.Helper()
	c := &h3Client{}
	from := udpTransport(t) // one for all connections: a client that has only one sends no connection IDs, and cannot move
	tr := &http3.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "a.example"},
		QUICConfig:      unhurried(),
		Dial: func(ctx context.Context, _ string, tc *tls.Config, qc *quic.Config) (*quic.Conn, error) {
			c.dials.Add(1)
			q, err := from.DialEarly(ctx, to, tc, qc)
			if err == nil {
				c.conn.Store(q)
			}
			return q, err
		},
	}
	c.close = sync.OnceFunc(func() { _ = tr.Close(); _ = from.Close(); _ = from.Conn.Close() })
	t.Cleanup(c.close)
	c.Transport = tr
	return c
}

// udpTransport is a UDP port of its own.
func udpTransport(t *testing.T) *quic.Transport {
	t.Helper()
	u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	tr := &quic.Transport{Conn: u}
	t.Cleanup(func() { _ = tr.Close(); _ = u.Close() })
	return tr
}

// echoOrigin sends bodies back while they come.
func echoOrigin(t *testing.T) *origin {
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(rw).EnableFullDuplex()
		rw.WriteHeader(200)
		_ = http.NewResponseController(rw).Flush()
		buf := make([]byte, 8<<10)
		for {
			n, err := r.Body.Read(buf)
			if n > 0 {
				_, _ = rw.Write(buf[:n])
				_ = http.NewResponseController(rw).Flush()
			}
			if err != nil {
				return
			}
		}
	}))
	t.Cleanup(s.Close)
	return &origin{t: t, addr: s.Listener.Addr().String()}
}

// upload is a request whose body is under way.
type upload struct {
	t      *testing.T
	client *h3Client
	feed   *io.PipeWriter
	rsp    *http.Response
}

func (c *h3Client) upload(t *testing.T) *upload {
	t.Helper()
	r, feed := io.Pipe()
	rsp, err := c.Post("https://a.example/echo", "text/plain", r)
	if err != nil {
		t.Fatal(err)
	}
	return &upload{t, c, feed, rsp}
}

// goesOn sends a line and gets it back.
func (u *upload) goesOn(why string) {
	u.t.Helper()
	line := why + "\n"
	go func() { _, _ = io.WriteString(u.feed, line) }()
	got := make([]byte, len(line))
	if _, err := io.ReadFull(u.rsp.Body, got); err != nil || string(got) != line {
		u.t.Errorf("%s: got %q, %v", why, got, err)
	}
}

// ends closes the body and reads the response to its end.
func (u *upload) ends() {
	u.t.Helper()
	_ = u.feed.Close()
	if rest, err := io.ReadAll(u.rsp.Body); err != nil || len(rest) != 0 {
		u.t.Errorf("the end: %q, %v", rest, err)
	}
}

// moves gives the client another UDP port, as a phone does that leaves one network for another.
func (c *h3Client) moves(t *testing.T) {
	t.Helper()
	path, err := c.conn.Load().AddPath(udpTransport(t))
	if err != nil {
		t.Error(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := path.Probe(ctx); err != nil {
		t.Error("the new path: ", err)
		return
	}
	if err := path.Switch(); err != nil {
		t.Error(err)
	}
}

// transferOnTheMove sends a body and has it back, from three addresses one after the other. Bytes are under way in both
// directions at every move.
func (c *h3Client) transferOnTheMove(t *testing.T, seed byte) error {
	const part, parts = 40_000, 3
	up, feed := io.Pipe()
	go func() {
		body := noise(seed, parts*part)
		for i := range parts {
			if i > 0 {
				c.moves(t)
			}
			if _, err := io.CopyN(feed, body, part); err != nil {
				return // the request has failed, and says why
			}
		}
		_ = feed.Close()
	}()
	rsp, err := c.Post("https://a.example/echo", "application/octet-stream", up)
	if err != nil {
		return err
	}
	if err := wantSum("echo", rsp.Body, seed, parts*part); err != nil {
		return err
	}
	if d := c.dials.Load(); d != 1 {
		return fmt.Errorf("%d connections were needed", d)
	}
	return nil
}

// 200 clients of four workers change their address in the middle of a transfer, twice, and none is lost. The same while the
// configuration is reloaded again and again.
func TestH3AddressChange(t *testing.T) {
	t.Parallel()
	for _, reloads := range []bool{false, true} {
		t.Run(fmt.Sprintf("reloads=%v", reloads), func(t *testing.T) {
			w := start(t, setup{over: tlsed, bind: "h3 = true", servers: []*origin{echoOrigin(t)}, global: "workers = 4", backend: `reuse = "always"`})
			ctx, cancel := context.WithCancel(t.Context())
			var reloading, all sync.WaitGroup
			if reloads {
				reloading.Go(func() {
					tick := time.NewTicker(50 * time.Millisecond)
					defer tick.Stop()
					for ctx.Err() == nil {
						w.reload()
						<-tick.C
					}
				})
			}
			room := make(chan struct{}, 24) // a crowd that shakes hands all at once is another test's
			for i := range 200 {
				all.Go(func() {
					room <- struct{}{}
					defer func() { <-room }()
					c := w.h3Client(t)
					if err := c.transferOnTheMove(t, byte(i)); err != nil {
						t.Error(err)
					}
					c.close()
				})
			}
			all.Wait()
			cancel()
			reloading.Wait()
		})
	}
}
