package engine

import (
	"net/netip"

	"weir/internal/mono"
	"weir/internal/stats"
	"weir/netio"
	"weir/netio/tlsio"
	"weir/pool"
)

// Takeover: a worker that needs a connection asks the one with the most idle ones before it opens its own. The giver
// forgets the descriptor before it answers, and the taker's registration reports anew what is pending on it, so that
// nothing of the connection is ever seen by two workers or by none.
//
//	taker: seek ── takeoverAsk ──► giver: Give, Unwatch
//	taker: carry, or dial  ◄── takeoverAnswer (a connection, or none)

// takeoverAsk asks for an idle connection.
type takeoverAsk struct {
	taker           int
	x               netio.Token
	backend, server string
	key             pool.Key
	need            pool.Need
}

// takeoverAnswer brings it, or says that there is none.
type takeoverAnswer struct {
	ask   *takeoverAsk
	given *given // nil: none
}

// given is a connection between two workers: it belongs to the message.
type given struct {
	fd       int
	addr     netip.AddrPort // where it goes
	node     pool.Node[*backConn]
	openedAt mono.Time
	tokens   connTokens
	shared   *pool.Shared
	tls      *tlsio.Conn // nil: cleartext
}

// askTakeover asks the worker with the most idle connections for one, if any has more than pool-low-conn. It reports
// whether an answer will come; what the answer brings, or does not, decides whether a new connection is opened. Connections
// of HTTP/2 stay where they are.
func (x *exchange) askTakeover() bool {
	srv := x.way.server
	if x.way.need == pool.Never || x.private() || srv.be.speaksH2() && !srv.noH2 {
		return false
	}
	giver, ok := srv.shared.pool.Richest(x.w.id, srv.be.policy.LowConn)
	if !ok {
		return false
	}
	x.place = placeWaiting
	x.arm(srv.be.timeouts.Connect)
	x.w.post(giver, &takeoverAsk{
		taker: x.w.id, x: x.token, backend: srv.be.cfg.Name, server: srv.cfg.Name, key: x.poolKey(), need: x.way.need,
	})
	return true
}

// deliver runs on the giver.
func (a *takeoverAsk) deliver(w *worker) {
	answer := &takeoverAnswer{ask: a}
	if be := w.view.backend(a.backend); be != nil {
		if srv := be.server(a.server); srv != nil {
			if c, ok := srv.shard.Give(a.key, a.need, w.now); ok {
				if answer.given = c.surrender(); answer.given != nil {
					srv.cells.GivenAway++
				}
			}
		}
	}
	w.post(a.taker, answer)
}

// surrender takes an idle connection out of its worker without closing it. It returns nil, and has closed it, when TLS
// cannot be moved because something has just arrived.
func (c *backConn) surrender() *given {
	if c.tls != nil && !c.tls.Detach() {
		c.srv.shared.pool.Lost()
		c.end(stats.CauseStaleOnUse, false)
		return nil
	}
	g := &given{fd: int(c.fd), addr: c.srv.addr, openedAt: c.openedAt, tokens: c.tokens, shared: c.srv.shared.pool, tls: c.tls}
	c.tls = nil
	g.node.Inherit(nil, &c.node)
	c.tokens = connTokens{}
	c.stage = backClosed
	c.count(gaugeNone)
	c.w.k.Unwatch(int(c.fd))
	c.conn.abandon()
	return g
}

// deliver runs on the taker.
func (a *takeoverAnswer) deliver(w *worker) {
	x := w.exchanges.get(a.ask.x)
	if x != nil && (!x.way.awaits() || x.place != placeWaiting) {
		x = nil // it was served meanwhile
	}
	if a.given != nil {
		srv := w.takerOf(a.ask.backend, a.ask.server, a.given)
		switch {
		case srv == nil:
			a.given.discard(w)
		case x != nil && x.way.server == srv:
			srv.adopt(a.given, x)
			return
		default: // nobody, or a reload has come between: its server is one of before, which it still waits for
			srv.adopt(a.given, nil)
		}
	}
	if x != nil && !x.way.dialing { // it may have got tired of waiting
		x.arm(0)
		x.dialStep(stepDialRate)
	}
}

// takerOf is this worker's copy of the server that a connection is to; nil: it has the server no more, or at another address.
func (w *worker) takerOf(backend, name string, g *given) *server {
	be := w.view.backend(backend)
	if be == nil {
		return nil
	}
	if srv := be.server(name); srv != nil && g.addr == srv.addr && g.shared == srv.shared.pool {
		return srv
	}
	return nil
}

// adopt makes a given connection this worker's, for x if that is not nil.
func (srv *server) adopt(g *given, x *exchange) {
	c := srv.receive(g)
	switch {
	case c == nil && x != nil:
		x.dialStep(stepDialRate)
	case c == nil:
	case x != nil:
		srv.unawait(x)
		c.carry(x)
	default:
		srv.idle(c)
	}
}

// receive makes a given connection this worker's. nil: the kernel would not watch it, and it is closed.
func (srv *server) receive(g *given) *backConn {
	c := srv.w.backRecord()
	c.srv, c.openedAt, c.tokens, c.epoch, c.stage, c.rested = srv, g.openedAt, g.tokens, srv.epoch, backOpen, true
	c.node.Inherit(c, &g.node)
	if !srv.w.adopt(&c.conn, g.fd, c) {
		g.shared.Lost()
		c.tokens.release()
		if g.tls != nil {
			g.tls.Close()
		}
		return nil
	}
	if g.tls != nil {
		c.tls = g.tls
		c.tls.Attach(srv.w.tls, g.fd)
	}
	srv.shard.Adopt(&c.node)
	c.learnName()
	srv.cells.TakenOver++
	c.h1.begin()
	c.count(c.idleGauge())
	return c
}

// discard closes a connection whose server this worker no longer has.
func (g *given) discard(w *worker) {
	w.k.Close(g.fd)
	if g.tls != nil {
		g.tls.Close()
	}
	g.shared.Lost()
	g.tokens.release()
}

// tick does what a server's pool asks for from time to time: closing what is not needed, opening what is kept warm.
func (srv *server) tick() {
	if srv.retired {
		return
	}
	srv.settleQueue() // a backoff ends without anybody being told
	srv.shard.Tick(srv.w.now, func(c *backConn, why stats.Cause) { c.end(why, false) })
	srv.streams.Sweep()
	srv.replaceUnnamed()
	for srv.state <= stats.StateSlowStart && !srv.w.draining {
		ok, _ := srv.shard.ReserveWarm(srv.w.now)
		if !ok {
			return
		}
		if !srv.warm() {
			srv.shard.UnreserveWarm(srv.w.now)
			return
		}
	}
}

// warm opens a connection that nobody asked for yet.
func (srv *server) warm() bool {
	return srv.dial(nil, srv.be.warmKey(), nil, stats.WhyWarm) == nil
}
