package stats

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// naiveBucket is the definition that bucketOf computes: the first bucket whose inclusive bound is not below v. Buckets
// whose bounds coincide (below 10 units) are empty but for the first.
func naiveBucket(v uint64) int {
	for i, b := range bounds {
		if v <= b {
			return i
		}
	}
	return bucketsBounded
}

func sameBucket(i, j int) bool {
	return i == j || i < bucketsBounded && j < bucketsBounded && bounds[i] == bounds[j]
}

func TestBucketsMatchTheirDefinition(t *testing.T) {
	check := func(v uint64) {
		t.Helper()
		if got, want := bucketOf(v), naiveBucket(v); !sameBucket(got, want) {
			t.Fatalf("value %d falls into bucket %d, want %d", v, got, want)
		}
	}
	for v := range uint64(200_000) {
		check(v)
	}
	for _, b := range bounds {
		check(b - 1)
		check(b)
		check(b + 1)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		check(r.Uint64() >> r.IntN(64))
	}
}

func TestBoundsRiseAndHoldRoundValues(t *testing.T) {
	if !slices.IsSorted(bounds[:]) {
		t.Fatal("bounds do not rise")
	}
	for _, v := range []uint64{1, 10, 25, 100, 1e3, 2.5e6, 5e8, 1e9, 5e9, 6e10, 1e11} {
		if !slices.Contains(bounds[:], v) {
			t.Errorf("%d is no bound", v)
		}
	}
	for i := stepsPerDecade; i < bucketsBounded-1; i++ {
		if w := float64(bounds[i+1]-bounds[i]) / float64(bounds[i]); w > 0.34 {
			t.Errorf("bucket above %d is %.0f %% wide, want at most a third", bounds[i], 100*w)
		}
	}
}

func TestAtMostIsExactAtBounds(t *testing.T) {
	var h Histogram
	r := rand.New(rand.NewPCG(3, 4))
	values := make([]uint64, 20_000)
	for i := range values {
		values[i] = r.Uint64() >> (24 + r.IntN(40))
		h.Observe(int64(values[i]))
	}
	for _, b := range bounds {
		var want uint64
		for _, v := range values {
			if v <= b {
				want++
			}
		}
		if got := h.AtMost(b); got != want {
			t.Fatalf("at most %d: %d values, want %d", b, got, want)
		}
	}
}

func TestQuantileIsWithinABucketOfTheTruth(t *testing.T) {
	var h Histogram
	r := rand.New(rand.NewPCG(5, 6))
	values := make([]uint64, 50_000)
	for i := range values {
		values[i] = uint64(r.ExpFloat64() * 3e6)
		h.Observe(int64(values[i]))
	}
	slices.Sort(values)
	for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.99, 0.999, 1} {
		truth := values[min(int(q*float64(len(values))), len(values)-1)]
		got := h.Quantile(q)
		if i, j := naiveBucket(got), naiveBucket(truth); i < j-1 || i > j+1 {
			t.Errorf("quantile %v is %d, truth %d", q, got, truth)
		}
	}
	if h.Quantile(1) != h.Max() {
		t.Errorf("quantile 1 is %d, want the maximum %d", h.Quantile(1), h.Max())
	}
}

func TestQuantileOfFewValues(t *testing.T) {
	var h Histogram
	if got := h.Quantile(0.99); got != 0 {
		t.Errorf("quantile of nothing is %d, want 0", got)
	}
	h.Observe(-5)
	if got := h.Quantile(0.99); got != 0 {
		t.Errorf("quantile of a negative value is %d, want 0", got)
	}
	h = Histogram{}
	h.Observe(7e11)
	if got := h.Quantile(0.5); got < 1e11 || got > 7e11 {
		t.Errorf("median of 7e11 alone is %d, want between the last bound and it", got)
	}
}

func TestAddAndSubAreInverse(t *testing.T) {
	var a, b Histogram
	for i := range int64(1000) {
		a.Observe(i * i)
		b.Observe(i * 1000)
	}
	sum := a
	sum.Add(&b)
	if sum.Count() != 2000 || sum.Sum() != a.Sum()+b.Sum() || sum.Max() != max(a.Max(), b.Max()) {
		t.Fatalf("sum has count %d sum %d max %d", sum.Count(), sum.Sum(), sum.Max())
	}
	sum.Sub(&a)
	if sum.buckets != b.buckets || sum.Sum() != b.Sum() {
		t.Fatal("taking a away from a+b does not leave b")
	}
}

func TestHistogramSurvivesJSON(t *testing.T) {
	var h, back Histogram
	for i := range int64(5000) {
		h.Observe(i * i * i)
	}
	text, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(h, back) {
		t.Fatalf("came back different: %s", text)
	}
	if err := json.Unmarshal([]byte(`{"buckets":[[111,1]]}`), &back); err == nil {
		t.Error("a bucket beyond the last is accepted")
	}
}

func TestObserveAllocatesNothing(t *testing.T) {
	var h Histogram
	v := int64(1)
	if n := testing.AllocsPerRun(1000, func() { h.Observe(v); v = v*7 + 1 }); n != 0 {
		t.Fatalf("%v allocations per observation", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	var h Histogram
	b.ReportAllocs()
	v := uint64(88172645463325252)
	for b.Loop() {
		v ^= v << 13
		v ^= v >> 7
		v ^= v << 17
		h.Observe(int64(v >> 34))
	}
}
