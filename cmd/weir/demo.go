package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"weir/internal/config"
	"weir/internal/stats"
)

// demoClients is how many client connections the demonstration holds open.
const demoClients = 200

// demoText is the configuration that the demonstration runs: what it shows is what a file of this size does.
const demoText = `
[global]
runtime-socket = "%s"
admin = "%s"
limits = "demo"
hard-stop-after = "2s"
log-level = "warn"

[limits.demo]
max-conn = 20000

[frontend.demo]
bind = [{ address = "%s" }]
backend = "origin"

[backend.origin]
servers = [{ name = "o1", address = "%s" }]
reuse = "always"
pool-purge-delay = "2s"
`

// runDemo shows weir at work, all of it in this process:
//
//	200 clients ──► proxy 127.0.0.1:8080 ──► origin 127.0.0.1:PORT
func runDemo(ctx context.Context, out, stderr io.Writer) error {
	ctx, stop := demoContext(ctx)
	defer stop()
	origin, err := startOrigin()
	if err != nil {
		return err
	}
	defer origin.close()
	dir, err := os.MkdirTemp("", "weir-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	front, err := freePort("127.0.0.1", 8080, 8089)
	if err != nil {
		return err
	}
	admin, err := freePort("127.0.0.1", 9911, 9920)
	if err != nil {
		return err
	}
	socket := filepath.Join(dir, "weir.sock")
	cfg, report := config.Parse("demo", fmt.Appendf(nil, demoText, socket, admin, front, origin.addr()), dir)
	if !report.OK() {
		return report.Err()
	}
	level := new(slog.LevelVar)
	level.Set(cfg.Global.LogLevel)
	p := newProcess("", cfg, slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level})), level)
	if err := p.start(startEngine, &handover{}); err != nil {
		return err
	}
	load := startLoad(front, demoClients)
	show := newDemoView(out, front, origin.addr(), socket, admin)
	err = show.until(ctx, p.Snapshot)
	load.close()
	if _, _, derr := p.Drain(context.WithoutCancel(ctx)); err == nil {
		err = derr
	}
	p.finish()
	show.end(load.done.Load())
	return err
}

// freePort finds a port of an address that nothing listens on: one of a range, or else any.
func freePort(host string, from, to int) (string, error) {
	for port := from; port <= to+1; port++ {
		if port > to {
			port = 0
		}
		ln, err := net.Listen("tcp", net.JoinHostPort(host, fmt.Sprint(port)))
		if err == nil {
			addr := ln.Addr().String()
			return addr, ln.Close()
		}
		if port == 0 {
			return "", err
		}
	}
	panic("weir: the loop above ends with port 0")
}

// demoView prints what the demonstration does: redrawn in place on a terminal, a line a second elsewhere.
type demoView struct {
	out   io.Writer
	live  bool
	drawn int // lines to go back up
	intro []string
}

func newDemoView(out io.Writer, front, origin, socket, admin string) *demoView {
	f, ok := out.(*os.File)
	return &demoView{out: out, live: ok && isTerminal(f), intro: []string{
		fmt.Sprintf("weir %s demonstration: %d clients -> weir on %s -> origin on %s", thisBuild().Version, demoClients, front, origin),
		"",
		fmt.Sprintf("  curl http://%s/", front),
		fmt.Sprintf("  weir show servers conn --runtime-socket %s", socket),
		fmt.Sprintf("  curl http://%s/metrics", admin),
		"",
	}}
}

// demoInterval is the time between two looks.
const demoInterval = time.Second

// until shows views until ctx ends.
func (v *demoView) until(ctx context.Context, look looker) error {
	for _, l := range v.intro {
		fmt.Fprintln(v.out, l)
	}
	old, err := look(ctx)
	if err != nil {
		return err
	}
	tick := time.NewTicker(demoInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now, err := look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		v.show(newFrame(old, now), now)
		old = now
	}
}

func (v *demoView) show(f *frame, now *stats.Snapshot) {
	if !v.live {
		fmt.Fprintf(v.out, "clients %d  server connections %d  requests/s %s  reused %s  p50 %s  p99 %s\n",
			f.Clients, f.Servers, rateText(f.Requests), percent(f.Reused), latency(f.P50), latency(f.P99))
		return
	}
	lines := []string{
		bar("client connections", f.Clients, demoClients),
		bar("server connections", f.Servers, demoClients),
		"",
		fmt.Sprintf("  requests/s %8s    on a connection that was already there %s", rateText(f.Requests), percent(f.Reused)),
		fmt.Sprintf("  p50        %8s    p99 %s    server connections opened so far %s", latency(f.P50), latency(f.P99), thousands(openedSoFar(now))),
		"",
		"  Ctrl-C ends it.",
	}
	if v.drawn > 0 {
		fmt.Fprintf(v.out, "\x1b[%dA", v.drawn)
	}
	fmt.Fprint(v.out, strings.Join(lines, lineClear+"\r\n")+lineClear+"\r\n")
	v.drawn = len(lines)
}

func openedSoFar(s *stats.Snapshot) (n int64) {
	for i := range s.Backends {
		for j := range s.Backends[i].Servers {
			n += int64(s.Backends[i].Servers[j].Opened)
		}
	}
	return n
}

// bar is a number with a bar that is full at most.
func bar(name string, n, most int64) string {
	const width = 50
	filled := min(width, int((n*width+most-1)/most))
	return fmt.Sprintf("  %-19s %6s  %s", name, thousands(n), strings.Repeat("█", max(filled, 0)))
}

func (v *demoView) end(requests uint64) {
	fmt.Fprintf(v.out, "\n%s requests answered. Next: weir run -c weir.toml, weir help\n", thousands(int64(requests)))
}
