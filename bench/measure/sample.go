package measure

import (
	"math"
	"slices"
)

// Summary describes the samples of one cell, one sample a round.
type Summary struct {
	N      int     `json:"n"`
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	MAD    float64 `json:"mad"` // median distance from the median
}

// Summarise describes samples; the zero Summary for none.
func Summarise(samples []float64) Summary {
	if len(samples) == 0 {
		return Summary{}
	}
	s := slices.Sorted(slices.Values(samples))
	m := median(s)
	away := make([]float64, len(s))
	for i, v := range s {
		away[i] = math.Abs(v - m)
	}
	slices.Sort(away)
	return Summary{N: len(s), Median: m, Min: s[0], Max: s[len(s)-1], MAD: median(away)}
}

// Spread is half the range relative to the median: the ± that tables show.
func (s Summary) Spread() float64 {
	if s.Median == 0 {
		return 0
	}
	return (s.Max - s.Min) / 2 / math.Abs(s.Median)
}

func median(sorted []float64) float64 {
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// Better says which direction of a measure is an improvement.
type Better int8

// The directions.
const (
	Lower   Better = -1
	Neither Better = 0
	Higher  Better = 1
)

// Verdict is what comparing two cells found.
type Verdict string

// The verdicts.
const (
	NoChange Verdict = "no change"
	Improved Verdict = "better"
	Worsened Verdict = "worse"
	Changed  Verdict = "changed"        // for measures without a better direction
	TooFew   Verdict = "too few rounds" // fewer than RoundsMin on one side
)

// RoundsMin is how many samples each side of Compare must have: two say nothing about their own noise.
const RoundsMin = 3

// Difference is the outcome of Compare.
type Difference struct {
	A, B    Summary
	Change  float64 // relative: (B - A) / A
	Noise   float64 // relative: a change of at most this says nothing
	Verdict Verdict
}

// Compare says whether b differs from a beyond the noise. Three things must hold, because rounds are few (three to
// seven) and no single test is both honest and useful there:
//
//   - every sample of one side lies beyond every sample of the other (for 3 against 3 rounds, chance does that once in
//     ten; for 5 against 5 once in 126);
//   - the medians are further apart than a few standard deviations of the noisier side, the more the fewer rounds there
//     were to estimate the deviation from: a report makes hundreds of comparisons, and one false alarm in a thousand
//     is one too many;
//   - and further than resolution, the relative change that this measure cannot resolve on an honest machine, widened by
//     drift, the relative change that the machine itself showed between the two runs (the floor relay's).
func Compare(a, b []float64, better Better, resolution, drift float64) Difference {
	d := Difference{A: Summarise(a), B: Summarise(b), Verdict: NoChange}
	if min(d.A.N, d.B.N) < RoundsMin {
		d.Verdict = TooFew
		return d
	}
	base := math.Abs(d.A.Median)
	if base == 0 {
		if d.B.Median == 0 {
			return d
		}
		base = math.Abs(d.B.Median)
	}
	d.Change = (d.B.Median - d.A.Median) / base
	sigma := max(deviation(d.A), deviation(d.B)) / base
	d.Noise = max(deviations(min(d.A.N, d.B.N))*sigma, resolution+math.Abs(drift))
	apart := d.A.Max < d.B.Min || d.B.Max < d.A.Min
	if !apart || math.Abs(d.Change) <= d.Noise {
		return d
	}
	d.Verdict = verdict(d.Change, better)
	return d
}

// CompareCounts is Compare for what is counted in one run and has no noise worth the name: a change counts when it exceeds
// the resolution and the amount that says nothing.
func CompareCounts(a, b float64, better Better, resolution, amount float64) Difference {
	d := Difference{A: Summarise([]float64{a}), B: Summarise([]float64{b}), Noise: resolution, Verdict: NoChange}
	if base := max(math.Abs(a), amount); base > 0 {
		d.Change = (b - a) / base
		d.Noise = max(resolution, amount/base)
	}
	if math.Abs(d.Change) > d.Noise {
		d.Verdict = verdict(d.Change, better)
	}
	return d
}

func verdict(change float64, better Better) Verdict {
	switch {
	case better == Neither:
		return Changed
	case (change > 0) == (better == Higher):
		return Improved
	}
	return Worsened
}

// deviations is how many of them a change must exceed, given the number of rounds. Chosen by simulation: below one false
// alarm in two thousand with normal noise that is as large as the resolution (sample_test.go).
func deviations(rounds int) float64 {
	table := [...]float64{0, 0, 0, 6, 4.5, 4}
	return table[min(rounds, len(table)-1)]
}

// deviation estimates the standard deviation of one cell: from the median distance (times 1.4826 for a normal
// distribution) and from the range, whichever says more, because with three samples either may be zero by luck.
func deviation(s Summary) float64 {
	if s.N < 2 {
		return 0
	}
	return max(1.4826*s.MAD, (s.Max-s.Min)/rangeFactor(s.N))
}

// rangeFactor is the expected range of n normal samples in standard deviations (d2 of control charts).
func rangeFactor(n int) float64 {
	table := [...]float64{1, 1, 1.128, 1.693, 2.059, 2.326, 2.534, 2.704, 2.847, 2.970, 3.078}
	return table[min(n, len(table)-1)]
}
