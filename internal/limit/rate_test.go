package limit

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/internal/mono"
)

// checkRate looks at every window between two events: never more than N·T + burst in it.
func checkRate(t interface{ Fatalf(string, ...any) }, n int, times []mono.Time) {
	burst := float64(Burst(n))
	// The most crowded window that ends at an event is told by the least of k - N·t over the events before it.
	least := math.Inf(1)
	for k, at := range times {
		x := float64(at-times[0]) / 1e9 * float64(n)
		least = min(least, float64(k)-x)
		if inWindow := float64(k) - x - least + 1; inWindow > burst+1e-6 {
			t.Fatalf("rate %d: a window that ends at event %d has %.3f more events than the rate, the burst is %v", n, k, inWindow, burst)
		}
	}
}

func TestRateModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.OneOf(rapid.IntRange(1, 30), rapid.IntRange(1, rateMax)).Draw(t, "n")
		origin := rapid.SampledFrom([]mono.Time{0, 1, mono.Time(time.Hour), 1 << 58, 1 << 62}).Draw(t, "origin")
		r, now := new(Rate), origin
		r.SetRate(n)
		gap := int64(time.Second) / int64(n)
		var times []mono.Time
		// saved is a bucket of real numbers: what the rate must not fall short of either.
		saved, last := float64(Burst(n)), now
		t.Repeat(map[string]func(*rapid.T){
			"wait": func(t *rapid.T) {
				now += mono.Time(rapid.Int64Range(0, 3*gap).Draw(t, "gap"))
			},
			"waitLong": func(t *rapid.T) {
				now += mono.Time(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "long"))
			},
			"take": func(t *rapid.T) {
				saved = min(saved+float64(now-last)/1e9*float64(n), float64(Burst(n)))
				last = now
				ok, wait := r.Take(now)
				if ok {
					times = append(times, now)
					saved--
					return
				}
				// The unit rounds a token's time up by at most a part in 6300.
				if saved > 1.001+float64(Burst(n))/6000 {
					t.Fatalf("rate %d refused with %.3f events saved", n, saved)
				}
				if wait <= 0 {
					t.Fatalf("refused with a wait of %v", wait)
				}
				if ok, _ := r.Retry(now + mono.Time(wait) - 1); ok {
					t.Fatalf("passed before the wait was over")
				}
				if ok, _ = r.Retry(now + mono.Time(wait)); !ok {
					t.Fatalf("refused after the wait that it asked for")
				}
				now += mono.Time(wait)
				saved = min(saved+float64(now-last)/1e9*float64(n), float64(Burst(n))) - 1
				last = now
				times = append(times, now)
			},
			"": func(t *rapid.T) {},
		})
		checkRate(t, n, times)
	})
}

// TestRateThroughput asks far too often for simulated seconds: what passes is N·T plus the burst, to the event.
func TestRateThroughput(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 10, 19, 20, 100, 999, 5000, 10000, 70000} {
		r := new(Rate)
		r.SetRate(n)
		const seconds = 7
		step := mono.Time(int64(time.Second)/int64(n)/3 + 1)
		start := mono.Time(12345)
		var times []mono.Time
		for now := start; now <= start.Add(seconds*time.Second); now += step {
			for {
				ok, _ := r.Take(now)
				if !ok {
					break
				}
				times = append(times, now)
			}
		}
		if want := n*seconds + Burst(n); len(times) > want || len(times) < want-2 {
			t.Errorf("rate %d: %d events in %d s, want %d", n, len(times), seconds, want)
		}
		checkRate(t, n, times)
	}
}

// TestRateConcurrent has takers on many goroutines share a simulated clock, each with a reading that may be a little old.
func TestRateConcurrent(t *testing.T) {
	const n, goroutines, rounds = 1000, 8, 20000
	r := new(Rate)
	r.SetRate(n)
	var clock atomic.Int64
	clock.Store(int64(time.Hour))
	start := clock.Load()
	passed := make([][]mono.Time, goroutines)
	var wg sync.WaitGroup
	for i := range goroutines {
		wg.Go(func() {
			for range rounds {
				now := mono.Time(clock.Add(20_000))
				if ok, _ := r.Take(now); ok {
					passed[i] = append(passed[i], now)
				}
			}
		})
	}
	wg.Wait()
	all := slices.Concat(passed...)
	slices.Sort(all)
	checkRate(t, n, all)
	seconds := float64(clock.Load()-start) / 1e9
	if want := n*seconds + float64(Burst(n)); float64(len(all)) < 0.95*want {
		t.Errorf("%d events in %.1f s, of up to %.0f", len(all), seconds, want)
	}
	if r.Passed() != uint64(len(all)) || r.Hits() != goroutines*rounds-uint64(len(all)) {
		t.Errorf("counted %d passed and %d refused; want %d and %d", r.Passed(), r.Hits(), len(all), goroutines*rounds-len(all))
	}
}

func TestRateOffAndChanged(t *testing.T) {
	r, now := new(Rate), mono.Time(time.Hour)
	for range 1000 {
		if ok, _ := r.Take(now); !ok {
			t.Fatal("a rate of 0 refused")
		}
	}
	r.SetRate(10)
	if ok, _ := r.Take(now); !ok {
		t.Error("refused the first event after switching on")
	}
	if ok, wait := r.Take(now); ok || wait != 100*time.Millisecond {
		t.Errorf("second event: %v, wait %v; want a wait of 100ms", ok, wait)
	}
	r.SetRate(1000) // due is 100 ms ahead; 99 of the burst's 100 may be saved up, so none of them is left
	if ok, wait := r.Take(now); ok || wait != time.Millisecond {
		t.Errorf("after raising: %v, wait %v; want a wait of 1ms", ok, wait)
	}
	r.SetRate(0)
	if ok, _ := r.Take(now); !ok || r.Max() != 0 {
		t.Error("refused after switching off")
	}
}

// TestRateUnusedForYears: a bucket whose word has wrapped is full, not years ahead.
func TestRateUnusedForYears(t *testing.T) {
	for years := range 8 {
		r := new(Rate)
		r.SetRate(5)
		now := mono.Time(time.Hour)
		r.Take(now)
		now = now.Add(time.Duration(years) * 365 * 24 * time.Hour).Add(time.Minute)
		if ok, wait := r.Take(now); !ok {
			t.Errorf("after %d years: refused for %v", years, wait)
		}
		if ok, wait := r.Take(now); ok || wait != 200*time.Millisecond {
			t.Errorf("after %d years: %v, wait %v", years, ok, wait)
		}
	}
}

func TestRateReserve(t *testing.T) {
	r, now := new(Rate), mono.Time(time.Hour)
	r.SetRate(20) // a burst of 2, then one each 50 ms
	var got []time.Duration
	for range 5 {
		at, ok := r.Reserve(now, time.Second)
		if !ok {
			t.Fatal("refused although patient")
		}
		got = append(got, at.Sub(now))
	}
	ms := time.Millisecond
	if want := []time.Duration{0, 0, 50 * ms, 100 * ms, 150 * ms}; !slices.Equal(got, want) {
		t.Errorf("reserved %v, want %v", got, want)
	}
	if _, ok := r.Reserve(now, 199*ms); ok {
		t.Error("reserved beyond the patience")
	}
	if ok, wait := r.Take(now.Add(100 * ms)); ok || wait != 100*ms {
		t.Errorf("a later Take: %v, wait %v; it would overtake", ok, wait)
	}
	r.Return(now.Add(100 * ms)) // not the last: lost
	r.Return(now.Add(150 * ms)) // the last
	if at, ok := r.Reserve(now, time.Second); !ok || at.Sub(now) != 150*ms {
		t.Errorf("after the last was returned: %v, %v", at.Sub(now), ok)
	}
	if r.Passed() != 4 {
		t.Errorf("%d passed, want 4", r.Passed())
	}
}

// TestRateReturn: only the pass reserved last is there to be had again, and only at the rate that it was reserved at.
func TestRateReturn(t *testing.T) {
	const ms = time.Millisecond
	now := mono.Time(time.Hour)
	reserved := func() *Rate { // at 0, 0, 50 and 100 ms
		r := new(Rate)
		r.SetRate(20)
		for range 4 {
			r.Reserve(now, time.Second)
		}
		return r
	}
	next := func(r *Rate) time.Duration {
		at, _ := r.Reserve(now, time.Minute)
		return at.Sub(now)
	}
	r := reserved()
	if r.Return(now.Add(50 * ms)); next(r) != 150*ms {
		t.Error("a pass that was not the last made another one pass twice")
	}
	r = reserved()
	if r.Return(now.Add(100 * ms)); next(r) != 100*ms {
		t.Error("the last pass cannot be had again")
	}
	r = reserved() // due is 200 ms ahead
	r.SetRate(7)
	if r.Return(now.Add(100 * ms)); next(r) != 200*ms {
		t.Error("more was given back than was taken")
	}
}

// TestRateReserveConcurrent: whoever reserves, every pass is another one and the rate is kept.
func TestRateReserveConcurrent(t *testing.T) {
	const n, goroutines, rounds = 977, 8, 2000
	r, now := new(Rate), mono.Time(time.Hour)
	r.SetRate(n)
	passes := make([][]mono.Time, goroutines)
	var wg sync.WaitGroup
	for i := range goroutines {
		wg.Go(func() {
			for range rounds {
				at, ok := r.Reserve(now, time.Hour)
				if !ok {
					t.Error("refused")
				}
				if k := len(passes[i]); k > 0 && at < passes[i][k-1] {
					t.Errorf("a later reservation passes earlier")
				}
				passes[i] = append(passes[i], at)
			}
		})
	}
	wg.Wait()
	all := slices.Concat(passes...)
	slices.Sort(all)
	checkRate(t, n, all)
}
