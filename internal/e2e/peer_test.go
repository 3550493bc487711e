package e2e

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// transport is what a dialogue runs over. Every dialogue that is about HTTP and not about TLS runs over both, with TLS on
// the client's and on the server's side.
type transport string

const (
	plain transport = "clear"
	tlsed transport = "tls"
)

// overBoth runs a dialogue in cleartext and in TLS.
func overBoth(t *testing.T, dialogue func(t *testing.T, over transport)) {
	t.Parallel()
	for _, over := range []transport{plain, tlsed} {
		t.Run(string(over), func(t *testing.T) {
			t.Parallel()
			dialogue(t, over)
		})
	}
}

func (o transport) bind() string {
	if o == tlsed {
		return `, tls = "site"`
	}
	return ""
}

// backend is the keys of a backend whose server is o.
func (o *origin) backend() string {
	if o.tls != nil {
		return "tls = { enabled = true, sni = \"a.example\", ca = \"$FILES/ca.pem\" }\n"
	}
	return ""
}

func (o transport) tables() string {
	if o == tlsed {
		return "[tls.site]\ncertificates = [{ cert = \"$FILES/site.pem\", key = \"$FILES/site.key\" }]\n"
	}
	return ""
}

// peer is one end of a connection that a test speaks for: a client of weir, or a server.
type peer struct {
	t      *testing.T
	conn   net.Conn
	in     []byte   // received and not yet used
	ended  bool     // nothing follows in
	err    error    // how it ended, if not in order
	asked  []string // methods of requests sent whose final response has not been read
	closed bool
}

func newPeer(t *testing.T, conn net.Conn) *peer {
	p := &peer{t: t, conn: conn}
	t.Cleanup(p.close)
	return p
}

// dial connects a client.
func (w *weir) dial() *peer {
	w.t.Helper()
	return w.dialAs(w.t)
}

// dialAs is dial for a test that uses one weir for several.
func (w *weir) dialAs(t *testing.T) *peer {
	t.Helper()
	conn, err := net.DialTimeout("tcp", w.front(), patience)
	if err != nil {
		t.Fatal(err)
	}
	if w.over == tlsed {
		conn = secured(t, conn, &tls.Config{RootCAs: roots, ServerName: "a.example"})
	}
	return newPeer(t, conn)
}

// dialPort connects a client to another port of the process.
func (w *weir) dialPort(port string) *peer {
	w.t.Helper()
	p := w.dialRaw(port)
	if w.over == tlsed {
		p.conn = secured(w.t, p.conn, &tls.Config{RootCAs: roots, ServerName: "a.example"})
	}
	return p
}

// dialRaw connects a client that says nothing yet, no TLS either.
func (w *weir) dialRaw(port string) *peer {
	w.t.Helper()
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(w.host, port), patience)
	if err != nil {
		w.t.Fatal(err)
	}
	return newPeer(w.t, conn)
}

// dialWith connects a client that sends some bytes before anything else, before TLS too.
func (w *weir) dialWith(t *testing.T, first string) *peer {
	t.Helper()
	p := w.dialRaw("8080")
	p.send(first)
	if w.over == tlsed {
		p.conn = secured(t, p.conn, &tls.Config{RootCAs: roots, ServerName: "a.example"})
	}
	return p
}

// secured shakes hands as a client.
func secured(t *testing.T, conn net.Conn, c *tls.Config) net.Conn {
	t.Helper()
	s := tls.Client(conn, c)
	_ = s.SetDeadline(time.Now().Add(patience))
	if err := s.Handshake(); err != nil {
		t.Fatalf("handshake: %v", err)
	}
	_ = s.SetDeadline(time.Time{})
	return s
}

// send writes. What is sent in one call is one write.
func (p *peer) send(parts ...string) {
	p.t.Helper()
	if err := p.trySend(parts...); err != nil {
		p.t.Fatalf("send: %v", err)
	}
}

func (p *peer) trySend(parts ...string) error {
	_ = p.conn.SetWriteDeadline(time.Now().Add(patience))
	_, err := io.WriteString(p.conn, strings.Join(parts, ""))
	return err
}

// ask sends a request: its start line and fields. What follows an empty string is the body.
func (p *peer) ask(start string, lines ...string) {
	p.t.Helper()
	method, _, _ := strings.Cut(start, " ")
	p.asked = append(p.asked, method)
	p.send(assemble(start, lines))
}

// answer sends a response in the same way.
func (p *peer) answer(start string, lines ...string) {
	p.t.Helper()
	p.send(assemble(start, lines))
}

func assemble(start string, lines []string) string {
	body := ""
	if i := slices.Index(lines, ""); i >= 0 {
		body, lines = strings.Join(lines[i+1:], ""), lines[:i]
	}
	return start + "\r\n" + strings.Join(append(slices.Clone(lines), "\r\n"), "\r\n") + body
}

// more reads once. It reports false when nothing came before the deadline.
func (p *peer) more(deadline time.Time) bool {
	if p.ended {
		return true
	}
	_ = p.conn.SetReadDeadline(deadline)
	buf := make([]byte, 64<<10)
	n, err := p.conn.Read(buf)
	p.in = append(p.in, buf[:n]...)
	switch {
	case err == nil:
	case errors.Is(err, os.ErrDeadlineExceeded):
		return false
	case errors.Is(err, io.EOF):
		p.ended = true
	default:
		p.ended, p.err = true, err
	}
	return true
}

// soon is a deadline for a read that is repeated.
func soon() time.Time { return time.Now().Add(50 * time.Millisecond) }

// cut reads until parse has taken something off what came.
func (p *peer) cut(what string, parse func(b []byte, ended bool) (*message, int, error)) *message {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		m, n, err := parse(p.in, p.ended)
		switch {
		case err == nil:
			p.in = p.in[n:]
			return m
		case !errors.Is(err, errShort):
			p.t.Fatalf("%s: %v in %q", what, err, clip(p.in))
		case p.ended:
			p.t.Fatalf("%s: ended after %q (%v)", what, clip(p.in), p.err)
		case !p.more(deadline):
			p.t.Fatalf("%s: only %q has come", what, clip(p.in))
		}
	}
}

func clip(b []byte) []byte {
	if len(b) > 600 {
		return append(append([]byte(nil), b[:600]...), "…"...)
	}
	return b
}

// request reads the next request.
func (p *peer) request() *message {
	p.t.Helper()
	return p.cut("request", func(b []byte, _ bool) (*message, int, error) { return cutRequest(b) })
}

// requestHead reads the head of the next request only; its body stays to be read with bytes.
func (p *peer) requestHead() *message {
	p.t.Helper()
	return p.cut("request head", func(b []byte, _ bool) (*message, int, error) {
		m, _, err := cutRequest(b)
		if m == nil {
			return nil, 0, err
		}
		return m, strings.Index(string(b), "\r\n\r\n") + 4, nil
	})
}

// response reads the next response, which answers the first request that has none yet.
func (p *peer) response() *message {
	p.t.Helper()
	method := "GET"
	if len(p.asked) > 0 {
		method = p.asked[0]
	}
	m := p.cut("response", func(b []byte, ended bool) (*message, int, error) { return cutResponse(b, method, ended) })
	if m.status() >= 200 || m.status() == 101 {
		p.asked = p.asked[min(1, len(p.asked)):]
	}
	if m.framing == byClose && p.err != nil {
		p.t.Fatalf("response cut short: %v", p.err)
	}
	return m
}

// responseHead reads the head of the next response only.
func (p *peer) responseHead() *message {
	p.t.Helper()
	p.asked = p.asked[min(1, len(p.asked)):]
	return p.cut("response head", func(b []byte, ended bool) (*message, int, error) {
		m, _, err := cutResponse(b, "GET", ended)
		if m == nil {
			return nil, 0, err
		}
		return m, strings.Index(string(b), "\r\n\r\n") + 4, nil
	})
}

// bytes reads exactly these bytes.
func (p *peer) bytes(want string) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for len(p.in) < len(want) && !p.ended && p.more(deadline) {
	}
	if got := p.in[:min(len(p.in), len(want))]; string(got) != want {
		p.t.Fatalf("got %q, want %q (ended %v, %v)", clip(p.in), want, p.ended, p.err)
	}
	p.in = p.in[len(want):]
}

// take reads n bytes.
func (p *peer) take(n int) string {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for len(p.in) < n && !p.ended && p.more(deadline) {
	}
	if len(p.in) < n {
		p.t.Fatalf("got %q, want %d bytes (ended %v, %v)", clip(p.in), n, p.ended, p.err)
	}
	got := string(p.in[:n])
	p.in = p.in[n:]
	return got
}

// upto reads until mark has come and returns everything up to it, mark included.
func (p *peer) upto(mark string) string {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		if i := strings.Index(string(p.in), mark); i >= 0 {
			got := string(p.in[:i+len(mark)])
			p.in = p.in[i+len(mark):]
			return got
		}
		if p.ended || !p.more(deadline) {
			p.t.Fatalf("%q never comes: %q (ended %v, %v)", mark, clip(p.in), p.ended, p.err)
		}
	}
}

// end wants the other side to end its direction in order, and nothing before.
func (p *peer) end() {
	p.t.Helper()
	p.drain()
	if len(p.in) > 0 {
		p.t.Fatalf("before the end came %q", clip(p.in))
	}
	if p.err != nil {
		p.t.Fatalf("it ended with %v", p.err)
	}
}

// reset wants the connection to be cut, so that nothing of it can be taken for whole. It returns what came before.
func (p *peer) reset() string {
	p.t.Helper()
	p.drain()
	if !errors.Is(p.err, syscall.ECONNRESET) && !errors.Is(p.err, io.ErrUnexpectedEOF) {
		p.t.Fatalf("it ended in order, or with %v, after %q", p.err, clip(p.in))
	}
	return string(p.in)
}

// gone wants the connection to end, whichever way.
func (p *peer) gone() {
	p.t.Helper()
	p.drain()
}

func (p *peer) drain() {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for !p.ended {
		if !p.more(deadline) {
			p.t.Fatalf("the connection stays open; came %q", clip(p.in))
		}
	}
}

// quiet reports that nothing has come up to now and the connection is open. It waits for nothing: what it is asked about
// must be impossible, not only late.
func (p *peer) quiet() {
	p.t.Helper()
	p.more(time.Now().Add(time.Millisecond))
	if len(p.in) > 0 || p.ended {
		p.t.Fatalf("it is not quiet: %q (ended %v, %v)", clip(p.in), p.ended, p.err)
	}
}

// finish ends our direction and keeps the other.
func (p *peer) finish() {
	p.t.Helper()
	if err := p.conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		p.t.Fatal(err)
	}
}

// close ends both directions.
func (p *peer) close() {
	if !p.closed {
		p.closed = true
		_ = p.conn.Close()
	}
}

// closeWithoutGoodbye ends a TLS connection without close_notify.
func (p *peer) closeWithoutGoodbye() {
	p.closed = true
	_ = p.conn.(*tls.Conn).NetConn().Close()
}

// abort cuts the connection with a RST.
func (p *peer) abort() {
	c := p.conn
	if s, ok := c.(*tls.Conn); ok {
		c = s.NetConn()
	}
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
	p.closed = true
}

// origin is a server that a test plays itself: it accepts, and the test speaks.
type origin struct {
	t        *testing.T
	addr     string
	ln       net.Listener
	tls      *tls.Config
	arrived  chan net.Conn
	mu       sync.Mutex
	accepted int
}

// listen opens a server.
func listen(t *testing.T, over transport) *origin {
	t.Helper()
	o := &origin{t: t, arrived: make(chan net.Conn, 4096)}
	if over == tlsed {
		o.tls = &tls.Config{Certificates: []tls.Certificate{keyPair("server")}}
	}
	o.open(net.JoinHostPort(newHost(), "9000"))
	t.Cleanup(o.close)
	return o
}

func (o *origin) open(addr string) {
	o.t.Helper()
	var ln net.Listener
	eventually(o.t, addr+" is free", func() (ok bool) {
		var err error
		if ln, err = net.Listen("tcp", addr); err != nil && !errors.Is(err, syscall.EADDRINUSE) {
			o.t.Fatal(err)
		}
		return err == nil // or a program that is being started still has a copy of the listener that was here before
	})
	o.addr, o.ln = addr, ln
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			o.mu.Lock()
			o.accepted++
			o.mu.Unlock()
			o.arrived <- c
		}
	}()
}

// close stops listening. Connections live on.
func (o *origin) close() { _ = o.ln.Close() }

// connections is how many were accepted so far.
func (o *origin) connections() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.accepted
}

// accept returns the next connection.
func (o *origin) accept() *peer {
	o.t.Helper()
	select {
	case c := <-o.arrived:
		if o.tls != nil {
			s := tls.Server(c, o.tls)
			_ = s.SetDeadline(time.Now().Add(patience))
			if err := s.Handshake(); err != nil {
				o.t.Fatalf("handshake with weir: %v", err)
			}
			_ = s.SetDeadline(time.Time{})
			c = s
		}
		return newPeer(o.t, c)
	case <-time.After(patience):
		o.t.Fatal("weir does not connect to its server")
		return nil
	}
}

// want compares a message with what is said of it: first its start line, then any of
//
//	"Name: value"  the field, once, with this value
//	"-Name"        no such field
//	"", "…"        after an empty string: the body, exactly
//
// What is not mentioned may be anything.
func (m *message) want(t *testing.T, start string, lines ...string) *message {
	t.Helper()
	bad := func(format string, args ...any) {
		t.Helper()
		t.Fatalf(format+"\nin\n%s", append(args, m)...)
	}
	if m.start != start {
		bad("starts with %q, want %q", m.start, start)
	}
	for i, l := range lines {
		if l == "" {
			if want := strings.Join(lines[i+1:], ""); string(m.body) != want {
				bad("body %q, want %q", clip(m.body), want)
			}
			break
		}
		if name, ok := strings.CutPrefix(l, "-"); ok {
			if m.has(name) {
				bad("has %s: %q", name, m.all(name))
			}
			continue
		}
		name, value, _ := strings.Cut(l, ": ")
		if got := m.all(name); len(got) != 1 || got[0] != value {
			bad("%s: %q, want %q", name, got, value)
		}
	}
	return m
}
