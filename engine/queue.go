package engine

import (
	"weir/internal/limit"
	"weir/netio"
)

// queue is where sessions or exchanges of all workers wait for tokens of a limit. Waking a worker costs no allocation: the
// queue itself is the message.
type queue struct {
	*limit.Queue
	waits waits
	axis  limit.Axis
	from  *limit.Attachment // whose queue-timeout bounds the wait of sessions; nil: a server's own queue
	named bool              // axis says which limit it is; false: a server's own max-conn
	bell  chan struct{}     // rung when somebody who is no worker was granted a token: see h3Guest
}

// waits says what stands in a queue.
type waits uint8

const (
	waitSessions  waits = iota // client connections, to be admitted
	waitExchanges              // requests, for a server or a connection
)

// newQueue makes a queue whose waiters are bounded by places.
func (s *shared) newQueue(places *limit.Count, w waits, axis limit.Axis, named bool) *queue {
	q := &queue{waits: w, axis: axis, named: named, bell: make(chan struct{}, 1)}
	q.Queue = s.table.NewQueue(places, func(worker int) {
		if worker < len(s.workers) {
			s.workers[worker].mail.Post(q)
			return
		}
		select {
		case q.bell <- struct{}{}:
		default: // it rings already
		}
	})
	return q
}

// newAxisQueue makes the queue of a count axis.
func (s *shared) newAxisQueue(a *limit.Attachment, c *limit.Count, w waits, axis limit.Axis) *queue {
	q := s.newQueue(a.Places, w, axis, true)
	q.from = a
	q.Add(c)
	return q
}

// deliver implements message: the worker was granted tokens.
func (q *queue) deliver(w *worker) {
	q.Line(w.id).Granted(func(waiter *limit.Waiter) {
		if q.waits == waitSessions {
			w.sessionGranted(waiter)
			return
		}
		w.exchangeGranted(waiter)
	})
}

// sessionGranted lets a session go on whose token has come.
func (w *worker) sessionGranted(waiter *limit.Waiter) {
	c := w.conns.get(netio.Token(waiter.Tag))
	if c == nil || c.has(buried) {
		panic("engine: token granted to a session that has left without its place")
	}
	s := c.owner.(*session)
	s.gates.take(waiter.Count())
	s.admit()
}

// exchangeGranted lets an exchange go on whose token has come.
func (w *worker) exchangeGranted(waiter *limit.Waiter) {
	x := w.exchanges.get(netio.Token(waiter.Tag))
	if x == nil {
		panic("engine: token granted to an exchange that has left without its place")
	}
	x.granted(waiter.Count())
}
