package engine

import (
	"time"

	"weir/h3"
	"weir/internal/config"
	"weir/internal/mono"
	"weir/internal/msg"
	"weir/internal/stats"
)

// frontH3 is the h3 mux of a session: an exchange for each stream.
//
// QUIC runs on goroutines of its own (see h3). What they have to say comes by mail; what the worker has to say goes to them
// without waiting. Nothing of this record is touched by any goroutine but the worker's.
type frontH3 struct {
	s     *session
	conn  *h3.Conn
	live  int
	first *h3Front  // the streams with an exchange, in no order
	away  h3Away    // how much of a goodbye was said
	idle  mono.Time // since when no stream is open
	sent  bool      // while it settles: nothing waits to be sent
	begun bool      // the first request had begun in time, and has a time of its own for its head
	named []byte    // the authority last found to be covered by the certificate
}

// h3Away is how far the goodbye has come (RFC 9114 section 5.2).
type h3Away uint8

const (
	h3Stays   h3Away = iota // exactly when new requests are welcome
	h3Warned                // exactly when the client was told, and what was on its way is still taken
	h3Gone                  // exactly when the client was told which requests were the last
	h3Settles               // exactly when the last response was given away and may still be on its way
)

// h3GoodbyeWait is how long after the first GOAWAY requests are still taken: longer than a round trip of nearly everybody.
const h3GoodbyeWait = time.Second

// openH3 makes a QUIC connection a session.
func (w *worker) openH3(c *h3.Conn) {
	l := w.view.h3Of(c)
	if l == nil { // the address is no longer configured
		c.Close(h3.NoError, "")
		return
	}
	s := &session{bind: l.bind, fe: l.fe, peer: c.Peer(), rare: &sessionRare{local: c.Local}, accepted: w.now, id: w.shared.owners.next()}
	s.stage, s.proto = stageServing, stats.H3
	s.secure = &secureFacts{version: tlsVersionWord(config.VersionTLS13), resumed: c.Resumed}
	f := &frontH3{s: s, conn: c, idle: w.now}
	s.h3, c.User = f, f
	if g, ok := c.Guest().(*h3Guest); ok {
		s.gates.met, s.gates.axis = g.met, g.axis
	}
	w.adoptH3(&s.conn, s)
	cells := s.fe.cells
	cells.Conns[stats.H3]++
	cells.ConnsTotal[stats.H3]++
	resumed := 0
	if c.Resumed {
		resumed = 1
	}
	cells.Handshakes[stats.H3][resumed]++
	if w.draining || s.fe.retired {
		s.goAway(w.spread)
		return
	}
	f.rearm()
}

// adoptH3 gives a connection without a descriptor its record.
func (w *worker) adoptH3(c *conn, s *session) {
	c.w, c.owner, c.fd = w, s, -1
	c.in.Init(w.bufs)
	c.out.Init(w.bufs)
	w.conns.add(c)
	c.timer.Kind, c.timer.Token = uint8(timerConn), c.token
	w.stats.Loop.Conns++
}

// closeTransport forgets the connection, which ends by itself.
func (f *frontH3) closeTransport() {
	c := &f.s.conn
	f.conn.User = nil
	c.set(buried)
	c.w.wheel.Disarm(&c.timer)
	c.w.bury(c)
}

// onHead begins an exchange.
func (f *frontH3) onHead(st *h3.Stream) {
	s, w := f.s, f.s.w
	if st.Cause() != nil { // the client has taken it back already
		st.FreeHead()
		st.Reset(h3.RequestCancelled)
		return
	}
	s.peer = f.conn.Peer() // a client may change its address (RFC 9000 section 9)
	t := f.take(st)
	x := w.begin(s, t, mono.Time(0))
	t.x = x
	x.req.head.CopyFrom(st.Head)
	st.FreeHead()
	if c := f.judge(st, x); c != nil {
		x.refuse(c)
		return
	}
	if w.overloaded() {
		st.Reset(h3.RequestRejected)
		t.leave(causeNoFiles)
		return
	}
	t.ended = st.Ended
	if !t.ended && x.awaitsEnd() {
		return
	}
	x.start()
	if t.x == x && t.ended {
		t.pump()
	}
}

// judge says why a request is not sent on; nil: it is.
func (f *frontH3) judge(st *h3.Stream, x *exchange) *cause {
	switch st.Fault {
	case nil:
	case h3.ErrHeadTimeout:
		return causeRequestTimeout
	default:
		return causeHeadTooLarge
	}
	h := &x.req.head
	if err := msg.VetRequest(h); err != nil {
		return causeOf(err)
	}
	if !f.covers(h.Bytes(h.Authority)) {
		return causeMisdirected
	}
	if h.Flags.Has(msg.FlagEarlyData) && !h.Method.Safe() {
		return causeTooEarly // RFC 8470 section 5.2: it may be somebody else's replay
	}
	return nil
}

// covers reports whether the client's certificate is good for an authority.
func (f *frontH3) covers(authority []byte) bool {
	if len(f.named) > 0 && string(f.named) == string(authority) {
		return true
	}
	tls := f.s.fe.secure[f.s.bind.Address]
	if tls == nil || !tls.Covers(f.conn.ServerName, string(hostOf(authority))) {
		return false
	}
	f.named = append(f.named[:0], authority...)
	return true
}

// refused counts a request that was reset before there was an exchange.
func (f *frontH3) refused(st *h3.Stream) {
	f.s.w.stats.Answers[causeBadRequest.index]++
	if c := st.Cause(); c != nil && c.Err != nil {
		f.s.w.noteFault(f.s, c.Err.Detail)
	}
}

// onGone is called when nothing goes through the connection any more.
func (f *frontH3) onGone() {
	why := causeClientClosed
	if c := f.conn.Cause(); c != nil && c.Err != nil {
		why = causeBadRequest
		f.s.w.noteFault(f.s, c.Err.Detail)
	}
	f.abortAll(why)
	f.s.close(true)
}

func (f *frontH3) abortAll(c *cause) {
	f.away = h3Gone
	for f.first != nil {
		f.first.leave(c)
	}
}

// goAway begins the goodbye.
func (f *frontH3) goAway() { f.goAwayIn(h3GoodbyeWait) }

// goAwayIn begins a goodbye that an idle client has the given time for.
func (f *frontH3) goAwayIn(wait time.Duration) {
	if f.away != h3Stays {
		return
	}
	if f.live > 0 {
		wait = min(wait, h3GoodbyeWait)
	}
	f.away = h3Warned
	f.conn.WarnAway()
	f.s.arm(f.s.w.now.Add(wait))
}

// ended is called when a stream has ended.
func (f *frontH3) ended() {
	if f.live > 0 || f.s.has(buried) {
		return
	}
	f.idle = f.s.w.now
	switch {
	case f.away == h3Gone:
		f.settle()
	case f.away == h3Stays && (f.s.w.draining || f.s.fe.retired):
		f.s.goAway(f.s.w.spread)
	case f.away == h3Stays:
		f.rearm()
	}
}

// settle ends the connection when its client has everything: QUIC forgets what is not acknowledged when a connection is
// closed, and the last responses would be cut. So would a refusal of what came after the goodbye, or the answer to a head that
// never came whole. A client that goes by itself is faster.
func (f *frontH3) settle() {
	f.away, f.sent = h3Settles, false
	f.s.arm(f.s.w.now.Add(f.conn.LossTime()))
}

// onSettled looks what has become of the last responses. What was sent since it last looked may have been lost.
func (f *frontH3) onSettled() {
	w := f.s.w
	queued := f.conn.Queued() > 0
	if f.sent && !queued || w.now.After(deadlineAfter(f.idle, f.s.fe.cfg.Timeouts.Client)) {
		f.close()
		return
	}
	f.sent = !queued
	f.s.arm(w.now.Add(f.conn.LossTime()))
}

// close ends the connection at once.
func (f *frontH3) close() {
	f.conn.Close(h3.NoError, "")
	f.s.close(false)
}

// shut ends the connection and what it carries.
func (f *frontH3) shut() {
	f.abortAll(causeDraining)
	if !f.s.has(buried) {
		f.close()
	}
}

// rearm sets the deadline that applies now. That of streams which wait for their client is not set anew with every byte:
// onTimeout looks when they last moved.
func (f *frontH3) rearm() {
	s, t := f.s, f.s.fe.cfg.Timeouts
	switch {
	case s.has(buried) || f.away == h3Warned:
	case f.live > 0:
		s.arm(deadlineAfter(s.w.now, t.Client))
	case s.requests == 0:
		s.arm(deadlineAfter(s.accepted, t.HTTPRequest))
	default:
		s.arm(deadlineAfter(f.idle, s.w.keepAlive(s.fe)))
	}
}

func (f *frontH3) onTimeout() {
	switch {
	case f.away == h3Warned:
		f.away = h3Gone
		f.conn.GoAway()
		if f.live == 0 {
			f.settle()
			return
		}
		f.rearm()
	case f.away == h3Settles:
		f.onSettled()
	case f.live == 0 && f.away == h3Stays && f.s.requests == 0 && !f.begun && f.conn.Requests() > 0:
		f.begun = true
		f.s.arm(deadlineAfter(f.s.w.now, f.s.fe.cfg.Timeouts.HTTPRequest))
	case f.live == 0 && f.away == h3Stays:
		f.away = h3Gone
		f.conn.GoAway()
		f.settle()
	default:
		f.onClientTimeout()
	}
}

// onClientTimeout ends the exchanges whose client has done nothing for too long; the others live.
func (f *frontH3) onClientTimeout() {
	w, limit := f.s.w, f.s.fe.cfg.Timeouts.Client
	next := mono.Never
	for t := f.first; t != nil; {
		after := t.next
		switch due := deadlineAfter(t.moved, limit); {
		case !t.waitsForClient():
			next = min(next, deadlineAfter(w.now, limit))
		case due.After(w.now):
			next = min(next, due)
		case t.x.rsp.state == rspAwaited:
			t.x.refuse(causeClientTimeout)
		default:
			t.stream.Reset(h3.RequestCancelled)
			t.leave(causeClientTimeout)
		}
		t = after
	}
	if f.live > 0 && !f.s.has(buried) {
		f.s.arm(next)
	}
}
