package engine

import (
	"weir/internal/limit"
	"weir/internal/stats"
	"weir/pool"
)

// A backend's max-conn and max-ssl-conn count idle connections too. While somebody waits for a token of theirs, no shared
// connection rests anywhere:
//
//	it becomes idle ── somebody of this worker may use it and has waited longest ──► carries that one
//	                ├─ who has waited longest is another worker's ─────────────────► moves there; closed if of no use to it
//	                └─ nobody can use it ──────────────────────────────────────────► closed: its token goes to the oldest
//	somebody begins to wait ── closes what is idle here, else asks another worker for what it has
//
// The first looks at the queue after it has shown the connection as idle, the second looks for idle connections after it has
// joined the queue: one of the two sees the other, whatever the order. Without this a request would wait for queue-timeout
// beside a connection that nobody needs.

// awaited is the queue that exchanges wait in for a new connection of the backend, nil if none waits. Those who wait for
// max-ssl-conn have passed max-conn before.
func (be *backend) awaited() *queue {
	switch {
	case be.sslQueue.Waiting() > 0:
		return be.sslQueue
	case be.connQueue.Waiting() > 0:
		return be.connQueue
	}
	return nil
}

// giveWay closes this worker's longest unused connection to the backend, if there is one.
func (be *backend) giveWay() bool {
	c := be.evict()
	if c != nil {
		c.end(stats.CauseEvicted, false)
	}
	return c != nil
}

// evict takes this worker's longest unused connection to the backend out of its pool, if there is one.
func (be *backend) evict() *backConn {
	for _, srv := range be.servers {
		if c, ok := srv.shard.Evict(); ok {
			return c
		}
	}
	return nil
}

// shed closes this worker's idle connections beyond a limit that was lowered since they were opened, whether or not anybody
// waits. Those in use finish what they carry. Two workers may find the same connection too many, and close one each.
func (be *backend) shed() {
	for (be.exceeds(be.limits.Conn) || be.secure != nil && be.exceeds(be.limits.SSLConn)) && be.giveWay() {
	}
}

// exceeds reports whether more tokens are out than there may be, those left aside that are about to come back.
func (be *backend) exceeds(c *limit.Count) bool {
	most := c.Max()
	return most > 0 && c.Current()-be.limits.Parting.Current() > most
}

// makeWay gives up idle connections of this worker until as many tokens are about to come back as are waited for, and reports
// whether it gave up any, or none was needed.
func (be *backend) makeWay() (any bool) {
	for q := be.awaited(); q != nil && int64(q.Waiting()) > be.limits.Parting.Current(); q = be.awaited() {
		c := be.evict()
		if c == nil {
			return any
		}
		any = true
		if worker, _, ok := q.Oldest(); ok && c.srv.canMove(c, worker) {
			c.srv.handOver(c, worker)
			return true // it is for one of those who wait; each of the others gives its own reason to look
		}
		c.end(stats.CauseEvicted, false)
	}
	return true
}

// makeWayNote asks a worker to give up an idle connection to a backend, because another has a request that waits for a new one.
type makeWayNote struct {
	backend string
	fresh   bool // nothing but a new one will do
}

func (n *makeWayNote) deliver(w *worker) {
	be := w.view.backend(n.backend)
	switch {
	case be == nil || be.awaited() == nil:
	case n.fresh:
		be.giveWay()
	default:
		be.makeWay()
	}
}

// askToMakeWay asks one other worker that has idle connections.
func (x *exchange) askToMakeWay() {
	be := x.way.backend
	if x.way.queue.Line(be.w.id).Len() == 1 {
		be.askToYield()
	}
	for _, srv := range be.servers {
		if worker, ok := srv.shared.pool.Richest(be.w.id, 0); ok {
			be.w.post(worker, &makeWayNote{backend: be.cfg.Name, fresh: x.way.need == pool.Never || x.private()})
			return
		}
	}
}

// passOn gives a connection that has become idle to whoever has waited longest for a new one, or closes it for that one's sake,
// unless that is x, who can use it here; nil: nobody here can. It reports whether it has.
func (srv *server) passOn(c *backConn, x *exchange) bool {
	q := srv.be.awaited()
	if q == nil || c.owner != nil {
		return false
	}
	worker, since, ok := q.Oldest()
	switch {
	case !ok: // it was served in this instant
		return false
	case x != nil && x.place == placeWaiting: // it has passed the queue, or came to it by another worker's promise
		return false
	case x != nil && x.way.queue == q && x.way.waiter.Since() <= since:
		return false
	case srv.canMove(c, worker):
		srv.handOver(c, worker)
		return true
	}
	if y := srv.waiterOf(q, since); worker == srv.w.id && y != nil && y.fits(c) && c.free() {
		srv.unawait(y)
		c.carry(y)
		return true
	}
	c.end(stats.CauseEvicted, false)
	return true
}

// waiterOf finds one of this worker's waiters by its place in a queue: who begins to wait first need not be the first to join.
func (srv *server) waiterOf(q *queue, since uint64) *exchange {
	var found *exchange
	srv.line.all(func(x *exchange) bool {
		if x.way.queue == q && x.way.waiter.Since() == since {
			found = x
		}
		return found == nil
	})
	return found
}

// canMove reports whether a connection that carries nothing can go to a worker.
func (srv *server) canMove(c *backConn, worker int) bool { return worker != srv.w.id && !c.node.Stays }

// handedOver is a connection on its way to a worker that has not asked for this one, but has the oldest of those who wait.
type handedOver struct {
	backend, server string
	given           *given
}

// handOver sends a connection that carries nothing, and that the pool does not have, to another worker.
func (srv *server) handOver(c *backConn, worker int) {
	srv.shard.Leave(&c.node)
	if g := c.surrender(); g != nil {
		srv.cells.GivenAway++
		srv.w.post(worker, &handedOver{backend: srv.be.cfg.Name, server: srv.cfg.Name, given: g})
	}
}

// deliver runs on the worker that gets the connection. If the one that it was meant for has been served meanwhile, it goes on to
// the next: each further step of its way is somebody served.
func (h *handedOver) deliver(w *worker) {
	srv := w.takerOf(h.backend, h.server, h.given)
	if srv == nil {
		h.given.discard(w)
		return
	}
	c := srv.receive(h.given)
	if c == nil {
		return
	}
	if x := srv.waiterFor(c); x != nil { // also when somebody older has come elsewhere: a connection that travels serves nobody
		srv.unawait(x)
		c.carry(x)
		return
	}
	srv.idle(c)
}

// askToYield is called where exchanges wait. An h2 connection that always carries something never rests; a worker without any
// would wait for ever beside one that has all that the backend may have. It asks the others, one after the other, for one.
func (be *backend) askToYield() {
	if workers := len(be.w.shared.workers); be.speaksH2() && workers > 1 && !be.connected() {
		be.w.post((be.w.id+1)%workers, &yieldNote{backend: be.cfg.Name, asker: be.w.id})
	}
}

// connected reports whether this worker has any shared connection to the backend, or opens one.
func (be *backend) connected() bool {
	for _, srv := range be.servers {
		if srv.shard.Used()+srv.shard.Len() > 0 {
			return true
		}
	}
	return false
}

// yieldNote goes from worker to worker until one of them lets a busy h2 connection run out.
type yieldNote struct {
	backend string
	asker   int
}

func (n *yieldNote) deliver(w *worker) {
	be := w.view.backend(n.backend)
	if w.id == n.asker || be != nil && (be.awaited() == nil || be.yield()) {
		return
	}
	w.post((w.id+1)%len(w.shared.workers), n)
}

// yield has the connection with the fewest streams carry no further ones. It closes with the last of them, and whoever has waited
// longest opens a new one. What comes meanwhile waits behind them, as it should.
func (be *backend) yield() bool {
	var fewest *backConn
	be.w.conns.each(func(c *conn) {
		b, ok := c.owner.(*backConn)
		if !ok || b.srv.be != be || b.h2 == nil || b.h2.goaway || b.h2.live == 0 || b.owner != nil || b.stage != backOpen {
			return
		}
		if fewest == nil || b.h2.live < fewest.h2.live {
			fewest = b
		}
	})
	if fewest == nil {
		return false
	}
	fewest.h2.runOut(stats.CauseEvicted)
	return true
}

// runOut has the connection carry no further streams and close with the last one.
func (b *backH2) runOut(why stats.Cause) {
	b.goaway, b.why = true, why
	b.c.srv.streams.Remove(&b.c.node)
	b.c.count(gaugeDraining)
}
