package h3

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/internal/msg"
)

// testWorker stands in for a worker of the engine: what is reported to it runs on one goroutine, in the order in which it
// was posted. It answers requests by their path:
//
//	/bytes/N    N bytes
//	/echo       the body and the trailers of the request
//	/hold       nothing, until the request is taken back
//	/early      an answer before the body was read
//	/interim    a 103, then the answer
//	/tunnel     the body, from the head on
type testWorker struct {
	enc    *Encoder
	mu     sync.Mutex
	mail   []func()
	filled chan struct{}
	done   chan struct{}

	// What follows is the worker goroutine's.
	dirty     []*Stream
	conns     map[*Conn]int
	streams   map[*Stream]*testExchange
	held      int // most bytes of request bodies that were held at once
	holding   int
	malformed int
	opened    int // connections so far
	events    chan string
}

type testExchange struct {
	s        *Stream
	left     int      // bytes still to be sent
	at       int      // bytes sent
	pieces   []*Piece // echo: received and not sent
	ended    bool
	echo     bool
	slow     bool // takes nothing of the body
	hold     bool // is never answered, though its end may come long after its head
	answered bool
	trailed  bool
}

func newTestWorker() *testWorker {
	w := &testWorker{enc: NewEncoder(), filled: make(chan struct{}, 1), done: make(chan struct{}), conns: map[*Conn]int{},
		streams: map[*Stream]*testExchange{}, events: make(chan string, 4096)}
	go w.run()
	return w
}

func (w *testWorker) post(f func()) {
	w.mu.Lock()
	w.mail = append(w.mail, f)
	w.mu.Unlock()
	select {
	case w.filled <- struct{}{}:
	default:
	}
}

func (w *testWorker) run() {
	for {
		select {
		case <-w.filled:
		case <-w.done:
			return
		}
		w.mu.Lock()
		mail := w.mail
		w.mail = nil
		w.mu.Unlock()
		for _, f := range mail {
			f()
		}
		for _, s := range w.dirty {
			s.Flush()
		}
		w.dirty = w.dirty[:0]
	}
}

// sync runs f on the worker's goroutine and waits for it.
func (w *testWorker) sync(f func()) {
	done := make(chan struct{})
	w.post(func() { f(); close(done) })
	<-done
}

func (w *testWorker) event(s string) {
	select {
	case w.events <- s:
	default:
	}
}

func (w *testWorker) OnConn(c *Conn)   { w.post(func() { w.opened++; w.conns[c] = 1; w.event("conn") }) }
func (w *testWorker) OnHead(s *Stream) { w.post(func() { w.onHead(s) }) }
func (w *testWorker) OnData(s *Stream, p *Piece) {
	w.post(func() { w.onData(s, p) })
}
func (w *testWorker) OnReset(s *Stream) {
	w.post(func() {
		w.event("reset " + causeText(s.Cause()))
		if x := w.streams[s]; x != nil {
			w.drop(x)
		}
	})
}
func (w *testWorker) OnMalformed(s *Stream) {
	w.post(func() { w.malformed++; w.event("malformed " + causeText(s.Cause())) })
}
func (w *testWorker) OnRoom(s *Stream) {
	w.post(func() {
		if x := w.streams[s]; x != nil {
			w.pump(x)
		}
	})
}
func (w *testWorker) OnPriority(c *Conn, id int64, p Priority) {
	w.post(func() { w.event("priority " + strconv.FormatInt(id, 10) + " " + strconv.Itoa(int(p.Urgency))) })
}
func (w *testWorker) OnGone(c *Conn) {
	w.post(func() {
		delete(w.conns, c)
		for s, x := range w.streams {
			if s.Conn == c {
				w.drop(x)
			}
		}
		w.event("gone " + causeText(c.Cause()))
	})
}

func causeText(c *Cause) string {
	switch {
	case c == nil:
		return "-"
	case c.Err != nil:
		return c.Err.Detail
	}
	return strconv.FormatUint(uint64(c.Code), 16)
}

func (w *testWorker) drop(x *testExchange) {
	for _, p := range x.pieces {
		w.holding -= len(p.Data)
		p.Free()
	}
	x.pieces = nil
	x.s.Reset(RequestCancelled)
	delete(w.streams, x.s)
}

func response(status uint16, framing msg.Framing, length int64, fields ...string) *msg.Head {
	h := &msg.Head{Version: msg.HTTP11, Status: status, Framing: framing, Length: length}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		h.Add(msg.LookupField([]byte(name)), name, []byte(value))
	}
	return h
}

func (w *testWorker) onHead(s *Stream) {
	x := &testExchange{s: s, ended: s.Ended}
	w.streams[s] = x
	w.dirty = append(w.dirty, s)
	if s.Fault != nil {
		w.event("refused " + s.Fault.Detail)
		s.SendHead(w.enc, response(431, msg.BodyNone, 0), true)
		w.finish(x)
		return
	}
	h := s.Head
	path := string(h.Bytes(h.Target))
	w.event(string(h.Bytes(h.Name)) + " " + path)
	defer s.FreeHead()
	if err := msg.VetRequest(h); err != nil {
		s.SendHead(w.enc, response(err.Status, msg.BodyNone, 0), true)
		w.finish(x)
		return
	}
	switch {
	case strings.HasPrefix(path, "/bytes/"):
		x.left, _ = strconv.Atoi(path[len("/bytes/"):])
		s.SendHead(w.enc, response(200, msg.BodyLength, int64(x.left), "Content-Type: text/plain", "X-Early: "+strconv.FormatBool(s.Early)),
			x.left == 0 || h.Method == msg.MethodHead)
		if h.Method == msg.MethodHead {
			x.left = 0
		}
		x.answered = true
	case path == "/hold":
		x.hold = true
		s.Watch()
		return
	case path == "/slow":
		x.slow, x.echo = true, true
		return
	case path == "/early":
		s.SendHead(w.enc, response(413, msg.BodyNone, 0), true)
		s.StopReading(NoError)
		w.finish(x)
		return
	case path == "/interim":
		s.SendHead(w.enc, response(103, msg.BodyNone, 0, "link: </x>; rel=preload"), false)
		s.SendHead(w.enc, response(200, msg.BodyNone, 0), true)
		x.answered = true
	default:
		status := uint16(200)
		if h.Framing == msg.BodyTunnel {
			status = 101
		}
		s.SendHead(w.enc, response(status, msg.BodyStream, 0, "X-Method: "+string(h.Bytes(h.Name))), false)
		x.echo = true
	}
	w.pump(x)
}

func (w *testWorker) onData(s *Stream, p *Piece) {
	x := w.streams[s]
	if x == nil {
		p.Free()
		return
	}
	w.holding += len(p.Data)
	w.held = max(w.held, w.holding)
	x.ended = p.End
	x.pieces = append(x.pieces, p)
	w.pump(x)
}

var pattern = func() []byte {
	b := make([]byte, 1<<16)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}()

// pump sends as much as there is room for.
func (w *testWorker) pump(x *testExchange) {
	w.dirty = append(w.dirty, x.s)
	for x.left > 0 {
		room := x.s.Room()
		if room == 0 {
			return
		}
		n := min(room, x.left, 10_000, len(pattern)-x.at%len(pattern))
		x.s.SendData(pattern[x.at%len(pattern):][:n])
		x.at += n
		x.left -= n
		if x.left == 0 {
			x.s.SendEnd()
		}
	}
	if x.slow {
		w.event("slow data")
	}
	if x.slow || x.hold {
		return
	}
	for len(x.pieces) > 0 {
		p := x.pieces[0]
		for len(p.Data) > 0 {
			room := x.s.Room()
			if room == 0 && x.echo {
				return
			}
			n := len(p.Data)
			if x.echo {
				n = min(n, room)
				x.s.SendData(p.Data[:n])
			}
			p.Data = p.Data[n:]
			w.holding -= n
			x.s.Taken(n)
		}
		if p.Trailers != nil {
			x.s.SendTrailers(w.enc, p.Trailers)
			x.trailed = true
		}
		p.Free()
		x.pieces = x.pieces[1:]
	}
	if x.ended {
		if !x.trailed {
			x.s.SendEnd()
		}
		w.finish(x)
	}
}

func (w *testWorker) finish(x *testExchange) {
	if !x.ended {
		x.s.StopReading(NoError)
	}
	delete(w.streams, x.s)
}

var testCertificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"a.example", "localhost"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

func serverTLS() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{testCertificate()}, NextProtos: []string{"h3"}, MinVersion: tls.VersionTLS13}
}

func clientTLS() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h3"}, ServerName: "a.example"}
}

// patience is how long a test waits for what must happen. It is long because it is only ever used up by a failure.
const patience = time.Minute

// rig is an endpoint with test workers.
type rig struct {
	t       testing.TB
	e       *Endpoint
	workers []*testWorker
	cfg     Config
}

func newRig(t testing.TB, workers int, edit func(*Config)) *rig {
	t.Helper()
	cfg := DefaultConfig(serverTLS())
	if edit != nil {
		edit(&cfg)
	}
	secret := NewSecret()
	e, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"), workers, &cfg, &secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, e: e, cfg: cfg}
	var sinks []Sink
	for range workers {
		w := newTestWorker()
		r.workers = append(r.workers, w)
		sinks = append(sinks, w)
	}
	if err := e.Serve(sinks); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.Close(NoError)
		for _, w := range r.workers {
			close(w.done)
		}
	})
	return r
}

// want waits for an event of the only worker.
func (r *rig) want(why, event string) {
	r.t.Helper()
	deadline := time.After(patience)
	var seen []string
	for {
		select {
		case got := <-r.workers[0].events:
			if got == event {
				return
			}
			seen = append(seen, got)
		case <-deadline:
			r.t.Fatalf("%s: %q did not happen; %q did", why, event, seen)
		}
	}
}
