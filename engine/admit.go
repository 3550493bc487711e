package engine

import (
	"slices"
	"time"

	"weir/internal/limit"
	"weir/internal/mono"
	"weir/internal/stats"
)

// tokens are what an exchange holds of the counter table.
type tokens struct {
	server *limit.Count // of its server's max-conn
	conn   *limit.Count // of the backend's max-conn, on the way to a new connection
	ssl    *limit.Count // of the backend's max-ssl-conn, on the way to a new connection
}

// release gives everything back.
func (t *tokens) release() {
	if t.server != nil {
		t.server.Release()
		t.server = nil
	}
	t.releaseDial()
}

// releaseDial gives back what was taken for a connection that was not opened after all.
func (t *tokens) releaseDial() {
	if t.conn != nil {
		t.conn.Release()
		t.conn = nil
	}
	if t.ssl != nil {
		t.ssl.Release()
		t.ssl = nil
	}
}

// step says what an exchange does between routing and having a connection.
//
//	stepSession ──► stepServer ──► stepPool ──► stepDialRate ──► stepDialConn ──► stepDialSSL ──► stepDial
//	 (rates of       (server's      (idle or      (max-conn-rate,   (max-conn)      (max-ssl-conn)
//	  sessions)       max-conn)      free stream)  max-ssl-rate)
type step uint8

const (
	stepSession  step = iota // exactly when the session's first exchange waits for a rate
	stepServer               // exactly when it waits for a server with room
	stepPool                 // exactly when its server is chosen and its token is held
	stepDialRate             // exactly when its new connection waits for a rate
	stepDialConn             // exactly when its new connection waits for a token of max-conn
	stepDialSSL              // exactly when its new connection waits for a token of max-ssl-conn
	stepDial                 // exactly when a connection is being opened for it
)

// admit takes the exchange through the limits on sessions and to a server with room.
func (x *exchange) admit() {
	x.hintEarly()
	x.way.until = mono.Never
	if d := queueTimeout(x.way.backend.timeouts, x.way.backend.limits); d > 0 {
		x.way.until = x.w.now.Add(d)
	}
	x.way.step = stepSession
	if x.passSession() {
		x.toServer()
	}
}

// passSession takes passes of the rates that count sessions: at the frontend with a session's first request, at the
// backend with the first one that is routed there.
func (x *exchange) passSession() bool {
	p := pass{at: x.w.now}
	if x.firstRequest {
		for _, a := range [...]*limit.Attachment{x.w.view.global, x.s.fe.limits} {
			if !x.reserve(a, limit.MaxSessRate, &p) {
				return false
			}
		}
	}
	if x.s.firstTo(x.way.backend) {
		for _, axis := range [...]limit.Axis{limit.MaxSessRate, limit.RateLimitSessions} {
			if !x.reserve(x.way.backend.limits, axis, &p) {
				return false
			}
		}
	}
	if p.at == x.w.now {
		return true
	}
	x.waitRate(&p)
	return false
}

// reserve takes a pass of one rate; the latest of them is in p. Without a pass within the queue's patience the exchange is
// answered.
func (x *exchange) reserve(a *limit.Attachment, axis limit.Axis, p *pass) bool {
	patience := x.patience()
	if a != x.way.backend.limits {
		patience = x.s.patienceFrom(x.w.now, a)
	}
	at, ok := a.Rate(axis).Reserve(x.w.now, patience)
	if !ok {
		x.limited(axis)
		c := causeRateLimited[axis]
		if c == nil {
			c = causeLimit[axis]
		}
		x.giveUp(c)
		return false
	}
	p.later(at, a, axis)
	return true
}

// patience is how long the exchange may still wait in queues.
func (x *exchange) patience() time.Duration {
	if x.way.until == mono.Never {
		return time.Duration(mono.Never / 2)
	}
	return max(x.way.until.Sub(x.w.now), 0)
}

// limited notes which axis the exchange has met.
func (x *exchange) limited(axis limit.Axis) { x.way.axis, x.way.limited = axis, true }

// waitRate waits until at. Time is known beforehand, so that no queue is needed but a place in its depth.
func (x *exchange) waitRate(p *pass) {
	x.limited(p.axis)
	places := p.from.Places
	if !places.TryAcquire() {
		x.reject(stats.QueueFull)
		return
	}
	x.way.places = places
	x.beginWait()
	x.arm(p.at.Sub(x.w.now))
}

// beginWait counts the exchange in the queue's length.
func (x *exchange) beginWait() {
	if x.place != placeQueued {
		x.place = placeQueued
		x.time.queued = x.w.now
		x.way.backend.cells.QueueLength++
	}
}

// gotTurn ends a wait that was worth it.
func (x *exchange) gotTurn() {
	if x.place == placeQueued {
		x.way.backend.cells.QueueWait.Observe(int64(x.w.now.Sub(x.time.queued)))
	}
	x.endWait()
}

// endWait takes the exchange out of the queue's length.
func (x *exchange) endWait() {
	if x.way.places != nil {
		x.way.places.Release()
		x.way.places = nil
	}
	if x.place == placeQueued {
		x.place = placeNew
		x.way.backend.cells.QueueLength--
		x.time.dequeued += x.w.now.Sub(x.time.queued)
	}
}

// toServer chooses a server and takes a token of its max-conn, or waits for one.
func (x *exchange) toServer() {
	x.way.step = stepServer
	srv := x.choose()
	if srv == nil {
		x.awaitServer()
		return
	}
	x.way.server = srv
	if x.way.backend.queue.Waiting() > 0 {
		srv.settleQueue() // those who wait come first, also when the server has just ended its backoff
	}
	if srv.shared.inflight.TryAcquire() {
		x.way.tokens.server = srv.shared.inflight
		x.seek()
		return
	}
	if other := x.withRoom(); other != nil {
		x.way.server = other
		x.way.tokens.server = other.shared.inflight
		x.seek()
		return
	}
	q := x.way.backend.queue
	if x.bound() || x.way.avoid != nil {
		q = srv.queue
	}
	x.join(q)
}

// awaitServer is called when no server can be given the exchange. One that only backs off after errors will be tried again
// soon: the exchange waits for that as it would in a queue, so that a server's restart costs time and not errors.
func (x *exchange) awaitServer() {
	soonest := mono.Never
	for _, s := range x.way.backend.servers {
		if s.state <= stats.StateSlowStart && s.weight > 0 && s.addr.IsValid() && s != x.way.avoid {
			soonest = min(soonest, s.shared.pool.Backoff.Until())
		}
	}
	if soonest == mono.Never || soonest > x.way.until {
		x.giveUp(causeNoServer)
		return
	}
	places := x.way.backend.limits.Places
	if !places.TryAcquire() {
		x.reject(stats.QueueFull)
		return
	}
	x.way.places = places
	x.beginWait()
	x.arm(max(soonest.Sub(x.w.now), 1))
}

// withRoom finds a server that has room, if the exchange is free to go to any.
func (x *exchange) withRoom() *server {
	if x.bound() {
		return nil
	}
	be := x.way.backend
	start := be.spin()
	for i := range be.servers {
		srv := be.servers[(start+i)%len(be.servers)]
		if srv != x.way.server && srv != x.way.avoid && srv.balanceable() && srv.shared.inflight.TryAcquire() {
			return srv
		}
	}
	return nil
}

// bound reports whether the exchange must go to the server that was chosen.
func (x *exchange) bound() bool {
	return x.way.sticky || x.s.hold.server != nil && x.s.hold.server == x.way.server
}

// join lines the exchange up in a queue, or answers it if there is no place.
func (x *exchange) join(q *queue) {
	x.way.waiter.Tag = uint64(x.token)
	until := x.way.until
	if until == mono.Never {
		until = 0
	}
	joined := q.Line(x.w.id).Join(&x.way.waiter, x.w.now, until)
	if q.named && joined != limit.Acquired {
		x.limited(q.axis)
	}
	switch joined {
	case limit.Acquired:
		x.granted(x.way.waiter.Count())
	case limit.Queued:
		x.way.queue = q
		x.beginWait()
		x.arm(x.waitLeft())
	case limit.Full:
		x.reject(stats.QueueFull)
	case limit.Late:
		x.reject(stats.QueueTimeout)
	}
}

func (x *exchange) waitLeft() time.Duration {
	if x.way.until == mono.Never {
		return 0
	}
	return max(x.way.until.Sub(x.w.now), 1)
}

// reject answers an exchange that got no place or no turn.
func (x *exchange) reject(why stats.QueueReason) {
	x.way.backend.cells.QueueRejected[why]++
	if why == stats.QueueFull {
		x.giveUp(causeQueueFull)
		return
	}
	x.giveUp(causeQueueTimeout)
}

// giveUp leaves whatever the exchange waits in and answers it.
func (x *exchange) giveUp(c *cause) {
	x.leaveQueue()
	x.answer(c)
}

// granted is called with the token that the exchange has waited for.
func (x *exchange) granted(c *limit.Count) {
	x.way.queue = nil
	x.gotTurn()
	x.arm(0)
	switch x.way.step {
	case stepServer:
		srv := x.serverOf(c)
		if srv == nil { // a reload has taken it away meanwhile
			c.Release()
			x.toServer()
			return
		}
		if !x.accepts(srv) { // it has gone down, or was taken out of use
			srv.settleQueue()
			c.Release()
			x.toServer()
			return
		}
		x.way.tokens.server, x.way.server = c, srv
		x.seek()
	case stepDialConn:
		x.way.tokens.conn = c
		x.dialStep(stepDialSSL)
	case stepDialSSL:
		x.way.tokens.ssl = c
		x.dialStep(stepDial)
	}
}

// accepts reports whether a server that the exchange has waited for may still be given it.
func (x *exchange) accepts(srv *server) bool {
	if x.bound() && srv == x.way.server {
		return srv.persistable()
	}
	return srv.balanceable()
}

// serverOf finds the server of a token that the exchange has waited for. A reload may have made its backend anew.
func (x *exchange) serverOf(c *limit.Count) *server {
	if srv := x.way.backend.serverOf(c); srv != nil {
		return srv
	}
	be := x.w.view.backend(x.way.backend.cfg.Name)
	if be == nil {
		return nil
	}
	srv := be.serverOf(c)
	if srv != nil {
		x.way.backend = be
	}
	return srv
}

// serverOf finds the server of a token.
func (be *backend) serverOf(c *limit.Count) *server {
	for _, s := range be.servers {
		if s.shared.inflight == c {
			return s
		}
	}
	return nil
}

// leaveQueue takes the exchange out of everything that it waits in.
func (x *exchange) leaveQueue() {
	if q := x.way.queue; q != nil {
		x.way.queue = nil
		q.Line(x.w.id).Leave(&x.way.waiter)
	}
	x.endWait()
	if x.way.awaits() {
		x.way.server.unawait(x)
	}
}

// onQueueTimeout is called when the exchange's pass has come, or its patience has run out.
func (x *exchange) onQueueTimeout() {
	if x.way.queue == nil { // waited for a rate
		x.gotTurn()
		if x.way.step <= stepServer {
			x.toServer()
			return
		}
		x.dialStep(stepDialConn)
		return
	}
	x.leaveQueue()
	x.reject(stats.QueueTimeout)
}

// firstTo reports whether this is the session's first exchange for a backend, and remembers that it is not any more.
func (s *session) firstTo(be *backend) bool {
	switch {
	case s.hold.routed == be.cells:
		return false
	case s.hold.routed == nil:
		s.hold.routed = be.cells
		return true
	case s.rare != nil && slices.Contains(s.rare.routed, be.cells):
		return false
	}
	r := s.rarely()
	r.routed = append(r.routed, be.cells)
	return true
}
