package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/bench/contender"
	"weir/bench/report"
)

// The bench starts itself for the origin, the load generator and the relay: in a test that is the test binary.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{"origin", "load", "relay"}, os.Args[1]) {
		os.Exit(dispatch(context.Background(), os.Args[1:]))
	}
	os.Exit(m.Run())
}

// apart gives a test's bench a lock of its own: one that runs on this machine for another purpose must not refuse it.
func apart(t *testing.T) { t.Setenv("TMPDIR", t.TempDir()) }

// Two benches at once would measure each other.
func TestOneBenchAtATime(t *testing.T) {
	apart(t)
	free, err := alone()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alone(); err == nil || !strings.Contains(err.Error(), "another bench") {
		t.Errorf("beside another: %v", err)
	}
	free()
	lock := filepath.Join(os.TempDir(), "weir-bench.lock")
	if err := os.Chmod(lock, 0o444); err != nil { // as what another user has left is to us
		t.Fatal(err)
	}
	free, err = alone()
	if err != nil {
		t.Fatalf("after the other: %v", err)
	}
	free()
}

// The whole way on the floor: processes, pinning, check, closed and open loop, report, comparison.
func TestSmoke(t *testing.T) {
	cpus, err := contender.Allowed()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("true")
	if err := contender.NewLauncher().Start(c, cpus); errors.Is(err, syscall.EPERM) {
		t.Skip("nobody may choose the CPUs of a process: ", err)
	}
	_ = c.Wait()
	apart(t)
	dir := t.TempDir()
	args := []string{"run", "--contender", "floor,again=floor:", "--scenario", "h1-keepalive-64", "--rounds", "3", "--budget", "10s",
		"--closed", "200ms", "--open", "200ms", "--warmup", "50ms", "--tracer", "off", "--out", dir}
	if status := dispatch(t.Context(), args); status != 0 {
		t.Fatalf("exit status %d", status)
	}
	r, err := report.Read(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range r.Scenarios {
		for _, row := range s.Rows {
			for _, key := range []string{"cpu_us", "rps", "p50_us", "p99_us", "rss_mib", "load_busy"} {
				if len(row.Samples[key]) != 3 || row.Samples[key][0] <= 0 {
					t.Errorf("%s, %s: %s has samples %v", s.Name, row.Contender, key, row.Samples[key])
				}
			}
			if len(row.Latency) == 0 || len(row.Command) == 0 {
				t.Errorf("%s, %s: latency %v, command %v", s.Name, row.Contender, row.Latency, row.Command)
			}
		}
	}
	if len(r.Scenarios) != 1 || len(r.Scenarios[0].Rows) != 2 {
		t.Errorf("%d scenarios", len(r.Scenarios))
	}
	if status := dispatch(t.Context(), []string{"compare", dir, dir}); status != 0 {
		t.Errorf("comparing a report with itself: exit status %d", status)
	}
}

// An interrupted run ends its processes, and keeps what it has measured apart from the last whole report.
func TestInterrupted(t *testing.T) {
	apart(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if status := dispatch(ctx, []string{"run", "--contender", "floor", "--scenario", "h1-connect", "--out", dir}); status != exitFailed {
		t.Errorf("exit status %d", status)
	}
	if _, err := os.Stat(filepath.Join(dir, "report.json")); err == nil {
		t.Error("an interrupted run passes for a report")
	}
}

// What the bench starts must end when the bench dies without a word: the launcher has SIGTERM sent then.
func TestPartsEndOnSIGTERM(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"origin", "--listen", "127.0.0.1:0"},
		{"relay", "--listen", "127.0.0.1:0", "--origin", "127.0.0.1:1"},
		{"relay", "--listen", "127.0.0.1:0", "--origin", "127.0.0.1:1", "--engine", "netpoll"},
	} {
		cmd := exec.Command(self, args...)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil { // It is up when it says where.
			t.Fatal(err)
		}
		cmd.Process.Signal(syscall.SIGTERM)
		bound := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
		cmd.Wait()
		bound.Stop()
		if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGTERM {
			t.Errorf("%v: ended by %v", args, cmd.ProcessState)
		}
	}
}

func TestUsage(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.json")
	for _, c := range []struct {
		args   string
		status int
	}{
		{"", 0},
		{"help", 0},
		{"list", 0},
		{"run --help", 0},
		{"fly", exitUsage},
		{"run --scenario nothing", exitUsage},
		{"run --contender squid", exitUsage},
		{"run --rounds 0", exitUsage},
		{"run surplus", exitUsage},
		{"run --proxy-cpus x", exitUsage},
		{"compare one", exitUsage},
		{"compare " + missing + " " + missing, exitFailed},
		{"origin", exitUsage},
		{"relay --listen 127.0.0.1:0", exitUsage},
		{"relay --listen 127.0.0.1:0 --origin 127.0.0.1:1 --engine steam", exitUsage},
		{"origin --listen nowhere", exitUsage},
	} {
		if got := dispatch(t.Context(), strings.Fields(c.args)); got != c.status {
			t.Errorf("bench %s: exit status %d, want %d", c.args, got, c.status)
		}
	}
}

func TestPlacement(t *testing.T) {
	for _, c := range []struct{ allowed, proxy, origin, load []int }{
		{[]int{5}, []int{5}, []int{5}, []int{5}},
		{[]int{0, 1}, []int{0}, []int{1}, []int{1}},
		{[]int{2, 4, 6, 8}, []int{2}, []int{4}, []int{6}},
	} {
		p, o, l := placement(c.allowed)
		if !slices.Equal(p, c.proxy) || !slices.Equal(o, c.origin) || !slices.Equal(l, c.load) {
			t.Errorf("%v: contender %v, origin %v, load %v", c.allowed, p, o, l)
		}
	}
}
