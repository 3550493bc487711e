package engine

import (
	"weir/internal/config"
	"weir/internal/msg"
	"weir/pool"
)

// seek finds a server connection for an exchange whose server is chosen and whose tokens are held. The order is the
// contract's: the session's own connections, the shard's idle ones as the reuse mode permits, then a new one. An exchange
// that waits for a new connection takes any other that becomes free and fits, whichever comes first.
func (x *exchange) seek() {
	x.time.seek = x.w.now
	x.way.dialing = false
	srv := x.way.server
	if c := x.ownConnection(); c != nil {
		c.carry(x)
		return
	}
	x.way.need = x.connectionNeed()
	if x.way.need != pool.Never && !x.private() {
		if c := srv.take(x); c != nil {
			if c.wantsPing() {
				c.checkAlive(x)
				return
			}
			c.carry(x)
			return
		}
	}
	if srv.sharesDial(x) {
		srv.awaitShared(x)
		x.place = placeWaiting
		x.arm(srv.be.timeouts.Connect)
		return
	}
	srv.await(x)
	if x.askTakeover() {
		return
	}
	x.dialStep(stepDialRate)
}

// connectionNeed is the reuse mode's word on this exchange (behaviour section 4).
func (x *exchange) connectionNeed() pool.Need {
	if x.way.fresh {
		return pool.Never
	}
	return x.way.backend.policy.Admit(x.req.head.Method, x.firstRequest)
}

// private reports whether only a connection of the session's own may carry the exchange: the backend shares none, or an
// identity is tied to the connection, or the exchange may become a tunnel.
func (x *exchange) private() bool {
	b := x.way.backend.cfg
	return b.Reuse == config.ReuseNever || !b.Multiplex || b.Source == config.SourceClient ||
		b.SendProxy != config.SendProxyOff || x.s.hold.ntlm || x.req.head.Flags.Has(msg.FlagNTLM) || x.needsH1()
}

// needsH1 reports whether a server that may choose HTTP/2 must not be offered it: for an identity that is tied to the
// connection, for a tunnel if HTTP/2 is known to give none there, and when the server has said so.
func (x *exchange) needsH1() bool {
	if x.way.backend.secureH1 == nil {
		return false
	}
	f := x.req.head.Flags
	return x.way.onlyH1 || x.s.hold.ntlm || f.Has(msg.FlagNTLM) || f.Has(msg.FlagUpgrade) && x.way.server != nil && x.way.server.noTunnels
}

// takesH1 has the exchange, of which the client has seen nothing, go on over HTTP/1.1, and reports whether it can. Servers ask
// for that when they are to authenticate the connection.
func (x *exchange) takesH1() bool {
	if x.way.backend.secureH1 == nil || x.way.onlyH1 || x.req.replay.lost || x.rsp.state != rspAwaited || x.rsp.interim || x.w.stopped {
		return false
	}
	x.way.onlyH1 = true
	return true
}

// ownConnection returns a free private connection of the session to the exchange's server. One session may ask for several
// hosts: the whole key is compared here too.
func (x *exchange) ownConnection() *backConn {
	if x.way.fresh || x.s.hold.private == nil {
		return nil
	}
	key := x.ownKey()
	for c := x.s.hold.private; c != nil; c = c.sibling {
		if c.srv == x.way.server && c.stage == backOpen && c.free() && c.node.Key() == key && !(c.h2 != nil && x.needsH1()) {
			return c
		}
	}
	return nil
}

// ownKey is the key of the session's private connections that may carry x.
func (x *exchange) ownKey() pool.Key {
	key := x.poolKey()
	key.Owner = x.s.id
	return key
}

// carry puts the exchange on the connection.
func (c *backConn) carry(x *exchange) {
	c.node.Recycle.Use()
	if c.h2 != nil {
		c.h2.carry(x)
		return
	}
	c.count(gaugeUsed)
	c.h1.x = x
	x.attach((*h1Back)(c), c)
}

// free reports whether the connection can take one more exchange now.
func (c *backConn) free() bool {
	if c.h2 != nil {
		return c.h2.open()
	}
	return c.h1.x == nil
}

// connectFailed is called when the connection that was opened for this exchange did not come to be.
func (x *exchange) connectFailed(why *cause) {
	x.way.server.unawait(x)
	x.retryOrAnswer(why)
}

// onConnectTimeout is called when no connection came in time, whatever the reason.
func (x *exchange) onConnectTimeout() {
	x.way.server.unawait(x)
	x.retryOrAnswer(causeConnectTimeout)
}

// opened is called when a new connection stands. It serves the exchange that it was opened for, if that one still waits.
func (srv *server) opened(c *backConn, x *exchange) {
	srv.shard.Established(&c.node)
	srv.dialEnded(c)
	defer srv.kick()
	if x != nil && x.internal && x.way.awaits() && srv.be.cfg.Health.Path == "" {
		srv.unawait(x)
		srv.probe.connected(c)
		return
	}
	if x != nil && x.way.awaits() && x.way.server == srv {
		srv.unawait(x)
		c.carry(x)
		c.offer()
		return
	}
	srv.idle(c)
	c.offer()
}

// offer gives the free streams of a connection to exchanges that wait.
func (c *backConn) offer() {
	if c.h2 != nil && c.stage == backOpen {
		c.h2.offer()
	}
}

// idle is called when a connection has no exchange: whoever waits and may use it comes first, then the pool.
func (srv *server) idle(c *backConn) {
	if cause, over := c.over(); over {
		c.end(cause, false)
		return
	}
	x := srv.waiterFor(c)
	if srv.passOn(c, x) {
		return
	}
	if x != nil && c.free() {
		srv.unawait(x)
		c.carry(x)
		return
	}
	if c.owner != nil {
		c.count(gaugePrivate)
		c.arm(c.node.Recycle.Rest(c.w.now))
		c.rest()
		return
	}
	srv.put(c)
}

// fits reports whether the exchange, which waits for a connection to c's server, may have c.
func (x *exchange) fits(c *backConn) bool {
	if c.owner != nil {
		return c.owner == x.s && !x.way.fresh && x.ownKey() == c.node.Key()
	}
	return !x.private() && x.mayRide(c) && x.poolKey() == c.node.Key()
}

// mayRide reports whether the reuse mode lets x use c, which is idle.
func (x *exchange) mayRide(c *backConn) bool {
	switch x.way.need {
	case pool.Any:
		return true
	case pool.Proven:
		return c.node.Proven()
	}
	return c.node.Recycle.Uses() == 0
}

// poolKey is all that makes two server connections of one server different (behaviour section 4).
func (x *exchange) poolKey() pool.Key {
	return x.way.server.be.keyOf(x)
}
