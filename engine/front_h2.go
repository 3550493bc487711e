package engine

import (
	"time"

	"weir/h2"
	"weir/internal/buf"
	"weir/internal/mono"
	"weir/internal/msg"
	"weir/internal/stats"
	"weir/netio"
)

// frontH2 is the h2 mux of a session: an exchange for each stream.
type frontH2 struct {
	s       *session
	codec   *h2.Conn
	live    int  // streams with an exchange
	away    bool // GOAWAY was sent: no new streams
	opened  bool // windows were opened by what is being read
	free    *h2Front
	idle    mono.Time // since when no stream is open
	parting mono.Time // when a drain ends the connection if it is idle; zero: it does not
	stalled int       // streams whose response waits for the client
	since   mono.Time // since when nothing has moved although output waits or streams are stalled
	look    mono.Time // when to look for streams whose client owes the rest of a request
}

// h2Front is one stream seen as the front half of its exchange.
type h2Front struct {
	f       *frontH2
	stream  *h2.Stream
	x       *exchange
	body    buf.Queue // of the request, not yet taken by the exchange; bounded by the stream's window
	ended   bool      // the client has ended the request, behind what is in body
	trailed bool      // trailers are in tail
	tail    msg.Head
	blocked bool      // the response waits for a window or for room
	moved   mono.Time // when the client last sent something, or began to owe it
	next    *h2Front
}

func newFrontH2(s *session) *frontH2 {
	f := &frontH2{s: s, codec: h2.New(s.fe.h2, &s.w.h2slab), idle: s.w.now, since: s.w.now}
	s.w.headBuf = f.codec.AppendPreface(s.w.headBuf[:0], s.w.now)
	s.write(s.w.headBuf)
	s.arm(deadlineAfter(s.w.now, s.fe.cfg.Timeouts.HTTPRequest))
	s.wake()
	return f
}

func (f *frontH2) onReadable() {
	s := f.s
	if p := s.pending(); len(p) > 0 {
		f.use(p)
	}
	for i := 0; s.has(canRead) && !s.has(buried); i++ {
		if i == readsPerTurn || s.room(s.fe.bufferMax) == 0 {
			f.pace(i)
			return
		}
		b, io := s.fill(scratchBytes)
		switch io {
		case netio.OK:
			f.use(b)
		case netio.Again:
			return
		case netio.EOF:
			f.onEnd()
			return
		default:
			f.onGone()
			return
		}
	}
}

// onEnd is called when the client has ended its direction. HTTP/2 knows no half-closed connections: what was under way is
// over (RFC 9113 section 9.1 leaves closing to either side at any time).
func (f *frontH2) onEnd() {
	if f.live > 0 {
		f.onGone()
		return
	}
	f.codec.Close()
	f.s.close(false)
}

// pace stops reading: for this turn if the connection is only busy, until output has left if the client does not read what
// it asked for.
func (f *frontH2) pace(reads int) {
	if reads == readsPerTurn {
		f.s.wake()
	}
}

func (f *frontH2) use(b []byte) {
	rest := f.feed(b)
	if f.s.has(buried) {
		return
	}
	f.s.keep(rest)
	if f.opened { // by all that has come, so that updates that came together do not make a frame each
		f.opened = false
		f.resumeBlocked()
	}
	f.sendPending()
	f.rearm()
}

func (f *frontH2) feed(b []byte) []byte {
	w := f.s.w
	for {
		ev, n, err := f.codec.Recv(b, &w.streamHead, w.now)
		if err != nil {
			f.fail(err)
			return nil
		}
		b = b[n:]
		if ev.Kind == h2.EventNone {
			if n == 0 {
				return b
			}
			continue
		}
		f.on(&ev)
		if f.s.has(buried) {
			return nil
		}
	}
}

func (f *frontH2) on(ev *h2.Event) {
	switch ev.Kind {
	case h2.EventHead:
		f.onHead(ev)
	case h2.EventData:
		streamFront(ev.Stream).onData(ev)
	case h2.EventTrailers:
		t := streamFront(ev.Stream)
		t.tail.CopyFrom(&f.s.w.streamHead)
		t.ended, t.trailed = true, true
		t.pump()
	case h2.EventReset:
		streamFront(ev.Stream).leave(causeClientClosed)
	case h2.EventRefused:
		f.refused(ev)
	case h2.EventWindow, h2.EventSettings:
		f.opened = true
	}
}

// refused counts a request that the codec has answered with a reset.
func (f *frontH2) refused(ev *h2.Event) {
	f.s.w.stats.Answers[causeBadRequest.index]++
	f.s.w.stats.Fail(stats.Failure{
		UnixNano: f.s.w.wall, Frontend: f.s.fe.cfg.Name, Client: f.s.peer, Reason: causeBadRequest.word, Detail: ev.Cause.Reason,
	})
}

func streamFront(st *h2.Stream) *h2Front { return st.User.(*h2Front) }

// onHead begins an exchange.
func (f *frontH2) onHead(ev *h2.Event) {
	s, w := f.s, f.s.w
	t := f.take(ev.Stream)
	x := w.begin(s, t, mono.Time(0))
	t.x = x
	x.req.head.CopyFrom(&w.streamHead)
	f.live++
	if f.live == 1 {
		f.look = deadlineAfter(w.now, s.fe.cfg.Timeouts.Client)
	}
	if ev.TooLarge {
		x.refuse(causeHeadTooLarge)
		return
	}
	if err := msg.VetRequest(&x.req.head); err != nil {
		x.refuse(causeOf(err))
		return
	}
	if s.tls != nil && !s.tls.CoversAuthority(x.req.head.Bytes(x.req.head.Authority)) {
		x.refuse(causeMisdirected)
		return
	}
	if s.w.overloaded() {
		t.reset(h2.RefusedStream)
		t.leave(causeNoFiles)
		return
	}
	if ev.End {
		t.ended = true
	}
	if !ev.End && x.awaitsEnd() {
		return
	}
	x.start()
	if t.x == x && t.ended {
		t.pump()
	}
}

func (f *frontH2) take(st *h2.Stream) *h2Front {
	t := f.free
	if t != nil {
		f.free = t.next
		*t = h2Front{tail: t.tail}
		t.tail.Reset()
	} else {
		t = &h2Front{}
	}
	t.f, t.stream, t.moved = f, st, f.s.w.now
	t.body.Init(f.s.w.bufs)
	st.User = t
	return t
}

// onData takes a piece of the request's body: straight to the exchange if it has room, else into the stream's own queue.
// The client's windows bound what can come.
func (t *h2Front) onData(ev *h2.Event) {
	if ev.End {
		t.ended = true
	}
	if len(ev.Data) > 0 {
		t.body.Append(ev.Data)
		t.moved = t.f.s.w.now
	}
	t.pump()
}

// pump gives the exchange as much of the request as it has room for.
func (t *h2Front) pump() {
	x := t.x
	if x != nil && x.place == placeNew && !x.startEnded(t.ended, t.body.Len()) {
		return
	}
	for x != nil && t.x == x && t.ready() > 0 {
		room := x.reqRoom()
		if room <= 0 {
			if x.req.state == reqStopped {
				t.dropBody()
			}
			return
		}
		p := t.body.Bytes()
		p = p[:min(len(p), room, t.ready())]
		x.onReqData(p)
		n := len(p)
		if t.x != x {
			return
		}
		t.body.Consume(n)
		t.f.codec.Consumed(t.stream, n)
	}
	if x != nil && t.x == x && t.ended && x.req.state == reqFlowing {
		var tail *msg.Head
		if t.trailed {
			tail = &t.tail
		}
		x.onReqEnd(tail)
	}
}

// ready is how many bytes of the body may be passed on. The last byte of a body of declared length waits for the stream's
// end: if more bytes follow, the length was a lie, and the request must not look whole to a server before that is known.
func (t *h2Front) ready() int {
	n, h := t.body.Len(), &t.x.req.head
	if h.Framing == msg.BodyLength && !t.ended {
		n = min(n, int(h.Length-1-t.x.req.bytes))
	}
	return n
}

// dropBody throws away what the exchange does not want of the request.
func (t *h2Front) dropBody() {
	n := t.body.Len()
	t.body.Reset()
	t.f.codec.Consumed(t.stream, n)
}

// leave ends the stream and the exchange on it, whose client has gone.
func (t *h2Front) leave(c *cause) {
	x := t.x
	t.forget()
	if x != nil {
		x.front = goneFront{}
		x.abort(c)
	}
	t.f.ended()
}

// forget gives the stream back to the codec, which resets what is not whole.
func (t *h2Front) forget() {
	f := t.f
	t.unblock()
	t.x = nil
	t.body.Reset()
	f.codec.Forget(t.stream)
	t.stream = nil
	f.live--
	t.next, f.free = f.free, t
}

func (t *h2Front) unblock() {
	if t.blocked {
		t.blocked = false
		t.f.stalled--
	}
}

// resumeBlocked lets exchanges go on whose client has opened a window or taken output, in the order of their priority.
func (f *frontH2) resumeBlocked() {
	for f.s.frameRoom(f.s.fe.bufferMax) > 0 {
		st := f.codec.NextWritable()
		if st == nil {
			return
		}
		t := streamFront(st)
		t.unblock()
		f.since = f.s.w.now
		t.x.onRspRoom()
		if f.s.has(buried) {
			return
		}
	}
}

func (f *frontH2) onRoom() {
	f.since = f.s.w.now
	f.resumeBlocked()
	if !f.s.has(buried) && f.s.has(canRead) {
		f.s.wake()
	}
	f.sendPending()
	f.rearm()
}

// write sends p. The client's patience begins with the first byte that waits for it, not with what came before.
func (f *frontH2) write(p []byte) {
	waiting := f.stalled > 0 || f.s.backlog() > 0
	f.s.write(p)
	if !waiting {
		f.since = f.s.w.now
		f.rearm()
	}
}

// sendPending writes what the codec has to say by itself: acknowledgements, windows, resets.
func (f *frontH2) sendPending() {
	if f.s.has(buried) || !f.codec.Pending() {
		return
	}
	w := f.s.w
	w.headBuf = f.codec.AppendPending(w.headBuf[:0])
	f.write(w.headBuf)
}

// rearm sets the deadline that applies now: idle, stalled output, or the codec's own.
func (f *frontH2) rearm() {
	s := f.s
	if s.has(buried) {
		return
	}
	d := f.codec.Deadline()
	t := s.fe.cfg.Timeouts
	switch {
	case f.live == 0:
		d = min(d, f.idleDue())
	case s.backlog() > 0 || f.stalled > 0:
		d = min(d, deadlineAfter(f.since, t.Client), f.look)
	default:
		d = min(d, f.look)
	}
	s.arm(d)
}

// idleDue is when a connection without streams has been idle for too long: for its first request, for another, or for the
// client to close it.
func (f *frontH2) idleDue() mono.Time {
	t := f.s.fe.cfg.Timeouts
	switch {
	case !f.parting.IsZero():
		return f.parting
	case f.away:
		return deadlineAfter(f.idle, t.ClientFin)
	case f.s.requests == 0:
		return deadlineAfter(f.idle, t.HTTPRequest)
	}
	return deadlineAfter(f.idle, f.s.w.keepAlive(f.s.fe))
}

func (f *frontH2) onTimeout() {
	s := f.s
	if err := f.codec.Expire(s.w.now); err != nil {
		f.fail(err)
		return
	}
	if f.resumeBlocked(); s.has(buried) {
		return
	}
	if f.live > 0 && !f.look.After(s.w.now) {
		f.endOwing()
		if s.has(buried) {
			return
		}
		f.sendPending()
	}
	t := s.fe.cfg.Timeouts
	if f.live > 0 && (f.stalled == 0 && s.backlog() == 0 || deadlineAfter(f.since, t.Client).After(s.w.now)) {
		f.rearm()
		return
	}
	if f.live > 0 {
		f.onClientTimeout()
		return
	}
	switch {
	case f.idleDue().After(s.w.now): // it was a deadline of the codec's
		f.rearm()
	case !f.away && s.requests > 0: // who has never asked for anything gets no more time to
		f.goAway()
	default:
		f.lastWord()
	}
}

// onClientTimeout resets the streams whose client has taken nothing for too long; the others live.
func (f *frontH2) onClientTimeout() {
	if f.s.backlog() > 0 {
		f.onGone()
		return
	}
	f.codec.Walk(func(st *h2.Stream) {
		if t := streamFront(st); t.blocked {
			t.leave(causeClientTimeout)
		}
	})
	f.sendPending()
	f.rearm()
}

// owes reports whether nothing but the client can move the exchange: there is room for the rest of its request.
func (t *h2Front) owes() bool {
	x := t.x
	if t.ended || t.body.Len() > 0 || x.req.state != reqFlowing || x.rsp.state != rspAwaited {
		return false
	}
	return x.place == placeNew || x.place == placeAttached && x.reqRoom() > 0
}

// endOwing answers the requests whose rest has not come for too long; the other streams live. A connection may be busy with
// anything else meanwhile, so that its own deadline says nothing about them.
func (f *frontH2) endOwing() {
	w, limit := f.s.w, f.s.fe.cfg.Timeouts.Client
	f.look = deadlineAfter(w.now, limit)
	f.codec.Walk(func(st *h2.Stream) {
		t := streamFront(st)
		if !t.owes() {
			return
		}
		if due := deadlineAfter(t.moved, limit); due.After(w.now) {
			f.look = min(f.look, due)
			return
		}
		t.x.refuse(causeClientTimeout)
	})
}

// fail ends the connection because of what the client did.
func (f *frontH2) fail(err *h2.Error) {
	f.sendPending()
	f.abortAll(causeBadRequest)
	f.s.w.noteFault(f.s, err.Reason)
	f.s.linger()
}

// onGone is called when nothing can be sent to the client any more.
func (f *frontH2) onGone() {
	f.abortAll(causeClientClosed)
	f.s.hangUp(true)
}

func (f *frontH2) abortAll(c *cause) {
	f.away = true
	f.codec.Walk(func(st *h2.Stream) {
		t := streamFront(st)
		x := t.x
		t.forget()
		x.front = goneFront{}
		x.abort(c)
	})
	f.codec.Close()
}

// goAway tells the client to open no more streams here, and ends the connection when the last one is done. It takes two
// GOAWAYs: the first refuses nothing, since requests may be on their way; the second says which the last one was
// (RFC 9113 section 6.8).
func (f *frontH2) goAway() {
	if f.away {
		return
	}
	f.away = true
	w := f.s.w
	f.idle = w.now
	w.headBuf = f.codec.AppendGoAway(w.headBuf[:0], h2.MaxStreamID, h2.NoError)
	f.write(w.headBuf)
	f.rearm()
}

// goAwayIn is goAway for a drain, which does not leave it to an idle client when it closes.
func (f *frontH2) goAwayIn(wait time.Duration) {
	f.goAway()
	f.parting = f.s.w.now.Add(wait)
	f.rearm()
}

// ended is called when a stream has ended.
func (f *frontH2) ended() {
	if f.live > 0 || f.s.has(buried) {
		return
	}
	f.idle = f.s.w.now
	if f.away || f.s.w.draining || f.s.fe.retired {
		if !f.away {
			f.s.goAway(f.s.w.spread)
			return
		}
		f.lastWord()
		return
	}
	f.s.idle()
	f.rearm()
}

// lastWord sends the second GOAWAY and ends the connection.
func (f *frontH2) lastWord() {
	w := f.s.w
	w.headBuf = f.codec.AppendGoAway(w.headBuf[:0], f.codec.LastID(), h2.NoError)
	f.write(w.headBuf)
	f.codec.Close()
	f.s.linger()
}
