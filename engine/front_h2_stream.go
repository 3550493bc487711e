package engine

import (
	"weir/h2"
	"weir/internal/msg"
)

// rspInterim leaves an interim response out when the client reads nothing: it is not worth to be waited for, and HEADERS have
// no flow control that would bound what a server makes of them.
func (t *h2Front) rspInterim(h *msg.Head) {
	if t.f.s.frameRoom(t.f.s.fe.bufferMax) > 0 {
		t.send(h, false)
	}
}

func (t *h2Front) rspHead(h *msg.Head, end bool) {
	if t.x.way.forwardsClose() && !h.Flags.Has(msg.FlagKeepAlive) {
		t.f.goAway()
	}
	t.send(h, end)
}

func (t *h2Front) send(h *msg.Head, end bool) {
	w := t.f.s.w
	w.headBuf = t.f.codec.AppendHead(w.headBuf[:0], t.stream, h, end)
	t.f.write(w.headBuf)
}

func (t *h2Front) rspData(p []byte) {
	w := t.f.s.w
	for len(p) > 0 {
		out, n := t.f.codec.AppendData(w.headBuf[:0], t.stream, p, false)
		w.headBuf = out
		if n == 0 {
			panic("engine: more response body than the stream had room for")
		}
		t.f.write(out)
		p = p[n:]
	}
}

func (t *h2Front) rspEnd(trailers *msg.Head) {
	w := t.f.s.w
	if trailers != nil && len(trailers.Fields) > 0 {
		w.headBuf = t.f.codec.AppendTrailers(w.headBuf[:0], t.stream, trailers)
	} else {
		w.headBuf, _ = t.f.codec.AppendData(w.headBuf[:0], t.stream, nil, true)
	}
	t.f.write(w.headBuf)
}

// rspRoom is what the client's windows and our buffer take at once: a response is never taken from its server earlier, so
// that a stream that is not read costs no memory and stops no other.
func (t *h2Front) rspRoom() int {
	n := min(t.f.codec.SendRoom(t.stream), t.f.s.frameRoom(t.f.s.fe.bufferMax))
	if n <= 0 {
		f := t.f
		f.codec.Want(t.stream, f.s.w.now)
		if !t.blocked {
			t.blocked = true
			f.stalled++
			if f.stalled == 1 {
				f.since = f.s.w.now
			}
			f.rearm()
		}
		return 0
	}
	return n
}

func (t *h2Front) rspCut() { t.reset(h2.InternalError) }

func (t *h2Front) reset(code h2.ErrCode) {
	w := t.f.s.w
	w.headBuf = t.f.codec.AppendReset(w.headBuf[:0], t.stream, code)
	t.f.write(w.headBuf)
}

// reqResume goes on with the request. The windows that this opens are all that makes a client go on which waits for them:
// nothing of it is being read now that would send them along.
func (t *h2Front) reqResume() {
	f := t.f
	t.moved = f.s.w.now // from here on it is the client's turn
	t.pump()
	f.sendPending()
}

// released is called when the exchange is over. What is left of the request is not wanted: forgetting the stream tells the
// client, without an error (RFC 9113 section 8.1).
func (t *h2Front) released() {
	f := t.f
	t.forget()
	f.sendPending()
	f.ended()
}
