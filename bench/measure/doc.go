// Package measure is what the bench knows about numbers: histograms of latencies, the CPU time, memory and system calls
// of processes, medians with their spread, and whether two sets of samples differ by more than their noise.
//
//	load ──► Histogram ──┐
//	/proc ─► Usage ──────┼──► samples of a cell ──► Summary (median, spread) ──► Compare (changed, or not)
//	strace ► Calls ──────┘
//
// It starts nothing but strace and perf, and keeps no state between calls. A Histogram belongs to one goroutine.
package measure
