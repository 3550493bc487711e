package limit

import (
	"math"
	"sync/atomic"
)

// sharedLineBytes is what two words must be apart to not slow each other down: CPUs fetch cache lines of 64 bytes in
// pairs. All that workers write to has a size that is a multiple of it. The allocator aligns such objects to it as long
// as they are smaller than 512 bytes or hold no pointers; a test looks at the addresses.
const sharedLineBytes = 128

// Count is tokens of which at most a maximum are out at any instant, over all workers. Zero is no maximum; tokens are
// counted all the same. Make one with NewCount, or take an Attachment's. All methods may be called from any
// goroutine and none of them blocks.
type Count struct {
	// word holds the tokens that are out in its low half and the maximum in its high half, so that an acquire that is
	// under way cannot slip past a maximum lowered at the same instant.
	word   atomic.Uint64
	queues [2]atomic.Pointer[Queue] // whose waiters want tokens of this count
	id     atomic.Uint32            // names the count in a grant; 0 while it never had a queue
	shut   atomic.Uint32            // a bit for each of queues that is suspended
	_      [64 - 8 - 16 - 4 - 4]byte
	hits   atomic.Uint64 // on the line beside: refusals must not disturb those who still get tokens
	_      [56]byte
}

// NewCount makes a count that belongs to no axis, such as a server's max-conn.
func NewCount(n int) *Count {
	c := new(Count)
	c.SetMax(n)
	return c
}

// clampMax makes n fit: negative numbers mean no maximum.
func clampMax(n int) uint32 { return uint32(min(max(n, 0), math.MaxInt32)) }

// TryAcquire takes a token. It is refused while the maximum is out, and while anybody waits in a queue for a token of
// this count: who comes later does not overtake. A refusal is a hit.
func (c *Count) TryAcquire() bool { return c.TryAcquireN(1) }

// TryAcquireN takes n tokens or none.
func (c *Count) TryAcquireN(n int) bool {
	if !c.awaited() && c.acquire(uint64(n)) {
		return true
	}
	c.hits.Add(1)
	return false
}

// Release gives a token back. If somebody waits for it, it goes to the oldest waiter, whose worker is woken.
func (c *Count) Release() { c.ReleaseN(1) }

// ReleaseN gives n tokens back.
func (c *Count) ReleaseN(n int) {
	c.drop(uint64(n))
	if c.awaited() {
		c.serve()
	}
}

// acquire is TryAcquireN without regard to queues and hits.
func (c *Count) acquire(n uint64) bool {
	for {
		step()
		w := c.word.Load()
		if limit := w >> 32; limit != 0 && w&math.MaxUint32+n > limit {
			return false
		}
		step()
		if c.word.CompareAndSwap(w, w+n) {
			return true
		}
	}
}

func (c *Count) drop(n uint64) {
	step()
	if left := c.word.Add(-n) & math.MaxUint32; left > math.MaxUint32-n {
		panic("limit: token released that was not acquired")
	}
}

// awaited reports whether anybody waits for a token of this count.
func (c *Count) awaited() bool {
	for i := range c.queues {
		step()
		if q := c.queues[i].Load(); q != nil && q.waiting.Load() > 0 && !c.isShut(i) {
			return true
		}
	}
	return false
}

// isShut reports whether the queue at i gets no tokens for now.
func (c *Count) isShut(i int) bool {
	step()
	return c.shut.Load()>>i&1 == 1
}

// placeOf is which of c's queues q is; false if it is none.
func (c *Count) placeOf(q *Queue) (int, bool) {
	for i := range c.queues {
		if c.queues[i].Load() == q {
			return i, true
		}
	}
	return 0, false
}

// Current is the number of tokens that are out.
func (c *Count) Current() int64 { return int64(c.word.Load() & math.MaxUint32) }

// Max is the maximum; 0 is none.
func (c *Count) Max() int64 { return int64(c.word.Load() >> 32) }

// SetMax changes the maximum; 0 is none. Tokens that are out stay out: after lowering, none is given until enough came
// back. After raising, waiters are served at once.
func (c *Count) SetMax(n int) {
	for {
		w := c.word.Load()
		step()
		if c.word.CompareAndSwap(w, uint64(clampMax(n))<<32|w&math.MaxUint32) {
			break
		}
	}
	if c.awaited() {
		c.serve()
	}
}

// Hits is how often a token was refused or had to be waited for.
func (c *Count) Hits() uint64 { return c.hits.Load() }

// Hit counts a refusal that was decided elsewhere on this count's behalf.
func (c *Count) Hit() { c.hits.Add(1) }
