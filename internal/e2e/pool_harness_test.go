package e2e

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tally is a server that answers by itself and keeps count. Where a dialogue plays each message by hand, a tally takes part
// in tests that are about numbers: of connections, of requests in flight, of deliveries.
type tally struct {
	*origin
	// handle answers one request and reports whether the connection goes on. Its body has been read. nil: tallyOK.
	handle func(c *tallyConn, r *http.Request) bool
	// born sees a connection before its first request, and reports whether to go on. nil: true.
	born func(c *tallyConn) bool

	mu       sync.Mutex
	live     map[*tallyConn]bool
	opened   int
	openMost int // the most connections open at once
	heldMost int // the same with those whose end nobody has read yet
	inflight int
	busyMost int // the most requests in flight at once
	total    int
	times    []time.Time    // when each request was read
	births   []time.Time    // when each connection was accepted
	seen     map[string]int // deliveries of each target
}

// tallyConn is one connection to a tally.
type tallyConn struct {
	net.Conn
	y        *tally
	raw      net.Conn // below TLS
	in       *bufio.Reader
	id       int
	served   int    // requests, the one being served included
	identity string // whoever has authenticated it
	sni      string
}

func newTally(t *testing.T, over transport, handle func(*tallyConn, *http.Request) bool) *tally {
	t.Helper()
	return startTally(&tally{origin: listen(t, over), handle: handle})
}

func startTally(y *tally) *tally {
	y.live, y.seen = map[*tallyConn]bool{}, map[string]int{}
	if y.handle == nil {
		y.handle = tallyOK
	}
	go func() {
		for c := range y.arrived {
			y.enter(c)
		}
	}()
	y.t.Cleanup(y.cut)
	return y
}

// enter counts a connection. What the other side has closed before it opened this one is not counted as open any more,
// though nobody has read its end yet.
func (y *tally) enter(raw net.Conn) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.opened++
	c := &tallyConn{Conn: raw, y: y, raw: raw, id: y.opened}
	y.live[c] = true
	y.births = append(y.births, time.Now())
	y.heldMost = max(y.heldMost, len(y.live))
	if len(y.live) > y.openMost {
		n := 0
		for d := range y.live {
			if !d.abandoned() {
				n++
			}
		}
		y.openMost = max(y.openMost, n)
	}
	go y.run(c)
}

// tcpEstablished is the state of a TCP connection that neither side has closed (tcp_states.h).
const tcpEstablished = 1

// abandoned reports whether the other side has closed the connection, also when a request that it sent before is unread.
func (c *tallyConn) abandoned() bool {
	gone := false
	rc, err := c.raw.(*net.TCPConn).SyscallConn()
	if err != nil {
		return true
	}
	err = rc.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		gone = err != nil || info.State != tcpEstablished
	})
	return gone || err != nil
}

func (y *tally) run(c *tallyConn) {
	defer func() {
		y.mu.Lock()
		delete(y.live, c)
		y.mu.Unlock()
		_ = c.Conn.Close()
	}()
	if y.born != nil && !y.born(c) {
		return
	}
	if y.tls != nil {
		s := tls.Server(c.raw, y.tls)
		if s.Handshake() != nil {
			return
		}
		c.Conn, c.sni = s, s.ConnectionState().ServerName
	}
	if c.in == nil {
		c.in = bufio.NewReader(c.Conn)
	}
	for {
		r, err := http.ReadRequest(c.in)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		c.served++
		y.mu.Lock()
		y.inflight++
		y.busyMost = max(y.busyMost, y.inflight)
		y.total++
		y.times = append(y.times, time.Now())
		y.seen[r.RequestURI]++
		y.mu.Unlock()
		if !y.handle(c, r) {
			return
		}
	}
}

// answer writes a response. The request is out of flight before its first byte can be seen.
func (c *tallyConn) answer(status string, lines ...string) bool {
	c.y.mu.Lock()
	c.y.inflight--
	c.y.mu.Unlock()
	_, err := io.WriteString(c.Conn, assemble("HTTP/1.1 "+status, lines))
	return err == nil
}

// tallyOK is the answer where a test says nothing else: which connection it came over, and to which server.
func tallyOK(c *tallyConn, _ *http.Request) bool {
	return c.answer("200 OK", c.facts()...)
}

// facts are the lines of an answer that says what it came over.
func (c *tallyConn) facts(more ...string) []string {
	body := fmt.Sprint(c.id)
	return append(more, fmt.Sprintf("Content-Length: %d", len(body)), fmt.Sprintf("X-Conn: %d", c.id), "X-Server: "+c.y.addr, "", body)
}

// cut closes all connections.
func (y *tally) cut() {
	y.mu.Lock()
	defer y.mu.Unlock()
	for c := range y.live {
		_ = c.raw.Close()
	}
}

// count reads one of the numbers.
func (y *tally) count(of func(*tally) int) int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return of(y)
}

func (y *tally) open() int     { return y.count(func(y *tally) int { return len(y.live) }) }
func (y *tally) everOpen() int { return y.count(func(y *tally) int { return y.opened }) }
func (y *tally) requests() int { return y.count(func(y *tally) int { return y.total }) }

// holding is an answer that waits until the test lets it go.
type holding struct {
	gate chan struct{}
	once sync.Once
}

func newHolding(t *testing.T) *holding {
	h := &holding{gate: make(chan struct{})}
	t.Cleanup(h.release)
	return h
}

func (h *holding) release() { h.once.Do(func() { close(h.gate) }) }

// serve holds requests to a path that begins with /hold.
func (h *holding) serve(c *tallyConn, r *http.Request) bool {
	if strings.HasPrefix(r.URL.Path, "/hold") {
		<-h.gate
	}
	return tallyOK(c, r)
}

// user is a client that may be used by any goroutine of a test: it returns errors and ends no test.
type user struct {
	conn net.Conn
	in   *bufio.Reader
}

// reply is what a user got.
type reply struct {
	status int
	header http.Header
	body   string
	close  bool          // the response says that the connection ends
	after  time.Duration // from the request, or from the connect if that was part of it
}

// proxyReason is the word that weir gives for an answer of its own.
func (r *reply) proxyReason() string {
	_, details, _ := strings.Cut(r.header.Get("Proxy-Status"), `details="`)
	word, _, _ := strings.Cut(details, `"`)
	return word
}

// user connects a client; from is its address, "" for any.
func (w *weir) user(from string) (*user, error) {
	d := net.Dialer{Timeout: patience}
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	c, err := d.Dial("tcp", w.front())
	if err != nil {
		return nil, err
	}
	if w.over == tlsed {
		s := tls.Client(c, &tls.Config{RootCAs: roots, ServerName: "a.example"})
		_ = s.SetDeadline(time.Now().Add(patience))
		if err := s.Handshake(); err != nil {
			_ = c.Close()
			return nil, err
		}
		c = s
	}
	return &user{conn: c, in: bufio.NewReaderSize(c, 4<<10)}, nil
}

// client is user for the test's own goroutine.
func (w *weir) client(from string) *user {
	w.t.Helper()
	u, err := w.user(from)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(u.close)
	return u
}

func (u *user) close() { _ = u.conn.Close() }

// try sends a request and reads its response.
func (u *user) try(method, target string, lines ...string) (*reply, error) {
	began := time.Now()
	all := append([]string{host}, lines...)
	if method == "POST" || method == "PUT" {
		all = append(all, "Content-Length: 3", "", "abc")
	}
	_ = u.conn.SetDeadline(began.Add(patience))
	if _, err := io.WriteString(u.conn, assemble(method+" "+target+" HTTP/1.1", all)); err != nil {
		return nil, err
	}
	return u.read(method, began)
}

func (u *user) read(method string, began time.Time) (*reply, error) {
	_ = u.conn.SetDeadline(time.Now().Add(patience))
	r, err := http.ReadResponse(u.in, &http.Request{Method: method})
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(r.Body)
	return &reply{status: r.StatusCode, header: r.Header, body: string(body), close: r.Close, after: time.Since(began)}, err
}

// ask is try for the test's own goroutine, and wants 200.
func (w *weir) ask(u *user, method, target string, lines ...string) *reply {
	w.t.Helper()
	r, err := u.try(method, target, lines...)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, target, err)
	}
	if r.status != 200 {
		w.t.Fatalf("%s %s: %d %v %q", method, target, r.status, r.header, r.body)
	}
	return r
}

// once connects, asks and leaves.
func (w *weir) once(method, target string, lines ...string) (*reply, error) {
	began := time.Now()
	u, err := w.user("")
	if err != nil {
		return nil, err
	}
	defer u.close()
	r, err := u.try(method, target, append(lines, "Connection: close")...)
	if r != nil {
		r.after = time.Since(began)
	}
	return r, err
}

// crowd runs f for clients 0 to n-1 at once and returns when all have ended.
func crowd(n int, f func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Add(1)
		go func() {
			defer all.Done()
			f(i)
		}()
	}
	all.Wait()
}

// outcomes counts words, from any goroutine.
type outcomes struct {
	mu sync.Mutex
	n  map[string]int
}

func (o *outcomes) add(word string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.n == nil {
		o.n = map[string]int{}
	}
	o.n[word]++
}

// heard adds what came of a request: "200", "503 queue-full", or the error.
func (o *outcomes) heard(r *reply, err error) {
	switch {
	case err != nil:
		o.add("error " + err.Error())
	case r.status == 200:
		o.add("200")
	default:
		o.add(fmt.Sprintf("%d %s", r.status, r.proxyReason()))
	}
}

// logged is one line of the access log.
type logged struct {
	Path       string `json:"path"`
	Status     int    `json:"status"`
	Reason     string `json:"reason"`
	LimitAxis  string `json:"limit_axis"`
	ConnReused bool   `json:"conn_reused"`
	Queue      int64  `json:"t_queue"`
	Total      int64  `json:"t_total"`
	Response   int64  `json:"t_response"`
	Retries    int    `json:"retries"`
	Server     string `json:"server"`
}

// accessLog is the lines in $DIR/access so far.
func (w *weir) accessLog() (lines []logged) {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, "access"))
	if err != nil {
		w.t.Fatal(err)
	}
	for l := range strings.Lines(string(b)) {
		if !strings.HasSuffix(l, "\n") {
			break
		}
		var line logged
		if err := json.Unmarshal([]byte(l), &line); err != nil {
			w.t.Fatalf("access log %q: %v", l, err)
		}
		lines = append(lines, line)
	}
	return lines
}

// closed is how many server connections were closed for a cause.
func (w *weir) closed(cause string) float64 {
	w.t.Helper()
	return w.metric("weir_server_connections_closed_total", "cause", cause)
}

// opened is how many server connections were opened, for a reason or ("") all.
func (w *weir) opened(why string) float64 {
	w.t.Helper()
	if why == "" {
		return w.metric("weir_server_connections_opened_total")
	}
	return w.metric("weir_server_connections_opened_total", "why", why)
}
