package h3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"sync"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// client is quic-go's own HTTP/3 client.
func (r *rig) client() *http.Client {
	tr := &http3.Transport{TLSClientConfig: clientTLS(), DisableCompression: true}
	r.t.Cleanup(func() { tr.Close() })
	return &http.Client{Transport: tr}
}

func (r *rig) url(path string) string { return fmt.Sprintf("https://%v%s", r.e.Addr(), path) }

func body(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = pattern[i%len(pattern)]
	}
	return b
}

func TestGet(t *testing.T) {
	r := newRig(t, 1, nil)
	c := r.client()
	for _, n := range []int{0, 1, 100, 4000, 5000, 100_000, 3_000_000} {
		rsp, err := c.Get(r.url("/bytes/" + strconv.Itoa(n)))
		if err != nil {
			t.Fatal(n, err)
		}
		got, err := io.ReadAll(rsp.Body)
		if err != nil || rsp.StatusCode != 200 || !bytes.Equal(got, body(n)) {
			t.Fatalf("%d bytes: status %d, %d bytes, %v", n, rsp.StatusCode, len(got), err)
		}
		if rsp.ContentLength != int64(n) {
			t.Errorf("%d bytes: content-length %d", n, rsp.ContentLength)
		}
	}
}

func TestHead(t *testing.T) {
	r := newRig(t, 1, nil)
	rsp, err := r.client().Head(r.url("/bytes/500"))
	if err != nil || rsp.StatusCode != 200 || rsp.ContentLength != 500 {
		t.Fatal(rsp, err)
	}
}

// Bodies of 10 MB both ways, by hash.
func TestLargeBodies(t *testing.T) {
	r := newRig(t, 1, nil)
	c := r.client()
	const n = 10 << 20
	rsp, err := c.Post(r.url("/echo"), "application/octet-stream", bytes.NewReader(body(n)))
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	if m, err := io.Copy(h, rsp.Body); err != nil || m != n {
		t.Fatal(m, err)
	}
	if want := sha256.Sum256(body(n)); !bytes.Equal(h.Sum(nil), want[:]) {
		t.Error("the body came back different")
	}
}

func TestTrailers(t *testing.T) {
	r := newRig(t, 1, nil)
	req, _ := http.NewRequest("POST", r.url("/echo"), struct{ io.Reader }{bytes.NewReader(body(100))})
	req.Trailer = http.Header{"X-Sum": {"1234"}}
	rsp, err := r.client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(rsp.Body)
	if err != nil || len(got) != 100 || rsp.Trailer.Get("X-Sum") != "1234" {
		t.Errorf("%d bytes, %v, trailers %v", len(got), err, rsp.Trailer)
	}
}

func TestInterim(t *testing.T) {
	r := newRig(t, 1, nil)
	var codes []int
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		codes = append(codes, code)
		return nil
	}})
	req, _ := http.NewRequestWithContext(ctx, "GET", r.url("/interim"), nil)
	rsp, err := r.client().Do(req)
	if err != nil || rsp.StatusCode != 200 {
		t.Fatal(rsp, err)
	}
	if len(codes) != 1 || codes[0] != 103 {
		t.Errorf("interim responses %v", codes)
	}
}

func TestAnswerBeforeTheBody(t *testing.T) {
	r := newRig(t, 1, nil)
	rsp, err := r.client().Post(r.url("/early"), "text/plain", bytes.NewReader(body(1<<20)))
	if err != nil || rsp.StatusCode != 413 {
		t.Fatal(rsp, err)
	}
}

func TestCancel(t *testing.T) {
	r := newRig(t, 1, nil)
	ctx, cancel := context.WithCancel(context.Background())
	req, _ := http.NewRequestWithContext(ctx, "GET", r.url("/hold"), nil)
	failed := make(chan error)
	c := r.client()
	go func() {
		_, err := c.Do(req)
		failed <- err
	}()
	r.want("the request", "GET /hold")
	cancel()
	if err := <-failed; err == nil {
		t.Error("the request was answered")
	}
	r.want("the client has left", "reset 10c")
	if rsp, err := c.Get(r.url("/bytes/10")); err != nil || rsp.StatusCode != 200 {
		t.Error("the connection did not survive:", err)
	}
}

// The same by a client that was kept from saying that its request is over until long after its head.
func TestCancelBehindALateEnd(t *testing.T) {
	r := newRig(t, 1, nil)
	c := r.settled()
	s := c.request(head("GET", "/hold"))
	r.want("the request", "GET /hold")
	s.Close()
	c.wantAlive("meanwhile")
	s.CancelRead(quic.StreamErrorCode(RequestCancelled))
	r.want("the client has left", "reset 10c")
	c.wantAlive("afterwards")
}

func TestManyAtOnce(t *testing.T) {
	r := newRig(t, 2, nil)
	var wg sync.WaitGroup
	for k := range 4 {
		c := r.client()
		for i := range 50 {
			wg.Go(func() {
				n := (i * 997) % 40_000
				rsp, err := c.Post(r.url("/echo"), "text/plain", bytes.NewReader(body(n)))
				if err != nil {
					t.Error(k, i, err)
					return
				}
				if got, err := io.ReadAll(rsp.Body); err != nil || !bytes.Equal(got, body(n)) {
					t.Error(k, i, len(got), n, err)
				}
			})
		}
	}
	wg.Wait()
}

func TestHeadTooLarge(t *testing.T) {
	r := newRig(t, 1, func(c *Config) { c.MaxFieldSection = 4096 })
	req, _ := http.NewRequest("GET", r.url("/bytes/1"), nil)
	req.Header.Set("X-Large", string(bytes.Repeat([]byte("x"), 5000)))
	rsp, err := r.client().Do(req)
	if err != nil || rsp.StatusCode != 431 {
		t.Fatal(rsp, err)
	}
}

// RFC 8470: what comes before the handshake is complete is marked.
func TestEarlyData(t *testing.T) {
	r := newRig(t, 1, nil)
	tc := clientTLS()
	tickets := &noticedSessions{ClientSessionCache: tls.NewLRUClientSessionCache(10), put: make(chan struct{}, 10)}
	tc.ClientSessionCache = tickets
	get := func(method string, conn net.PacketConn) string {
		tr := r.over(conn, tc)
		defer tr.Close()
		req, _ := http.NewRequest(method, "https://a.example/bytes/3", nil)
		rsp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(method, err)
		}
		io.Copy(io.Discard, rsp.Body)
		return rsp.Header.Get("X-Early")
	}
	if got := get(http.MethodGet, newUDP(t)); got != "false" {
		t.Error("first connection:", got)
	}
	<-tickets.put
	r.want("the first request", "GET /bytes/3")
	deaf := &deafConn{PacketConn: newUDP(t), hears: make(chan struct{})}
	go func() {
		defer close(deaf.hears)
		r.want("early data", "GET /bytes/3")
	}()
	if got := get(http3.MethodGet0RTT, deaf); got != "true" {
		t.Error("second connection:", got)
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

func newUDP(t testing.TB) *net.UDPConn {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// over is a client on a socket of the test's.
func (r *rig) over(conn net.PacketConn, tc *tls.Config) *http3.Transport {
	tr := &quic.Transport{Conn: conn}
	r.t.Cleanup(func() { tr.Close() })
	return &http3.Transport{TLSClientConfig: tc, Dial: func(ctx context.Context, _ string, tc *tls.Config, qc *quic.Config) (*quic.Conn, error) {
		return tr.DialEarly(ctx, net.UDPAddrFromAddrPort(r.e.Addr()), tc, qc)
	}}
}

// noticedSessions tells when a ticket has come.
type noticedSessions struct {
	tls.ClientSessionCache
	put chan struct{}
}

func (n *noticedSessions) Put(key string, s *tls.ClientSessionState) {
	n.ClientSessionCache.Put(key, s)
	if s != nil {
		n.put <- struct{}{}
	}
}
