package report

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"weir/bench/measure"
)

// Side is one side of a comparison: a record, and the contender to look at; "" compares each with its namesake.
type Side struct {
	Report    *Report
	Contender string
}

// Finding is one metric of one row that both sides have.
type Finding struct {
	Scenario string
	Row      string
	Metric   Metric
	Drift    float64 // how far the machine itself moved between the sides
	measure.Difference
}

// Comparison is what comparing two records found.
type Comparison struct {
	Findings []Finding // all that was compared, in the order of the records
	OnlyA    []string  // rows that one side lacks or that failed there
	OnlyB    []string
}

// judged are the metrics that a comparison looks at: those with a better direction, and of times only the totals, because
// their parts would count the same change twice and are coarser.
func judged(m Metric) bool {
	return m.Better != measure.Neither && m.Key != "cpu_user_us" && m.Key != "cpu_kernel_us"
}

// Compare says what changed from a to b.
func Compare(a, b Side) Comparison {
	var c Comparison
	for _, sa := range a.Report.Scenarios {
		sb := b.Report.Find(sa.Name)
		if sb == nil {
			continue
		}
		for _, ra := range sa.Rows {
			if a.Contender != "" && ra.Contender != a.Contender {
				continue
			}
			other := ra.Contender
			if b.Contender != "" {
				other = b.Contender
			}
			rb := sb.Find(other, ra.Variant)
			name := sa.Name + ": " + ra.label()
			switch okA, okB := usable(ra), usable(rb); {
			case okA && okB:
				c.compareRows(sa, sb, ra, rb)
			case okA:
				c.OnlyA = append(c.OnlyA, name+why(rb))
			case okB:
				c.OnlyB = append(c.OnlyB, name+why(ra))
			}
		}
	}
	return c
}

func usable(r *Row) bool { return r != nil && r.Absent == "" && len(r.Failures) == 0 }

func why(r *Row) string {
	if r == nil {
		return " (not measured)"
	}
	return " (" + r.remark() + ")"
}

func (c *Comparison) compareRows(sa, sb *Scenario, ra, rb *Row) {
	for _, key := range sa.Columns {
		m := MetricOf(key)
		a, b := ra.Samples[key], rb.Samples[key]
		if !judged(m) || len(a) == 0 || len(b) == 0 {
			continue
		}
		f := Finding{Scenario: sa.Name, Row: ra.label(), Metric: m}
		if m.Timing && sa != sb {
			f.Drift = drift(sa, sb, ra.Contender, key)
		}
		f.Difference = measure.Compare(a, b, m.Better, m.Resolution, f.Drift)
		if m.Exact > 0 {
			f.Difference = measure.CompareCounts(a[0], b[0], m.Better, m.Resolution, m.Exact)
		}
		c.Findings = append(c.Findings, f)
	}
}

// drift is how far the machine moved between two records in a scenario: the change of those contenders of the same name
// that are no build under test. The floor is the best witness, for it is part of the bench; where it did not take part,
// the other proxies' median change speaks. The contender that is compared is no witness of itself.
func drift(sa, sb *Scenario, compared, key string) float64 {
	change := func(name string) (float64, bool) {
		ra, rb := sa.Find(name, ""), sb.Find(name, "")
		if !usable(ra) || !usable(rb) {
			return 0, false
		}
		a, b := measure.Summarise(ra.Samples[key]), measure.Summarise(rb.Samples[key])
		if a.N == 0 || b.N == 0 || a.Median == 0 {
			return 0, false
		}
		return (b.Median - a.Median) / a.Median, true
	}
	if compared != "floor" {
		if d, ok := change("floor"); ok {
			return d
		}
	}
	var all []float64
	for _, name := range []string{"haproxy", "nginx", "caddy", "floor-netpoll"} {
		if d, ok := change(name); ok && name != compared {
			all = append(all, d)
		}
	}
	return measure.Summarise(all).Median
}

// Changes are the findings beyond the noise, worst first.
func (c *Comparison) Changes() (changes []Finding) {
	for _, f := range c.Findings {
		if f.Verdict != measure.NoChange && f.Verdict != measure.TooFew {
			changes = append(changes, f)
		}
	}
	slices.SortStableFunc(changes, func(x, y Finding) int {
		if (x.Verdict == measure.Worsened) != (y.Verdict == measure.Worsened) {
			if x.Verdict == measure.Worsened {
				return -1
			}
			return 1
		}
		return int(1e6*math.Abs(y.Change)) - int(1e6*math.Abs(x.Change))
	})
	return changes
}

// Worsened says whether anything got worse.
func (c *Comparison) Worsened() bool {
	return slices.ContainsFunc(c.Findings, func(f Finding) bool { return f.Verdict == measure.Worsened })
}

// Write prints the comparison. all also prints what did not change.
func (c *Comparison) Write(w io.Writer, all bool) {
	changes := c.Changes()
	few := 0
	for _, f := range c.Findings {
		if f.Verdict == measure.TooFew {
			few++
		}
	}
	switch {
	case len(c.Findings) == 0:
		fmt.Fprintln(w, "nothing to compare: the two sides have no measured row in common")
	case few == len(c.Findings):
		fmt.Fprintf(w, "no verdict: %d measures have fewer than %d rounds on one side\n", few, measure.RoundsMin)
	case len(changes) == 0:
		fmt.Fprintf(w, "no change: %d measures are within the noise\n", len(c.Findings)-few)
	default:
		fmt.Fprintf(w, "%d of %d measures changed beyond the noise:\n", len(changes), len(c.Findings)-few)
	}
	for _, f := range changes {
		f.write(w)
	}
	if few > 0 && few < len(c.Findings) {
		fmt.Fprintf(w, "%d measures have too few rounds for a verdict\n", few)
	}
	if all {
		fmt.Fprintln(w, "\nall measures:")
		for _, f := range c.Findings {
			f.write(w)
		}
	}
	for _, list := range []struct {
		what string
		rows []string
	}{{"only in A", c.OnlyA}, {"only in B", c.OnlyB}} {
		if len(list.rows) > 0 {
			fmt.Fprintf(w, "%s: %s\n", list.what, strings.Join(list.rows, "; "))
		}
	}
}

func (f Finding) write(w io.Writer) {
	fmt.Fprintf(w, "  %-9s %-20s %-28s %-24s %s -> %s  %+.1f%% (noise %.1f%%", f.Verdict, f.Scenario, f.Row, f.Metric.head(),
		Number(f.A.Median), Number(f.B.Median), 100*f.Change, 100*f.Noise)
	if f.Drift != 0 {
		fmt.Fprintf(w, ", of which the machine's drift %+.1f%%", 100*f.Drift)
	}
	fmt.Fprintln(w, ")")
}
