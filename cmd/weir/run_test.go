package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ask sends a request for / and returns the status line.
func ask(t *testing.T, addr string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", addr); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	status, err := in.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, in) // the answer may be cut by our own close
	return strings.TrimSpace(status)
}

// The process with its real data plane: it serves, reloads, shows what it did, and drains.
func TestRunServesReloadsAndDrains(t *testing.T) {
	o, err := startOrigin()
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	dir, front := t.TempDir(), freeAddr()
	file, socket := filepath.Join(dir, "weir.toml"), filepath.Join(dir, "s")
	write := func(addr string) {
		text := fmt.Sprintf("[global]\nworkers = 2\npin-cpus = false\nruntime-socket = %q\nadmin = %q\nhard-stop-after = \"5s\"\naccess-log = \"access.log\"\n"+
			"[frontend.web]\nbind = [{ address = %q }]\nbackend = \"api\"\n[backend.api]\nservers = [{ name = \"s1\", address = %q }]\n", socket, freeAddr(), front, addr)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(o.addr())
	log := new(logText)
	ended := make(chan error, 1)
	go func() { ended <- runFile(context.Background(), file, log, startEngine) }()
	waitFor(t, func() bool { return strings.Contains(log.String(), "msg=ready") || len(ended) > 0 })

	if got := ask(t, front); got != "HTTP/1.1 200 OK" {
		t.Errorf("got %q\n%s", got, log)
	}
	write("127.0.0.1:1") // where nothing listens
	if status, out, stderr := weir(t, "reload", "-c", file); status != exitDone || out != "reloaded: generation 1 -> 2\n" {
		t.Errorf("reload: status %d, %q %s", status, out, stderr)
	}
	if got := ask(t, front); !strings.HasPrefix(got, "HTTP/1.1 50") {
		t.Errorf("after the reload: %q", got)
	}
	_, out, stderr := weir(t, "show", "stat", "-c", file)
	if !strings.Contains(out, "api/s1") {
		t.Errorf("show stat: %s%s", out, stderr)
	}
	if status, _, stderr := weir(t, "set", "server", "api/s1", "state", "maint", "-c", file); status != exitDone {
		t.Errorf("set: %s", stderr)
	}
	if status, _, stderr := weir(t, "set", "server", "api/s1", "weight", "7", "-c", file); status != exitDone {
		t.Errorf("set: %s", stderr)
	}
	for _, when := range []string{"in maintenance", "after another reload"} {
		if got := ask(t, front); got != "HTTP/1.1 503 Service Unavailable" {
			t.Errorf("%s: %q", when, got)
		}
		if _, out, stderr := weir(t, "show", "servers", "conn", "--json", "-c", file); !strings.Contains(out, `"weight": 7`) || !strings.Contains(out, `"state": "maint"`) {
			t.Errorf("%s: %s%s", when, out, stderr)
		}
		if status, _, stderr := weir(t, "reload", "-c", file); status != exitDone {
			t.Error(stderr)
		}
	}
	if status, _, stderr := weir(t, "drain", "-c", file); status != exitDone {
		t.Errorf("drain: %s", stderr)
	}
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
	if answers(front) {
		t.Error("it still listens")
	}
	lines, err := os.ReadFile(filepath.Join(dir, "access.log"))
	if n := strings.Count(string(lines), "\n"); err != nil || n != 4 {
		t.Errorf("%d lines in the access log: %v\n%s", n, err, lines)
	}
}

// TestASignalWhileTheFileIsRead is answered when weir runs: it does not kill a process that is only starting.
func TestASignalWhileTheFileIsRead(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "weir.toml")
	if err := unix.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	n, log := &notingPlane{drain: make(chan struct{})}, new(logText)
	close(n.drain)
	ended := make(chan error, 1)
	go func() { ended <- runFile(context.Background(), file, log, n.start) }()
	f, err := os.OpenFile(file, os.O_WRONLY, 0) // waits for the reader
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(os.Getpid(), unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(f, rigText, filepath.Join(dir, "s"), freeAddr(), "", freeAddr()); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil || !slices.Contains(n.said(), "drain") {
		t.Errorf("it ended with %v, was asked for %v\n%s", err, n.said(), log)
	}
}

func TestTooFewOpenFilesAreNoStart(t *testing.T) {
	if err := enoughFiles(filesMin - 1); err == nil || !strings.Contains(err.Error(), "63 open files") {
		t.Errorf("%v", err)
	}
	if err := enoughFiles(filesMin); err != nil {
		t.Error(err)
	}
}

func TestDemonstrationShowsTraffic(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	out, errs := new(logText), new(logText)
	ended := make(chan error, 1)
	go func() { ended <- runDemo(ctx, out, errs) }()
	waitFor(t, func() bool { return strings.Contains(out.String(), "clients 200 ") || len(ended) > 0 })
	cancel()
	if err := <-ended; err != nil {
		t.Fatalf("%v\n%s%s", err, out, errs)
	}
	if !strings.Contains(out.String(), "requests answered") {
		t.Errorf("%s", out)
	}
}
