package limit

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"weir/internal/mono"
)

// TestQueueConservation lets several workers join, leave, expire, use and release at random, changing the maximum all the
// while: no token may be lost or made, no count exceeded, nobody forgotten.
func TestQueueConservation(t *testing.T) {
	const workers, waiters, rounds, most = 4, 40, 3000, 3
	table := NewTable(workers)
	places := NewCount(waiters * workers)
	poked := make([]atomic.Bool, workers)
	q := table.NewQueue(places, func(w int) { poked[w].Store(true) })
	counts := []*Count{NewCount(most), NewCount(most)}
	for _, c := range counts {
		q.Add(c)
	}
	var out [2]atomic.Int64
	var served atomic.Int64
	use := func(c *Count, by int64) {
		for i := range counts {
			if counts[i] == c {
				if n := out[i].Add(by); n > most || n < 0 {
					t.Errorf("%d tokens out of at most %d", n, most)
				}
			}
		}
	}
	var wg sync.WaitGroup
	for id := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			line, rand := q.Line(id), uint64(id+1)
			ws := make([]Waiter, waiters)
			var held []*Waiter
			take := func(w *Waiter) { use(w.Count(), 1); held = append(held, w); served.Add(1) }
			giveAll := func() {
				for _, w := range held {
					use(w.Count(), -1)
					w.Count().Release()
				}
				held = held[:0]
			}
			holds := func(w *Waiter) bool {
				for _, h := range held {
					if h == w {
						return true
					}
				}
				return false
			}
			for now := mono.Time(1); now <= rounds; now++ {
				rand = rand*6364136223846793005 + 1442695040888963407
				w := &ws[(rand>>33)%waiters]
				switch {
				case w.Waits() && rand>>60 < 6:
					line.Leave(w)
				case !w.Waits() && !holds(w):
					if line.Join(w, now, now+mono.Time(rand>>40%50)) == Acquired {
						take(w)
					}
				}
				if rand>>59&3 == 0 {
					giveAll()
				}
				if poked[id].Swap(false) {
					line.Granted(take)
				}
				line.Expire(now, func(*Waiter) {})
				if rand>>50&15 == 0 {
					runtime.Gosched()
				}
			}
			for line.Len() > 0 { // whoever still waits must be served without anything but grants
				giveAll()
				if poked[id].Swap(false) {
					line.Granted(take)
				}
				runtime.Gosched()
			}
			giveAll()
		}()
	}
	wg.Wait()
	for i, c := range counts {
		if c.Current() != 0 || out[i].Load() != 0 {
			t.Errorf("count %d: %d tokens out at the end", i, c.Current())
		}
	}
	if q.Waiting() != 0 || places.Current() != 0 {
		t.Errorf("%d waiting, %d places taken at the end", q.Waiting(), places.Current())
	}
	if served.Load() == 0 {
		t.Error("nobody was served")
	}
}
