package engine

import (
	"weir/internal/buf"
	"weir/internal/limit"
	"weir/internal/stats"
)

// replay holds the part of a request's body that was sent on, for as long as the exchange may have to send it again.
type replay struct {
	held buf.Queue
	sent int  // of held, on the connection under way
	lost bool // more was sent than is held
}

// record holds p if it may be needed again: only requests that may be sent twice are, and h2 requests that the server
// may refuse unseen. The streams of one client share what a connection may hold.
func (r *replay) record(x *exchange, p []byte) {
	if r.lost {
		return
	}
	if x.rsp.state != rspAwaited || !x.mayReplay() || r.held.Len()+len(p) > x.way.backend.replayMax ||
		int(x.s.replays)+len(p) > x.s.fe.bufferMax {
		x.dropReplay()
		r.lost = true
		return
	}
	x.s.replays += int32(len(p))
	r.held.Append(p)
	r.sent = r.held.Len()
}

// again has everything that is held sent on the next connection.
func (r *replay) again() { r.sent = 0 }

// pump sends on what is held and was not sent on this connection, as far as there is room, and reports whether all of it
// has been.
func (r *replay) pump(b backStream) bool {
	skip := r.sent
	var pieces [16][]byte
	for _, p := range r.held.Pieces(pieces[:0]) {
		if skip >= len(p) {
			skip -= len(p)
			continue
		}
		p, skip = p[skip:], 0
		n := min(len(p), b.reqRoom())
		if n > 0 {
			b.reqData(p[:n])
			r.sent += n
		}
		if n < len(p) {
			return false
		}
	}
	return true
}

// dropReplay forgets what is held: it will not be sent again.
func (x *exchange) dropReplay() {
	if n := x.req.replay.held.Len(); n > 0 {
		x.s.replays -= int32(n)
		x.req.replay.held.Reset()
	}
}

// mayReplay reports whether a part of the request that a server may have seen can be sent again.
func (x *exchange) mayReplay() bool {
	return x.req.head.Method.Idempotent() || x.way.backend.speaksH2()
}

// retryOrAnswer is called when an attempt failed and the client has seen nothing of a response.
func (x *exchange) retryOrAnswer(c *cause) {
	if x.way.retried != nil {
		x.way.backend.cells.Retries[x.way.retried.index][stats.OutcomeFailure]++
		x.way.retried = nil
	}
	if !x.mayRetry(c) {
		if c.retry != retryNever {
			x.way.backend.cells.Retries[c.index][stats.OutcomeRefused]++
		}
		x.noteRetriesUsedUp(c)
		x.answer(c)
		return
	}
	x.way.retried = c
	x.way.retries++
	x.way.fresh = c.retry == retryReplay || c.retry == retryAnyway
	x.req.ended = false
	x.req.replay.again()
	if c.retry == retryConnect && x.way.retries >= x.way.backend.maxRetries {
		x.elsewhere()
		return
	}
	x.seek()
}

// noteRetriesUsedUp counts a hit of max-retries when that, and nothing else, keeps a failed connect from being tried again.
func (x *exchange) noteRetriesUsedUp(c *cause) {
	most := x.way.backend.maxRetries
	if c.retry != retryConnect || most == 0 || x.way.retries < most || x.req.replay.lost || x.rsp.interim {
		return
	}
	x.way.backend.limits.Retries.Hit()
	x.limited(limit.MaxRetries)
}

// elsewhere sends the exchange to another server, if there is one: the last try after failed connects.
func (x *exchange) elsewhere() {
	if t := x.way.tokens.server; t != nil {
		x.way.tokens.server = nil
		t.Release()
	}
	x.way.avoid, x.way.sticky, x.s.hold.server = x.way.server, false, nil
	x.toServer()
}

// mayRetry applies the cause's rule to this exchange.
func (x *exchange) mayRetry(c *cause) bool {
	if x.rsp.interim || x.w.stopped {
		return false
	}
	switch c.retry {
	case retryReplay:
		return x.req.head.Method.Idempotent() && !x.req.replay.lost && x.way.retries < replaysMax
	case retryAnyway:
		return !x.req.replay.lost && x.way.retries < replaysMax
	case retryConnect:
		return x.way.retries < x.way.backend.maxRetries && !x.req.replay.lost
	}
	return false
}

// replaysMax bounds how often one exchange is sent again after a server may have had a part of it. A server that ends
// every fresh connection would otherwise get it for ever.
const replaysMax = 3

// succeeded is called when a final response has begun.
func (x *exchange) succeeded() {
	if x.way.retried != nil {
		x.way.backend.cells.Retries[x.way.retried.index][stats.OutcomeSuccess]++
		x.way.retried = nil
	}
	x.way.server.responded()
}
