package report

import (
	"fmt"
	"math"
	"slices"

	"weir/bench/measure"
)

// Metric is what one kind of number means.
type Metric struct {
	Key        string
	Title      string
	Unit       string
	Better     measure.Better
	Resolution float64 // relative change that cannot be told from noise on an honest machine
	Timing     bool    // depends on the machine's speed, so that its drift matters
}

// The metrics, by key. Resolutions come from measuring the same contender against itself.
var metrics = []Metric{
	{"cpu_us", "CPU", "µs/req", measure.Lower, 0.04, true},
	{"cpu_user_us", "user", "µs/req", measure.Lower, 0.10, true}, // split by sampling ticks, hence coarse
	{"cpu_kernel_us", "kernel", "µs/req", measure.Lower, 0.10, true},
	{"cpu_s_gib", "CPU", "s/GiB", measure.Lower, 0.06, true},
	{"rps", "throughput", "req/s", measure.Higher, 0.05, true},
	{"mib_s", "throughput", "MiB/s", measure.Higher, 0.06, true},
	{"rate", "offered", "req/s", measure.Neither, 0.10, true},
	{"p50_us", "p50", "µs", measure.Lower, 0.10, true},
	{"p99_us", "p99", "µs", measure.Lower, 0.25, true},
	{"p999_us", "p99.9", "µs", measure.Lower, 0.50, true},
	{"max_ms", "max", "ms", measure.Lower, 0.75, true},
	{"calls", "syscalls", "/req", measure.Lower, 0.05, false},
	{"mallocs", "mallocs", "/req", measure.Lower, 0.10, false},
	{"rss_mib", "resident", "MiB", measure.Lower, 0.10, false},
	{"proxy_busy", "proxy busy", "%", measure.Neither, 0.10, true},
	{"load_busy", "load+origin busy", "%", measure.Neither, 0.10, true},
	{"others_busy", "others busy", "%", measure.Neither, 0.10, true},
	{"lag_p99_us", "own lag p99", "µs", measure.Neither, 0.50, true},
	{"goodput", "goodput", "req/s", measure.Higher, 0.05, false},
	{"goodput_share", "of capacity", "%", measure.Higher, 0.05, false},
	{"shed", "refused", "req/s", measure.Neither, 0.10, false},
	{"shed_p99_us", "p99 of refusals", "µs", measure.Lower, 0.25, true},
	{"hung", "no answer", "req", measure.Lower, 0.10, false},
	{"idle", "idle", "conns", measure.Neither, 0, false},
	{"conn_bytes", "memory", "B/idle conn", measure.Lower, 0.10, false},
	{"failed", "failed requests", "", measure.Lower, 0.10, false},
	{"closed", "closed in turn", "conns", measure.Neither, 0.20, false},
	{"opened", "server conns opened", "", measure.Lower, 0.05, false},
	{"requests_close", "requests, closing", "", measure.Neither, 0, false},
	{"opened_close", "opened, closing", "", measure.Lower, 0.05, false},
	{"peak_close", "most open, closing", "", measure.Lower, 0.10, false},
	{"requests_keep", "requests, keep-alive", "", measure.Neither, 0, false},
	{"opened_keep", "opened, keep-alive", "", measure.Lower, 0.05, false},
	{"peak_keep", "most open, keep-alive", "", measure.Lower, 0.10, false},
}

// MetricOf returns the metric of a key; an unknown key gives a metric that nothing is better in.
func MetricOf(key string) Metric {
	for _, m := range metrics {
		if m.Key == key {
			return m
		}
	}
	return Metric{Key: key, Title: key, Resolution: 0.1}
}

// Known says whether a key is a metric's.
func Known(key string) bool {
	return slices.ContainsFunc(metrics, func(m Metric) bool { return m.Key == key })
}

// Number prints a value with three significant digits, or all of those before the point.
func Number(v float64) string {
	a := math.Abs(v)
	switch {
	case a == 0:
		return "0"
	case a >= 100 || a == math.Trunc(a) && a < 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a >= 0.1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// Cell prints a summary: the median and, when there are several rounds, half the range in per cent of it.
func Cell(s measure.Summary) string {
	switch {
	case s.N == 0:
		return "–"
	case s.N == 1 || s.Median == 0:
		return Number(s.Median)
	}
	return fmt.Sprintf("%s ±%.0f%%", Number(s.Median), 100*s.Spread())
}
