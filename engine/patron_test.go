package engine

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"weir/internal/sim"
	"weir/netio"
)

// order is one request of a patron: what is asked, and so what the server does with it. Its path says it all,
// /ID/KIND/BYTES, so that every message of a world can be told from every other one.
type order struct {
	id     int
	kind   string
	bytes  int // of the response's body
	method string
	upload int // of the request's body
	coding string
	old    bool   // HTTP/1.0
	after  *order // the one before it on the patron's list

	odd   bool // not a patron's
	odder bool // sent twice

	answer  *sim.Message
	givenUp bool   // it was sent behind one that was lost
	seen    []seen // by servers
}

// seen is one delivery of a request to a server.
type seen struct {
	at   time.Duration
	body bool // whole
}

func (o *order) path() string { return fmt.Sprintf("/%d/%s/%d", o.id, o.kind, o.bytes) }

// idempotent as RFC 9110 section 9.2.2 has it.
func (o *order) idempotent() bool { return o.method != "POST" && o.method != "PATCH" }

// pattern is a body that belongs to one message only.
func pattern(id, n int) string {
	unit := fmt.Sprintf("<%d>", id)
	return strings.Repeat(unit, n/len(unit)+1)[:n]
}

// text is the request on the wire.
func (o *order) text() string {
	var b strings.Builder
	version := "HTTP/1.1"
	if o.old {
		version = "HTTP/1.0"
	}
	fmt.Fprintf(&b, "%s %s %s\r\nHost: example.com\r\n", o.method, o.path(), version)
	if o.old {
		b.WriteString("Connection: keep-alive\r\n")
	}
	if o.kind == "continue" {
		b.WriteString("Expect: 100-continue\r\n")
	}
	body := pattern(o.id, o.upload)
	switch {
	case o.coding == "chunked":
		b.WriteString("Transfer-Encoding: chunked\r\n\r\n")
		for size := 1; len(body) > 0; size = size*3 + 1 {
			n := min(size, len(body))
			fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
			body = body[n:]
		}
		b.WriteString("0\r\n\r\n")
	case o.upload > 0:
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", o.upload, body)
	default:
		b.WriteString("\r\n")
	}
	return b.String()
}

// kinds are what a server can be asked to do, and what a client gets that asks for it when nothing else goes wrong.
var kinds = map[string]struct {
	status int    // 0: a response that breaks off
	reason string // of weir's own answer
	retry  bool   // sent again when the connection was a reused one and the method allows it
}{
	"plain": {200, "", false}, "chunked": {200, "", false}, "close": {200, "", false}, "slow": {200, "", false},
	"late": {200, "", false}, "empty": {204, "", false}, "same": {304, "", false}, "hints": {200, "", false},
	"continue": {200, "", false}, "early": {200, "", false}, "bye": {200, "", false}, "babble": {200, "", false},
	"brief": {200, "", false}, "old": {200, "", false},
	"hang": {504, "server-timeout", false}, "hangmid": {0, "server-timeout", false}, "cut": {0, "server-closed", false},
	"die": {502, "server-closed", true}, "bad": {502, "bad-response", false}, "half": {502, "bad-response", false},
}

// town is the people of a world: patrons who know what they must get, and servers that do what they are asked for.
type town struct {
	r       *rig
	orders  []*order
	patrons []*patron
	coming  int                    // others that are on their way
	busy    map[netip.AddrPort]int // requests in progress, by server
	busyMax map[netip.AddrPort]int
	open    map[netip.AddrPort]int
	openMax map[netip.AddrPort]int
	idleMax time.Duration // servers close connections that were idle for so long
}

func newTown(r *rig) *town {
	return &town{r: r, busy: map[netip.AddrPort]int{}, busyMax: map[netip.AddrPort]int{}, open: map[netip.AddrPort]int{}, openMax: map[netip.AddrPort]int{}}
}

// order makes a request that no other is like.
func (t *town) order(kind, method string, bytes int) *order {
	o := &order{id: len(t.orders), kind: kind, method: method, bytes: bytes}
	t.orders = append(t.orders, o)
	return o
}

// find is the order of a request's target.
func (t *town) find(target string) *order {
	parts := strings.Split(target, "/")
	if len(parts) != 4 {
		return nil
	}
	id, err := strconv.Atoi(parts[1])
	if err != nil || id >= len(t.orders) {
		return nil
	}
	return t.orders[id]
}

// servant is a server's connection.
type servant struct {
	sim.Origin
	p    *sim.Peer
	t    *town
	at   netip.AddrPort
	busy bool
	gone bool
	uses int
}

// serve opens a server.
func (t *town) serve(at netip.AddrPort) *sim.Server {
	return t.r.net.Server(at, func() sim.Script {
		s := &servant{t: t, at: at}
		s.Origin = sim.Origin{Answer: s.answer, Early: s.early}
		return s
	})
}

func (s *servant) Open(p *sim.Peer) {
	s.p = p
	s.t.open[s.at]++
	s.t.openMax[s.at] = max(s.t.openMax[s.at], s.t.open[s.at])
	s.Origin.Open(p)
	s.rest()
}

// rest closes the connection when it has been idle for as long as the town's servers allow.
func (s *servant) rest() {
	if s.t.idleMax == 0 {
		return
	}
	uses := s.uses
	s.t.r.net.After(s.t.idleMax, func() {
		switch {
		case s.uses != uses || s.busy:
		case s.p.Waiting() > 0: // the proxy has not taken all of the response
			s.rest()
		default:
			s.left()
			s.p.Close()
		}
	})
}

func (s *servant) End(p *sim.Peer, how netio.IO) {
	s.left()
	s.Origin.End(p, how)
}

// left is called when the connection is of no use any more, whoever ended it.
func (s *servant) left() {
	s.done()
	if !s.gone {
		s.gone = true
		s.t.open[s.at]--
	}
}

func (s *servant) done() {
	if s.busy {
		s.busy = false
		s.uses++
		s.t.busy[s.at]--
		s.rest()
	}
}

// early is called with a head: the request is in progress from here on.
func (s *servant) early(p *sim.Peer, m *sim.Message) {
	if s.busy {
		s.t.r.net.Fail("server %v: a request on top of another one: %s", s.at, m.Start)
	}
	s.busy = true
	s.t.busy[s.at]++
	s.t.busyMax[s.at] = max(s.t.busyMax[s.at], s.t.busy[s.at])
	o := s.t.find(m.Target())
	if o == nil {
		s.t.r.net.Fail("server %v: nobody has asked for %q", s.at, m.Start)
		p.Abort()
		return
	}
	o.seen = append(o.seen, seen{at: time.Duration(s.t.r.net.Now())})
	switch o.kind {
	case "continue":
		p.Send("HTTP/1.1 100 Continue\r\n\r\n")
	case "early":
		s.send(p, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", o.bytes, pattern(o.id, o.bytes)))
	}
}

// send sends the last of a response.
func (s *servant) send(p *sim.Peer, text string) {
	s.done()
	p.Send(text)
}

// answer is called with a whole request.
func (s *servant) answer(p *sim.Peer, m *sim.Message) {
	o := s.t.find(m.Target())
	o.seen[len(o.seen)-1].body = true
	if m.Body != pattern(o.id, o.upload) || m.Method() != o.method {
		s.t.r.net.Fail("server %v: request %s has arrived with another body (%d bytes of %d)", s.at, o.path(), len(m.Body), o.upload)
	}
	n := s.t.r.net
	body := pattern(o.id, o.bytes)
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Order: %d\r\nContent-Length: %d\r\n", o.id, o.bytes)
	sent := body
	if o.method == "HEAD" {
		sent = ""
	}
	switch o.kind {
	default:
		s.send(p, head+"\r\n"+sent)
	case "early": // it was
	case "chunked":
		s.send(p, s.chunked(o, sent))
	case "old":
		s.send(p, fmt.Sprintf("HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s", o.bytes, sent))
	case "close":
		s.send(p, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"+sent)
		s.left()
		p.ShutdownSend()
	case "bye":
		s.send(p, head+"Connection: close\r\n\r\n"+sent)
		s.left()
		p.ShutdownSend()
	case "slow":
		p.Drip(head+"\r\n"+sent, 1+len(sent)/5, 3*time.Millisecond, s.done)
	case "late":
		n.After(20*time.Millisecond, func() { s.send(p, head+"\r\n"+sent) })
	case "empty":
		s.send(p, "HTTP/1.1 204 No Content\r\n\r\n")
	case "same":
		s.send(p, "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n")
	case "hints":
		p.Send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
		n.After(2*time.Millisecond, func() { s.send(p, head+"\r\n"+sent) })
	case "brief":
		s.send(p, head+"Keep-Alive: timeout=1, max=2\r\n\r\n"+sent)
	case "babble":
		s.send(p, head+"\r\n"+sent+"HTTP/1.1 200 OK\r\nX-Stray: 1\r\nContent-Length: 0\r\n\r\n")
	case "hang":
	case "hangmid":
		p.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", o.bytes+10, body))
	case "cut":
		p.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", o.bytes+10, body))
		n.After(time.Millisecond, func() { s.left(); p.ShutdownSend() })
	case "die":
		s.left()
		p.Abort()
	case "bad":
		s.send(p, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy")
	case "half":
		p.Send("HTTP/1.1 200 OK\r\nContent-Le")
		n.After(time.Millisecond, func() { s.left(); p.ShutdownSend() })
	}
}

// chunked is a response in chunks of odd sizes with a trailer.
func (s *servant) chunked(o *order, body string) string {
	if o.method == "HEAD" {
		return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	}
	var b strings.Builder
	b.WriteString("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
	for size := 7; len(body) > 0; size = size*2 + 1 {
		n := min(size, len(body))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	fmt.Fprintf(&b, "0\r\nX-Sum: %d\r\n\r\n", o.id)
	return b.String()
}

// patron sends its orders one after the other, on one connection as long as that lasts, and then on a new one.
type patron struct {
	t      *town
	from   netip.AddrPort
	think  time.Duration
	pipe   bool // sends all at once
	slow   bool // reads late
	pauses int  // how often it stops reading for a while
	orders []*order
	next   int // the first order that is neither answered nor given up
	conns  int
	ended  bool
}

// visit is one connection of a patron.
type visit struct {
	sim.Surfer
	*patron
	base    int // the order that it began with
	interim int // interim responses so far
	leaving bool
}

// patron sends somebody to town at a random moment within a while.
func (t *town) patron(within time.Duration, orders ...*order) *patron {
	for i := range orders[1:] {
		orders[i+1].after = orders[i]
	}
	p := &patron{t: t, orders: orders}
	t.patrons = append(t.patrons, p)
	t.r.net.After(time.Duration(t.r.net.Rand().Int64N(int64(within)+1)), p.connect)
	return p
}

// connect begins a connection with the next order.
func (p *patron) connect() {
	if p.next == len(p.orders) {
		p.ended = true
		return
	}
	p.conns++
	v := &visit{patron: p, base: p.next}
	v.Surfer = sim.Surfer{Think: p.think, Pipeline: p.pipe, Check: v.check}
	for _, o := range p.orders[p.next:] {
		v.Requests = append(v.Requests, o.text())
	}
	p.t.r.net.ClientFrom(p.from, frontAddr, v)
}

// Open may make the patron a slow reader for a while.
func (v *visit) Open(peer *sim.Peer) {
	v.Surfer.Open(peer)
	if v.slow {
		peer.Pause()
		v.t.r.net.After(50*time.Millisecond, peer.Resume)
	}
	v.rest(peer)
}

// rest makes the patron stop reading some time, and go on some time later.
func (v *visit) rest(peer *sim.Peer) {
	if v.pauses == 0 || peer.Closed() {
		return
	}
	v.pauses--
	n, rnd := v.t.r.net, v.t.r.net.Rand()
	n.After(time.Duration(rnd.IntN(30))*time.Millisecond, func() {
		if peer.Closed() {
			return
		}
		peer.Pause()
		n.After(time.Duration(rnd.IntN(200))*time.Millisecond, func() {
			if !peer.Closed() {
				peer.Resume()
				v.rest(peer)
			}
		})
	})
}

// check is called with every final response.
func (v *visit) check(peer *sim.Peer, i int, m *sim.Message) {
	p, o := v.patron, v.orders[v.base+i]
	o.answer = m
	p.next = v.base + i + 1
	if o.old && len(v.Interim) > v.interim {
		p.t.r.net.Fail("an HTTP/1.0 request got an interim response")
	}
	v.interim = len(v.Interim)
	if p.next == len(p.orders) {
		p.ended = true
	} else if strings.EqualFold(m.Get("Connection"), "close") {
		v.leave(peer)
	}
}

// leave goes on on another connection.
func (v *visit) leave(peer *sim.Peer) {
	v.leaving = true
	peer.Close()
	v.t.r.net.After(v.think+time.Millisecond, v.connect)
}

// End goes on with the orders behind the one that was lost. A response that ends with its connection is none.
func (v *visit) End(peer *sim.Peer, how netio.IO) {
	if v.ended || v.leaving {
		return
	}
	before := v.next
	v.Surfer.End(peer, how)
	if v.ended || v.leaving {
		return
	}
	for v.next == before || v.pipe && v.next < len(v.orders) { // who has sent them all does not know which were taken
		v.orders[v.next].givenUp = v.next != before
		v.patron.next++
	}
	v.leave(peer)
}

// gone reports whether all patrons have left.
func (t *town) gone() bool {
	for _, p := range t.patrons {
		if !p.ended {
			return false
		}
	}
	return t.coming == 0
}
