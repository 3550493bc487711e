package stats

import "math/bits"

// The buckets: every decade from 1 to 10^11 is cut at ten round values, so that no bucket is wider than a third of its
// lower bound and the bounds that operators ask about (1 ms, 250 ms, 5 s) are bounds exactly. Powers of two would save a
// division and were rejected for that: no service level is 0.268435456 s.
const (
	stepsPerDecade = 10
	decades        = 11
	bucketsBounded = decades * stepsPerDecade
)

// Buckets is the number of buckets: the bounded ones and one for what exceeds 10^11.
const Buckets = bucketsBounded + 1

// steps are the upper bounds within a decade, in tenths of the decade's start.
var steps = [stepsPerDecade]uint64{12, 15, 20, 25, 30, 40, 50, 60, 80, 100}

var (
	pow10       [decades + 1]uint64
	stepOfTenth [100]uint8             // which bucket of the decade [n/10, (n+1)/10) falls into; n is 10 to 99
	decadeOfLen [38]uint8              // a decade that is right or one too low, by the number of bits of the value
	bounds      [bucketsBounded]uint64 // inclusive upper bounds
)

func init() {
	pow10[0] = 1
	for d := 1; d <= decades; d++ {
		pow10[d] = pow10[d-1] * 10
	}
	for n, step := 10, 0; n < 100; n++ {
		for uint64(n) >= steps[step] {
			step++
		}
		stepOfTenth[n] = uint8(step)
	}
	for n := 1; n < len(decadeOfLen); n++ {
		for d := decades; d >= 0; d-- {
			if pow10[d] <= 1<<(n-1) {
				decadeOfLen[n] = uint8(d)
				break
			}
		}
	}
	for i := range bounds {
		// Below 10 the tenths round down to whole units; such buckets stay empty or share a bound with the next one.
		bounds[i] = pow10[i/stepsPerDecade] * steps[i%stepsPerDecade] / 10
	}
}

// Histogram counts values in fixed buckets. The zero value is empty. Durations are nanoseconds, other values are as they
// come; the name of the field says which. It belongs to one worker; the copies in a Snapshot belong to whoever has it.
type Histogram struct {
	buckets [Buckets]uint64
	sum     uint64
	max     uint64
}

// Observe counts v; what is negative counts as 0. It allocates nothing.
func (h *Histogram) Observe(v int64) {
	u := uint64(max(v, 0))
	h.buckets[bucketOf(u)]++
	h.sum += u
	h.max = max(h.max, u)
}

// bucketOf finds the bucket with bound[i-1] < v <= bound[i]. Bounds are inclusive because Prometheus's le is.
func bucketOf(v uint64) int {
	if v <= 1 {
		return 0
	}
	if v > pow10[decades] {
		return bucketsBounded
	}
	// Taking one away turns the inclusive bounds into the exclusive ones of an integer division, for the decade and for
	// the tenth within it.
	d := int(decadeOfLen[bits.Len64(v-1)])
	if v > pow10[d+1] {
		d++
	}
	return d*stepsPerDecade + int(stepOfTenth[(v*10-1)/pow10[d]])
}

// Add adds o's counts to h.
func (h *Histogram) Add(o *Histogram) {
	for i := range h.buckets {
		h.buckets[i] += o.buckets[i]
	}
	h.sum += o.sum
	h.max = max(h.max, o.max)
}

// Sub takes an earlier copy's counts away, so that h holds what came since. Max stays that of the whole time.
func (h *Histogram) Sub(o *Histogram) {
	for i := range h.buckets {
		h.buckets[i] -= o.buckets[i]
	}
	h.sum -= o.sum
}

// Count is the number of values observed.
func (h *Histogram) Count() (n uint64) {
	for _, c := range h.buckets {
		n += c
	}
	return n
}

// Sum is the sum of the values observed.
func (h *Histogram) Sum() uint64 { return h.sum }

// Max is the largest value observed.
func (h *Histogram) Max() uint64 { return h.max }

// AtMost is how many values were at most v. It is exact where v is a bound: 1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6 or 8 times a
// power of ten; elsewhere it leaves out the bucket that v falls into.
func (h *Histogram) AtMost(v uint64) (n uint64) {
	for i := 0; i < bucketsBounded && bounds[i] <= v; i++ {
		n += h.buckets[i]
	}
	return n
}

// Quantile estimates the value below which the share q (0 to 1) of the values lies, by interpolation within a bucket. It is
// 0 for an empty histogram and never more than Max.
func (h *Histogram) Quantile(q float64) uint64 {
	total := h.Count()
	if total == 0 {
		return 0
	}
	rank := min(max(q, 0), 1) * float64(total)
	var below uint64
	for i, c := range h.buckets {
		if c == 0 || float64(below+c) < rank {
			below += c
			continue
		}
		lo, hi := bucketRange(i, h.max)
		part := max(rank-float64(below), 0) / float64(c)
		return min(lo+uint64(part*float64(hi-lo)), h.max)
	}
	return h.max
}

// bucketRange is the exclusive lower and inclusive upper bound of a bucket.
func bucketRange(i int, largest uint64) (lo, hi uint64) {
	if i > 0 {
		lo = bounds[i-1]
	}
	if i == bucketsBounded {
		return lo, max(largest, lo)
	}
	return lo, bounds[i]
}
