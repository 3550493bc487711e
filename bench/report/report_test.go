package report

import (
	"encoding/xml"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/bench/measure"
)

// sample makes a report of one scenario with three rounds; factor scales weir's CPU time, drift everything's.
func sample(seed uint64, factor, drift float64) *Report {
	rng := rand.New(rand.NewPCG(seed, 1))
	r := &Report{Format: Format, Title: "Benchmark", Started: time.Unix(0, 0).UTC(), Took: 12,
		Method:     Method{Rounds: 3, Closed: 1, LoadFraction: 0.7},
		Contenders: []Contender{{Name: "weir", Version: "1"}, {Name: "haproxy", Version: "2"}, {Name: "floor"}, {Name: "caddy", Missing: "not installed"}}}
	s := &Scenario{Name: "h1", Group: "HTTP/1.1", Title: "Keep-alive", About: "GET.",
		Columns: []string{"cpu_us", "cpu_user_us", "rps", "p99_us", "rss_mib"}}
	for i, c := range []struct {
		name string
		cpu  float64
	}{{"weir", 10 * factor}, {"haproxy", 14}, {"floor", 8}} {
		row := &Row{Contender: c.name, Latency: []Point{{0.5, 100}, {0.99, 300}}, Timeline: []int64{5, 7, 6},
			Calls: map[string]float64{"read": 2.01, "write": 2, "futex": 0.001}, Config: "bind 127.0.0.1:2000" + string(rune('0'+i))}
		for range 3 {
			noise := 1 + 0.01*rng.NormFloat64()
			row.Add("cpu_us", c.cpu*drift*noise)
			row.Add("cpu_user_us", c.cpu*drift*noise/3)
			row.Add("rps", 1e6/(c.cpu*drift*noise))
			row.Add("p99_us", 300*drift*noise)
			row.Add("rss_mib", 20*noise)
		}
		s.Rows = append(s.Rows, row)
	}
	s.Rows = append(s.Rows, &Row{Contender: "nginx", Absent: "no such thing"})
	r.Scenarios = []*Scenario{s}
	return r
}

func TestCompareWithItselfSaysNoChange(t *testing.T) {
	r := sample(1, 1, 1)
	for _, b := range []*Report{r, sample(2, 1, 1), sample(3, 1, 1)} {
		c := Compare(Side{Report: r}, Side{Report: b})
		var out strings.Builder
		c.Write(&out, false)
		if len(c.Changes()) != 0 || c.Worsened() || !strings.HasPrefix(out.String(), "no change: 12 measures") {
			t.Errorf("%s", out.String())
		}
	}
}

func TestCompareSeesAChangeAndNamesIt(t *testing.T) {
	c := Compare(Side{Report: sample(1, 1, 1)}, Side{Report: sample(2, 1.3, 1)})
	var out strings.Builder
	c.Write(&out, false)
	if !c.Worsened() || len(c.Changes()) != 2 {
		t.Fatalf("%s", out.String())
	}
	for _, f := range c.Changes() {
		if f.Row != "weir" || f.Verdict != measure.Worsened {
			t.Errorf("%+v", f)
		}
	}
	better := Compare(Side{Report: sample(2, 1.3, 1)}, Side{Report: sample(1, 1, 1)})
	if better.Worsened() || len(better.Changes()) != 2 {
		t.Errorf("the other way round: %+v", better.Changes())
	}
}

// A machine that is 20 % slower changes nothing about weir: the floor shows it.
func TestCompareAllowsForTheMachine(t *testing.T) {
	c := Compare(Side{Report: sample(1, 1, 1)}, Side{Report: sample(2, 1, 1.2)})
	for _, f := range c.Changes() {
		if f.Row == "weir" {
			t.Errorf("%+v", f)
		}
	}
}

func TestCompareTwoContendersOfOneReport(t *testing.T) {
	r := sample(1, 1, 1)
	c := Compare(Side{r, "weir"}, Side{r, "haproxy"})
	if !c.Worsened() {
		t.Error("haproxy needs more CPU than weir in this report, and compare does not see it")
	}
	for _, f := range c.Findings {
		if f.Drift != 0 {
			t.Errorf("drift within one run: %+v", f)
		}
	}
}

func TestCompareListsWhatOneSideLacks(t *testing.T) {
	a, b := sample(1, 1, 1), sample(2, 1, 1)
	b.Scenarios[0].Rows[0].Fail("broke")
	c := Compare(Side{Report: a}, Side{Report: b})
	if len(c.OnlyA) != 1 || !strings.Contains(c.OnlyA[0], "weir (FAILED: broke)") || len(c.OnlyB) != 0 {
		t.Errorf("only in A %q, only in B %q", c.OnlyA, c.OnlyB)
	}
	empty := Compare(Side{Report: a}, Side{Report: &Report{}})
	var out strings.Builder
	empty.Write(&out, true)
	if !strings.Contains(out.String(), "nothing to compare") {
		t.Errorf("%s", out.String())
	}
	b.Scenarios[0].Columns = append(b.Scenarios[0].Columns, "calls")
	b.Scenarios[0].Rows[1].Add("calls", 4)
	b.Scenarios[0].Rows[2].Add("calls", 6)
	if c := Compare(Side{b, "haproxy"}, Side{b, "floor"}); !c.Worsened() {
		t.Errorf("two system calls more a request are no change: %+v", c.Findings)
	}
	a.Scenarios[0].Rows[0].Samples["cpu_us"] = []float64{1, 2}
	few := Compare(Side{a, "weir"}, Side{a, "weir"})
	out.Reset()
	few.Write(&out, true)
	if !strings.Contains(out.String(), "too few rounds") {
		t.Errorf("%s", out.String())
	}
}

func TestFilesRoundTripAndAreWellFormed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "report")
	r := sample(1, 1, 1)
	path, err := r.WriteFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Read(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	if c := Compare(Side{Report: r}, Side{Report: back}); len(c.Findings) != 12 || len(c.Changes()) != 0 {
		t.Errorf("what is read is not what was written: %+v", c)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# Benchmark", "| weir |", "| caddy |  | – not installed |", "### Keep-alive", "- nginx: – no such thing",
		"system calls a request: read 2.01, write 2.00\n", "![Keep-alive: latency](h1-latency.svg)", "bind 127.0.0.1:20000", "0.7"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the Markdown lacks %q:\n%s", want, text)
		}
	}
	plots, _ := filepath.Glob(filepath.Join(dir, "*.svg"))
	if len(plots) != 4 {
		t.Errorf("plots: %v", plots)
	}
	for _, p := range plots {
		wellFormed(t, p)
	}
	// A later run with fewer scenarios leaves no stale plot behind.
	r.Scenarios = nil
	if _, err := r.WriteFiles(dir); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.svg")); len(left) != 0 {
		t.Errorf("stale plots: %v", left)
	}
}

func wellFormed(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := xml.NewDecoder(f)
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Errorf("%s: %v", path, err)
			return
		}
	}
}

func TestReadRefusesOtherFormats(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.json")
	for _, text := range []string{"", "{", `{"format": 99}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

func TestTable(t *testing.T) {
	r := sample(1, 1, 1)
	r.Scenarios[0].Rows[1].Fail("broke")
	var out strings.Builder
	r.Scenarios[0].WriteTable(&out)
	for _, want := range []string{"Keep-alive  (h1)", "CPU µs/req", "FAILED: broke", "no such thing", "±"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, out.String())
		}
	}
	out.Reset()
	r.WriteRatios(&out)
	if !strings.Contains(out.String(), "CPU time of weir relative to") || !strings.Contains(out.String(), "1.2") {
		t.Errorf("ratios:\n%s", out.String())
	}
	r.Scenarios[0].Rows[0].Add("others_busy", 80)
	r.Scenarios[0].Rows[2].Add("others_busy", 1)
	if n, all := r.Disturbed(); n != 1 || all != 2 {
		t.Errorf("%d of %d rows disturbed", n, all)
	}
	if !r.Failed() || sample(1, 1, 1).Failed() {
		t.Error("Failed is wrong")
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.0123: "0.012", 0.5: "0.50", 3: "3", 3.14159: "3.14", 42.42: "42.4", 12345.6: "12346"} {
		if got := Number(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
	if got := Cell(measure.Summarise([]float64{9, 10, 11})); got != "10 ±10%" {
		t.Errorf("cell %q", got)
	}
	if got := Cell(measure.Summary{}); got != "–" {
		t.Errorf("empty cell %q", got)
	}
}

// Every metric a scenario shows must be described, or its direction would be lost in comparisons.
func TestMetricsAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range metrics {
		if seen[m.Key] || m.Title == "" {
			t.Errorf("%+v", m)
		}
		seen[m.Key] = true
	}
	if m := MetricOf("nonsense"); m.Better != measure.Neither {
		t.Errorf("%+v", m)
	}
}
