package limit

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"weir/internal/mono"
)

const (
	stressWorkers = 4
	stressWaiters = 40
	stressMax     = 3
)

// stress is two counts with one queue, and a second opinion on how many tokens are out.
type stress struct {
	t      *testing.T
	q      *Queue
	counts [2]*Count
	out    [2]atomic.Int64
	poked  [stressWorkers]atomic.Bool
	served atomic.Int64
}

// use counts a token taken (+1) or about to be released (-1), so that the number can only be too low.
func (s *stress) use(c *Count, by int64) {
	for i := range s.counts {
		if s.counts[i] == c {
			if n := s.out[i].Add(by); n > stressMax || n < 0 {
				s.t.Errorf("%d tokens out of at most %d", n, stressMax)
			}
		}
	}
}

// stressWorker joins, leaves, expires, uses and releases at random.
type stressWorker struct {
	*stress
	id   int
	line *Line
	rand uint64
	ws   []Waiter
	held []*Waiter
}

func (w *stressWorker) take(x *Waiter) {
	w.use(x.Count(), 1)
	w.held = append(w.held, x)
	w.served.Add(1)
}

func (w *stressWorker) giveAll() {
	for _, x := range w.held {
		w.use(x.Count(), -1)
		x.Count().Release()
	}
	w.held = w.held[:0]
}

func (w *stressWorker) collect() {
	if w.poked[w.id].Swap(false) {
		w.line.Granted(w.take)
	}
}

func (w *stressWorker) turn(now mono.Time) {
	w.rand = w.rand*6364136223846793005 + 1442695040888963407
	x := &w.ws[(w.rand>>33)%stressWaiters]
	switch {
	case x.Waits() && w.rand>>60 < 6:
		w.line.Leave(x)
	case !x.Waits() && !slices.Contains(w.held, x):
		if w.line.Join(x, now, now+mono.Time(w.rand>>40%50)) == Acquired {
			w.take(x)
		}
	}
	if w.rand>>59&3 == 0 {
		w.giveAll()
	}
	w.collect()
	w.line.Expire(now, func(*Waiter) {})
	if w.rand>>50&15 == 0 {
		runtime.Gosched()
	}
}

func (w *stressWorker) run(turns int) {
	for now := mono.Time(1); now <= mono.Time(turns); now++ {
		w.turn(now)
	}
	for w.line.Len() > 0 { // whoever still waits must be served without anything but grants
		w.giveAll()
		w.collect()
		runtime.Gosched()
	}
	w.giveAll()
}

// TestQueueConservation has several workers at once: no token may be lost or made, no count exceeded, nobody forgotten.
func TestQueueConservation(t *testing.T) {
	table, places := NewTable(stressWorkers), NewCount(stressWaiters*stressWorkers)
	s := &stress{t: t}
	s.q = table.NewQueue(places, func(w int) { s.poked[w].Store(true) })
	for i := range s.counts {
		s.counts[i] = NewCount(stressMax)
		s.q.Add(s.counts[i])
	}
	var wg sync.WaitGroup
	for id := range stressWorkers {
		w := &stressWorker{stress: s, id: id, line: s.q.Line(id), rand: uint64(id + 1), ws: make([]Waiter, stressWaiters)}
		wg.Go(func() { w.run(3000) })
	}
	wg.Wait()
	for i, c := range s.counts {
		if c.Current() != 0 || s.out[i].Load() != 0 {
			t.Errorf("count %d: %d tokens out at the end", i, c.Current())
		}
	}
	if s.q.Waiting() != 0 || places.Current() != 0 {
		t.Errorf("%d waiting, %d places taken at the end", s.q.Waiting(), places.Current())
	}
	if s.served.Load() == 0 {
		t.Error("nobody was served")
	}
}
