package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"weir/bench/measure"
)

// columns are the metrics of a scenario that any row has samples of, in the scenario's order.
func (s *Scenario) columns() (cols []Metric) {
	for _, key := range s.Columns {
		for _, r := range s.Rows {
			if len(r.Samples[key]) > 0 {
				cols = append(cols, MetricOf(key))
				break
			}
		}
	}
	return cols
}

func (m Metric) head() string {
	if m.Unit == "" {
		return m.Title
	}
	return m.Title + " " + m.Unit
}

// label is what a row is called in tables.
func (r *Row) label() string {
	if r.Variant == "" {
		return r.Contender
	}
	return r.Contender + ", " + r.Variant
}

// cells are a row's numbers, or why there are none.
func (r *Row) cells(cols []Metric) []string {
	out := make([]string, len(cols))
	for i, m := range cols {
		out[i] = Cell(measure.Summarise(r.Samples[m.Key]))
	}
	return out
}

// remark says what is wrong with a row; a row with a remark that fails has no say in comparisons.
func (r *Row) remark() string {
	switch {
	case r.Absent != "":
		return r.Absent
	case len(r.Failures) > 0:
		return "FAILED: " + strings.Join(r.Failures, "; ")
	}
	return ""
}

// WriteTable prints a scenario for the terminal.
func (s *Scenario) WriteTable(w io.Writer) {
	fmt.Fprintf(w, "\n%s  (%s)\n", s.Title, s.Name)
	cols := s.columns()
	lines := [][]string{{""}}
	for _, m := range cols {
		lines[0] = append(lines[0], m.head())
	}
	for _, r := range s.Rows {
		lines = append(lines, append([]string{r.label()}, r.cells(cols)...))
	}
	width := make([]int, len(cols)+1)
	for _, l := range lines {
		for i, c := range l {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	for n, l := range lines {
		var b strings.Builder
		for i, c := range l {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c))
			if i == 0 {
				b.WriteString("  " + c + pad)
			} else {
				b.WriteString("  " + pad + c)
			}
		}
		if n > 0 {
			if remark := s.Rows[n-1].remark(); remark != "" {
				b.WriteString("   " + remark)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}
