package engine

import (
	"weir/h1"
	"weir/internal/limit"
	"weir/internal/mono"
	"weir/internal/msg"
)

// h1Stream is a session seen as the front half of its exchange.
type h1Stream session

func (f *frontH1) stream(s *session) frontStream { return (*h1Stream)(s) }

func (t *h1Stream) rspInterim(h *msg.Head) {
	w := t.w
	w.headBuf = h1.AppendInterim(w.headBuf[:0], h)
	t.write(w.headBuf)
	t.h1.armWrite((*session)(t))
}

func (t *h1Stream) rspHead(h *msg.Head, end bool) {
	s, f, w := (*session)(t), &t.h1, t.w
	x := f.x
	old := x.req.head.Version == msg.HTTP10
	if !f.mayKeep(s, h) {
		f.keep = false
	}
	f.body = h1Raw
	if !end && h.Framing != msg.BodyLength && h.Framing != msg.BodyTunnel {
		if old {
			f.keep, f.body = false, h1UntilClose
		} else {
			f.body = h1Chunked
		}
	}
	w.headBuf = h1.AppendResponse(w.headBuf[:0], h, h1.ResponseOptions{
		Version:   x.req.head.Version,
		KeepAlive: f.keep && old,
		Close:     !f.keep && !x.rsp.tunnel,
		Head:      x.req.head.Method == msg.MethodHead,
	})
	s.write(w.headBuf)
	if x.rsp.tunnel {
		f.state = h1Tunnel
		s.arm(mono.Never)
		s.wake()
	}
}

// mayKeep reports whether the connection can go on after this response. A client that expected a 100 and got a final
// status may or may not send the body now: nobody can tell what its next bytes are (RFC 9110 section 10.1.1). An error that
// comes before the request is whole means that its rest is not wanted; the client is told not to count on the connection.
func (f *frontH1) mayKeep(s *session, h *msg.Head) bool {
	x := f.x
	switch {
	case !f.keep || f.half || s.w.draining || s.fe.retired || s.w.shared.straits.Step() >= limit.NoKeepAlive:
		return false
	case f.state == h1Body && (x.rsp.ownAnswer || h.Framing == msg.BodyNone):
		return false // the response is over before the request: released will end the connection
	case f.state == h1Body && (h.Status >= 300 || x.req.head.Flags.Has(msg.FlagExpect100) && !x.req.continued && !f.moved):
		return false
	case x.way.forwardsClose() && !h.Flags.Has(msg.FlagKeepAlive):
		return false
	}
	return true
}

func (t *h1Stream) rspData(p []byte) {
	s := (*session)(t)
	if t.h1.body == h1Chunked && !t.h1.x.rsp.tunnel {
		var head [20]byte
		s.write(h1.AppendChunkHead(head[:0], len(p)))
		s.write(p)
		s.write(h1.AppendChunkEnd(head[:0]))
	} else {
		s.write(p)
	}
	t.h1.armWrite(s)
}

func (t *h1Stream) rspEnd(trailers *msg.Head) {
	s := (*session)(t)
	if t.h1.x.rsp.tunnel {
		s.finish()
		return
	}
	if t.h1.body == h1Chunked {
		w := t.w
		w.headBuf = h1.AppendLastChunk(w.headBuf[:0], trailers)
		s.write(w.headBuf)
	}
}

func (t *h1Stream) rspRoom() int {
	return (*session)(t).room((*session)(t).fe.bufferMax)
}

// rspCut ends the connection after what was received. Where only the end of the connection ends the body, that end is a
// RST: a FIN would say that the body is whole.
func (t *h1Stream) rspCut() {
	t.h1.keep = false
	t.h1.cut = t.h1.body == h1UntilClose
}

func (t *h1Stream) reqResume() {
	if t.h1.state == h1Body || t.h1.state == h1Tunnel {
		t.h1.touch((*session)(t)) // from here on it is the client's turn
		(*conn)(&t.conn).wake()
	}
}

// released is called when the exchange is over.
func (t *h1Stream) released() {
	s, f := (*session)(t), &t.h1
	x := f.x
	f.x = nil
	switch {
	case s.has(buried):
	case f.cut:
		s.flush()
		s.close(true)
	case x.rsp.tunnel && x.cut != nil && x.cut != causeTunnelIdle:
		s.close(true)
	case f.bothAreDone(s, x):
		s.part()
	case x.rsp.tunnel || !f.keep || f.state == h1Body:
		s.linger()
	default:
		f.next(s)
	}
}

// bothAreDone reports whether the client has said, before this response, that it would send no more, and has kept to it: then
// nothing can come that the kernel would answer with a RST, and lingering would only cost three system calls. A client of TLS
// still sends its close_notify.
func (f *frontH1) bothAreDone(s *session, x *exchange) bool {
	return f.state == h1Wait && !x.rsp.tunnel && !x.req.head.Flags.Has(msg.FlagKeepAlive) &&
		s.tls == nil && !s.has(canRead) && len(s.pending()) == 0
}

// goneFront stands in for a client that has left, so that what still happens in the exchange goes nowhere.
type goneFront struct{}

func (goneFront) rspInterim(*msg.Head)    {}
func (goneFront) rspHead(*msg.Head, bool) {}
func (goneFront) rspData([]byte)          {}
func (goneFront) rspEnd(*msg.Head)        {}
func (goneFront) rspRoom() int            { return 0 }
func (goneFront) rspCut()                 {}
func (goneFront) reqResume()              {}
func (goneFront) released()               {}
