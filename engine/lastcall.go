package engine

import (
	"sync/atomic"
	"time"

	"weir/h2"
	"weir/internal/stats"
)

// lastCallTime is how long answers have to leave before what is still open is cut.
const lastCallTime = 250 * time.Millisecond

// lastCall is the end of a drain that has taken too long: whoever has seen nothing of a response gets 503 `draining` instead
// of a cut connection, and so knows that trying again elsewhere is all there is to do.
func (e *Engine) lastCall() {
	e.onWorkers(func(w *worker) { w.eachSession((*session).lastCall) })
	poll := time.NewTicker(drainPoll)
	defer poll.Stop()
	for over := time.Now().Add(lastCallTime); time.Now().Before(over); <-poll.C {
		var left atomic.Int64
		e.onWorkers(func(w *worker) { left.Add(int64(w.sessionsLeft())) })
		if left.Load() == 0 && e.idleH3() {
			return
		}
	}
}

func (s *session) lastCall() {
	switch {
	case s.stage == stageAdmission && s.gates.wait != nil:
		s.refuseAdmission(causeDraining, s.gates.axis)
	case s.stage != stageServing:
	case s.h2 != nil:
		s.h2.lastCall()
	case s.h3 != nil:
		s.h3.lastCall()
	case s.h1.x != nil && s.h1.x.mayStillAnswer():
		s.h1.refuse(s, causeDraining)
	}
}

func (f *frontH2) lastCall() {
	f.codec.Walk(func(st *h2.Stream) {
		if x := streamFront(st).x; x != nil && x.mayStillAnswer() {
			x.refuse(causeDraining)
		}
	})
	f.sendPending()
}

func (f *frontH3) lastCall() {
	for t := f.first; t != nil; {
		after := t.next
		if t.x != nil && t.x.mayStillAnswer() {
			t.x.refuse(causeDraining)
		}
		t = after
	}
}

// mayStillAnswer reports whether the client has seen nothing final of a response. One that stands in a queue is counted as
// leaving it.
func (x *exchange) mayStillAnswer() bool {
	if x.rsp.state != rspAwaited || x.place >= placeAnswered {
		return false
	}
	if x.place == placeQueued {
		x.way.backend.cells.QueueRejected[stats.QueueDraining]++
	}
	return true
}
