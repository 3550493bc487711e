package config

import (
	"bufio"
	"fmt"
	"io"
	"sort"
	"strings"
)

// Severity says whether a problem keeps the file from being used.
type Severity string

// The severities.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Problem is one thing that is wrong with a file, and where. Its fields are the JSON form of `weir check`.
type Problem struct {
	File     string   `json:"file"`
	Line     int      `json:"line"`   // from 1; 0: the file as a whole
	Column   int      `json:"column"` // from 1, in characters
	Width    int      `json:"width"`  // characters that are meant; 0: none in particular
	Severity Severity `json:"severity"`
	Message  string   `json:"message"`
	Hint     string   `json:"hint,omitempty"` // what to do instead, e.g. `did you mean "backend"?`
	Source   string   `json:"source"`         // the text of the line
}

// String is the first line of the problem as `weir check` prints it.
func (p *Problem) String() string {
	if p.Line == 0 {
		return fmt.Sprintf("%s: %s: %s", p.File, p.Severity, p.Message)
	}
	return fmt.Sprintf("%s:%d:%d: %s: %s", p.File, p.Line, p.Column, p.Severity, p.Message)
}

// Report is everything that the loader found in one file, in the order of the lines.
type Report struct {
	File     string    `json:"file"`
	Errors   int       `json:"errors"`
	Warnings int       `json:"warnings"`
	Problems []Problem `json:"problems"`
}

// OK reports whether the file can be used: it has no errors, though it may have warnings.
func (r *Report) OK() bool { return r.Errors == 0 }

// Err returns nil if the file can be used, else an error that says how many problems there are and the first of them.
func (r *Report) Err() error {
	if r.OK() {
		return nil
	}
	return &ReportError{r}
}

// ReportError is a Report with errors as an error value.
type ReportError struct{ Report *Report }

// Error gives every error, one a line, without the source lines.
func (e *ReportError) Error() string {
	var b strings.Builder
	for i := range e.Report.Problems {
		if p := &e.Report.Problems[i]; p.Severity == Error {
			if b.Len() > 0 {
				b.WriteByte('\n')
			}
			b.WriteString(p.String())
		}
	}
	return b.String()
}

// WriteTo prints the problems for a person: message, source line, caret, hint.
func (r *Report) WriteTo(w io.Writer) (int64, error) {
	out := bufio.NewWriter(w)
	var n int64
	for i := range r.Problems {
		m, _ := out.WriteString(r.Problems[i].Text()) // a bufio.Writer keeps its error for Flush
		n += int64(m)
	}
	return n, out.Flush()
}

// Text is the problem as several lines, the last one ended.
func (p *Problem) Text() string {
	var b strings.Builder
	b.WriteString(p.String())
	b.WriteByte('\n')
	if p.Width > 0 {
		fmt.Fprintf(&b, "%5d | %s\n", p.Line, p.Source)
		fmt.Fprintf(&b, "      | %s%s\n", caretIndent(p.Source, p.Column), strings.Repeat("^", p.Width))
	}
	if p.Hint != "" {
		fmt.Fprintf(&b, "      = %s\n", p.Hint)
	}
	return b.String()
}

// caretIndent is white space as wide as what stands before the column: tabs stay tabs, whatever their width is.
func caretIndent(line string, col int) string {
	var b strings.Builder
	n := 1
	for _, r := range line {
		if n == col {
			break
		}
		n++
		if r != '\t' {
			r = ' '
		}
		b.WriteRune(r)
	}
	return b.String()
}

// finish sorts the problems by place (errors before warnings at one place) and counts them.
func (r *Report) finish() {
	sort.SliceStable(r.Problems, func(i, j int) bool {
		a, b := &r.Problems[i], &r.Problems[j]
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		if a.Column != b.Column {
			return a.Column < b.Column
		}
		return a.Severity < b.Severity
	})
	r.Errors, r.Warnings = 0, 0
	for i := range r.Problems {
		if r.Problems[i].Severity == Error {
			r.Errors++
		} else {
			r.Warnings++
		}
	}
}
