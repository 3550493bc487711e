package engine

import (
	"bytes"
	"slices"
	"time"

	"weir/h1"
	"weir/internal/buf"
	"weir/internal/limit"
	"weir/internal/mono"
	"weir/internal/msg"
	"weir/internal/stats"
	"weir/netio"
)

// frontH1 is the h1 mux of a session: one exchange at a time, in the order of the requests (RFC 9112 section 9.3.2).
//
//	       ┌────────────────────── next request ─────────────────────┐
//	       ▼                                                         │
//	h1Idle ──► h1Head ──► h1Body ──► h1Wait ──► (response written) ──┤
//	   │          │          │          └──► h1Tunnel ──┐            │
//	   └──────────┴──────────┴──────────────────────────┴──► (session lingers, closed)
type frontH1 struct {
	reader h1.Reader
	x      *exchange // set exactly while an exchange is under way
	since  mono.Time // first byte of the head being read
	state  h1State
	body   h1Coding // how the response under way is framed
	keep   bool     // the connection goes on after the response under way
	half   bool     // the client has ended its direction
	cut    bool     // the response ends short and only a RST shows it
	moved  bool     // body bytes of the request have arrived
}

type h1State uint8

const (
	h1Idle   h1State = iota // exactly when no byte of a request is here
	h1Head                  // exactly when a request's head is not complete
	h1Body                  // exactly when a request's head is complete and its body is not
	h1Wait                  // exactly when the request is whole and the response is not
	h1Tunnel                // exactly when bytes pass both ways unparsed
	h1Linger                // exactly when we have sent our last and read only to let the client read it
)

type h1Coding uint8

const (
	h1Raw        h1Coding = iota // Content-Length, none, or a tunnel
	h1Chunked                    // we make the chunks
	h1UntilClose                 // to HTTP/1.0 clients
)

func (f *frontH1) begin(s *session) {
	f.reader.InitRequests(s.fe.cfg.MaxHeadSize)
	f.state = h1Idle
	f.since = s.accepted
	s.onReadable()
}

// parses reports whether input would be used now.
func (f *frontH1) parses() bool {
	switch f.state {
	case h1Wait:
		return false
	case h1Body, h1Tunnel:
		return f.x.reqRoom() > 0
	}
	return true
}

func (f *frontH1) onReadable(s *session) {
	if p := s.pending(); len(p) > 0 && f.parses() {
		f.use(s, p)
	}
	for i := 0; s.has(canRead) && s.stage == stageServing && s.h2 == nil; i++ {
		if !f.parses() {
			f.watchHangUp(s)
			return
		}
		if i == readsPerTurn {
			s.wake()
			return
		}
		b, io := s.fill(f.readLimit(s))
		switch io {
		case netio.OK:
			f.use(s, b)
		case netio.Again:
			return
		case netio.EOF:
			f.onEnd(s)
			return
		default:
			f.onGone(s, causeClientClosed)
			return
		}
	}
}

// readLimit is how much may be read: no more of a body than the other side has room for. What little more it is at the
// least is kept, and saves reading a body byte by byte into a window that opens byte by byte.
func (f *frontH1) readLimit(s *session) int {
	if f.state == h1Body || f.state == h1Tunnel {
		return max(f.x.reqRoom(), buf.BlockBytesMin)
	}
	return scratchBytes
}

// h2Preface is what an HTTP/2 client sends first (RFC 9113 section 3.4). No HTTP/1 request can begin like it.
const h2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// speaksH2 looks at the first bytes of a cleartext connection: a client with prior knowledge begins with the preface. It
// reports whether it has come, or may be on its way.
func (f *frontH1) speaksH2(s *session, b []byte) (came, maybe bool) {
	if s.requests > 0 || f.state != h1Idle || s.tls != nil || !slices.Contains(s.bind.ALPN, "h2") {
		return false, false
	}
	if len(b) >= len(h2Preface) {
		return string(b[:len(h2Preface)]) == h2Preface, false
	}
	return false, string(b) == h2Preface[:len(b)]
}

// badPreface reports whether b, whose version was refused, is the start of a client of HTTP/2 that got its preface wrong.
// It is answered in no protocol, since it speaks none of ours (RFC 9113 section 3.4). Whoever has a slash in its first line
// has at least tried to write a target or a version of HTTP/1, and gets its 400.
func (f *frontH1) badPreface(s *session, b []byte, err *msg.Error) bool {
	if err.Fault != msg.FaultVersion || s.requests > 0 || s.tls != nil || !slices.Contains(s.bind.ALPN, "h2") {
		return false
	}
	line, _, _ := bytes.Cut(b, []byte("\r\n"))
	return bytes.IndexByte(line, '/') < 0
}

// use parses b and keeps what cannot be used yet.
func (f *frontH1) use(s *session, b []byte) {
	came, maybe := f.speaksH2(s, b)
	if came || maybe {
		s.keep(b)
		if came {
			s.begin(stats.H2)
		}
		return
	}
	rest := f.feed(s, b)
	if s.stage == stageServing {
		s.keep(rest)
		if f.state == h1Body && !f.parses() {
			s.arm(mono.Never) // the client cannot help it: reqResume makes it its turn again
		}
	}
}

// feed parses events out of b until it has no more, or the exchange has no room, or the request is whole.
func (f *frontH1) feed(s *session, b []byte) []byte {
	for {
		switch f.state {
		case h1Wait:
			return b
		case h1Tunnel:
			n := min(len(b), f.x.reqRoom())
			if n > 0 {
				f.x.onReqData(b[:n])
				f.touch(s)
			}
			return b[n:]
		case h1Idle:
			if len(b) == 0 {
				return nil
			}
			f.state, f.since = h1Head, s.w.now
			s.arm(deadlineAfter(s.w.now, s.fe.cfg.Timeouts.HTTPRequest))
		}
		room := len(b)
		if f.state == h1Body {
			room = f.x.reqRoom()
		}
		h := &s.w.inHead
		ev, n, err := f.reader.RecvUpTo(b, room, h)
		if err != nil && f.badPreface(s, b, err) {
			s.w.noteFault(s, "no preface of HTTP/2, and no HTTP/1")
			s.linger()
			return nil
		}
		if err != nil {
			f.refuse(s, causeOf(err))
			return nil
		}
		b = b[n:]
		if ev.Kind == h1.None {
			return b
		}
		f.on(s, ev, h)
		if s.stage != stageServing {
			return nil
		}
	}
}

func (f *frontH1) on(s *session, ev h1.Event, h *msg.Head) {
	switch ev.Kind {
	case h1.Head:
		f.onHead(s, h)
	case h1.Data:
		f.moved = true
		f.x.onReqData(ev.Data)
		f.touch(s)
	case h1.End:
		f.state = h1Wait
		s.arm(mono.Never)
		f.x.onReqEnd(h)
	}
}

// onHead begins an exchange.
func (f *frontH1) onHead(s *session, h *msg.Head) {
	x := s.w.begin(s, f.stream(s), f.since)
	f.x = x
	x.req.head.CopyFrom(h)
	f.moved = false
	f.state = h1Body
	if h.Framing == msg.BodyNone {
		// The codec still reports the end of a message without a body; it takes no bytes.
		f.reader.Recv(nil, h)
		f.state = h1Wait
		s.arm(mono.Never)
	} else {
		f.touch(s)
	}
	if err := msg.VetRequest(&x.req.head); err != nil {
		f.keep = false
		x.refuse(causeOf(err))
		return
	}
	f.keep = x.req.head.Flags.Has(msg.FlagKeepAlive)
	x.start()
}

// refuse answers what is not a request and ends the connection: the bytes that follow cannot be told from a body.
func (f *frontH1) refuse(s *session, c *cause) {
	f.keep = false
	if f.x == nil {
		f.x = s.w.begin(s, f.stream(s), f.since)
		f.x.req.head.Version = msg.HTTP11
	}
	f.x.req.head.Flags |= msg.FlagKeepAlive // whatever it has said, it may not be done: see bothAreDone
	f.state = h1Wait
	f.x.refuse(c)
}

// refuseUnread answers a connection that is not admitted, before any of it was read.
func (f *frontH1) refuseUnread(s *session, c *cause, axis limit.Axis) {
	f.reader.InitRequests(s.fe.cfg.MaxHeadSize)
	f.x = s.w.begin(s, f.stream(s), s.accepted)
	f.x.req.head.Version = msg.HTTP11
	if c != causeNoFiles { // there, its descriptor is needed more
		f.x.req.head.Flags |= msg.FlagKeepAlive // its request may be on its way: see bothAreDone
	}
	f.x.limited(axis)
	f.state, f.keep = h1Wait, false
	f.x.answer(c)
}

// touch moves the client's deadline: it is due to send, and it has.
func (f *frontH1) touch(s *session) {
	if f.x != nil && !f.x.rsp.tunnel {
		s.arm(deadlineAfter(s.w.now, s.fe.cfg.Timeouts.Client))
	}
}

// watchHangUp acts on a client that has gone while its exchange is under way. A half-closed client may still read, and what
// it has sent before its end is still to be served.
func (f *frontH1) watchHangUp(s *session) {
	if s.has(hungUp) {
		f.onGone(s, causeClientClosed)
		return
	}
	if f.state != h1Wait || !s.has(peerClosed) || f.half || f.x == nil || len(s.pending()) > 0 {
		return
	}
	b, io := s.fill(scratchBytes)
	switch io {
	case netio.OK:
		s.keep(b)
	case netio.Again:
	case netio.EOF:
		f.half, f.keep = true, false
		f.x.onClientHalfClosed()
	default:
		f.onGone(s, causeClientClosed)
	}
}

// onEnd is called when the client has ended its direction.
func (f *frontH1) onEnd(s *session) {
	f.half = true
	switch f.state {
	case h1Idle:
		if s.backlog() > 0 { // it still reads the last response
			s.linger()
			return
		}
		s.close(false)
	case h1Head:
		f.refuse(s, causeBadRequest)
	case h1Body:
		f.refuse(s, causeBadRequest)
	case h1Tunnel:
		f.x.onReqEnd(nil)
	}
}

// onGone is called when nothing can be sent to the client any more.
func (f *frontH1) onGone(s *session, c *cause) { f.leave(s, c, true) }

// leave ends the exchange under way and the connection, abort as in session.close.
func (f *frontH1) leave(s *session, c *cause, abort bool) {
	if f.x != nil {
		x := f.x
		f.x = nil
		x.front = goneFront{}
		x.abort(c)
	}
	s.hangUp(abort)
}

func (f *frontH1) onTimeout(s *session) {
	switch f.state {
	case h1Idle:
		if s.requests == 0 && !s.w.draining && !s.fe.retired {
			f.refuse(s, causeRequestTimeout)
			return
		}
		s.close(false)
	case h1Head:
		f.refuse(s, causeRequestTimeout)
	case h1Body:
		if f.owesNothing(s) {
			f.touch(s)
			return
		}
		f.onClientTimeout(s)
	case h1Wait:
		if f.x != nil && !f.half && s.backlog() == 0 { // it has long taken all there was: the server lets it wait
			s.arm(mono.Never)
			return
		}
		begun := f.x == nil || f.x.rsp.state != rspAwaited
		f.leave(s, causeClientTimeout, begun) // where nothing has begun a FIN cannot be taken for its end
	case h1Tunnel:
		f.onGone(s, causeClientTimeout)
	}
}

// owesNothing reports whether it is not the client's turn: nobody takes the rest of its request yet, because its exchange
// waits for a server, or the server for room. Those waits are bounded by themselves.
func (f *frontH1) owesNothing(s *session) bool {
	return f.x.req.state == reqFlowing && f.x.reqRoom() == 0 && s.backlog() == 0
}

// onClientTimeout is called when the client owes bytes of the request, or does not take those of the response.
func (f *frontH1) onClientTimeout(s *session) {
	if f.x.rsp.state == rspAwaited && !f.x.rsp.interimSent() {
		f.refuse(s, causeClientTimeout)
		return
	}
	f.onGone(s, causeClientTimeout)
}

// onRoom is called when output has left.
func (f *frontH1) onRoom(s *session) {
	if f.x == nil {
		if f.state == h1Wait { // next was told that there is no room
			f.next(s)
		}
		return
	}
	f.armWrite(s)
	f.x.onRspRoom()
}

// armWrite sets the deadline by which a client that reads slowly must have taken something.
func (f *frontH1) armWrite(s *session) {
	switch {
	case f.state == h1Body || f.x.rsp.tunnel:
	case s.backlog() > 0:
		s.arm(deadlineAfter(s.w.now, s.fe.cfg.Timeouts.Client))
	default:
		s.arm(mono.Never)
	}
}

// next makes the connection ready for another request, or ends it.
func (f *frontH1) next(s *session) {
	if s.room(outBeforeNext) == 0 {
		s.arm(deadlineAfter(s.w.now, s.fe.cfg.Timeouts.Client))
		return
	}
	f.state = h1Idle
	s.arm(deadlineAfter(s.w.now, s.w.keepAlive(s.fe)))
	if len(s.pending()) > 0 || s.has(canRead) {
		s.wake()
		return
	}
	s.idle()
}

// outBeforeNext is how much of a response may still wait in our buffers when the next pipelined request is begun.
const outBeforeNext = 16 << 10

// stateWord is what the mux is about, in one word.
func (f *frontH1) stateWord() string {
	switch {
	case f.x == nil:
		return "idle"
	case f.state == h1Tunnel:
		return "tunnel"
	case f.x.place == placeQueued || f.x.place == placeWaiting:
		return "queued"
	case f.x.rsp.state == rspFlowing:
		return "response"
	}
	return "request"
}

// onShut ends the exchange under way because the process does.
func (f *frontH1) onShut() {
	if x := f.x; x != nil {
		f.x = nil
		x.front = goneFront{}
		x.abort(causeDraining)
	}
}

// deadlineAfter is d after now; a d of zero is no deadline.
func deadlineAfter(now mono.Time, d time.Duration) mono.Time {
	if d <= 0 {
		return mono.Never
	}
	return now.Add(d)
}
