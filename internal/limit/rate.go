package limit

import (
	"math"
	"sync/atomic"
	"time"

	"weir/internal/mono"
)

// The unit of a bucket's time is 1/63 ns: with the factors of a second, 63 makes the time between two tokens a whole
// number of units for 1 to 10 times any power of ten, the rates that people write. For any other it is rounded up, by
// less than one part in 600,000 at 100,000 per second: a bucket may be that much slower than its number, never faster.
//
// In this unit 64 bits wrap around in 9 years. All arithmetic is on differences, so that the origin of the clock does not
// matter.
const (
	unitsPerNano   = 63
	unitsPerSecond = unitsPerNano * uint64(time.Second)
)

// rateMax keeps the time between tokens well above a unit.
const rateMax = 10_000_000

// Rate lets N events pass per second and can save up N/10 of them, at least one: never more than N·T + N/10 in any T
// seconds, over all workers. It is the generic cell rate algorithm on one word, the time at which the next event would be
// due if events came evenly. All methods may be called from any goroutine and none of them blocks.
type Rate struct {
	due  atomic.Uint64 // in units; wraps
	plan atomic.Pointer[ratePlan]
	// passed stands beside due because whoever writes one writes the other.
	passed atomic.Uint64
	_      [40]byte
	hits   atomic.Uint64
	_      [56]byte
}

// ratePlan is a rate's number and what follows from it. It never changes.
type ratePlan struct {
	perSecond int
	interval  uint64 // units between two events
	burst     int64  // units that due may be ahead of now and an event still pass
}

// Burst is how many events a rate of n per second may save up.
func Burst(n int) int { return max(1, n/10) }

func newRatePlan(n int) *ratePlan {
	if n <= 0 {
		return nil
	}
	n = min(n, rateMax)
	interval := (unitsPerSecond + uint64(n) - 1) / uint64(n)
	return &ratePlan{perSecond: n, interval: interval, burst: int64(interval) * int64(Burst(n)-1)}
}

// SetRate changes the rate to n per second; 0 switches it off. What was saved up stays, as far as the new burst allows. A
// Take that is under way at this instant may still go by the old number.
func (r *Rate) SetRate(n int) { r.plan.Store(newRatePlan(n)) }

// Max is the rate per second; 0 is off.
func (r *Rate) Max() int64 {
	if p := r.plan.Load(); p != nil {
		return int64(p.perSecond)
	}
	return 0
}

// Take lets one event pass, or says how long to wait before one can. now is the caller's clock. A refusal is a hit.
func (r *Rate) Take(now mono.Time) (ok bool, wait time.Duration) {
	if ok, wait = r.Retry(now); !ok {
		r.hits.Add(1)
	}
	return ok, wait
}

// Retry is Take for who was refused before and has waited: another refusal is not another hit.
func (r *Rate) Retry(now mono.Time) (ok bool, wait time.Duration) {
	p := r.plan.Load()
	if p == nil {
		r.passed.Add(1)
		return true, 0
	}
	at := uint64(now) * unitsPerNano
	for {
		due := r.due.Load()
		early := ahead(due, at)
		if over := early - p.burst; over > 0 {
			return false, time.Duration((over + unitsPerNano - 1) / unitsPerNano)
		}
		if r.due.CompareAndSwap(due, at+uint64(early)+p.interval) {
			r.passed.Add(1)
			return true, 0
		}
	}
}

// Reserve is a place in a fair line: it takes the next event that is free and says when that may pass, which is now or
// later. Who reserves first passes first, on whatever worker; a later Take does not overtake. It is refused, and a hit,
// when the wait would be longer than patience; a wait that was granted is a hit too.
//
// Waiting needs nothing but a timer, because the time is known when the wait begins. Who gives up should Return it.
func (r *Rate) Reserve(now mono.Time, patience time.Duration) (pass mono.Time, ok bool) {
	p := r.plan.Load()
	if p == nil {
		r.passed.Add(1)
		return now, true
	}
	at := uint64(now) * unitsPerNano
	for {
		due := r.due.Load()
		early := ahead(due, at)
		wait := time.Duration(max(0, early-p.burst)+unitsPerNano-1) / unitsPerNano
		if wait > patience {
			r.hits.Add(1)
			return 0, false
		}
		if !r.due.CompareAndSwap(due, at+uint64(early)+p.interval) {
			continue
		}
		r.passed.Add(1)
		if wait > 0 {
			r.hits.Add(1)
		}
		return now.Add(wait), true
	}
}

// ahead is how many units due is after at; 0 when it is before, or when it was never set. A bucket that seems to be more
// than a year ahead was not used for several.
func ahead(due, at uint64) int64 {
	d := int64(due - at)
	if due == 0 || d > math.MaxInt64/4 {
		return 0
	}
	return max(d, 0)
}

// Return gives up a pass that Reserve granted for later. The last one reserved is there to be had again; an earlier one is
// lost, since those behind it were told their time. So is one from before a SetRate, unless the instants happen to agree;
// then the bucket is off once, by the difference of the two intervals.
func (r *Rate) Return(pass mono.Time) {
	p := r.plan.Load()
	if p == nil {
		return
	}
	r.passed.Add(^uint64(0))
	// pass was rounded up to a nanosecond.
	last := uint64(pass)*unitsPerNano + uint64(p.burst) + p.interval
	if due := r.due.Load(); last-due < unitsPerNano {
		r.due.CompareAndSwap(due, due-p.interval)
	}
}

// Hits is how often an event was refused or had to wait.
func (r *Rate) Hits() uint64 { return r.hits.Load() }

// Passed is how many events have passed.
func (r *Rate) Passed() uint64 { return r.passed.Load() }
