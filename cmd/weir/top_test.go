package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/internal/stats"
)

// twoLooks are snapshots two seconds apart.
func twoLooks() (old, now *stats.Snapshot) {
	start := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(seconds, requests, errors, opened, carried, hits uint64) *stats.Snapshot {
		s := &stats.Snapshot{Time: start.Add(time.Duration(seconds) * time.Second)}
		s.Info = stats.Info{Version: "1.0", State: "ready", Generation: 3, Started: start.Add(-time.Hour)}
		s.Frontends = []stats.FrontendRow{{
			Name: "web", Connections: map[string]int64{"h1": 9000, "h2": 1000, "h3": 0}, InFlight: 12, BytesOut: 4096 * seconds,
			Requests: []stats.RequestRow{{Backend: "api", Code: "2xx", Count: requests}, {Backend: "api", Code: "5xx", Count: errors}},
		}}
		server := stats.ServerRow{Backend: "api", Name: "s1", Errors: map[string]uint64{"connect": errors}}
		server.State, server.Used, server.IdleSafe, server.IdleFresh, server.Opened, server.Requests = "ready", 12, 30, 8, opened, carried
		gone := stats.ServerRow{Backend: "api", Name: "old"}
		gone.State = "gone"
		b := stats.BackendRow{Name: "api", QueueLength: 4, Servers: []stats.ServerRow{server, gone}}
		for range requests {
			b.RequestDuration.Observe(int64(2 * time.Millisecond))
		}
		s.Backends = []stats.BackendRow{b}
		w := stats.WorkerRow{ID: 0, Connections: 10050}
		for range seconds {
			w.Loop.Observe(int64(500 * time.Millisecond))
		}
		s.Workers = []stats.WorkerRow{w}
		s.Limits = []stats.LimitRow{{Level: "frontend", Name: "web", Axis: "max-conn", Hits: hits}, {Level: "global", Axis: "max-ssl-rate"}}
		return s
	}
	return at(10, 1000, 2, 50, 1000, 7), at(12, 3000, 6, 52, 3000, 17)
}

func TestFrameTurnsCountersIntoRates(t *testing.T) {
	f := newFrame(twoLooks())
	for name, c := range map[string]struct{ got, want float64 }{
		"seconds": {f.Seconds, 2}, "requests": {f.Requests, 1002}, "5xx": {f.Errors, 2}, "opened": {f.Opened, 1},
		"reused": {f.Reused, 0.999}, "out": {f.BytesOut, 4096}, "clients": {float64(f.Clients), 10000},
		"servers": {float64(f.Servers), 50}, "queue": {float64(f.Queue), 4}, "busy": {f.WorkersUsage[0].Busy, 0.5},
		"limit hits": {f.LimitHits, 5}, "backend requests": {f.BackendRows[0].Requests, 1000},
	} {
		if math.Abs(c.got-c.want) > 1e-9 {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	if f.P50 < 1.5e-3 || f.P50 > 2e-3 { // the bucket that 2 ms falls into
		t.Errorf("p50 %v", f.P50)
	}
	if len(f.ServerRows) != 1 || f.ServerRows[0].Idle != 38 || len(f.LimitsHit) != 1 || f.LimitsHit[0].Hits != 10 {
		t.Errorf("%+v %+v", f.ServerRows, f.LimitsHit)
	}
}

func TestFrameOfARestartedProcess(t *testing.T) {
	old, now := twoLooks()
	f := newFrame(now, old) // every counter went back
	if f.Requests < 0 || f.Opened < 0 || f.Reused < 0 || f.Reused > 1 {
		t.Errorf("%+v", f)
	}
	if f := newFrame(&stats.Snapshot{Time: now.Time.Add(-time.Second)}, now); f.Requests != 3006 {
		t.Errorf("against nothing: %v", f.Requests)
	}
}

func TestScreen(t *testing.T) {
	f := newFrame(twoLooks())
	want := strings.TrimSpace(`
weir 1.0  ready  up 1h0m12s  generation 3
clients 10,000 (h1 9,000, h2 1,000)   server connections 50 (1 for 200 clients)   in flight 12   queued 4
requests 1,002/s   reused 99.90 %   opened 1.0/s   p50 1.8 ms   p99 2.0 ms   5xx 2.0/s   in 0 B/s   out 4.0 KiB/s
limit hit: max-conn of frontend web, 10 times

SERVER  STATE  USED  IDLE  PRIVATE  IN-FLIGHT  REQ/S  OPENED/S  TAKEN-OVER/S  ERRORS/S
api/s1  ready    12    38        0          0  1,000       1.0             0       2.0

BACKEND  REQ/S     P50     P99  QUEUE  RETRIES/S
api      1,000  1.8 ms  2.0 ms      4          0

WORKER   CONNS  BUSY  TURN-P99
0       10,050  50 %    499 ms
`)
	if got := strings.Join(f.screen(0, 0), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	small := f.screen(20, 5)
	if len(small) != 5 || !strings.HasPrefix(small[4], "… ") {
		t.Errorf("%q", small)
	}
	for _, l := range small {
		if n := len([]rune(l)); n > 20 {
			t.Errorf("%d characters: %q", n, l)
		}
	}
}

func TestTopOnce(t *testing.T) {
	r := newRig(t, "")
	status, out, stderr := r.weir("top", "--once", "--json", "--interval", "100ms")
	var f map[string]any
	if err := json.Unmarshal([]byte(out), &f); status != 0 || err != nil {
		t.Fatalf("status %d, %v %s", status, err, stderr)
	}
	if s, _ := f["seconds"].(float64); s < 0.09 || s > 20 {
		t.Errorf("the looks are %v s apart", f["seconds"])
	}
	for _, key := range []string{"client-connections", "server-connections", "requests-per-second", "reused-share", "servers", "workers", "backends"} {
		if _, ok := f[key]; !ok {
			t.Errorf("no %q in %s", key, out)
		}
	}
	if status, out, stderr = r.weir("top", "--once", "--interval", "100ms"); status != 0 || !strings.Contains(out, "SERVER ") {
		t.Errorf("status %d, %s%s", status, out, stderr)
	}
}

func TestTopLiveNeedsATerminal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	never := func(context.Context) (*stats.Snapshot, error) {
		t.Error("a snapshot was taken")
		return nil, errNoTerminal
	}
	if err := topLive(context.Background(), never, time.Second, f, f); err == nil {
		t.Error("it drew on what is no terminal")
	}
}

// openPTY returns the two ends of a terminal (pts(4)).
func openPTY(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

func TestTopLiveDrawsAndLeavesTheTerminalAsItWas(t *testing.T) {
	master, slave := openPTY(t)
	before, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	old, now := twoLooks()
	looks := []*stats.Snapshot{old, now}
	look := func(context.Context) (*stats.Snapshot, error) {
		s := looks[0]
		looks = looks[len(looks)-1:]
		return s, nil
	}
	ended := make(chan error)
	go func() { ended <- topLive(context.Background(), look, topIntervalMin, slave, slave) }()
	var seen strings.Builder
	b := make([]byte, 4096)
	for !strings.Contains(seen.String(), "api/s1  ready") {
		n, err := master.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		seen.Write(b[:n])
	}
	if !strings.HasPrefix(seen.String(), screenOpen) {
		t.Errorf("it began with %q", seen.String()[:min(20, seen.Len())])
	}
	if _, err := master.WriteString("xq"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	after, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil || *after != *before {
		t.Errorf("the terminal was left in another state: %v", err)
	}
}

func TestNumbersAsPeopleReadThem(t *testing.T) {
	for got, want := range map[string]string{
		thousands(0): "0", thousands(999): "999", thousands(1000): "1,000", thousands(-1234567): "-1,234,567",
		rateText(0): "0", rateText(0.25): "0.2", rateText(9.96): "10.0", rateText(1234.5): "1,235",
		percent(1): "100 %", percent(0.99999): "99.99 %", percent(0.5): "50 %", percent(0): "0 %",
		latency(0): "-", latency(250e-6): "250 µs", latency(2.5e-3): "2.5 ms", latency(0.25): "250 ms", latency(2.5): "2.5 s",
		bytesText(0): "0 B", bytesText(1023): "1023 B", bytesText(1536): "1.5 KiB", bytesText(5 << 40): "5.0 TiB",
		uptime(59): "59s", uptime(200000): "2 days",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
