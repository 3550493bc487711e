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
	Exact      float64 // above 0: counted once a run and not measured in rounds; a change of up to this much says nothing
}

// The metrics, by key. Resolutions come from measuring the same contender against itself.
var metrics = []Metric{
	{"cpu_us", "CPU", "µs/req", measure.Lower, 0.04, true, 0},
	{"cpu_user_us", "user", "µs/req", measure.Lower, 0.10, true, 0}, // split by sampling ticks, hence coarse
	{"cpu_kernel_us", "kernel", "µs/req", measure.Lower, 0.10, true, 0},
	{"cpu_s_gib", "CPU", "s/GiB", measure.Lower, 0.06, true, 0},
	{"rps", "throughput", "req/s", measure.Higher, 0.05, true, 0},
	{"mib_s", "throughput", "MiB/s", measure.Higher, 0.06, true, 0},
	{"rate", "offered", "req/s", measure.Neither, 0.10, true, 0},
	{"p50_us", "p50", "µs", measure.Lower, 0.10, true, 0},
	{"p99_us", "p99", "µs", measure.Lower, 0.25, true, 0},
	{"p999_us", "p99.9", "µs", measure.Lower, 0.50, true, 0},
	{"max_ms", "max", "ms", measure.Lower, 0.75, true, 0},
	{"calls", "syscalls", "/req", measure.Lower, 0.05, false, 0.05},
	{"mallocs", "mallocs", "/req", measure.Lower, 0.10, false, 0.5},
	{"rss_mib", "resident", "MiB", measure.Lower, 0.10, false, 0},
	{"proxy_busy", "proxy busy", "%", measure.Neither, 0.10, true, 0},
	{"load_busy", "load+origin busy", "%", measure.Neither, 0.10, true, 0},
	{"others_busy", "others busy", "%", measure.Neither, 0.10, true, 0},
	{"lag_p99_us", "own lag p99", "µs", measure.Neither, 0.50, true, 0},
	{"goodput", "goodput", "req/s", measure.Higher, 0.05, false, 0},
	{"goodput_share", "of capacity", "%", measure.Higher, 0.05, false, 0},
	{"shed", "refused", "req/s", measure.Neither, 0.10, false, 0},
	{"shed_p99_us", "p99 of refusals", "µs", measure.Lower, 0.25, true, 0},
	{"hung", "no answer", "req", measure.Lower, 0.10, false, 0},
	{"idle", "idle", "conns", measure.Neither, 0, false, 0},
	{"conn_bytes", "memory", "B/idle conn", measure.Lower, 0.10, false, 0},
	{"failed", "failed requests", "", measure.Lower, 0.10, false, 0},
	{"closed", "closed in turn", "conns", measure.Neither, 0.20, false, 0},
	{"opened", "server conns opened", "", measure.Lower, 0.05, false, 0},
	{"requests_close", "requests, closing", "", measure.Neither, 0, false, 0},
	{"opened_close", "opened, closing", "", measure.Lower, 0.05, false, 0},
	{"peak_close", "most open, closing", "", measure.Lower, 0.10, false, 0},
	{"requests_keep", "requests, keep-alive", "", measure.Neither, 0, false, 0},
	{"opened_keep", "opened, keep-alive", "", measure.Lower, 0.05, false, 0},
	{"peak_keep", "most open, keep-alive", "", measure.Lower, 0.10, false, 0},
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
