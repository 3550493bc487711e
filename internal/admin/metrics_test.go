package admin

import (
	"bufio"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/internal/stats"
)

// manual is section 6 of the operator's manual: every metric it names, its type and its labels.
var manual = map[string]struct {
	kind   string
	labels string
}{
	"weir_frontend_connections":                         {"gauge", "frontend protocol"},
	"weir_frontend_connections_total":                   {"counter", "frontend protocol"},
	"weir_frontend_tls_handshakes_total":                {"counter", "frontend protocol resumed"},
	"weir_requests_total":                               {"counter", "backend code frontend protocol"},
	"weir_server_connections":                           {"gauge", "backend server state"},
	"weir_server_connections_opened_total":              {"counter", "backend server why"},
	"weir_server_connections_closed_total":              {"counter", "backend cause server"},
	"weir_server_connection_reuses_total":               {"counter", "backend server"},
	"weir_server_connection_takeovers_total":            {"counter", "backend server"},
	"weir_server_requests_per_connection":               {"histogram", "backend"},
	"weir_queue_length":                                 {"gauge", "backend"},
	"weir_queue_wait_seconds":                           {"histogram", "backend"},
	"weir_queue_rejected_total":                         {"counter", "backend reason"},
	"weir_limit_current":                                {"gauge", "axis level name"},
	"weir_limit_max":                                    {"gauge", "axis level name"},
	"weir_limit_hits_total":                             {"counter", "axis level name"},
	"weir_retries_total":                                {"counter", "backend outcome reason"},
	"weir_request_duration_seconds":                     {"histogram", "backend"},
	"weir_connect_duration_seconds":                     {"histogram", "backend"},
	"weir_worker_loop_seconds":                          {"histogram", "worker"},
	"weir_worker_connections":                           {"gauge", "worker"},
	"weir_config_generation":                            {"gauge", ""},
	"weir_config_last_reload_success_timestamp_seconds": {"gauge", ""},
	"weir_build_info":                                   {"gauge", "goversion revision version"},
}

// exposition is a scrape taken apart.
type exposition struct {
	kinds  map[string]string            // of families
	values map[string]string            // of samples, by name and labels as written
	labels map[string]map[string]string // the last value of each label, by sample name without a histogram's suffix
}

func scrape(t *testing.T, s *stats.Snapshot) exposition {
	t.Helper()
	text, err := newMetrics().render(s)
	if err != nil {
		t.Fatal(err)
	}
	x := exposition{map[string]string{}, map[string]string{}, map[string]map[string]string{}}
	for in := bufio.NewScanner(strings.NewReader(string(text))); in.Scan(); {
		x.line(t, in.Text())
	}
	return x
}

func (x *exposition) line(t *testing.T, line string) {
	t.Helper()
	if f := strings.Fields(line); line[0] == '#' {
		if f[1] == "TYPE" {
			x.kinds[f[2]] = f[3]
		}
		return
	}
	at := strings.LastIndexByte(line, ' ')
	id, value := line[:at], line[at+1:]
	if _, twice := x.values[id]; twice {
		t.Errorf("%s occurs twice", id)
	}
	x.values[id] = value
	name, pairs, _ := strings.Cut(strings.TrimSuffix(id, "}"), "{")
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if base := strings.TrimSuffix(name, suffix); x.kinds[base] == "histogram" {
			name = base
		}
	}
	if x.labels[name] == nil {
		x.labels[name] = map[string]string{}
	}
	for pair := range strings.SplitSeq(pairs, ",") {
		if key, v, ok := strings.Cut(pair, "="); ok && key != "le" {
			x.labels[name][key] = strings.Trim(v, `"`)
		}
	}
}

func TestMetricsAreTheManuals(t *testing.T) {
	x := scrape(t, sample())
	for name, want := range manual {
		if x.kinds[name] != want.kind {
			t.Errorf("%s is a %q, want a %s", name, x.kinds[name], want.kind)
		}
		if got := strings.Join(slices.Sorted(maps.Keys(x.labels[name])), " "); got != want.labels {
			t.Errorf("%s has labels %q, want %q", name, got, want.labels)
		}
	}
	for name, kind := range x.kinds {
		if strings.HasPrefix(name, "weir_") && (kind == "counter") != strings.HasSuffix(name, "_total") {
			t.Errorf("%s is a %s: counters, and only they, end in _total", name, kind)
		}
	}
	for _, name := range []string{"go_goroutines", "process_open_fds"} {
		if x.kinds[name] == "" {
			t.Errorf("%s is missing", name)
		}
	}
}

func TestMetricsOfAnIdleProcessAreThere(t *testing.T) {
	w := stats.NewWorker(0)
	w.Frontend("web").Route(w.Backend("api"))
	w.Server("api", "s1")
	var c stats.Cells
	w.Snapshot(&c)
	s := stats.Merge([]*stats.Cells{&c}, nil)
	s.Limits = []stats.LimitRow{{Level: "global", Axis: "max-conn"}}
	x := scrape(t, s)
	for name := range manual {
		if x.labels[name] == nil {
			t.Errorf("%s has no sample before the first request", name)
		}
	}
	if got := x.values["weir_config_last_reload_success_timestamp_seconds"]; got != "0" {
		t.Errorf("time of a reload that never was: %s, want 0", got)
	}
}

func TestMetricValues(t *testing.T) {
	x := scrape(t, sample())
	at := time.Date(2024, 3, 1, 11, 59, 0, 0, time.UTC).Unix()
	for id, want := range map[string]string{
		`weir_frontend_connections{frontend="web",protocol="h1"}`:                             "6",
		`weir_frontend_connections{frontend="web",protocol="h3"}`:                             "0",
		`weir_frontend_connections_total{frontend="web",protocol="h1"}`:                       "30",
		`weir_frontend_tls_handshakes_total{frontend="web",protocol="h2",resumed="true"}`:     "4",
		`weir_frontend_tls_handshakes_total{frontend="web",protocol="h2",resumed="false"}`:    "3",
		`weir_requests_total{backend="api",code="2xx",frontend="web",protocol="h1"}`:          "300",
		`weir_requests_total{backend="api",code="5xx",frontend="web",protocol="h2"}`:          "3",
		`weir_server_connections{backend="api",server="s1",state="used"}`:                     "4",
		`weir_server_connections{backend="api",server="s1",state="idle"}`:                     "7",
		`weir_server_connections{backend="api",server="s1",state="private"}`:                  "2",
		`weir_server_connections{backend="api",server="s1",state="connecting"}`:               "2",
		`weir_server_connections{backend="api",server="s1",state="draining"}`:                 "2",
		`weir_server_connections_opened_total{backend="api",server="s1",why="demand"}`:        "10",
		`weir_server_connections_opened_total{backend="api",server="s1",why="warm"}`:          "3",
		`weir_server_connections_closed_total{backend="api",cause="peer-closed",server="s1"}`: "3",
		`weir_server_connections_closed_total{backend="api",cause="evicted",server="s1"}`:     "0",
		`weir_server_connection_reuses_total{backend="api",server="s1"}`:                      "285",
		`weir_server_connection_takeovers_total{backend="api",server="s1"}`:                   "3",
		`weir_server_state{backend="api",server="s2",state="maint"}`:                          "1",
		`weir_server_state{backend="api",server="s2",state="ready"}`:                          "0",
		`weir_queue_length{backend="api"}`:                                                    "4",
		`weir_queue_rejected_total{backend="api",reason="queue-timeout"}`:                     "3",
		`weir_retries_total{backend="api",outcome="success",reason="stale-connection"}`:       "3",
		`weir_retries_total{backend="api",outcome="failure",reason="connect-failed"}`:         "0",
		`weir_limit_current{axis="max-conn-rate",level="backend",name="api"}`:                 "12",
		`weir_limit_max{axis="max-conn",level="global",name=""}`:                              "20000",
		`weir_limit_hits_total{axis="max-conn-rate",level="backend",name="api"}`:              "4",
		`weir_worker_connections{worker="1"}`:                                                 "9",
		`weir_answers_total{reason="no-server"}`:                                              "3",
		`weir_access_log_dropped_total{worker="1"}`:                                           "2",
		`weir_config_generation`:                                             "7",
		`weir_config_last_reload_success_timestamp_seconds`:                  fmt.Sprintf("%g", float64(at)),
		`weir_build_info{goversion="go1.26",revision="abc",version="1.2.3"}`: "1",
		`weir_request_duration_seconds_count{backend="api"}`:                 "200",
		`weir_request_duration_seconds_bucket{backend="api",le="+Inf"}`:      "200",
		`weir_request_duration_seconds_bucket{backend="api",le="0.001"}`:     "22", // 0 to 1 ms, twice
		`weir_request_duration_seconds_bucket{backend="api",le="0.0025"}`:    "52",
		`weir_request_duration_seconds_bucket{backend="api",le="0.01"}`:      "200",
		`weir_request_duration_seconds_sum{backend="api"}`:                   "0.99",
		`weir_server_requests_per_connection_bucket{backend="api",le="50"}`:  "102",
		`weir_server_requests_per_connection_sum{backend="api"}`:             "9900",
		`weir_worker_loop_seconds_bucket{worker="0",le="5e-05"}`:             "51",
	} {
		if got := x.values[id]; got != want {
			t.Errorf("%s is %q, want %s", id, got, want)
		}
	}
}

func TestBucketsNeverFall(t *testing.T) {
	text, err := newMetrics().render(sample())
	if err != nil {
		t.Fatal(err)
	}
	series, last := "", 0.0
	for line := range strings.Lines(string(text)) {
		name, le, ok := strings.Cut(line, `le="`)
		if !ok || !strings.HasPrefix(line, "weir_") {
			continue
		}
		var n float64
		if _, err := fmt.Sscan(le[strings.IndexByte(le, ' ')+1:], &n); err != nil {
			t.Fatal(err)
		}
		if name == series && n < last {
			t.Errorf("falls to %v: %s", n, line)
		}
		series, last = name, n
	}
}
