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
// this worker's at once, else another worker is asked for its own.
func (x *exchange) takeDial(c *limit.Count, q *queue) {
	be := x.way.backend
	if most := c.Max(); most > 0 && c.Current() >= most {
		if !be.giveWay() && x.squeezeIn() {
			return
		}
	}
	x.join(q)
	// Only who stands in the queue already can be sure of being seen by a worker that puts a connection to rest right now.
	if x.way.queue == q && !be.makeWay() {
		x.askToMakeWay()
	}
}

// squeezeIn has the exchange, which may open no connection, ride on an h2 connection that others were to be spared.
func (x *exchange) squeezeIn() bool {
	srv := x.way.server
	c := srv.crowded
	if c == nil || c.h2.live == 0 || !c.free() || x.private() || !x.mayRide(c) || c.node.Key() != x.poolKey() {
		return false
	}
	srv.unawait(x)
	c.carry(x)
	return true
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
