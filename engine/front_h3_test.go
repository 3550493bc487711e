package engine

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"weir/internal/config"
)

// h3Rig is a whole engine on real sockets, an origin behind it, and clients in front that speak HTTP/3.
type h3Rig struct {
	t      *testing.T
	e      *Engine
	front  netip.AddrPort
	dir    string
	origin *httptest.Server
	log    lockedBuffer
}

// lockedBuffer is an access log that a test can read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// h3Origin answers what the tests ask for.
func h3Origin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/bytes/{n}", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.PathValue("n"))
		w.Header().Set("Content-Length", strconv.Itoa(n))
		w.Header().Set("X-Seen-Early", r.Header.Get("Early-Data"))
		w.Header().Set("X-Seen-For", r.Header.Get("X-Forwarded-For"))
		w.Header().Set("X-Seen-Proto", r.Header.Get("X-Forwarded-Proto"))
		w.Header().Set("X-Seen-Via", r.Header.Get("Via"))
		w.Write(h3Body(n))
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		w.Header().Set("Trailer", "X-Sum")
		w.Header().Set("X-Length", strconv.FormatInt(r.ContentLength, 10))
		io.Copy(w, r.Body)
		w.Header().Set("X-Sum", r.Trailer.Get("X-Sum"))
	})
	mux.HandleFunc("/sum", func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		io.Copy(h, r.Body)
		io.WriteString(w, hex.EncodeToString(h.Sum(nil)))
	})
	mux.HandleFunc("/hints", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusOK)
	})
	mux.HandleFunc("/hang", func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		w.(http.Flusher).Flush()
		untilGone(r)
	})
	mux.HandleFunc("/wait", func(w http.ResponseWriter, r *http.Request) { untilGone(r) })
	return mux
}

// untilGone returns when the request is taken back. A client that is kept from running says late that a request has no body,
// or never; and only behind the end of a request does net/http look for that of its connection.
func untilGone(r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err == nil {
		<-r.Context().Done()
	}
}

func h3Body(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i>>8) ^ byte(i)
	}
	return b
}

func newH3Rig(t *testing.T, workers int, extra string) *h3Rig {
	t.Helper()
	r := &h3Rig{t: t, dir: t.TempDir(), origin: httptest.NewServer(h3Origin())}
	t.Cleanup(r.origin.Close)
	r.writeCertificate()
	r.front = newH3Host()
	cfg := r.config(workers, extra)
	e, err := Start(cfg, Options{AccessLog: &r.log})
	if err != nil {
		t.Fatal(err)
	}
	r.e = e
	t.Cleanup(e.Stop)
	return r
}

// h3Port is below the ephemeral range: on a loopback address of its own nobody else has it. One that was found free a moment
// ago may be taken again, by another test's client too.
const h3Port = 8443

// h3Hosts counts the loopback addresses given out. Where it starts is drawn, so that two test processes do not meet.
var h3Hosts atomic.Uint32

func init() { h3Hosts.Store(mathrand.Uint32()) }

func newH3Host() netip.AddrPort {
	n := h3Hosts.Add(1)
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, byte(2 + n/254/256%60), byte(n / 254), byte(1 + n%254)}), h3Port)
}

func (r *h3Rig) writeCertificate() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"a.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		r.t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		r.t.Fatal(err)
	}
	r.write("site.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	r.write("site.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

func (r *h3Rig) write(name string, b []byte) {
	if err := os.WriteFile(filepath.Join(r.dir, name), b, 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *h3Rig) config(workers int, extra string) *config.Config {
	r.t.Helper()
	text := fmt.Sprintf(`
[global]
workers = %d
pin-cpus = false
hard-stop-after = "10s"
[tls.site]
certificates = [{ cert = "site.pem", key = "site.key" }]
[frontend.web]
bind = [{ address = "%s", tls = "site", alpn = ["h2", "http/1.1"], h3 = true }]
backend = "api"
[backend.api]
servers = [{ name = "s1", address = "%s" }]
reuse = "always"
%s`, workers, r.front, r.origin.Listener.Addr(), extra)
	cfg, report := config.Parse("test.toml", []byte(text), r.dir)
	if cfg == nil {
		var b strings.Builder
		report.WriteTo(&b)
		r.t.Fatal(b.String())
	}
	cfg.Global.AccessLog = "stdout" // the rig reads its lines
	return cfg
}

func (r *h3Rig) url(path string) string { return "https://a.example" + path }

func (r *h3Rig) tls() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, ServerName: "a.example"}
}

// transport is a client of its own: one QUIC connection.
func (r *h3Rig) transport(tc *tls.Config) *http3.Transport {
	tr := &http3.Transport{TLSClientConfig: tc, DisableCompression: true,
		Dial: func(ctx context.Context, _ string, tc *tls.Config, qc *quic.Config) (*quic.Conn, error) {
			return quic.DialAddrEarly(ctx, r.front.String(), tc, qc)
		}}
	r.t.Cleanup(func() { tr.Close() })
	return tr
}

func (r *h3Rig) client() *http.Client { return &http.Client{Transport: r.transport(r.tls())} }

func mustRead(t *testing.T, rsp *http.Response, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()
	b, err := io.ReadAll(rsp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// h3Line is a line of the access log.
type h3Line struct {
	Protocol, Path, Method, Reason string
	Status                         int
	BytesIn                        int64  `json:"bytes_in"`
	BytesOut                       int64  `json:"bytes_out"`
	TLSVersion                     string `json:"tls_version"`
	TLSResumed                     bool   `json:"tls_resumed"`
}

// line waits for a line of the log that f accepts.
func (r *h3Rig) line(why string, f func(*h3Line) bool) *h3Line {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, text := range strings.Split(r.log.String(), "\n") {
			var l h3Line
			if json.Unmarshal([]byte(text), &l) == nil && f(&l) {
				return &l
			}
		}
		select {
		case <-ctx.Done():
			r.t.Fatalf("%s: no such line in\n%s", why, r.log.String())
		case <-tick.C:
		}
	}
}

func TestH3Exchange(t *testing.T) {
	r := newH3Rig(t, 2, "")
	c := r.client()
	for _, n := range []int{0, 1, 4000, 5000, 200_000} {
		rsp, err := c.Get(r.url("/bytes/" + strconv.Itoa(n)))
		if b := mustRead(t, rsp, err); !bytes.Equal(b, h3Body(n)) || rsp.ContentLength != int64(n) {
			t.Fatalf("%d bytes: got %d, length %d", n, len(b), rsp.ContentLength)
		}
		if rsp.Header.Get("X-Seen-For") != "127.0.0.1" || rsp.Header.Get("X-Seen-Proto") != "https" {
			t.Error(rsp.Header)
		}
	}
	rsp, err := c.Head(r.url("/bytes/700"))
	if err != nil || rsp.StatusCode != 200 || rsp.ContentLength != 700 {
		t.Error(rsp, err)
	}
	l := r.line("a line", func(l *h3Line) bool { return l.Path == "/bytes/5000" })
	if l.Protocol != "HTTP/3" || l.Status != 200 || l.BytesOut != 5000 || l.TLSVersion != "TLSv1.3" {
		t.Errorf("%+v", l)
	}
}

func TestH3Bodies(t *testing.T) {
	r := newH3Rig(t, 2, "")
	c := r.client()
	const n = 10 << 20
	want := sha256.Sum256(h3Body(n))
	rsp, err := c.Post(r.url("/sum"), "application/octet-stream", bytes.NewReader(h3Body(n)))
	if got := mustRead(t, rsp, err); string(got) != hex.EncodeToString(want[:]) {
		t.Error("the body went up different")
	}
	rsp, err = c.Get(r.url("/bytes/" + strconv.Itoa(n)))
	if got := sha256.Sum256(mustRead(t, rsp, err)); got != want {
		t.Error("the body came down different")
	}
	req, _ := http.NewRequest("POST", r.url("/echo"), struct{ io.Reader }{bytes.NewReader(h3Body(100_000))})
	req.Trailer = http.Header{"X-Sum": {"77"}}
	rsp, err = c.Do(req)
	if got := mustRead(t, rsp, err); !bytes.Equal(got, h3Body(100_000)) || rsp.Trailer.Get("X-Sum") != "77" {
		t.Error(len(got), rsp.Trailer)
	}
}

func TestH3Interim(t *testing.T) {
	r := newH3Rig(t, 1, "")
	var codes []int
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
		codes = append(codes, code)
		return nil
	}})
	req, _ := http.NewRequestWithContext(ctx, "GET", r.url("/hints"), nil)
	rsp, err := r.client().Do(req)
	mustRead(t, rsp, err)
	if len(codes) != 1 || codes[0] != 103 || rsp.StatusCode != 200 {
		t.Error(codes, rsp.StatusCode)
	}
}

func TestH3OwnAnswers(t *testing.T) {
	r := newH3Rig(t, 1, "")
	c := r.client()
	req, _ := http.NewRequest("GET", "https://b.example/bytes/1", nil)
	tr := r.transport(r.tls())
	rsp, err := (&http.Client{Transport: tr}).Do(req)
	if b := mustRead(t, rsp, err); rsp.StatusCode != 421 || string(b) != "misdirected\n" {
		t.Error(rsp.StatusCode, string(b))
	}
	r.origin.Close()
	rsp, err = c.Get(r.url("/bytes/1"))
	if mustRead(t, rsp, err); rsp.StatusCode != 503 || !strings.HasPrefix(rsp.Header.Get("Proxy-Status"), "weir; error=") {
		t.Error(rsp.StatusCode, rsp.Header)
	}
}

// A client that cancels ends its exchange, at whatever point it is.
func TestH3Cancel(t *testing.T) {
	r := newH3Rig(t, 1, "")
	c := r.client()
	for _, path := range []string{"/wait", "/hang"} {
		ctx, cancel := context.WithCancel(context.Background())
		req, _ := http.NewRequestWithContext(ctx, "GET", r.url(path), nil)
		done := make(chan struct{})
		go func() {
			defer close(done)
			if rsp, err := c.Do(req); err == nil {
				io.Copy(io.Discard, rsp.Body)
			}
		}()
		r.untilInFlight(1)
		cancel()
		<-done
		l := r.line(path, func(l *h3Line) bool { return l.Path == path })
		if l.Reason != "client-closed" {
			t.Errorf("%+v", l)
		}
	}
	rsp, err := c.Get(r.url("/bytes/5"))
	mustRead(t, rsp, err)
}

// untilInFlight waits until so many exchanges are under way.
func (r *h3Rig) untilInFlight(n int64) {
	r.t.Helper()
	r.until(fmt.Sprintf("%d exchanges in flight", n), func() bool {
		s, err := r.e.Snapshot(context.Background())
		if err != nil {
			r.t.Fatal(err)
		}
		return s.Frontends[0].InFlight == n
	})
}

func (r *h3Rig) until(why string, f func() bool) {
	r.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		if time.Now().After(deadline) {
			r.t.Fatal(why, "did not come")
		}
		<-tick.C
	}
}

// RFC 8470: safe methods of 0-RTT are marked for the server, others are answered with 425.
func TestH3EarlyData(t *testing.T) {
	r := newH3Rig(t, 1, "")
	tc := r.tls()
	tickets := &noticedSessions{ClientSessionCache: tls.NewLRUClientSessionCache(4), put: make(chan struct{}, 9)}
	tc.ClientSessionCache = tickets
	tr := r.transport(tc)
	rsp, err := (&http.Client{Transport: tr}).Get(r.url("/bytes/3"))
	mustRead(t, rsp, err)
	if rsp.Header.Get("X-Seen-Early") != "" {
		t.Error("a full handshake is no early data")
	}
	<-tickets.put
	tr.Close()
	for method, want := range map[string]int{"GET": 200, "POST": 425} {
		if status, early := r.inEarlyData(tc, method, "/bytes/"+strconv.Itoa(want)); status != want || early != (want == 200) {
			t.Errorf("%s: status %d, the server saw Early-Data: %v", method, status, early)
		}
	}
	l := r.line("too early", func(l *h3Line) bool { return l.Status == 425 })
	if l.Protocol != "HTTP/3" || !l.TLSResumed || l.Reason != "too-early" {
		t.Errorf("%+v", l)
	}
}

// inEarlyData sends a request before the handshake can be complete, and reports what came back.
func (r *h3Rig) inEarlyData(tc *tls.Config, method, path string) (status int, early bool) {
	t := r.t
	t.Helper()
	u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	deaf := &deafConn{PacketConn: u, hears: make(chan struct{})}
	tr := &quic.Transport{Conn: deaf}
	defer tr.Close()
	tc = tc.Clone()
	tc.NextProtos = []string{"h3"}
	q, err := tr.DialEarly(context.Background(), net.UDPAddrFromAddrPort(r.front), tc, &quic.Config{})
	if err != nil {
		t.Fatal(err)
	}
	c := (&http3.Transport{}).NewClientConn(q)
	st, err := c.OpenRequestStream(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequest(method, r.url(path), nil)
	if err := st.SendRequestHeader(req); err != nil {
		t.Fatal(err)
	}
	st.Close()
	r.line("the request's", func(l *h3Line) bool { return l.Path == path })
	close(deaf.hears)
	rsp, err := st.ReadResponse()
	if err != nil {
		t.Fatal(err)
	}
	return rsp.StatusCode, rsp.Header.Get("X-Seen-Early") == "1"
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

// A drain says goodbye: what is under way finishes, idle connections end, and the engine has nothing left.
func TestH3Drain(t *testing.T) {
	r := newH3Rig(t, 2, "")
	c := r.client()
	rsp, err := c.Get(r.url("/bytes/5"))
	mustRead(t, rsp, err)
	up, feed := io.Pipe()
	got := make(chan []byte)
	go func() {
		rsp, err := c.Post(r.url("/echo"), "text/plain", up)
		got <- mustRead(t, rsp, err)
	}()
	feed.Write(h3Body(1000))
	r.untilInFlight(1)
	drained := make(chan error)
	go func() { drained <- r.e.Drain(context.Background()) }()
	r.until("the drain's begin", func() bool { ok, _ := r.e.Ready(); return !ok })
	feed.Write(h3Body(1000))
	feed.Close()
	if b := <-got; len(b) != 2000 {
		t.Error(len(b), "bytes came back")
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// Reloads leave QUIC connections alone; taking h3 away says goodbye to them.
func TestH3Reload(t *testing.T) {
	r := newH3Rig(t, 2, "")
	var dials sync.Map
	tr := r.transport(r.tls())
	dial := tr.Dial
	tr.Dial = func(ctx context.Context, a string, tc *tls.Config, qc *quic.Config) (*quic.Conn, error) {
		c, err := dial(ctx, a, tc, qc)
		dials.Store(c, true)
		return c, err
	}
	c := &http.Client{Transport: tr}
	for i := range 10 {
		rsp, err := c.Get(r.url("/bytes/" + strconv.Itoa(i)))
		mustRead(t, rsp, err)
		if _, _, err := r.e.Reload(context.Background(), r.config(2, "")); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	dials.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d connections were needed", n)
	}
	cfg := r.config(2, "")
	cfg.Frontends[0].Binds[0].H3 = false
	if _, _, err := r.e.Reload(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
	r.until("the end of the QUIC sessions", func() bool {
		rows, err := r.e.Sessions(context.Background(), 10)
		return err == nil && len(rows) == 0
	})
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "GET", r.url("/bytes/1"), nil)
	if rsp, err := c.Do(req); err == nil {
		t.Error("HTTP/3 is still spoken:", rsp.Status)
	}
	if rsp, err := r.overTCP().Get(r.url("/bytes/1")); err != nil || rsp.Header.Get("Alt-Svc") != "" {
		t.Error(rsp, err)
	}
}

// overTCP is a client of HTTP/1 and 2.
func (r *h3Rig) overTCP() *http.Client {
	tr := &http.Transport{TLSClientConfig: r.tls(), ForceAttemptHTTP2: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", r.front.String())
	}}
	r.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func TestH3IsAdvertised(t *testing.T) {
	r := newH3Rig(t, 1, "")
	rsp, err := r.overTCP().Get(r.url("/bytes/1"))
	mustRead(t, rsp, err)
	if got, want := rsp.Header.Get("Alt-Svc"), fmt.Sprintf(`h3=":%d"; ma=86400`, h3Port); got != want || rsp.ProtoMajor != 2 {
		t.Errorf("%s: Alt-Svc %q, want %q", rsp.Proto, got, want)
	}
}

// tries does something n times at once and returns what came of it.
func tries(n int, do func() error) <-chan error {
	came := make(chan error, n)
	var all sync.WaitGroup
	for range n {
		all.Go(func() { came <- do() })
	}
	go func() { all.Wait(); close(came) }()
	return came
}

// The connections of QUIC count for the same limits as those of TCP.
func TestH3Limits(t *testing.T) {
	const few = "[limits.few]\nmax-ssl-conn = 2\nmax-conn = 10\nqueue-depth = 1\nqueue-timeout = \"500ms\"\n"
	r := newH3Rig(t, 1, few)
	cfg := r.config(1, few)
	cfg.Frontends[0].Limits = cfg.Limits["few"]
	if _, _, err := r.e.Reload(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
	var kept []*http3.Transport
	for range 2 {
		tr := r.transport(r.tls())
		rsp, err := (&http.Client{Transport: tr}).Get(r.url("/bytes/1"))
		mustRead(t, rsp, err)
		kept = append(kept, tr)
	}
	// Two clients more: one has a place to wait in, and gets an alert when it has waited long enough.
	refused := map[string]int{}
	for err := range tries(2, func() error {
		_, err := r.client().Get(r.url("/bytes/1"))
		return err
	}) {
		switch {
		case err == nil:
			t.Error("a third connection")
		case strings.Contains(err.Error(), "CONNECTION_REFUSED"):
			refused["at once"]++
		case strings.Contains(err.Error(), "CRYPTO_ERROR 0x150"):
			refused["after a wait"]++
		default:
			t.Error(err)
		}
	}
	if refused["at once"] != 1 || refused["after a wait"] != 1 {
		t.Error(refused)
	}
	kept[0].Close()
	r.until("a place", func() bool {
		rsp, err := r.client().Get(r.url("/bytes/1"))
		if err == nil {
			rsp.Body.Close()
		}
		return err == nil
	})
}
