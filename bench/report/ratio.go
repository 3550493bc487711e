package report

import (
	"fmt"
	"io"
	"strings"

	"weir/bench/measure"
)

// ratioKeys are the measures that ratios are made of, the first that a row has.
var ratioKeys = []string{"cpu_s_gib", "cpu_us"}

// ratios is the table that budgets are read from: the CPU time of the first contender relative to each other one.
type ratios struct {
	subject string
	others  []string
	rows    []ratioRow
}

type ratioRow struct {
	scenario string
	values   []float64 // 0: none
}

func (r *Report) ratios() (t ratios) {
	for _, c := range r.Contenders {
		switch {
		case c.Missing != "":
		case t.subject == "":
			t.subject = c.Name
		default:
			t.others = append(t.others, c.Name)
		}
	}
	for _, s := range r.Scenarios {
		subject := s.Find(t.subject, "")
		if !usable(subject) {
			continue
		}
		row, any := ratioRow{scenario: s.Name, values: make([]float64, len(t.others))}, false
		for i, name := range t.others {
			if row.values[i] = ratio(subject, s.Find(name, "")); row.values[i] > 0 {
				any = true
			}
		}
		if any {
			t.rows = append(t.rows, row)
		}
	}
	return t
}

func ratio(a, b *Row) float64 {
	if !usable(b) {
		return 0
	}
	for _, key := range ratioKeys {
		x, y := measure.Summarise(a.Samples[key]), measure.Summarise(b.Samples[key])
		if x.N > 0 && y.Median > 0 {
			return x.Median / y.Median
		}
	}
	return 0
}

func ratioText(v float64) string {
	if v == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", v)
}

// WriteRatios prints the first contender's CPU time relative to the others'.
func (r *Report) WriteRatios(w io.Writer) {
	t := r.ratios()
	if len(t.rows) == 0 {
		return
	}
	fmt.Fprintf(w, "\nCPU time of %s relative to\n  %-18s", t.subject, "")
	for _, name := range t.others {
		fmt.Fprintf(w, " %14s", name)
	}
	fmt.Fprintln(w)
	for _, row := range t.rows {
		fmt.Fprintf(w, "  %-18s", row.scenario)
		for _, v := range row.values {
			fmt.Fprint(w, strings.Repeat(" ", 15-len([]rune(ratioText(v))))+ratioText(v))
		}
		fmt.Fprintln(w)
	}
}

func (r *Report) ratiosMarkdown(b *strings.Builder) {
	t := r.ratios()
	if len(t.rows) == 0 {
		return
	}
	fmt.Fprintf(b, "CPU time of %s relative to the others (below 1: %s needs less):\n\n| scenario |", t.subject, t.subject)
	for _, name := range t.others {
		fmt.Fprintf(b, " %s |", name)
	}
	b.WriteString("\n| --- |" + strings.Repeat(" ---: |", len(t.others)) + "\n")
	for _, row := range t.rows {
		fmt.Fprintf(b, "| %s |", row.scenario)
		for _, v := range row.values {
			fmt.Fprintf(b, " %s |", ratioText(v))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
}
