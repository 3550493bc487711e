package engine

import (
	"weir/h1"
	"weir/internal/buf"
	"weir/internal/mono"
	"weir/internal/msg"
	"weir/internal/stats"
	"weir/netio"
)

// backH1 is the h1 mux of a server connection: at most one exchange at a time.
type backH1 struct {
	reader  h1.Reader
	x       *exchange // set exactly while an exchange is attached
	body    h1Coding  // how the request under way is framed
	tunnel  bool      // bytes pass unparsed
	got     bool      // a byte of the response under way has arrived
	persist bool      // the server lets the connection live after this response
	strays  bool      // bytes have come behind the response
	failed  *cause    // why the exchange under way is given up, if that is the server's doing
}

// h1Back is a server connection seen as the back half of its exchange.
type h1Back backConn

func (b *backH1) begin() { b.reader.InitResponses(responseHeadMax) }

// responseHeadMax bounds a response's head. Servers are trusted with more than clients, since cookies and policies make
// real heads long; beyond it the response is refused as bad.
const responseHeadMax = 128 << 10

func (b *backH1) onReadable(c *backConn) {
	if p := c.pending(); len(p) > 0 && b.wants() {
		b.use(c, p)
	}
	for i := 0; c.has(canRead) && !c.has(buried); i++ {
		if b.x == nil {
			b.onIdleInput(c)
			return
		}
		if !b.wants() {
			return
		}
		if i == readsPerTurn {
			c.wake()
			return
		}
		p, io := c.fill(b.readLimit())
		switch io {
		case netio.OK:
			if c.has(unsent) {
				b.onUnasked(c)
				return
			}
			b.use(c, p)
		case netio.Again:
			return
		case netio.EOF:
			b.onEnd(c)
			return
		default:
			b.fail(c, c.causeOfEnd(io))
			return
		}
	}
}

// wants reports whether input would be used now: the head always, unless the client has yet to read what came before it; the
// body while the client takes it.
func (b *backH1) wants() bool {
	return b.x != nil && !b.x.clogged() && (b.x.rsp.state == rspAwaited || b.x.rspRoom() > 0)
}

func (b *backH1) readLimit() int {
	if b.x.rsp.state == rspAwaited {
		return scratchBytes
	}
	return max(b.x.rspRoom(), buf.BlockBytesMin)
}

// onIdleInput ends an idle connection that turned readable: the server has closed it, or sent what nobody asked for.
func (b *backH1) onIdleInput(c *backConn) {
	_, io := c.fill(1)
	switch io {
	case netio.Again:
	case netio.OK:
		c.end(stats.CauseProtocolError, true)
	default:
		c.end(c.causeOfEnd(io), false)
	}
}

// onUnasked ends a connection with bytes that had come before the request was sent: they are no answer to it. Servers say 408
// or worse when they end an idle connection, and a request may be put on it in the turn in which that arrives.
func (b *backH1) onUnasked(c *backConn) {
	if c.rested || c.node.Recycle.Uses() > 1 {
		b.fail(c, stats.CauseStaleOnUse)
		return
	}
	b.onBad(c)
}

func (b *backH1) use(c *backConn, p []byte) {
	rest := b.feed(c, p)
	if !c.has(buried) {
		c.keep(rest)
	}
}

// feed parses events out of p until it has no more or the client has no room.
func (b *backH1) feed(c *backConn, p []byte) []byte {
	for {
		x := b.x
		if x == nil { // the exchange is over; what follows was not asked for
			if len(p) > 0 {
				c.end(stats.CauseProtocolError, true)
			}
			return nil
		}
		room := len(p)
		if x.rsp.state != rspAwaited {
			room = x.rspRoom()
		}
		if b.tunnel {
			n := min(len(p), room)
			if n == 0 {
				return p
			}
			x.onRspData(p[:n])
			p = p[n:]
			continue
		}
		h := &c.w.inHead
		ev, n, err := b.reader.RecvUpTo(p, room, h)
		if err != nil {
			b.onBad(c)
			return nil
		}
		b.got = b.got || len(p) > 0
		p = p[n:]
		if ev.Kind == h1.None {
			return p
		}
		b.on(c, ev, h, len(p))
		if c.has(buried) {
			return nil
		}
	}
}

// on handles one event; after is how many bytes have been received behind it.
func (b *backH1) on(c *backConn, ev h1.Event, h *msg.Head, after int) {
	x := b.x
	switch ev.Kind {
	case h1.Head:
		final := h.Status >= 200 || h.Status == 101
		if final {
			b.tunnel = h.Framing == msg.BodyTunnel
			c.hint(h)
		}
		rh := &c.w.rspHead
		rh.CopyFrom(h)
		none := final && h.Framing == msg.BodyNone
		x.onRspHead(rh)
		b.persist = final && rh.Flags.Has(msg.FlagKeepAlive) && rh.Framing != msg.BodyClose
		if none && b.x == x {
			// The codec still reports the end of a message without a body; it takes no bytes.
			b.reader.Recv(nil, h)
			b.endResponse(c, nil, after)
		}
	case h1.Data:
		x.onRspData(ev.Data)
	case h1.End:
		b.endResponse(c, h, after)
	}
}

// endResponse passes the end on. Bytes behind it make the connection useless: they can only be taken for the next
// response.
func (b *backH1) endResponse(c *backConn, trailers *msg.Head, after int) {
	if after > 0 {
		b.persist, b.strays = false, true
	}
	b.x.onRspEnd(trailers)
}

// onBad is called when the server has sent what is not a response.
func (b *backH1) onBad(c *backConn) {
	x := b.x
	b.x = nil
	c.end(stats.CauseProtocolError, true)
	x.back = goneBack{}
	x.serverFailed(causeBadResponse)
}

// onEnd is called when the server has ended its direction.
func (b *backH1) onEnd(c *backConn) {
	x := b.x
	if b.tunnel {
		x.onRspEnd(nil)
		return
	}
	// A body that ends with its connection is whole only if TLS was ended too (RFC 9112 section 9.8).
	cut := c.tls != nil && c.tls.Truncated() && b.reader.BodyLeft() != 0
	if !cut && !b.reader.InHead() { // an end in the head is none, and fail has to be able to tell
		if kind, err := b.reader.EOF(); err == nil && kind == h1.End {
			x.onRspEnd(nil)
			return
		}
	}
	b.fail(c, stats.CausePeerClosed)
}

// fail is called when the connection is gone.
func (b *backH1) fail(c *backConn, end stats.Cause) {
	x := b.x
	b.x = nil
	if x == nil {
		c.end(end, false)
		return
	}
	why := causeOfBreak(end)
	switch {
	case b.got || x.rsp.state != rspAwaited:
		if x.rsp.state == rspAwaited && b.reader.InHead() {
			why = causeBadResponse
		}
	case c.rested || c.node.Recycle.Uses() > 1:
		why, end = causeStale, stats.CauseStaleOnUse
	}
	c.end(end, true)
	x.back = goneBack{}
	x.serverFailed(why)
}

func (b *backH1) onTimeout(c *backConn) {
	switch {
	case b.x != nil:
	case c.has(finishing):
		c.end(stats.CauseTimeout, true)
	default:
		c.expire()
	}
}

// part ends a connection whose tunnel is over in both directions: what was written last is still to be sent.
func (c *backConn) part() {
	if c.owner != nil { // whose end must not cut it short
		c.owner.dropPrivate(c)
		c.owner = nil
	}
	c.count(gaugeDraining)
	c.finish()
	c.arm(deadlineAfter(c.w.now, c.srv.be.timeouts.ServerFin))
}

func (t *h1Back) server() *backConn { return (*backConn)(t) }

func (t *h1Back) reqHead(h *msg.Head, end bool) {
	c, b := t.server(), &t.h1
	b.got, b.persist, b.strays, b.tunnel = false, false, false, false
	b.body = h1Raw
	if !end && h.Framing != msg.BodyLength {
		b.body = h1Chunked
	}
	method := h.Method
	if method == msg.MethodConnect {
		method = msg.MethodGet // of which h1 makes extended CONNECT: only a 101 answers it with a tunnel
	}
	b.reader.Expect(method, h.Flags.Has(msg.FlagUpgrade))
	w := c.w
	o := h1.RequestOptions{Close: c.lastExchange(), Host: c.srv.cfg.Address}
	if h.Version >= msg.HTTP2 && h.Flags.Has(msg.FlagUpgrade) {
		o.WebSocketKey = w.webSocketKey()
	}
	w.headBuf = h1.AppendRequest(w.headBuf[:0], h, o)
	c.set(unsent)
	c.write(w.headBuf)
	c.arm(mono.Never)
	if c.has(canRead) {
		c.wake()
	}
}

func (t *h1Back) reqData(p []byte) {
	c := t.server()
	if t.h1.body == h1Raw || t.h1.tunnel {
		c.write(p)
		return
	}
	var head [20]byte
	c.write(h1.AppendChunkHead(head[:0], len(p)))
	c.write(p)
	c.write(h1.AppendChunkEnd(head[:0]))
}

func (t *h1Back) reqEnd(trailers *msg.Head) {
	c := t.server()
	switch {
	case t.h1.tunnel:
		c.finish()
	case t.h1.body == h1Chunked:
		w := c.w
		w.headBuf = h1.AppendLastChunk(w.headBuf[:0], trailers)
		c.write(w.headBuf)
	}
}

func (t *h1Back) reqRoom() int {
	return t.server().room(t.srv.be.bufferMax)
}

func (t *h1Back) rspResume() { t.server().wake() }

// release ends the exchange on this connection.
func (t *h1Back) release(clean bool) {
	c, b := t.server(), &t.h1
	b.x = nil
	switch {
	case c.stage == backClosed:
	case clean && b.tunnel:
		c.part()
	case !clean || !b.persist || !b.reader.Idle() || c.backlog() > 0:
		c.end(b.closeCause(clean), !clean)
	default:
		c.node.Prove()
		c.srv.idle(c)
	}
}

func (b *backH1) closeCause(clean bool) stats.Cause {
	switch {
	case b.failed == causeServerTimeout:
		return stats.CauseTimeout
	case b.failed != nil:
		return stats.CauseProtocolError
	case !clean:
		return stats.CauseSessionEnd
	case !b.persist && !b.strays:
		return stats.CausePeerClosed
	}
	return stats.CauseProtocolError
}

// goneBack stands in for a server connection that is gone.
type goneBack struct{}

func (goneBack) reqHead(*msg.Head, bool) {}
func (goneBack) reqData([]byte)          {}
func (goneBack) reqEnd(*msg.Head)        {}
func (goneBack) reqRoom() int            { return 0 }
func (goneBack) rspResume()              {}
func (goneBack) release(bool)            {}
