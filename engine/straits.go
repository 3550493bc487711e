package engine

import (
	"time"

	"weir/internal/limit"
	"weir/internal/stats"
)

// comeBack has a listener's queue looked at when the events of connections have been seen to, in this turn or, once that is
// past, in the next: an edge is reported once. Those who leave make room for those who come, so that a server is not
// dialled for one beside the connection that another is just giving back.
func (w *worker) comeBack(l *listener) {
	l.waiting = true
	if !l.listed {
		l.listed = true
		w.crowded = append(w.crowded, l)
	}
}

// acceptMore accepts from the listeners that were told to come back.
func (w *worker) acceptMore() {
	n := len(w.crowded)
	for _, l := range w.crowded[:n] {
		l.listed = false
		if l.waiting {
			w.acceptFrom(l)
		}
	}
	w.crowded = append(w.crowded[:0], w.crowded[n:]...)
}

// retryAt has a listener looked at again a little later, when descriptors may be free again.
const acceptRetry = 50 * time.Millisecond

func (l *listener) retryAt(w *worker) {
	l.retry.Kind, l.retry.Token = uint8(timerListener), l.token
	w.wheel.Arm(&l.retry, w.now.Add(acceptRetry))
}

// relieve closes one idle server connection of this worker because the process is out of descriptors.
func (w *worker) relieve() bool {
	for _, be := range w.view.backends {
		if be.giveWay() {
			return true
		}
	}
	return false
}

// setWall reads the wall clock.
func (w *worker) setWall() { w.wallOffset = time.Now().UnixNano() - int64(w.k.Now()) }

// keepAlive is how long an idle session of the frontend may stay: less when descriptors or memory are short.
func (w *worker) keepAlive(fe *frontend) time.Duration {
	d := fe.cfg.Timeouts.HTTPKeepAlive
	if w.draining || w.shared.straits.Step() >= limit.ShortKeepAlive {
		return min(d, keepAliveShort)
	}
	return d
}

// keepAliveShort is what is left of http-keep-alive in straits.
const keepAliveShort = time.Second

// overloaded reports whether no new streams may be opened.
func (w *worker) overloaded() bool { return w.shared.straits.Step() >= limit.NoNewStreams }

// admits reports whether the listener may accept now.
func (w *worker) admits(l *listener) bool {
	if w.shared.straits.Step() < limit.NoNewConnections {
		return true
	}
	l.retryAt(w)
	return false
}

// noteFault remembers what a client did wrong, for `weir show errors`.
func (w *worker) noteFault(s *session, detail string) {
	w.stats.Fail(stats.Failure{UnixNano: w.wall, Frontend: s.fe.cfg.Name, Client: s.peer, Reason: causeBadRequest.word, Detail: detail})
}

// tick does what needs no precision: purging and warming pools, trimming memory.
func (w *worker) tick() {
	w.wheel.Arm(&w.ticker, w.now.Add(tickEvery))
	w.setWall()
	w.refreshBounds()
	for _, be := range w.view.backends {
		for _, srv := range be.servers {
			srv.tick()
		}
		be.shed()
		be.makeWay() // a limit lowered since needs more connections closed than one for each who waits
		if q := be.awaited(); q != nil && q.Line(w.id).Len() > 0 {
			be.askToYield() // the one asked before may have had none that was open yet
		}
	}
	w.probe()
	w.tickH3()
	w.endOverdue()
	w.bufs.Trim()
}
