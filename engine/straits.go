package engine

import "time"

// comeBack has a listener looked at again in the next turn: its queue was not emptied, and an edge is reported once.
func (w *worker) comeBack(l *listener) {
	l.retry.Kind, l.retry.Token = uint8(timerListener), l.token
	w.wheel.Arm(&l.retry, w.now)
}

// retryAt has a listener looked at again a little later, when descriptors may be free again.
const acceptRetry = 50 * time.Millisecond

func (l *listener) retryAt(w *worker) {
	l.retry.Kind, l.retry.Token = uint8(timerListener), l.token
	w.wheel.Arm(&l.retry, w.now.Add(acceptRetry))
}

// relieve gives back what can be given back when the process is out of descriptors: idle server connections of this
// worker, the longest unused first.
func (w *worker) relieve() {
	for _, be := range w.view.backends {
		for _, srv := range be.servers {
			if c, ok := srv.shard.Evict(); ok {
				c.end(causeEvicted, false)
			}
		}
	}
}

// setWall reads the wall clock.
func (w *worker) setWall() { w.wallOffset = time.Now().UnixNano() - int64(w.k.Now()) }

// tick does what needs no precision: purging and warming pools, trimming memory.
func (w *worker) tick() {
	w.wheel.Arm(&w.ticker, w.now.Add(tickEvery))
	w.setWall()
	for _, be := range w.view.backends {
		for _, srv := range be.servers {
			srv.tick()
		}
	}
	w.bufs.Trim()
}
