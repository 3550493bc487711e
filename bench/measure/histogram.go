package measure

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"time"
)

const (
	linearBits = 7               // below 1<<linearBits·2 every value has its own bucket; above, each power of two has 128
	subBuckets = 1 << linearBits // so a recorded value is off by less than 1/128 of itself
	buckets    = (64 - linearBits + 1) * subBuckets
)

// Histogram counts durations in nanoseconds in log-linear buckets, like HdrHistogram: any value, relative error under
// 0.8 %, recording is an addition. The zero Histogram is empty and ready.
type Histogram struct {
	counts   [buckets]uint64
	n        uint64
	sum      float64
	min, max int64
}

// Record counts one duration of ns nanoseconds; a negative one counts as zero.
func (h *Histogram) Record(ns int64) { h.add(ns, 1) }

func (h *Histogram) add(ns int64, times uint64) {
	if ns < 0 {
		ns = 0
	}
	h.counts[bucketOf(uint64(ns))] += times
	if h.n == 0 || ns < h.min {
		h.min = ns
	}
	h.max = max(h.max, ns)
	h.n += times
	h.sum += float64(ns) * float64(times)
}

func bucketOf(v uint64) int {
	shift := bits.Len64(v) - linearBits - 1
	if shift < 0 {
		return int(v)
	}
	return shift<<linearBits + int(v>>shift)
}

// highestOf is the highest value that bucketOf maps to bucket i.
func highestOf(i int) int64 {
	shift := i>>linearBits - 1
	if shift <= 0 {
		return int64(i)
	}
	mantissa := uint64(i) - uint64(shift)<<linearBits
	return int64((mantissa+1)<<shift - 1)
}

// Count is the number of recorded durations.
func (h *Histogram) Count() uint64 { return h.n }

// Max is the longest recorded duration, exactly.
func (h *Histogram) Max() time.Duration { return time.Duration(h.max) }

// Mean is the average, exactly.
func (h *Histogram) Mean() time.Duration {
	if h.n == 0 {
		return 0
	}
	return time.Duration(h.sum / float64(h.n))
}

// Quantile is the smallest duration that at least the fraction q of the recorded ones do not exceed, up to the error of
// a bucket. It is 0 when nothing was recorded.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	want := uint64(q * float64(h.n))
	if float64(want) < q*float64(h.n) || want == 0 {
		want++
	}
	var seen uint64
	for i, c := range h.counts {
		if seen += c; seen >= want {
			return time.Duration(max(min(highestOf(i), h.max), h.min))
		}
	}
	return h.Max()
}

// Merge adds what o has counted.
func (h *Histogram) Merge(o *Histogram) {
	if o.n == 0 {
		return
	}
	for i, c := range o.counts {
		h.counts[i] += c
	}
	if h.n == 0 || o.min < h.min {
		h.min = o.min
	}
	h.max = max(h.max, o.max)
	h.n += o.n
	h.sum += o.sum
}

// Reset forgets everything.
func (h *Histogram) Reset() { *h = Histogram{} }

type histogramJSON struct {
	Sum     float64     `json:"sum_ns"`
	Min     int64       `json:"min_ns"`
	Max     int64       `json:"max_ns"`
	Buckets [][2]uint64 `json:"buckets"` // index and count of those that are not empty
}

// MarshalJSON writes the buckets that are not empty.
func (h *Histogram) MarshalJSON() ([]byte, error) {
	j := histogramJSON{Sum: h.sum, Min: h.min, Max: h.max, Buckets: [][2]uint64{}}
	for i, c := range h.counts {
		if c != 0 {
			j.Buckets = append(j.Buckets, [2]uint64{uint64(i), c})
		}
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (h *Histogram) UnmarshalJSON(b []byte) error {
	var j histogramJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*h = Histogram{sum: j.Sum, min: j.Min, max: j.Max}
	for _, at := range j.Buckets {
		if at[0] >= buckets {
			return fmt.Errorf("histogram has no bucket %d", at[0])
		}
		h.counts[at[0]] += at[1]
		h.n += at[1]
	}
	return nil
}
