package limit

import "sync/atomic"

// Bound is a number that each connection or exchange is held to on its own: nothing is counted over workers but how often
// it was met and how far anybody got. All methods may be called from any goroutine.
type Bound struct {
	limit atomic.Int64
	peak  atomic.Int64
	_     [48]byte
	hits  atomic.Uint64
	_     [56]byte
}

// Max is the number; 0 is none.
func (b *Bound) Max() int64 { return b.limit.Load() }

// SetMax changes the number; 0 is none.
func (b *Bound) SetMax(n int) { b.limit.Store(int64(max(n, 0))) }

// Note says that one connection or exchange has got to n. Only a new peak costs more than a read.
func (b *Bound) Note(n int64) {
	for {
		p := b.peak.Load()
		if n <= p || b.peak.CompareAndSwap(p, n) {
			return
		}
	}
}

// Peak is the largest number noted.
func (b *Bound) Peak() int64 { return b.peak.Load() }

// Hit counts that the bound was met.
func (b *Bound) Hit() { b.hits.Add(1) }

// Hits is how often the bound was met.
func (b *Bound) Hits() uint64 { return b.hits.Load() }
