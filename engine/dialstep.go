package engine

import (
	"weir/internal/limit"
	"weir/internal/stats"
)

// connTokens are what a server connection holds of the counter table for as long as it is open.
type connTokens struct {
	fd   *limit.Count
	conn *limit.Count // of the backend's max-conn
	ssl  *limit.Count // of the backend's max-ssl-conn
}

// takeFrom moves the tokens that an exchange has collected to the connection that is opened for it.
func (t *connTokens) takeFrom(x *tokens) {
	t.conn, t.ssl = x.conn, x.ssl
	x.conn, x.ssl = nil, nil
}

// release gives everything back.
func (t *connTokens) release() {
	for _, c := range [...]**limit.Count{&t.fd, &t.conn, &t.ssl} {
		if *c != nil {
			(*c).Release()
			*c = nil
		}
	}
}

// tryTake takes what a connection needs that nobody waits for, or nothing.
func (t *connTokens) tryTake(be *backend) bool {
	if t.conn == nil {
		if !be.limits.Conn.TryAcquire() {
			return false
		}
		t.conn = be.limits.Conn
	}
	if be.secure != nil && t.ssl == nil {
		if !be.limits.SSLConn.TryAcquire() {
			t.release()
			return false
		}
		t.ssl = be.limits.SSLConn
	}
	return true
}

// dialStep takes the exchange through the limits on new connections, from the given step on, to a connect.
func (x *exchange) dialStep(s step) {
	be := x.way.backend
	x.way.step = s
	for {
		switch x.way.step {
		case stepDialRate:
			p := pass{at: x.w.now}
			if !x.reserve(be.limits, limit.MaxConnRate, &p) {
				return
			}
			if be.secure != nil && !x.reserve(be.limits, limit.MaxSSLRate, &p) {
				return
			}
			if p.at.After(x.w.now) {
				x.waitRate(&p)
				return
			}
			x.way.step = stepDialConn
		case stepDialConn:
			x.takeDial(be.limits.Conn, be.connQueue)
			return
		case stepDialSSL:
			if be.secure != nil {
				x.takeDial(be.limits.SSLConn, be.sslQueue)
				return
			}
			x.way.step = stepDial
		case stepDial:
			x.open()
			return
		}
	}
}

// takeDial takes a token for a new connection, or waits for one. When none is free an idle connection gives way: one of
// this worker's at once, else another worker is asked for one of its own.
func (x *exchange) takeDial(c *limit.Count, q *queue) {
	if most := c.Max(); most > 0 && c.Current() >= most && !x.way.backend.giveWay() {
		x.way.backend.askToGiveWay()
	}
	x.join(q)
}

// giveWay closes this worker's longest unused connection to the backend, if there is one.
func (be *backend) giveWay() bool {
	for _, srv := range be.servers {
		if c, ok := srv.shard.Evict(); ok {
			c.end(stats.CauseEvicted, false)
			return true
		}
	}
	return false
}

// giveWayNote asks a worker to close an idle connection to a backend, because another needs a new one.
type giveWayNote struct{ backend string }

func (n *giveWayNote) deliver(w *worker) {
	if be := w.view.backend(n.backend); be != nil {
		be.giveWay()
	}
}

// askToGiveWay asks one other worker that has idle connections.
func (be *backend) askToGiveWay() {
	for _, srv := range be.servers {
		if worker, ok := srv.shared.pool.Richest(be.w.id, 0); ok {
			be.w.post(worker, &giveWayNote{backend: be.cfg.Name})
			return
		}
	}
}

// open opens a connection for the exchange, which holds all tokens for it.
func (x *exchange) open() {
	srv := x.way.server
	x.place, x.way.dialing = placeWaiting, true
	x.arm(srv.be.timeouts.Connect)
	why := stats.WhyDemand
	var owner *session
	switch {
	case x.way.retried != nil:
		why = stats.WhyRetry
	case x.private():
		why = stats.WhyPrivate
	}
	if x.private() {
		owner = x.s
	}
	if c := srv.dial(x, x.poolKey(), owner, why); c != nil && x.place == placeWaiting {
		x.leaveQueue()
		x.way.tokens.releaseDial()
		x.retryOrAnswer(c)
	}
}
