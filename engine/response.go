package engine

import (
	"weir/internal/mono"
	"weir/internal/msg"
	"weir/internal/stats"
)

// onRspHead is called by the back with a head that the codec has read; h may be changed. Interim heads may come more than
// once before the final one.
func (x *exchange) onRspHead(h *msg.Head) {
	if x.time.response.IsZero() {
		x.time.response = x.w.now
	}
	if err := msg.VetResponse(h); err != nil || x.opensNone(h) {
		x.serverFailed(causeBadResponse)
		return
	}
	if h.Status < 200 && h.Status != 101 {
		x.onInterim(h)
		return
	}
	x.rsp.state, x.rsp.status = rspFlowing, h.Status
	x.rsp.tunnel = h.Framing == msg.BodyTunnel
	x.dropReplay()
	x.succeeded()
	if h.Flags.Has(msg.FlagNTLM) {
		x.makePrivate()
	}
	if x.rsp.tunnel {
		x.openTunnel(h)
	}
	x.dressResponse(h)
	x.rsp.ended = h.Framing == msg.BodyNone
	x.front.rspHead(h, x.rsp.ended)
	x.watch()
}

// onInterim passes a 1xx on. HTTP/1.0 knows none (RFC 9110 section 15.2), and a 100 nobody asked for tells a client
// nothing.
func (x *exchange) onInterim(h *msg.Head) {
	if x.req.head.Version == msg.HTTP10 || (h.Status == 100 && !x.req.head.Flags.Has(msg.FlagExpect100)) {
		return
	}
	x.rsp.interim = true
	if h.Status == 100 {
		x.req.continued = true
	}
	x.front.rspInterim(h)
	x.watch()
}

// onRspData is called by the back with at most rspRoom bytes.
func (x *exchange) onRspData(p []byte) {
	x.rsp.bytes += int64(len(p))
	x.front.rspData(p)
	x.watch()
}

// onRspEnd is called by the back when the response is whole. trailers may be nil.
func (x *exchange) onRspEnd(trailers *msg.Head) {
	x.rsp.state = rspWhole
	if !x.rsp.ended {
		x.rsp.ended = true
		x.front.rspEnd(keptTrailers(trailers))
	}
	if x.place == placeEnded {
		return
	}
	if x.rsp.tunnel {
		x.watch()
		x.settleTunnel()
		return
	}
	x.settle()
}

// keptTrailers vets a trailer section, of whatever protocol it came in, and returns what of it may cross to the other side;
// nil when nothing may.
func keptTrailers(t *msg.Head) *msg.Head {
	if t == nil {
		return nil
	}
	msg.DropTrailers(t)
	for i := range t.Fields {
		if !t.Fields[i].Drop {
			return t
		}
	}
	return nil
}

// settle ends an exchange whose response is whole. If the request is not, the server has answered early: its connection
// cannot be used again, since what is left of the request would be read as the next one.
func (x *exchange) settle() {
	clean := x.req.state == reqWhole && x.req.ended && !x.internal
	x.detach(clean)
	x.end(nil)
}

// settleTunnel ends a tunnel when both directions have.
func (x *exchange) settleTunnel() {
	if x.rsp.tunnel && x.rsp.state == rspWhole && x.req.state == reqWhole {
		x.detach(true)
		x.end(nil)
	}
}

// detach gives the server connection back.
func (x *exchange) detach(clean bool) {
	if x.back == nil {
		return
	}
	b := x.back
	x.back = nil
	x.way.server.cells.InFlight--
	b.release(clean)
}

// serverFailed is called when the server's side cannot go on: by the back, whose connection is about to close, or by the
// exchange's own deadline.
func (x *exchange) serverFailed(c *cause) {
	if x.place != placeAttached {
		return
	}
	if b, ok := x.back.(*h1Back); ok {
		b.h1.failed = c
	}
	x.detach(false)
	x.way.server.failed(c)
	if x.rsp.state != rspAwaited {
		x.cut = c
		x.front.rspCut()
		x.end(c)
		return
	}
	x.retryOrAnswer(c)
}

// abort ends the exchange because the client's side is gone or gave up. The front has already been told.
func (x *exchange) abort(c *cause) {
	if x.place == placeQueued {
		left := stats.QueueClientLeft
		if c == causeDraining {
			left = stats.QueueDraining
		}
		x.way.backend.cells.QueueRejected[left]++
	}
	x.leaveQueue()
	x.detach(false)
	x.end(c)
}

// onClientHalfClosed is called when the client has ended its direction and may still read. One that waits for its turn
// gives it up: nearly always it has gone altogether, and a place in a queue is not held for those.
func (x *exchange) onClientHalfClosed() {
	switch x.place {
	case placeQueued:
		x.way.backend.cells.QueueRejected[stats.QueueClientLeft]++
		x.refuse(causeClientClosed)
	case placeAttached, placeWaiting:
		if x.rsp.tunnel {
			return
		}
		x.s.arm(deadlineAfter(x.w.now, x.s.fe.cfg.Timeouts.ClientFin))
	}
}

// end logs and counts the exchange and gives its record back.
func (x *exchange) end(c *cause) {
	if x.place == placeEnded {
		panic("engine: exchange ended twice")
	}
	if c != nil {
		x.cut = c
	}
	x.w.wheel.Arm(&x.timer, mono.Never) // not Disarm: the record's next exchange arms it again, which costs two stores then
	x.dropReplay()
	x.way.tokens.release()
	x.place = placeEnded
	x.s.fe.cells.InFlight--
	if !x.internal {
		x.count()
		x.w.line.write(x)
	}
	x.front.released()
	x.w.exchanges.put(x)
}

// interimSent reports whether the client has seen a 1xx.
func (r *response) interimSent() bool { return r.interim }
