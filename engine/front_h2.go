package engine

import (
	"weir/internal/buf"
	"weir/internal/mono"
	"weir/internal/msg"
	"weir/internal/stub/h2"
	"weir/netio"
)

// frontH2 is the h2 mux of a session: an exchange for each stream.
type frontH2 struct {
	s     *session
	codec *h2.Conn
	live  int  // streams with an exchange
	away  bool // GOAWAY was sent: no new streams
	held  int  // bytes of request bodies that wait for room in their exchanges
	free  *h2Front
	idle  mono.Time // since when no stream is open
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
	blocked bool // the response waits for a window or for room
	rspDone bool
	next    *h2Front
}

func newFrontH2(s *session) *frontH2 {
	f := &frontH2{s: s, codec: h2.New(s.fe.h2Config(s)), idle: s.w.now}
	s.w.headBuf = f.codec.AppendPreface(s.w.headBuf[:0])
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
		if i == readsPerTurn || s.backlog() > s.fe.bufferMax {
			f.pace(i)
			return
		}
		b, io := s.fill(scratchBytes)
		switch io {
		case netio.OK:
			f.use(b)
		case netio.Again:
			return
		default:
			f.onGone()
			return
		}
	}
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
	if !f.s.has(buried) {
		f.s.keep(rest)
		f.sendPending()
		f.rearm()
	}
}

func (f *frontH2) feed(b []byte) []byte {
	w := f.s.w
	for {
		ev, n, err := f.codec.Recv(b, &w.inHead, w.now)
		if err != nil {
			f.fail(err)
			return nil
		}
		b = b[n:]
		if ev.Kind == h2.None {
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
	case h2.Head:
		f.onHead(ev)
	case h2.Data:
		if t := streamFront(ev.Stream); t != nil {
			t.onData(ev)
		} else {
			f.codec.Consumed(ev.Stream, len(ev.Data))
		}
	case h2.Trailers:
		if t := streamFront(ev.Stream); t != nil {
			t.tail.CopyFrom(&f.s.w.inHead)
			t.ended, t.trailed = true, true
			t.pump()
		}
	case h2.Reset:
		if t := streamFront(ev.Stream); t != nil {
			t.onReset()
		}
	case h2.Window:
		f.resumeBlocked()
	}
}

func streamFront(st *h2.Stream) *h2Front {
	if st == nil {
		return nil
	}
	t, _ := st.User.(*h2Front)
	return t
}

// onHead begins an exchange.
func (f *frontH2) onHead(ev *h2.Event) {
	s, w := f.s, f.s.w
	t := f.take(ev.Stream)
	x := w.begin(s, t, mono.Time(0))
	t.x = x
	x.req.head.CopyFrom(&w.inHead)
	f.live++
	s.arm(mono.Never)
	if err := msg.VetRequest(&x.req.head); err != nil {
		x.refuse(causeOf(err))
		return
	}
	if ev.End {
		t.ended = true
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
	t.f, t.stream = f, st
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
		t.f.held += len(ev.Data)
	}
	t.pump()
}

// pump gives the exchange as much of the request as it has room for.
func (t *h2Front) pump() {
	x := t.x
	for x != nil && t.body.Len() > 0 {
		room := x.reqRoom()
		if room <= 0 {
			if x.req.state == reqStopped {
				t.dropBody()
			}
			return
		}
		p := t.body.Bytes()
		p = p[:min(len(p), room)]
		x.onReqData(p)
		n := len(p)
		if t.x != x {
			return
		}
		t.body.Consume(n)
		t.f.held -= n
		t.f.codec.Consumed(t.stream, n)
	}
	if x != nil && t.ended && x.req.state == reqFlowing {
		var tail *msg.Head
		if t.trailed {
			tail = &t.tail
		}
		x.onReqEnd(tail)
	}
}

func (t *h2Front) dropBody() {
	n := t.body.Len()
	t.body.Reset()
	t.f.held -= n
	t.f.codec.Consumed(t.stream, n)
}

// onReset is called when the client has taken the stream back, or a fault in it ended it.
func (t *h2Front) onReset() {
	x := t.x
	t.x, t.stream.User = nil, nil
	t.f.live--
	if x != nil {
		x.front = goneFront{}
		x.abort(causeClientClosed)
	}
	t.recycle()
}

func (t *h2Front) recycle() {
	t.f.held -= t.body.Len()
	t.body.Reset()
	t.next, t.f.free = t.f.free, t
}

// resumeBlocked lets exchanges go on whose client has opened a window or taken output.
func (f *frontH2) resumeBlocked() {
	if f.s.backlog() >= f.s.fe.bufferMax {
		return
	}
	f.codec.Walk(func(st *h2.Stream) {
		if t := streamFront(st); t != nil && t.blocked && t.rspRoom() > 0 {
			t.blocked = false
			t.x.onRspRoom()
		}
	})
}

func (f *frontH2) onRoom() {
	f.resumeBlocked()
	if !f.s.has(buried) && f.s.has(canRead) {
		f.s.wake()
	}
	f.sendPending()
	f.rearm()
}

// sendPending writes what the codec has to say by itself: acknowledgements, windows, resets.
func (f *frontH2) sendPending() {
	if f.s.has(buried) || !f.codec.Pending() {
		return
	}
	w := f.s.w
	w.headBuf = f.codec.AppendPending(w.headBuf[:0])
	f.s.write(w.headBuf)
}

// rearm sets the deadline that applies now: idle, stalled output, or the codec's own.
func (f *frontH2) rearm() {
	s := f.s
	if s.has(buried) {
		return
	}
	d := f.codec.Deadline()
	if d.IsZero() {
		d = mono.Never
	}
	t := s.fe.cfg.Timeouts
	switch {
	case f.live == 0 && f.away:
		d = min(d, deadlineAfter(s.w.now, t.ClientFin))
	case f.live == 0:
		d = min(d, deadlineAfter(f.idle, s.w.keepAlive(s.fe)))
	case s.backlog() > 0 || f.anyBlocked():
		d = min(d, deadlineAfter(s.w.now, t.Client))
	}
	s.arm(d)
}

// anyBlocked reports whether a response waits for the client's window.
func (f *frontH2) anyBlocked() (any bool) {
	f.codec.Walk(func(st *h2.Stream) {
		if t := streamFront(st); t != nil && t.blocked {
			any = true
		}
	})
	return any
}

func (f *frontH2) onTimeout() {
	s := f.s
	if err := f.codec.Expire(s.w.now); err != nil {
		f.fail(err)
		return
	}
	if f.live == 0 {
		if !f.away {
			f.goAway()
			return
		}
		f.close(false)
		return
	}
	f.onClientTimeout()
}

// onClientTimeout resets the streams whose client has taken nothing for too long; the others live.
func (f *frontH2) onClientTimeout() {
	if f.s.backlog() > 0 {
		f.onGone()
		return
	}
	w := f.s.w
	f.codec.Walk(func(st *h2.Stream) {
		if t := streamFront(st); t != nil && t.blocked {
			x := t.x
			t.x, st.User = nil, nil
			f.live--
			w.headBuf = f.codec.AppendReset(w.headBuf[:0], st, h2.Cancel)
			f.s.write(w.headBuf)
			x.front = goneFront{}
			x.abort(causeClientTimeout)
			t.recycle()
		}
	})
	f.ended()
}

// fail ends the connection because of what the client did.
func (f *frontH2) fail(err *h2.Error) {
	f.sendPending()
	f.abortAll(causeBadRequest)
	f.s.linger()
}

// onGone is called when nothing can be sent to the client any more.
func (f *frontH2) onGone() {
	f.abortAll(causeClientClosed)
	f.s.close(true)
}

func (f *frontH2) abortAll(c *cause) {
	f.codec.Walk(func(st *h2.Stream) {
		if t := streamFront(st); t != nil {
			x := t.x
			t.x, st.User = nil, nil
			t.body.Reset()
			x.front = goneFront{}
			x.abort(c)
		}
	})
	f.live = 0
}

// goAway tells the client to open no more streams here (RFC 9113 section 6.8) and ends the connection when the last one
// is done.
func (f *frontH2) goAway() {
	if f.away {
		return
	}
	f.away = true
	w := f.s.w
	w.headBuf = f.codec.AppendGoAway(w.headBuf[:0], h2.NoError)
	f.s.write(w.headBuf)
	f.ended()
}

func (f *frontH2) close(abort bool) { f.s.close(abort) }

// ended is called when a stream has ended.
func (f *frontH2) ended() {
	if f.live > 0 || f.s.has(buried) {
		return
	}
	f.idle = f.s.w.now
	if f.away || f.s.w.draining || f.s.fe.retired {
		if !f.away {
			f.goAway()
			return
		}
		f.s.linger()
		return
	}
	f.s.idle()
	f.rearm()
}
