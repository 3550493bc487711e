package stats

import (
	"encoding/json"
	"fmt"
)

// histogramJSON is a Histogram on the wire. The quantiles are for readers; the buckets make it whole again, so that a
// client can merge and subtract.
type histogramJSON struct {
	Count   uint64      `json:"count"`
	Sum     uint64      `json:"sum"`
	Max     uint64      `json:"max"`
	P50     uint64      `json:"p50"`
	P90     uint64      `json:"p90"`
	P99     uint64      `json:"p99"`
	P999    uint64      `json:"p999"`
	Buckets [][2]uint64 `json:"buckets"` // [index, count] of those that are not empty
}

// MarshalJSON writes count, sum, quantiles and the buckets that are not empty.
func (h Histogram) MarshalJSON() ([]byte, error) {
	j := histogramJSON{
		Count: h.Count(), Sum: h.sum, Max: h.max,
		P50: h.Quantile(0.5), P90: h.Quantile(0.9), P99: h.Quantile(0.99), P999: h.Quantile(0.999),
		Buckets: [][2]uint64{},
	}
	for i, n := range h.buckets {
		if n > 0 {
			j.Buckets = append(j.Buckets, [2]uint64{uint64(i), n})
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
	*h = Histogram{sum: j.Sum, max: j.Max}
	for _, c := range j.Buckets {
		if c[0] >= Buckets {
			return fmt.Errorf("histogram has %d buckets, not a bucket %d", Buckets, c[0])
		}
		h.buckets[c[0]] += c[1]
	}
	return nil
}
