package pool

import (
	"sync/atomic"
	"time"

	"weir/internal/mono"
)

// The delays of a Backoff double from the first to the last.
const (
	backoffMin = 100 * time.Millisecond
	backoffMax = 30 * time.Second
)

// Backoff holds connects to a server back after consecutive errors. All workers share it; its methods may be called from
// any goroutine. The zero value never holds back; see SetMax.
type Backoff struct {
	errors atomic.Uint32 // consecutive
	max    atomic.Uint32
	until  atomic.Int64 // mono.Time
}

// SetMax sets how many consecutive errors it takes; 0 never holds back.
func (b *Backoff) SetMax(errors int) { b.max.Store(uint32(max(errors, 0))) }

// Allowed reports whether a connect may be tried.
func (b *Backoff) Allowed(now mono.Time) bool { return !b.Until().After(now) }

// Until is when a connect may be tried again; it is in the past when there is nothing to wait for.
func (b *Backoff) Until() mono.Time { return mono.Time(b.until.Load()) }

// Errors is the number of consecutive errors.
func (b *Backoff) Errors() int { return int(b.errors.Load()) }

// Success ends a run of errors. In the common case it only reads.
func (b *Backoff) Success() {
	if b.errors.Load() != 0 {
		b.errors.Store(0)
		b.until.Store(0)
	}
}

// Failure counts an error. From the set number on, each one doubles the delay up to 30 s; rand spreads it over the upper
// half. Errors of connects that were under way when the delay began do not make it longer: a hundred that fail together
// are one failure of the server.
func (b *Backoff) Failure(now mono.Time, rand uint64) {
	if !b.Allowed(now) {
		return
	}
	n, limit := b.errors.Add(1), b.max.Load()
	if limit == 0 || n < limit {
		return
	}
	d := backoffMax
	if doublings := n - limit; doublings < 16 {
		d = min(backoffMin<<doublings, backoffMax)
	}
	d = d/2 + time.Duration(rand%uint64(d/2+1))
	b.until.Store(int64(now.Add(d)))
}
