package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"weir/bench/report"
)

// progress shows where a run is: one line that is written over on a terminal, a line a scenario elsewhere, and the table
// of each scenario when it is done.
type progress struct {
	out      *os.File
	terminal bool
	began    time.Time
	width    int
}

func newProgress(out *os.File) *progress {
	info, err := out.Stat()
	return &progress{out: out, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0, began: time.Now()}
}

// Cell shows the cell that begins.
func (p *progress) Cell(scenario, contender string, round, step, steps int) {
	if !p.terminal {
		return
	}
	line := fmt.Sprintf("[%3d/%d] %4.0f s  %s · %s · round %d", step, steps, time.Since(p.began).Seconds(), scenario, contender,
		round)
	fmt.Fprintf(p.out, "\r%s%s", line, strings.Repeat(" ", max(0, p.width-len(line))))
	p.width = len(line)
}

// Scenario prints the table of a scenario that is done.
func (p *progress) Scenario(s *report.Scenario) {
	p.done()
	s.WriteTable(p.out)
}

// done clears the line.
func (p *progress) done() {
	if p.terminal && p.width > 0 {
		fmt.Fprintf(p.out, "\r%s\r", strings.Repeat(" ", p.width))
		p.width = 0
	}
}
