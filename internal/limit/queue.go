package limit

import (
	"math/bits"
	"sync/atomic"
)

// Queue is where exchanges of all workers wait for a token of any of some counts, first in, first out. One count makes it
// the queue of a limit; the counts of all servers of a backend make it the queue for whichever server has room first. A
// count may stand in two queues, its own and one that it shares: its tokens go to whoever is older.
//
//	worker A: Line ─ w1 ── w4 ── w5        lane A: [1] [4] [5] [ ]
//	worker B: Line ─ w2 ── w3 ── … ── w20  lane B: [2] [3] … [17]  hidden: 18
//	                                               ▲
//	Count.Release ── token free, somebody waits ───┘ the smallest ticket of all lanes is marked as granted
//	                                                 with the token; its worker is woken, takes w out of its
//	                                                 Line and clears the place
//
// The rules that make it work:
//
//   - While anybody waits, no newcomer gets a token: TryAcquire looks at waiting first.
//   - A waiter is counted in waiting before its ticket is shown and until it is granted or withdrawn. Granting and
//     withdrawing are compare-and-swaps of the same place, so exactly one of them happens.
//   - Whoever makes a token free, and whoever shows a ticket, then serves the count: takes a free token for the oldest
//     ticket until there is no token or no ticket. Each side writes its own word before it reads the other's, so one of
//     them sees both (Go's atomics are sequentially consistent). This is why no wake-up is lost.
//   - A lane has few places. A worker with more waiters shows in hidden the oldest ticket that has no place; tokens are
//     not granted past it, but stay free until that worker shows it, which it does before it ends its turn, because its
//     places can only be used up by grants that it was woken for.
//
// Tickets are 44 bits: at 100,000 waits a second they last for five years.
type Queue struct {
	table  *Table
	wake   func(worker int)
	places *Count
	lanes  []lane
	lines  []Line
	counts atomic.Pointer[[]*Count]

	// What follows is written while anybody waits, and only read, by every TryAcquire, while nobody does.
	_       [sharedLineBytes]byte
	waiting atomic.Int64                     // neither granted nor withdrawn
	busy    [workersMax/64 + 1]atomic.Uint64 // a bit for each worker with waiters: only their lanes are looked at
	_       [sharedLineBytes]byte
}

const workersMax = 1024

// lanePlaces makes a lane two cache lines, which a CPU fetches as one.
const lanePlaces = 14

// lane is one worker's part of a queue as the others see it.
type lane struct {
	// places hold 0, or ticket<<ticketShift, or after a grant additionally the count's id and grantedBit.
	places [lanePlaces]atomic.Uint64
	hidden atomic.Uint64 // ticket<<ticketShift of the oldest waiter without a place; 0: all have one
	poked  atomic.Uint64 // 1 from the first grant until the worker looks
}

const (
	grantedBit  = 1
	idShift     = 1
	ticketShift = 20
)

// NewQueue makes a queue. places bounds its waiters, together with those of other queues that have the same; an
// Attachment's Places is meant for it. wake is called with a worker that was granted a token; that worker must then call
// Granted of its Line. It is called by whoever made the token free, on any goroutine, and must not block. Behind the workers
// comes who is none: see Outside.
func (t *Table) NewQueue(places *Count, wake func(worker int)) *Queue {
	q := &Queue{table: t, wake: wake, places: places}
	q.lanes = make([]lane, t.workers+1)
	q.lines = make([]Line, t.workers+1)
	for i := range q.lines {
		q.lines[i].init(q, i)
	}
	q.counts.Store(&[]*Count{})
	return q
}

// Line is a worker's own part of the queue.
func (q *Queue) Line(worker int) *Line { return &q.lines[worker] }

// Outside is the line of those who are no workers. They have to exclude each other; wake is called with the number of workers.
func (q *Queue) Outside() *Line { return &q.lines[q.table.workers] }

// Waiting is the number of waiters over all workers.
func (q *Queue) Waiting() int { return int(q.waiting.Load()) }

// Oldest says which worker has the oldest waiter and when that one came, in the terms of Waiter.Since. ok is false when
// nobody waits. Another worker's waiter may be granted a token, or leave, while the answer is given.
func (q *Queue) Oldest() (worker int, since uint64, ok bool) {
	if q.waiting.Load() == 0 {
		return 0, 0, false
	}
	s := shown{value: ^uint64(0)}
	q.oldest(&s)
	return s.worker, s.value >> ticketShift, s.value != ^uint64(0)
}

// Add lets the queue's waiters have tokens of c. A count can stand in two queues. It is for the control plane.
func (q *Queue) Add(c *Count) {
	q.table.mu.Lock()
	defer q.table.mu.Unlock()
	free := -1
	for i := range c.queues {
		switch c.queues[i].Load() {
		case q:
			return
		case nil:
			free = i
		}
	}
	if free < 0 {
		panic("limit: count in more than two queues")
	}
	q.table.register(c)
	counts := append(append([]*Count(nil), *q.counts.Load()...), c)
	q.counts.Store(&counts)
	c.shut.And(^(uint32(1) << free))
	c.queues[free].Store(q)
	c.serve()
}

// Suspend keeps the tokens of c from the queue's waiters for a while: a server that must not be given anybody new. Those
// already granted stay granted. It may be called by any worker, and again.
func (q *Queue) Suspend(c *Count) {
	i, ok := c.placeOf(q)
	if !ok || c.isShut(i) {
		return
	}
	c.shut.Or(1 << i)
	c.serve() // as in Remove
}

// Resume ends what Suspend began.
func (q *Queue) Resume(c *Count) {
	i, ok := c.placeOf(q)
	if !ok || !c.isShut(i) {
		return
	}
	step()
	c.shut.And(^(uint32(1) << i))
	c.serve()
}

// gets reports whether the queue's waiters may have tokens of c now.
func (q *Queue) gets(c *Count) bool {
	i, ok := c.placeOf(q)
	return !ok || !c.isShut(i)
}

// Remove ends what Add began. Tokens already granted stay granted. It is for the control plane.
func (q *Queue) Remove(c *Count) {
	q.table.mu.Lock()
	defer q.table.mu.Unlock()
	var counts []*Count
	for _, d := range *q.counts.Load() {
		if d != c {
			counts = append(counts, d)
		}
	}
	q.counts.Store(&counts)
	for i := range c.queues {
		c.queues[i].CompareAndSwap(q, nil)
	}
	c.serve() // a ticket hidden in q does not stand before those of the other queue any more
}

// tryAcquire takes a token of any count that nobody waits for. from spreads the choice.
func (q *Queue) tryAcquire(from uint64) *Count {
	step()
	if q.waiting.Load() > 0 {
		return nil
	}
	counts := *q.counts.Load()
	for i := range counts {
		c := counts[(uint64(i)+from)%uint64(len(counts))]
		if q.gets(c) && !c.awaited() && c.acquire(1) {
			return c
		}
	}
	return nil
}

// serve grants free tokens of all counts of the queue. It does so even if nobody waits here any more: a hidden ticket of
// this queue may have kept a token from a waiter of the count's other queue.
func (q *Queue) serve() {
	for _, c := range *q.counts.Load() {
		c.serve()
	}
}

// serve grants free tokens to the oldest waiters.
func (c *Count) serve() {
	for c.awaited() && c.acquire(1) {
		if c.grant() {
			continue
		}
		c.drop(1)
		// A ticket may have been shown while the token was in hand here, by a worker that then found none.
		if s := c.oldest(); s.place == nil {
			return
		}
	}
}

// grant hands the token in the caller's hand to the oldest waiter; false if there is none to be seen.
func (c *Count) grant() bool {
	for {
		s := c.oldest()
		if s.place == nil {
			return false
		}
		step()
		if s.place.CompareAndSwap(s.value, s.value|uint64(c.id.Load())<<idShift|grantedBit) {
			step()
			s.queue.waiting.Add(-1)
			s.queue.poke(s.worker)
			return true
		}
	}
}

func (q *Queue) poke(worker int) {
	step()
	if q.lanes[worker].poked.Swap(1) == 0 {
		q.wake(worker)
	}
}

// shown is a ticket found in a lane.
type shown struct {
	queue  *Queue
	place  *atomic.Uint64 // nil: the ticket is hidden, or there is none
	value  uint64         // ticket<<ticketShift
	worker int
}

// oldest finds the smallest ticket of the queues that c stands in.
func (c *Count) oldest() shown {
	best := shown{value: ^uint64(0)}
	for i := range c.queues {
		if q := c.queues[i].Load(); q != nil && q.waiting.Load() > 0 && !c.isShut(i) {
			q.oldest(&best)
		}
	}
	return best
}

// oldest replaces best if q has an older ticket.
func (q *Queue) oldest(best *shown) {
	for i := range (len(q.lanes) + 63) / 64 {
		step()
		for set := q.busy[i].Load(); set != 0; set &= set - 1 {
			worker := i<<6 + bits.TrailingZeros64(set)
			l := &q.lanes[worker]
			// hidden before places: a waiter moves from one to the other, and must not be missed in between.
			step()
			if h := l.hidden.Load(); h != 0 && h < best.value {
				*best = shown{value: h, worker: worker}
			}
			step() // one for all places: more would only multiply the schedules
			for j := range l.places {
				v := l.places[j].Load()
				// A ticket that is in a place and still in hidden can be granted: hence not only less, but equal.
				if v == 0 || v&grantedBit != 0 || v > best.value || v == best.value && best.place != nil {
					continue
				}
				*best = shown{queue: q, place: &l.places[j], value: v, worker: worker}
			}
		}
	}
}
