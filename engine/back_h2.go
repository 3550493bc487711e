package engine

import (
	"weir/h2"
	"weir/internal/buf"
	"weir/internal/mono"
	"weir/internal/msg"
	"weir/internal/stats"
	"weir/netio"
)

// backH2 is the h2 mux of a server connection: a stream for each exchange.
type backH2 struct {
	c      *backConn
	codec  *h2.Conn
	live   int
	goaway bool // the server takes no new streams
	opened bool // windows were opened by what is being read
	why    stats.Cause
	heard  mono.Time // when the server last sent anything
	pinged mono.Time // when a ping was sent whose answer is outstanding
	free   *h2Back
}

// h2Back is one stream seen as the back half of its exchange.
type h2Back struct {
	b       *backH2
	stream  *h2.Stream
	x       *exchange
	body    buf.Queue // of the response, not yet taken by the client; bounded by the stream's window
	ended   bool
	trailed bool
	tail    msg.Head
	got     bool // a head has arrived
	held    bool // the request asks for a tunnel, and whether the server offers any is not known yet
	next    *h2Back
}

func newBackH2(c *backConn) *backH2 {
	b := &backH2{c: c, codec: h2.New(c.srv.be.h2, &c.w.h2slab), why: stats.CausePeerClosed, heard: c.w.now}
	c.w.headBuf = b.codec.AppendPreface(c.w.headBuf[:0], c.w.now)
	c.write(c.w.headBuf)
	return b
}

// open reports whether one more stream can be opened now.
func (b *backH2) open() bool {
	return !b.goaway && !b.codec.Draining() && b.codec.FreeStreams() > 0
}

func (b *backH2) idle() bool { return b.live == 0 }

// carry opens a stream for x.
func (b *backH2) carry(x *exchange) {
	c := b.c
	t := b.free
	if t != nil {
		b.free = t.next
		tail := t.tail
		tail.Reset()
		*t = h2Back{tail: tail}
	} else {
		t = &h2Back{}
	}
	t.b, t.x = b, x
	t.body.Init(c.w.bufs)
	st, ok := b.codec.Open(t)
	if !ok {
		panic("engine: stream opened on a connection without room")
	}
	t.stream = st
	b.live++
	c.count(gaugeUsed)
	c.arm(b.codec.Deadline())
	b.show()
	x.attach(t, c)
}

// show tells the pool how many further streams the connection has room for. One where many responses wait for their
// clients is crowded: it gets further streams only when no other connection can be had (squeezeIn).
func (b *backH2) show() {
	if b.c.owner != nil || b.goaway || b.live == 0 || b.c.stage != backOpen {
		return
	}
	n := b.codec.Roomy()
	if _, over := b.c.over(); over {
		n = 0
	} else if n == 0 && b.open() {
		b.c.srv.crowded = b.c
	}
	b.c.srv.streams.Set(&b.c.node, n)
}

func (b *backH2) onReadable() {
	c := b.c
	if p := c.pending(); len(p) > 0 {
		b.use(p)
	}
	for i := 0; c.has(canRead) && !c.has(buried); i++ {
		if i == readsPerTurn {
			c.wake()
			return
		}
		p, io := c.fill(scratchBytes)
		switch io {
		case netio.OK:
			b.use(p)
		case netio.Again:
			return
		default:
			b.fail(c.causeOfEnd(io))
			return
		}
	}
}

func (b *backH2) use(p []byte) {
	b.heard = b.c.w.now
	rest := b.feed(p)
	if b.c.has(buried) {
		return
	}
	b.c.keep(rest)
	if b.opened {
		b.opened = false
		b.resumeBlocked()
	}
	b.sendPending()
	b.rearm()
}

// rearm sets the codec's deadline while streams are under way; at rest it is the pool's or a ping's.
func (b *backH2) rearm() {
	if b.live > 0 && b.pinged.IsZero() && !b.c.has(buried) {
		b.c.arm(b.codec.Deadline())
	}
}

func (b *backH2) feed(p []byte) []byte {
	w := b.c.w
	for {
		ev, n, err := b.codec.Recv(p, &w.streamHead, w.now)
		if err != nil {
			b.sendPending()
			b.c.flush()
			b.fail(stats.CauseProtocolError)
			return nil
		}
		p = p[n:]
		if ev.Kind == h2.EventNone {
			if n == 0 {
				return p
			}
			continue
		}
		b.on(&ev)
		if b.c.has(buried) {
			return nil
		}
	}
}

func streamBack(st *h2.Stream) *h2Back { return st.User.(*h2Back) }

func (b *backH2) on(ev *h2.Event) {
	switch ev.Kind {
	case h2.EventHead:
		streamBack(ev.Stream).onHead(ev)
	case h2.EventData:
		t := streamBack(ev.Stream)
		t.ended = t.ended || ev.End
		t.body.Append(ev.Data)
		t.pump()
	case h2.EventTrailers:
		t := streamBack(ev.Stream)
		t.tail.CopyFrom(&b.c.w.streamHead)
		t.ended, t.trailed = true, true
		t.pump()
	case h2.EventReset:
		streamBack(ev.Stream).onReset(ev)
	case h2.EventWindow:
		b.opened = true
	case h2.EventSettings:
		b.opened = true
		b.c.srv.noTunnels = !b.codec.PeerConnect()
		b.releaseHeld()
		if b.c.has(buried) {
			return
		}
		b.offer()
		b.show()
	case h2.EventGoAway:
		b.onGoAway(ev)
	case h2.EventPong:
		b.onPong()
	}
}

func (t *h2Back) onHead(ev *h2.Event) {
	w := t.b.c.w
	t.got = true
	h := &w.rspHead
	h.CopyFrom(&w.streamHead)
	if ev.End {
		t.ended = true
		h.Framing = msg.BodyNone
	}
	x := t.x
	if x.req.head.Flags.Has(msg.FlagUpgrade) && h.Status == 200 {
		h.Framing = msg.BodyTunnel
	}
	x.onRspHead(h)
	if t.x == x && t.ended && h.Status >= 200 {
		t.pump()
	}
}

// pump gives the exchange as much of the response as its client takes.
func (t *h2Back) pump() {
	x := t.x
	for x != nil && t.body.Len() > 0 {
		room := x.rspRoom()
		if room <= 0 {
			return
		}
		p := t.body.Bytes()
		p = p[:min(len(p), room)]
		n := len(p)
		x.onRspData(p)
		if t.x != x {
			return
		}
		t.body.Consume(n)
		t.b.codec.Consumed(t.stream, n)
	}
	if x != nil && t.ended && x.rsp.state == rspFlowing {
		var tail *msg.Head
		if t.trailed {
			tail = &t.tail
		}
		x.onRspEnd(tail)
	}
}

// onReset is called when the server has taken the stream back, or has broken its rules. REFUSED_STREAM says that it has not
// seen the request (RFC 9113 section 8.7), HTTP_1_1_REQUIRED that it would see it over HTTP/1.1 (section 7).
func (t *h2Back) onReset(ev *h2.Event) {
	x := t.x
	why := causeServerReset
	switch {
	case ev.Cause != nil:
		why = causeBadResponse
	case ev.Code == h2.HTTP11Required && x.takesH1():
		t.forget()
		x.back = goneBack{}
		x.startOver()
		t.b.settle()
		return
	case ev.Code == h2.RefusedStream:
		why = causeServerRefused
	case ev.Code == h2.Cancel && !t.got && x.pastDeadline():
		why = causeServerTimeout
	}
	t.forget()
	x.back = goneBack{}
	x.serverFailed(why)
	t.b.settle()
}

// forget gives the stream back to the codec, which resets what is not whole.
func (t *h2Back) forget() {
	b := t.b
	t.x = nil
	t.body.Reset()
	b.codec.Forget(t.stream)
	t.stream = nil
	b.live--
	t.next, b.free = b.free, t
}

// onGoAway: streams above the last one were not seen by the server and are sent again elsewhere.
func (b *backH2) onGoAway(ev *h2.Event) {
	b.goaway, b.why = true, stats.CauseGoaway
	b.c.srv.streams.Remove(&b.c.node)
	b.c.srv.shard.Remove(&b.c.node)
	if b.live > 0 {
		b.c.count(gaugeDraining)
	}
	b.codec.Walk(func(st *h2.Stream) {
		if t := streamBack(st); st.ID > ev.ID || st.ID == 0 {
			x := t.x
			t.forget()
			x.back = goneBack{}
			x.serverFailed(causeServerRefused)
		}
	})
	b.settle()
}

// fail is called when the connection is gone: with it every stream.
func (b *backH2) fail(end stats.Cause) {
	c := b.c
	if b.goaway {
		end = stats.CauseGoaway
	}
	b.goaway = true
	c.srv.streams.Remove(&c.node)
	reused := c.rested || c.node.Recycle.Uses() > 1
	b.codec.Walk(func(st *h2.Stream) {
		t := streamBack(st)
		x, got := t.x, t.got
		t.forget()
		x.back = goneBack{}
		why := causeOfBreak(end)
		if !got && reused {
			why = causeStale
			end = stats.CauseStaleOnUse
		}
		x.serverFailed(why)
	})
	x := c.w.exchanges.get(c.wanted)
	pinging := !b.pinged.IsZero()
	c.end(end, true)
	if pinging && x != nil && x.way.awaits() && x.way.server == c.srv {
		x.way.dialing = false
		x.dialStep(stepDialRate)
	}
}

// resumeBlocked lets exchanges go on whose server has opened a window or taken output.
func (b *backH2) resumeBlocked() {
	for b.c.frameRoom(b.c.srv.be.bufferMax) > 0 {
		st := b.codec.NextWritable()
		if st == nil {
			return
		}
		streamBack(st).x.onReqRoom()
		if b.c.has(buried) {
			return
		}
	}
}

func (b *backH2) onRoom() {
	b.resumeBlocked()
	b.sendPending()
}

func (b *backH2) sendPending() {
	if b.c.has(buried) || !b.codec.Pending() {
		return
	}
	w := b.c.w
	w.headBuf = b.codec.AppendPending(w.headBuf[:0])
	b.c.write(w.headBuf)
}

func (b *backH2) onTimeout() {
	if err := b.codec.Expire(b.c.w.now); err != nil {
		b.fail(stats.CauseTimeout)
		return
	}
	switch {
	case !b.pinged.IsZero():
		b.fail(stats.CausePingFailed)
	case b.live == 0:
		b.c.expire()
	default:
		b.resumeBlocked()
		b.sendPending()
		b.rearm()
	}
}

// offer gives free streams to exchanges that wait for a connection. It may have come to rest before one could wait for it.
func (b *backH2) offer() {
	srv := b.c.srv
	for b.open() && !b.c.has(buried) {
		x := srv.waiterFor(b.c)
		if x == nil {
			return
		}
		srv.unawait(x)
		srv.shard.Remove(&b.c.node)
		b.c.carry(x)
	}
}

// settle is called when a stream has ended.
func (b *backH2) settle() {
	c := b.c
	if c.stage == backClosed {
		return
	}
	if b.live > 0 {
		return
	}
	if b.goaway {
		c.end(b.why, false)
		return
	}
	c.srv.idle(c)
}

// reqHead sends the request's head. One that asks for a tunnel leaves the stream open: it has no body, but what the client
// sends after the server has agreed goes the same way (RFC 8441 section 5).
func (t *h2Back) reqHead(h *msg.Head, end bool) {
	if h.Flags.Has(msg.FlagUpgrade) && !t.mayConnect() {
		return
	}
	w, authority := t.b.c.w, h.Authority
	if authority.Len() == 0 { // HTTP/1.0 without Host: as towards h1 servers, of which few do without one
		h.Authority = h.PutString(t.b.c.srv.cfg.Address)
	}
	end = end && !h.Flags.Has(msg.FlagUpgrade)
	w.headBuf = t.b.codec.AppendHead(w.headBuf[:0], t.stream, h, end)
	h.Authority = authority
	t.b.c.write(w.headBuf)
}

// mayConnect reports whether extended CONNECT can be sent now: not before the server has offered it (RFC 8441 section 3). What
// it offers stands in its SETTINGS, for which a request on a new connection has to wait.
func (t *h2Back) mayConnect() bool {
	if t.held = !t.b.codec.PeerReady(); t.held {
		return false
	}
	if t.b.codec.PeerConnect() {
		return true
	}
	t.x.noTunnel()
	return false
}

// releaseHeld sends the requests that have waited for the server's SETTINGS.
func (b *backH2) releaseHeld() {
	for t := b.firstHeld(); t != nil && !b.c.has(buried); t = b.firstHeld() {
		x := t.x
		t.reqHead(&x.req.head, true)
		if t.x == x {
			x.onReqRoom()
		}
	}
}

func (b *backH2) firstHeld() (first *h2Back) {
	b.codec.Walk(func(st *h2.Stream) {
		if t := streamBack(st); t.held && first == nil {
			first = t
		}
	})
	return first
}

func (t *h2Back) reqData(p []byte) {
	w := t.b.c.w
	for len(p) > 0 {
		out, n := t.b.codec.AppendData(w.headBuf[:0], t.stream, p, false)
		w.headBuf = out
		if n == 0 {
			panic("engine: more request body than the stream had room for")
		}
		t.b.c.write(out)
		p = p[n:]
	}
}

func (t *h2Back) reqEnd(trailers *msg.Head) {
	if t.x.req.head.Flags.Has(msg.FlagUpgrade) && t.x.rsp.state == rspAwaited {
		return // the end of the request that asks for a tunnel is not the tunnel's
	}
	w := t.b.c.w
	if trailers != nil && len(trailers.Fields) > 0 {
		w.headBuf = t.b.codec.AppendTrailers(w.headBuf[:0], t.stream, trailers)
	} else {
		w.headBuf, _ = t.b.codec.AppendData(w.headBuf[:0], t.stream, nil, true)
	}
	t.b.c.write(w.headBuf)
}

func (t *h2Back) reqRoom() int {
	if t.held {
		return 0
	}
	n := min(t.b.codec.SendRoom(t.stream), t.b.c.frameRoom(t.b.c.srv.be.bufferMax))
	if n <= 0 {
		t.b.codec.Want(t.stream, t.b.c.w.now)
		t.b.rearm()
		return 0
	}
	return n
}

// rspResume goes on with the response, and tells the server which windows that has opened.
func (t *h2Back) rspResume() {
	b := t.b
	t.pump()
	b.sendPending()
}

// release ends the exchange on this stream; the connection lives on either way. A stream that is not whole is reset, which
// tells the server that its client has gone.
func (t *h2Back) release(clean bool) {
	b := t.b
	if t.x == nil {
		return
	}
	if clean {
		b.c.srv.streams.Prove(&b.c.node)
	}
	t.forget()
	b.sendPending()
	b.offer()
	b.show()
	b.settle()
}
