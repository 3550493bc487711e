package report

import (
	"fmt"
	"io"
	"strings"

	"weir/bench/measure"
)

// saving is how much of the CPU time of one scenario another one saves, for one contender: a resumed handshake over a full
// one.
type saving struct {
	contender      string
	full, thrifty  float64 // µs a request
	what, over, by string  // Scenario.Saves, and the two scenarios
}

// share is what is saved, in per cent.
func (s *saving) share() float64 { return 100 * (1 - s.thrifty/s.full) }

func (s *saving) text() string {
	return fmt.Sprintf("%.0f %% (%s µs of %s)", s.share(), Number(s.full-s.thrifty), Number(s.full))
}

// savings looks at the scenarios that were made to be compared with another one of the same run.
func (r *Report) savings() (list []saving) {
	for _, s := range r.Scenarios {
		base := r.Find(s.Over)
		if s.Saves == "" || base == nil {
			continue
		}
		for _, row := range s.Rows {
			full := base.Find(row.Contender, row.Variant)
			if !usable(row) || !usable(full) {
				continue
			}
			a, b := measure.Summarise(full.Samples["cpu_us"]), measure.Summarise(row.Samples["cpu_us"])
			if a.Median > 0 && b.N > 0 {
				list = append(list, saving{row.label(), a.Median, b.Median, s.Saves, base.Name, s.Name})
			}
		}
	}
	return list
}

// WriteSavings prints what is saved, a line for each contender.
func (r *Report) WriteSavings(w io.Writer) {
	what := ""
	for _, s := range r.savings() {
		if s.what != what {
			what = s.what
			fmt.Fprintf(w, "\n%s (%s against %s)\n", what, s.by, s.over)
		}
		fmt.Fprintf(w, "  %-18s %s\n", s.contender, s.text())
	}
}

func (r *Report) savingsMarkdown(b *strings.Builder) {
	what := ""
	for _, s := range r.savings() {
		if s.what != what {
			what = s.what
			fmt.Fprintf(b, "%s (`%s` against `%s`):\n\n", what, s.by, s.over)
		}
		fmt.Fprintf(b, "- %s: %s\n", s.contender, s.text())
	}
	if what != "" {
		b.WriteString("\n")
	}
}
