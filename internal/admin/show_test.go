package admin

import (
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/internal/stats"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func TestRenderings(t *testing.T) {
	s := sample()
	for name, got := range map[string]string{
		"servers-conn.txt": RenderServersConn(s),
		"stat.txt":         RenderStat(s),
		"info.txt":         RenderInfo(s),
		"limits.txt":       RenderLimits(s),
		"backends.txt":     RenderBackends(s),
		"errors.txt":       RenderErrors(s),
		"sessions.txt":     RenderSessions(sampleSessions()),
	} {
		golden(t, name, got)
	}
}

func TestJSONForms(t *testing.T) {
	s := sample()
	for name, v := range map[string]any{
		"servers-conn.json": ServersConnJSON(s),
		"stat.json":         StatJSON(s),
		"info.json":         InfoJSON(s),
		"limits.json":       LimitsJSON(s),
		"backends.json":     BackendsJSON(s),
		"errors.json":       ErrorsJSON(s),
		"sessions.json":     SessionsJSON(sampleSessions()),
	} {
		text, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, string(text)+"\n")
	}
}

func TestPageRendering(t *testing.T) {
	page, err := renderPage(sample())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "stats.html", string(page))
}

func TestServersConnHasTheManualsColumns(t *testing.T) {
	// Section 6 of the manual, with two workers.
	const manual = "backend/server state used idle-safe idle-fresh private need limit opened reused taken-over closed " +
		"idle[0] idle[1]"
	lines := strings.Split(strings.TrimSuffix(RenderServersConn(sample()), "\n"), "\n")
	columns := strings.Fields(lines[0])
	if got := strings.Join(columns, " "); got != manual {
		t.Errorf("columns %q, want %q", got, manual)
	}
	var rows []string
	for _, line := range lines[1:] {
		f := strings.Fields(line)
		if len(f) != len(columns) {
			t.Errorf("%d fields, want %d: %s", len(f), len(columns), line)
		}
		rows = append(rows, f[0])
	}
	if got, want := strings.Join(rows, " "), "api/s1 api/s1[0] api/s1[1] api/s2 api/s2[0] api/s2[1]"; got != want {
		t.Errorf("rows %q, want %q: a server, then its shards, and none that is gone", got, want)
	}
	var list []map[string]any
	text, err := json.Marshal(ServersConnJSON(sample()))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	for _, c := range columns {
		if _, ok := list[0][c]; !ok {
			t.Errorf("JSON lacks %q", c)
		}
	}
}

func TestShardsAddUpToTheirServer(t *testing.T) {
	s := sample()
	v := s.Backend("api").Server("s1")
	var idle int64
	for w, shard := range v.Shards {
		if shard.IdleSafe+shard.IdleFresh != v.Idle[w] {
			t.Errorf("shard %d has %d idle, idle[%d] says %d", w, shard.IdleSafe+shard.IdleFresh, w, v.Idle[w])
		}
		idle += v.Idle[w]
	}
	if idle != v.IdleSafe+v.IdleFresh {
		t.Errorf("idle[W] add up to %d, want %d", idle, v.IdleSafe+v.IdleFresh)
	}
}

func TestServerThatIsGoneStaysWhileItHasConnections(t *testing.T) {
	s := sample()
	s.Backend("api").Server("old").Draining = 1
	if !strings.Contains(RenderServersConn(s), "api/old") {
		t.Error("a server that still drains is not shown")
	}
}

func TestEmptySnapshotRenders(t *testing.T) {
	s := stats.Merge(nil, nil)
	for what, v := range snapshotViews {
		if text := v.text(s); !strings.HasSuffix(text, "\n") {
			t.Errorf("%s: %q", what, text)
		}
		if text, err := json.Marshal(v.json(s)); err != nil || strings.Contains(string(text), ":null") || string(text) == "null" {
			t.Errorf("%s: %s %v, want no null", what, text, err)
		}
	}
	if _, err := renderPage(s); err != nil {
		t.Error(err)
	}
	if _, err := newMetrics().render(s); err != nil {
		t.Error(err)
	}
}

func TestForeignTextCannotDraw(t *testing.T) {
	s := sample()
	s.Failures = []stats.Failure{{
		Client: netip.MustParseAddrPort("192.0.2.1:1"), Reason: "bad-response",
		Detail: "\x1b[2Jclear \u009b31m <script>alert(1)</script>\n",
	}}
	text := RenderErrors(s)
	if strings.ContainsAny(text, "\x1b\u009b") || strings.Count(text, "\n") != 2 {
		t.Errorf("the terminal gets %q", text)
	}
	page, err := renderPage(s)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(page), "<script>") {
		t.Error("the page runs foreign text")
	}
}

func TestPageLoadsNothing(t *testing.T) {
	page, err := renderPage(sample())
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"http://", "https://", "src=", "href=", "@import", "url("} {
		if strings.Contains(string(page), word) {
			t.Errorf("the page holds %q", word)
		}
	}
	if !strings.Contains(string(page), `http-equiv="refresh"`) {
		t.Error("the page does not refresh itself")
	}
}

func TestBytesText(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 5 << 20: "5.0 MiB", 1 << 63: "8.0 EiB",
	} {
		if got := bytesText(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
