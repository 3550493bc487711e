package limit

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// TestQueueNoLostWakeup lets one joiner, one releaser and one passer-by meet at the same instant, over and over. When they
// are done, nothing else happens in the queue: if the token is free and the joiner still waits, its wake-up was lost.
func TestQueueNoLostWakeup(t *testing.T) {
	const rounds = 30000
	table := NewTable(3)
	c := NewCount(1)
	var woken [3]atomic.Bool
	q := table.NewQueue(NewCount(0), func(w int) { woken[w].Store(true) })
	q.Add(c)
	var start, done atomic.Int64
	var ws [2]Waiter
	meet := func(round int64) {
		start.Add(1)
		for start.Load() < 3*round {
			runtime.Gosched()
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { // the passer-by: makes others wait for a moment
		for round := int64(1); round <= rounds; round++ {
			meet(round)
			line := q.Line(1)
			if line.Join(&ws[1], 1, 0) == Acquired {
				c.Release()
			} else {
				line.Leave(&ws[1])
				woken[1].Store(false)
				line.Granted(func(*Waiter) { t.Error("who left was granted a token") })
			}
			done.Add(1)
		}
	})
	wg.Go(func() { // the releaser
		for round := int64(1); round <= rounds; round++ {
			held := c.acquire(1)
			meet(round)
			if held {
				c.Release()
			}
			done.Add(1)
			for done.Load() < 4*round { // the joiner has looked
				runtime.Gosched()
			}
		}
	})
	for round := int64(1); round <= rounds; round++ {
		line := q.Line(0)
		meet(round)
		joined := line.Join(&ws[0], 1, 0)
		done.Add(1)
		for done.Load() < 4*(round-1)+3 {
			runtime.Gosched()
		}
		if joined == Queued {
			if woken[0].Swap(false) {
				line.Granted(func(*Waiter) {})
			}
			if ws[0].Waits() {
				t.Fatalf("round %d: waits although %d of 1 tokens are out", round, c.Current())
			}
		}
		c.Release()
		if n := c.Current(); n != 0 {
			t.Fatalf("round %d: %d tokens out at the end", round, n)
		}
		done.Add(1)
	}
	wg.Wait()
}

// TestQueueFIFO passes a single token around many waiters of several workers. Whoever gets it looks back: nobody may have
// been in line, with an older ticket, when it was released.
func TestQueueFIFO(t *testing.T) {
	const workers, waiters, enough = 4, 20, 10000
	table := NewTable(workers)
	c := NewCount(1)
	var woken [workers]atomic.Bool
	q := table.NewQueue(NewCount(0), func(w int) { woken[w].Store(true) })
	q.Add(c)

	// What follows belongs to the holder of the token.
	type turn struct{ ticket, joined, released uint64 }
	var turns []turn
	var released uint64

	var clock, passed atomic.Uint64
	var wg sync.WaitGroup
	for id := range workers {
		wg.Go(func() {
			line := q.Line(id)
			ws, joined := make([]Waiter, waiters), make([]uint64, waiters)
			hold := func(w *Waiter) {
				turns = append(turns, turn{w.Since(), joined[w.Tag], released})
				passed.Add(1)
				released = clock.Add(1)
				c.Release()
			}
			for n := 0; passed.Load() < enough || line.Len() > 0; n++ {
				for i := range ws {
					if w := &ws[i]; passed.Load() < enough && !w.Waits() {
						w.Tag = uint64(i)
						joined[i] = ^uint64(0)
						if line.Join(w, 1, 0) == Acquired {
							released = clock.Add(1)
							c.Release()
							continue
						}
						joined[i] = clock.Add(1)
						break
					}
				}
				if n&7 == id && line.head != nil && line.Len() > waiters/2 {
					line.Leave(line.head.next)
				}
				if woken[id].Swap(false) {
					line.Granted(hold)
				}
				runtime.Gosched()
			}
		})
	}
	wg.Wait()
	if c.Current() != 0 || q.Waiting() != 0 {
		t.Fatalf("%d tokens out, %d waiting at the end", c.Current(), q.Waiting())
	}
	for i, u := range turns {
		for _, later := range turns[i+1 : min(len(turns), i+1+workers*waiters)] {
			if later.ticket < u.ticket && later.joined < u.released {
				t.Fatalf("ticket %d was in line at %d, but the token released at %d went to %d", later.ticket, later.joined, u.released, u.ticket)
			}
		}
	}
}
