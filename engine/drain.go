package engine

import (
	"slices"
	"time"

	"weir/internal/mono"
	"weir/internal/stats"
)

// drainSpread is the longest time over which idle clients are sent away, so that they do not all come back to another
// machine at once.
const drainSpread = 5 * time.Second

// spreadOf is that time where hard bounds the whole; 0: nothing does.
func spreadOf(hard time.Duration) time.Duration {
	if hard > 0 {
		return min(drainSpread, hard/4)
	}
	return drainSpread
}

// drain stops accepting and sends clients away as they become idle. hard bounds the whole drain; 0: nothing does.
func (w *worker) drain(hard time.Duration) {
	w.draining = true
	for _, l := range w.view.listeners {
		w.closeListener(l)
	}
	w.view.listeners = nil
	w.spread = spreadOf(hard)
	w.eachSession(func(s *session) { s.goAway(w.spread) })
	for _, be := range w.view.backends {
		for _, srv := range be.servers {
			srv.closeIdle(stats.CauseDrain)
		}
	}
}

// goAway ends a session when it is idle, within spread; one that is busy learns of it with its next response. None is ended
// in the first part of that time: a client between two requests is to find its connection open.
func (s *session) goAway(spread time.Duration) {
	if s.stage != stageServing {
		return
	}
	wait := spread/8 + time.Duration(s.w.rand.below(int64(spread-spread/8)))
	if s.requests == 0 { // its first request may be on the wire
		wait += min(firstRequestGrace, 2*spread)
	}
	switch {
	case s.h2 != nil:
		s.h2.goAwayIn(wait)
	case s.h3 != nil:
		s.h3.goAwayIn(wait)
	case s.h1.state == h1Idle:
		s.arm(s.w.now.Add(wait))
	}
}

// firstRequestGrace is how long a connection that was accepted just before a drain has for its first request.
const firstRequestGrace = time.Second

// eachSession calls f for the client connections of the worker.
func (w *worker) eachSession(f func(*session)) {
	w.conns.each(func(c *conn) {
		if s, ok := c.owner.(*session); ok && !c.has(buried) {
			f(s)
		}
	})
}

// sessionsLeft is how many client connections the worker still has.
func (w *worker) sessionsLeft() (n int) {
	w.eachSession(func(*session) { n++ })
	return n
}

// retireFrontend ends the sessions of a frontend that the configuration has no more, or has otherwise, over the given time.
func (w *worker) retireFrontend(fe *frontend, spread time.Duration) {
	fe.retired = true
	w.eachSession(func(s *session) {
		if s.fe == fe {
			s.goAway(spread)
		}
	})
}

// ending is a frontend or server that is gone from the configuration, and when what it still carries is cut. One that is
// there in another form ends with what it carries, however long that takes: a tunnel lives through a change.
type ending struct {
	at  mono.Time
	fe  *frontend
	srv *server
}

// endLater sees to it that what is gone does not stay for ever.
func (w *worker) endLater(e ending, hard time.Duration) {
	if hard > 0 {
		e.at = w.now.Add(hard)
		w.endings = append(w.endings, e)
	}
}

// endOverdue cuts what has had its time.
func (w *worker) endOverdue() {
	for i := 0; i < len(w.endings); {
		e := w.endings[i]
		if e.at.After(w.now) {
			i++
			continue
		}
		w.endings = slices.Delete(w.endings, i, i+1)
		if e.fe != nil {
			w.eachSession(func(s *session) {
				if s.fe == e.fe && s.stage == stageServing { // the other stages have deadlines of their own
					s.shut()
				}
			})
		}
		if e.srv != nil {
			e.srv.cut()
		}
	}
}

// cut closes the server's connections of this worker; exchanges under way learn of it.
func (srv *server) cut() {
	srv.w.conns.each(func(c *conn) {
		if b, ok := c.owner.(*backConn); ok && b.srv == srv && b.stage == backOpen {
			b.fail(stats.CauseDrain)
		}
	})
}

// retire lets what a backend's servers carry finish and closes what is idle.
func (be *backend) retire() {
	for _, srv := range be.servers {
		srv.retire()
	}
}

// retire closes the server's idle connections; those in use close after their exchange.
func (srv *server) retire() {
	srv.retired = true
	srv.cells.State = stats.StateGone
	srv.closeIdle(stats.CauseDrain)
}

// closeIdle empties this worker's shard. Connections of a session's own go too where the server gets nothing any more: no
// request will ever come on them.
func (srv *server) closeIdle(why stats.Cause) {
	useless := srv.retired || srv.state >= stats.StateDown
	srv.w.conns.each(func(c *conn) {
		b, ok := c.owner.(*backConn)
		if ok && b.srv == srv && b.stage == backOpen && b.isIdle() && (b.owner == nil || useless && b.gauge != gaugeDraining) {
			b.rouse(why)
		}
	})
}

// rouse ends a connection that carries nothing. Who waits to hear whether it still lives (idle-ping) looks for another one.
func (c *backConn) rouse(why stats.Cause) {
	if c.h2 != nil && !c.h2.pinged.IsZero() {
		c.h2.fail(why)
		return
	}
	c.end(why, false)
}

// isIdle reports whether the connection carries nothing.
func (c *backConn) isIdle() bool {
	if c.h2 != nil {
		return c.h2.idle()
	}
	return c.h1.x == nil
}

// shut ends the session and what it carries.
func (s *session) shut() {
	if s.h2 != nil {
		s.h2.abortAll(causeDraining)
	}
	if s.h3 != nil {
		s.h3.shut()
	}
	s.h1.onShut()
	s.close(false)
}

// shut closes everything that the worker has. The loop has ended, or never ran.
func (w *worker) shut() {
	w.conns.each(func(c *conn) {
		switch o := c.owner.(type) {
		case *session:
			o.shut()
			o.close(false)
		case *backConn:
			o.end(stats.CauseDrain, false)
		case *parting:
			o.over(false)
		}
	})
	for _, l := range w.view.listeners {
		w.k.Close(l.fd)
	}
	w.line.handOver()
	if c, ok := w.k.(interface{ Shut() }); ok {
		c.Shut()
	}
}
