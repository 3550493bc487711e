package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"maps"
)

// screen renders a frame as lines that fit a terminal. A width or height of 0 is unbounded.
func (f *frame) screen(width, height int) []string {
	lines := f.summary()
	lines = append(lines, "")
	lines = append(lines, f.serverTable()...)
	if len(f.BackendRows) > 0 {
		lines = append(lines, "")
		lines = append(lines, f.backendTable()...)
	}
	if len(f.WorkersUsage) > 0 {
		lines = append(lines, "")
		lines = append(lines, f.workerTable()...)
	}
	if height > 0 && len(lines) > height {
		more := len(lines) - height + 1
		lines = append(lines[:height-1], fmt.Sprintf("… %d more lines", more))
	}
	for i := range lines {
		lines[i] = clip(lines[i], width)
	}
	return lines
}

// clip cuts a line at a number of characters.
func clip(s string, width int) string {
	if width <= 0 || utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width])
}

func (f *frame) summary() []string {
	var protocols []string
	for _, p := range slices.Sorted(maps.Keys(f.ByProtocol)) {
		if f.ByProtocol[p] > 0 {
			protocols = append(protocols, fmt.Sprintf("%s %s", p, thousands(f.ByProtocol[p])))
		}
	}
	clients := thousands(f.Clients)
	if len(protocols) > 0 {
		clients += " (" + strings.Join(protocols, ", ") + ")"
	}
	lines := []string{
		fmt.Sprintf("weir %s  %s  up %s  generation %d", f.Version, f.State, uptime(f.Uptime), f.Generation),
		fmt.Sprintf("clients %s   server connections %s%s   in flight %s   queued %s",
			clients, thousands(f.Servers), perServer(f.Clients, f.Servers), thousands(f.InFlight), thousands(f.Queue)),
		fmt.Sprintf("requests %s/s   reused %s   opened %s/s   p50 %s   p99 %s   5xx %s/s   in %s/s   out %s/s",
			rateText(f.Requests), percent(f.Reused), rateText(f.Opened), latency(f.P50), latency(f.P99), rateText(f.Errors),
			bytesText(uint64(f.BytesIn)), bytesText(uint64(f.BytesOut))),
	}
	for i, l := range f.LimitsHit {
		if i == 3 {
			break
		}
		name := l.Level
		if l.Name != "" {
			name += " " + l.Name
		}
		lines = append(lines, fmt.Sprintf("limit hit: %s of %s, %d times", l.Axis, name, l.Hits))
	}
	return lines
}

func perServer(clients, servers int64) string {
	if servers == 0 || clients < servers {
		return ""
	}
	return fmt.Sprintf(" (1 for %.0f clients)", float64(clients)/float64(servers))
}

func (f *frame) serverTable() []string {
	rows := [][]string{{"SERVER", "STATE", "USED", "IDLE", "PRIVATE", "IN-FLIGHT", "REQ/S", "OPENED/S", "TAKEN-OVER/S", "ERRORS/S"}}
	for _, s := range f.ServerRows {
		rows = append(rows, []string{s.Name, s.State, thousands(s.Used), thousands(s.Idle), thousands(s.Private), thousands(s.InFlight),
			rateText(s.Requests), rateText(s.Opened), rateText(s.TakenOver), rateText(s.Errors)})
	}
	return aligned(rows, 2)
}

func (f *frame) backendTable() []string {
	rows := [][]string{{"BACKEND", "REQ/S", "P50", "P99", "QUEUE", "RETRIES/S"}}
	for _, b := range f.BackendRows {
		rows = append(rows, []string{b.Name, rateText(b.Requests), latency(b.P50), latency(b.P99), thousands(b.Queue), rateText(b.Retries)})
	}
	return aligned(rows, 1)
}

func (f *frame) workerTable() []string {
	rows := [][]string{{"WORKER", "CONNS", "BUSY", "TURN-P99"}}
	for _, w := range f.WorkersUsage {
		rows = append(rows, []string{strconv.Itoa(w.ID), thousands(w.Connections), percent(w.Busy), latency(w.LongestP99)})
	}
	return aligned(rows, 1)
}

// aligned pads the cells of a table: the first columns to the left, numbers to the right.
func aligned(rows [][]string, words int) []string {
	width := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, c := range r {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	var lines []string
	for _, r := range rows {
		cells := make([]string, len(r))
		for i, c := range r {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c))
			if cells[i] = pad + c; i < words {
				cells[i] = c + pad
			}
		}
		lines = append(lines, strings.TrimRight(strings.Join(cells, "  "), " "))
	}
	return lines
}

// thousands is a number in groups of three digits.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	start := 0
	if n < 0 {
		start = 1
	}
	for i := len(s) - 3; i > start; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// rateText has a decimal only where it says something.
func rateText(r float64) string {
	if r > 0 && r < 10 {
		return strconv.FormatFloat(r, 'f', 1, 64)
	}
	return thousands(int64(r + 0.5))
}

func percent(share float64) string {
	if share > 0.99 && share < 1 {
		return fmt.Sprintf("%.2f %%", min(share*100, 99.99))
	}
	return fmt.Sprintf("%.0f %%", share*100)
}

func latency(s float64) string {
	switch {
	case s == 0:
		return "-"
	case s < 1e-3:
		return fmt.Sprintf("%.0f µs", s*1e6)
	case s < 10e-3:
		return fmt.Sprintf("%.1f ms", s*1e3)
	case s < 1:
		return fmt.Sprintf("%.0f ms", s*1e3)
	}
	return fmt.Sprintf("%.1f s", s)
}

func uptime(s float64) string {
	d := time.Duration(s) * time.Second
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
	return d.String()
}
