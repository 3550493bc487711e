package measure

import (
	"math/rand/v2"
	"testing"
)

func TestSummarise(t *testing.T) {
	s := Summarise([]float64{9, 1, 5, 3})
	want := Summary{N: 4, Median: 4, Min: 1, Max: 9, MAD: 2}
	if s != want {
		t.Errorf("got %+v, want %+v", s, want)
	}
	if got := s.Spread(); got != 1 {
		t.Errorf("spread %g, want 1", got)
	}
	if got := Summarise(nil); got != (Summary{}) {
		t.Errorf("no samples gave %+v", got)
	}
}

func TestCompare(t *testing.T) {
	for _, c := range []struct {
		why               string
		a, b              []float64
		better            Better
		resolution, drift float64
		want              Verdict
	}{
		{"the same samples", []float64{10, 11, 12}, []float64{10, 11, 12}, Lower, 0.03, 0, NoChange},
		{"less is better and it is much less", []float64{10, 10.1, 10.2}, []float64{8, 8.1, 8.2}, Lower, 0.03, 0, Improved},
		{"more is better and it is much less", []float64{10, 10.1, 10.2}, []float64{8, 8.1, 8.2}, Higher, 0.03, 0, Worsened},
		{"neither is better", []float64{10, 10.1, 10.2}, []float64{8, 8.1, 8.2}, Neither, 0.03, 0, Changed},
		{"the ranges overlap", []float64{10, 12, 14}, []float64{13, 15, 17}, Lower, 0.03, 0, NoChange},
		{"apart, but within the noise", []float64{10, 11, 12}, []float64{12.5, 13, 13.5}, Lower, 0.03, 0, NoChange},
		{"apart, but below the resolution", []float64{10, 10, 10}, []float64{10.2, 10.2, 10.2}, Lower, 0.03, 0, NoChange},
		{"the machine drifted as much", []float64{10, 10, 10}, []float64{11, 11, 11}, Lower, 0.03, 0.09, NoChange},
		{"more than the machine drifted", []float64{10, 10, 10}, []float64{12, 12, 12}, Lower, 0.03, 0.09, Worsened},
		{"from nothing to something", []float64{0, 0, 0}, []float64{5, 5, 5}, Lower, 0.03, 0, Worsened},
		{"nothing on both sides", []float64{0, 0, 0}, []float64{0, 0, 0}, Lower, 0.03, 0, NoChange},
		{"one side has too few rounds", []float64{1, 1}, []float64{2, 2, 2}, Lower, 0.03, 0, TooFew},
	} {
		if got := Compare(c.a, c.b, c.better, c.resolution, c.drift); got.Verdict != c.want {
			t.Errorf("%s: got %s (change %.3f, noise %.3f), want %s", c.why, got.Verdict, got.Change, got.Noise, c.want)
		}
	}
}

// A report compares hundreds of cells; the same contender measured twice must come out unchanged in practically all.
func TestCompareOfTheSameThingSaysNoChange(t *testing.T) {
	for _, rounds := range []int{3, 4, 5, 7} {
		rng, wrong := rand.New(rand.NewPCG(1, uint64(rounds))), 0
		const trials = 50000
		for range trials {
			a, b := make([]float64, rounds), make([]float64, rounds)
			for i := range rounds {
				a[i], b[i] = 100+rng.NormFloat64()*3, 100+rng.NormFloat64()*3
			}
			if Compare(a, b, Lower, 0.03, 0).Verdict != NoChange {
				wrong++
			}
		}
		if got := float64(wrong) / trials; got > 0.0005 {
			t.Errorf("%d rounds with 3 %% noise: %.3f %% of comparisons saw a change that is not there", rounds, got*100)
		}
	}
}

func TestCompareSeesWhatIsThere(t *testing.T) {
	rng, missed := rand.New(rand.NewPCG(2, 2)), 0
	const trials = 2000
	for range trials {
		a, b := make([]float64, 3), make([]float64, 3)
		for i := range 3 {
			a[i], b[i] = 100+rng.NormFloat64(), 118+rng.NormFloat64()
		}
		if Compare(a, b, Lower, 0.03, 0).Verdict != Worsened {
			missed++
		}
	}
	if got := float64(missed) / trials; got > 0.02 {
		t.Errorf("18 %% worse at 1 %% noise: missed in %.1f %% of trials", got*100)
	}
}

func TestCompareCounts(t *testing.T) {
	for _, c := range []struct {
		why    string
		a, b   float64
		amount float64
		want   Verdict
	}{
		{"the same", 4.1, 4.1, 0.05, NoChange},
		{"within the resolution", 4.1, 4.2, 0.05, NoChange},
		{"a call more a request", 4.1, 5.1, 0.05, Worsened},
		{"a call less a request", 5.1, 4.1, 0.05, Improved},
		{"background allocations", 0, 0.2, 0.5, NoChange},
		{"an allocation a request, where there was none", 0, 1, 0.5, Worsened},
	} {
		if got := CompareCounts(c.a, c.b, Lower, 0.05, c.amount); got.Verdict != c.want {
			t.Errorf("%s: %s (change %.2f, noise %.2f)", c.why, got.Verdict, got.Change, got.Noise)
		}
	}
}
