package measure

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Against the oracle: sorting everything and picking by rank.
func TestQuantileIsTheRankUpToABucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(0, int64(time.Hour)), 1, 300).Draw(t, "values")
		q := rapid.Float64Range(0.001, 1).Draw(t, "q")
		var h Histogram
		for _, v := range values {
			h.Record(v)
		}
		slices.Sort(values)
		want := values[int(math.Ceil(q*float64(len(values))))-1]
		got := int64(h.Quantile(q))
		if got < want || float64(got) > float64(want)*(1+1.0/subBuckets)+1 {
			t.Fatalf("quantile %g of %v: got %d, the rank says %d", q, values, got, want)
		}
	})
}

func TestBucketsCoverEveryValueOnce(t *testing.T) {
	for _, v := range []uint64{0, 1, 127, 128, 255, 256, 257, 1000, 1 << 20, 1<<40 + 12345, math.MaxInt64} {
		i := bucketOf(v)
		if uint64(highestOf(i)) < v || i > 0 && uint64(highestOf(i-1)) >= v {
			t.Errorf("%d is in bucket %d, which ends at %d after %d", v, i, highestOf(i), highestOf(i-1))
		}
	}
	for i := 1; i < bucketOf(math.MaxInt64); i++ {
		if highestOf(i) <= highestOf(i-1) {
			t.Fatalf("bucket %d ends at %d, the one before at %d", i, highestOf(i), highestOf(i-1))
		}
	}
}

func TestHistogramSurvivesJSONAndMerging(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOf(rapid.Int64Range(0, 1<<40)).Draw(t, "values")
		var whole, left, right Histogram
		for i, v := range values {
			whole.Record(v)
			if i%2 == 0 {
				left.Record(v)
			} else {
				right.Record(v)
			}
		}
		text, err := json.Marshal(&left)
		if err != nil {
			t.Fatal(err)
		}
		var read Histogram
		if err := json.Unmarshal(text, &read); err != nil {
			t.Fatal(err)
		}
		read.Merge(&right)
		if read.counts != whole.counts || read.n != whole.n || read.min != whole.min || read.max != whole.max {
			t.Fatalf("halves of %v merge to something else than the whole", values)
		}
	})
}

func TestRecordAllocatesNothing(t *testing.T) {
	h := new(Histogram)
	if n := testing.AllocsPerRun(100, func() { h.Record(123456) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRecord(b *testing.B) {
	b.ReportAllocs()
	h := new(Histogram)
	for i := range b.N {
		h.Record(int64(i))
	}
}
