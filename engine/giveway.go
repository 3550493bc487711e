package engine

import "weir/internal/stats"

// A backend's max-conn and max-ssl-conn count idle connections too. While somebody waits for a token of theirs, no shared
// connection rests anywhere:
//
//	it becomes idle ── somebody of this worker may use it and has waited longest ──► carries that one
//	                ├─ who has waited longest is another worker's ─────────────────► moves there; closed if of no use there
//	                └─ nobody can use it ──────────────────────────────────────────► closed: its token goes to the oldest
//	somebody begins to wait ── closes what is idle here, else asks another worker to
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
	for _, srv := range be.servers {
		if c, ok := srv.shard.Evict(); ok {
			c.end(stats.CauseEvicted, false)
			return true
		}
	}
	return false
}

// makeWay closes idle connections of this worker until nobody waits for a token, and reports whether it closed any.
func (be *backend) makeWay() (any bool) {
	for be.awaited() != nil && be.giveWay() {
		any = true
	}
	return any
}

// makeWayNote asks a worker to close idle connections to a backend, because another needs a new one.
type makeWayNote struct{ backend string }

func (n *makeWayNote) deliver(w *worker) {
	if be := w.view.backend(n.backend); be != nil {
		be.makeWay()
	}
}

// askToMakeWay asks one other worker that has idle connections.
func (be *backend) askToMakeWay() {
	for _, srv := range be.servers {
		if worker, ok := srv.shared.pool.Richest(be.w.id, 0); ok {
			be.w.post(worker, &makeWayNote{backend: be.cfg.Name})
			return
		}
	}
}

// passOn gives up a connection that has become idle for whoever has waited longest for a new one, unless that is x, who can
// use it here; nil: nobody here can. It reports whether it has.
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
	case worker == srv.w.id || c.node.Stays:
		c.end(stats.CauseEvicted, false)
	default:
		srv.handOver(c, worker)
	}
	return true
}

// handedOver is a connection on its way to a worker that has not asked for this one, but has the oldest of those who wait.
type handedOver struct {
	backend, server string
	given           *given
}

// handOver sends a connection that carries nothing to another worker.
func (srv *server) handOver(c *backConn, worker int) {
	srv.shard.Leave(&c.node)
	if g := c.surrender(); g != nil {
		srv.cells.GivenAway++
		srv.w.post(worker, &handedOver{backend: srv.be.cfg.Name, server: srv.cfg.Name, given: g})
	}
}

// deliver runs on the worker that gets the connection. It stays there: who came meanwhile elsewhere is not older by much, and a
// connection that travels serves nobody.
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
	if x := srv.waiterFor(c); x != nil {
		srv.unawait(x)
		c.carry(x)
		return
	}
	srv.put(c)
}
