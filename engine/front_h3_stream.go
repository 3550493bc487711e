package engine

import (
	"weir/h3"
	"weir/internal/mono"
	"weir/internal/msg"
)

// h3Front is one stream seen as the front half of its exchange.
type h3Front struct {
	f      *frontH3
	stream *h3.Stream
	x      *exchange
	body   []*h3.Piece // of the request, not yet taken by the exchange; QUIC's flow control bounds it
	held   int         // bytes of body
	ended  bool        // the client has ended the request, behind what is in body
	tail   *h3.Piece   // the last piece, if it has trailers
	dirty  bool        // in worker.h3.dirty
	stuck  bool        // the response waits for room
	moved  mono.Time   // when the client last sent or took something

	next, before *h3Front // in frontH3.first; next also in worker.h3.free
	young        h3Links  // in worker.h3.young
}

// h3Links is a stream's place among those that were not watched yet.
type h3Links struct {
	next, before *h3Front
	in           bool
}

// h3Side is what a worker has for all its h3 sessions.
type h3Side struct {
	enc   *h3.Encoder
	dirty []*h3.Stream // with output of this turn
	young *h3Front     // streams that are not watched yet for their client's cancelling
	free  *h3Front
}

// tickH3 has the streams watched that are still there: to be told at once of a client that cancels costs more than most
// requests take, and most end before it is worth it.
func (w *worker) tickH3() {
	for w.h3.young != nil {
		t := w.h3.young
		t.grow()
		t.stream.Watch()
	}
}

// grow takes the stream out of the young ones.
func (t *h3Front) grow() {
	l, side := &t.young, &t.f.s.w.h3
	if !l.in {
		return
	}
	if l.before != nil {
		l.before.young.next = l.next
	} else {
		side.young = l.next
	}
	if l.next != nil {
		l.next.young.before = l.before
	}
	*l = h3Links{}
}

// flushH3 sends the responses of this turn. It runs last, so that a head, its body and its end go out as one.
func (w *worker) flushH3() {
	for i, st := range w.h3.dirty {
		if t := h3Exchange(st); t != nil {
			t.dirty = false
		}
		st.Flush()
		w.h3.dirty[i] = nil
	}
	w.h3.dirty = w.h3.dirty[:0]
}

func (f *frontH3) take(st *h3.Stream) *h3Front {
	side := &f.s.w.h3
	t := side.free
	if t != nil {
		side.free = t.next
	} else {
		t = &h3Front{}
	}
	*t = h3Front{f: f, stream: st, body: t.body[:0], moved: f.s.w.now, next: f.first}
	if f.first != nil {
		f.first.before = t
	}
	f.first, st.User = t, t
	t.young = h3Links{next: side.young, in: true}
	if side.young != nil {
		side.young.young.before = t
	}
	side.young = t
	if f.live++; f.live == 1 {
		if f.away == h3Settles {
			f.away = h3Gone // one of the last requests, whose head took its time
		}
		f.rearm()
	}
	return t
}

// forget takes the stream out of the session.
func (t *h3Front) forget() {
	f := t.f
	t.dropBody()
	if t.before != nil {
		t.before.next = t.next
	} else {
		f.first = t.next
	}
	if t.next != nil {
		t.next.before = t.before
	}
	t.grow()
	t.stream.User = nil
	t.stream.Finish()
	f.live--
	body := t.body
	*t = h3Front{body: body, next: f.s.w.h3.free}
	f.s.w.h3.free = t
}

// leave ends the stream and the exchange on it, whose client has gone.
func (t *h3Front) leave(c *cause) {
	f, x := t.f, t.x
	t.stream.Reset(h3.RequestCancelled)
	t.forget()
	x.front = goneFront{}
	x.abort(c)
	f.ended()
}

// onData takes a piece of the request's body.
func (t *h3Front) onData(p *h3.Piece) {
	t.moved = t.f.s.w.now
	t.ended = p.End
	if p.Trailers != nil {
		t.tail = p
	}
	t.held += len(p.Data)
	t.body = append(t.body, p)
	t.pump()
}

// pump gives the exchange as much of the request as it has room for.
func (t *h3Front) pump() {
	x := t.x
	if x.place == placeNew && !x.startEnded(t.ended, t.held) {
		return
	}
	for t.x == x && t.ready() > 0 {
		room := x.reqRoom()
		if room <= 0 {
			if x.req.state == reqStopped {
				t.dropBody()
			}
			return
		}
		p := t.body[0]
		n := min(len(p.Data), room, t.ready())
		if n > 0 {
			x.onReqData(p.Data[:n])
			if t.x != x {
				return
			}
			p.Data = p.Data[n:]
			t.held -= n
			t.stream.Taken(n)
		}
		if len(p.Data) == 0 {
			t.shift()
		}
	}
	if t.x == x && t.ended && t.held == 0 && x.req.state == reqFlowing {
		var tail *msg.Head
		if t.tail != nil {
			tail = t.tail.Trailers
		}
		x.onReqEnd(tail)
	}
}

// ready is how many bytes of the body may be passed on. The last byte of a body of declared length waits for the stream's
// end: if more bytes follow, the length was a lie, and the request must not look whole to a server before that is known.
func (t *h3Front) ready() int {
	n, h := t.held, &t.x.req.head
	if h.Framing == msg.BodyLength && !t.ended {
		n = min(n, int(h.Length-1-t.x.req.bytes))
	}
	return n
}

// shift gives the first piece back, unless its trailers are still needed.
func (t *h3Front) shift() {
	p := t.body[0]
	if p != t.tail {
		p.Free()
	}
	t.body = t.body[:copy(t.body, t.body[1:])]
}

// dropBody throws away what the exchange has not taken of the request.
func (t *h3Front) dropBody() {
	t.stream.Taken(t.held)
	t.held = 0
	for len(t.body) > 0 {
		t.shift()
	}
	if t.tail != nil {
		t.tail.Free()
		t.tail = nil
	}
}

// onRoom is called when QUIC can take more of the response.
func (t *h3Front) onRoom() {
	t.moved = t.f.s.w.now
	if t.stuck {
		t.stuck = false
		t.x.onRspRoom()
	}
}

// waitsForClient reports whether it is the client's turn.
func (t *h3Front) waitsForClient() bool {
	x := t.x
	switch {
	case x.rsp.tunnel:
		return false // both sides may be silent; the exchange has a deadline of its own
	case t.stuck:
		return true
	case x.place == placeNew:
		return true
	}
	return !t.ended && t.held == 0 && x.req.state == reqFlowing && x.rsp.state == rspAwaited && x.reqRoom() > 0
}

func (t *h3Front) touch() {
	if !t.dirty {
		t.dirty = true
		w := t.f.s.w
		w.h3.dirty = append(w.h3.dirty, t.stream)
	}
}

func (t *h3Front) encoder() *h3.Encoder {
	side := &t.f.s.w.h3
	if side.enc == nil {
		side.enc = h3.NewEncoder()
	}
	return side.enc
}

// rspInterim leaves an interim response out when the client reads nothing, as in HTTP/2.
func (t *h3Front) rspInterim(h *msg.Head) {
	if t.stream.Room() == 0 {
		return
	}
	t.stream.SendHead(t.encoder(), h, false)
	t.touch()
}

func (t *h3Front) rspHead(h *msg.Head, end bool) {
	if t.x.way.forwardsClose() && !h.Flags.Has(msg.FlagKeepAlive) {
		t.f.goAway()
	}
	t.stream.SendHead(t.encoder(), h, end)
	t.touch()
}

func (t *h3Front) rspData(p []byte) {
	t.stream.SendData(p)
	t.touch()
}

func (t *h3Front) rspEnd(trailers *msg.Head) {
	t.stream.SendTrailers(t.encoder(), trailers)
	t.touch()
}

func (t *h3Front) rspRoom() int {
	n := t.stream.Room()
	if n <= 0 && !t.stuck {
		t.stuck, t.moved = true, t.f.s.w.now
		t.f.s.onFull(t.f.s.fe.bufferMax)
	}
	return n
}

func (t *h3Front) rspCut() { t.stream.Reset(h3.InternalError) }

func (t *h3Front) reqResume() { t.pump() }

// released is called when the exchange is over. What is left of the request is not wanted: the client is told, without an
// error (RFC 9114 section 4.1).
func (t *h3Front) released() {
	f := t.f
	t.forget()
	f.ended()
}
