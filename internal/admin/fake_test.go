package admin

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"weir/internal/stats"
)

// fakeEngine answers from a fixed snapshot and writes down what it was told to do.
type fakeEngine struct {
	mu       sync.Mutex
	snapshot *stats.Snapshot
	calls    []string
	refuse   error
	notReady string
	hold     chan struct{} // Drain waits for it to be closed
	began    chan struct{} // Drain closes it when it starts to wait
}

func newFake() *fakeEngine {
	return &fakeEngine{snapshot: sample(), hold: make(chan struct{}), began: make(chan struct{})}
}

func (f *fakeEngine) did(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
	return f.refuse
}

func (f *fakeEngine) last() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.calls) == 0 {
		return ""
	}
	return f.calls[len(f.calls)-1]
}

func (f *fakeEngine) Snapshot(context.Context) (*stats.Snapshot, error) {
	return f.snapshot, f.did("snapshot")
}

func (f *fakeEngine) Sessions(_ context.Context, max int) ([]stats.Session, error) {
	list := sampleSessions()
	return list[:min(max, len(list))], f.did("sessions %d", max)
}

func (f *fakeEngine) Reload(context.Context) (oldGen, newGen uint64, err error) {
	return 7, 8, f.did("reload")
}

func (f *fakeEngine) Drain(ctx context.Context) (oldGen, newGen uint64, err error) {
	close(f.began)
	select {
	case <-f.hold:
		return 7, 7, f.did("drain")
	case <-ctx.Done():
		return 0, 0, errors.New("cut")
	}
}

func (f *fakeEngine) Stop(context.Context) (oldGen, newGen uint64, err error) {
	return 7, 7, f.did("stop")
}

func (f *fakeEngine) Upgrade(context.Context) (oldGen, newGen uint64, err error) {
	return 7, 1, f.did("upgrade")
}

func (f *fakeEngine) SetServerState(_ context.Context, b, s, state string) error {
	return f.did("state %s %s %s", b, s, state)
}

func (f *fakeEngine) SetServerWeight(_ context.Context, b, s string, n int) error {
	return f.did("weight %s %s %d", b, s, n)
}

func (f *fakeEngine) SetServerMaxConn(_ context.Context, b, s string, n int) error {
	return f.did("max-conn %s %s %d", b, s, n)
}

func (f *fakeEngine) SetLimit(_ context.Context, profile, key, value string) error {
	return f.did("limit %s %s %s", profile, key, value)
}

func (f *fakeEngine) ConfigJSON() []byte { return []byte(`{"global":{"workers":2}}`) }

func (f *fakeEngine) Config() string { return "[global]\nworkers = 2\n" }

func (f *fakeEngine) Ready() (bool, string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.notReady == "", f.notReady
}

// sample is a snapshot in which everything has happened, made the way the engine makes one.
func sample() *stats.Snapshot {
	var cells []*stats.Cells
	for id := range 2 {
		w := stats.NewWorker(id)
		fillWorker(w)
		c := new(stats.Cells)
		w.Snapshot(c)
		cells = append(cells, c)
	}
	s := stats.Merge(cells, []string{"no-server", "stale-connection"})
	at := time.Date(2024, 3, 1, 12, 0, 0, 0, time.UTC)
	s.Time = at
	s.Info = stats.Info{
		Version: "1.2.3", Revision: "abc", GoVersion: "go1.26", PID: 4711, Started: at.Add(-time.Hour), State: "ready",
		ConfigFile: "/etc/weir/weir.toml", Generation: 7, LastReload: at.Add(-time.Minute), Reloads: 6, ReloadsFailed: 1,
		Workers: 2,
	}
	s.Limits = []stats.LimitRow{
		{Level: "global", Profile: "edge", Axis: "max-conn", Current: 3, Max: 20000},
		{Level: "backend", Name: "api", Profile: "edge", Axis: "max-conn-rate", Current: 12, Max: 10000, Hits: 4},
	}
	for i := range s.Backends {
		for j := range s.Backends[i].Servers {
			s.Backends[i].Servers[j].Address = fmt.Sprintf("127.0.0.1:900%d", j+1)
			s.Backends[i].Servers[j].Weight = 1
		}
	}
	return s
}

func fillWorker(w *stats.Worker) {
	n := uint64(w.ID() + 1)
	f, b := w.Frontend("web"), w.Backend("api")
	f.Conns[stats.H1], f.ConnsTotal[stats.H1] = 3, 10*n
	f.Conns[stats.H2], f.ConnsTotal[stats.H2] = 1, n
	f.Handshakes[stats.H2] = [2]uint64{n, 2}
	f.InFlight, f.BytesIn, f.BytesOut = 1, 1000*n, 5000*n
	f.Route(b).Requests[stats.Class2xx][stats.H1] = 100 * n
	f.Route(b).Requests[stats.Class5xx][stats.H2] = n
	b.QueueLength, b.QueueRejected[stats.QueueTimeout] = 2, n
	for i := range int64(100) {
		b.RequestDuration.Observe(i * 100_000)
		b.ConnectDuration.Observe(i * 10_000)
		b.QueueWait.Observe(i * 1_000_000)
		b.RequestsPerConn.Observe(i)
		w.Loop.Seconds.Observe(i * 1000)
	}
	b.Retries[1][stats.OutcomeSuccess] = n
	s := w.Server("api", "s1")
	s.Used, s.IdleSafe, s.IdleFresh, s.Private, s.Need, s.Limit = 2, 3, int64(n-1), 1, 4, 100
	s.Connecting, s.Draining, s.InFlight = 1, 1, 2
	s.Opened[stats.WhyDemand], s.Opened[stats.WhyWarm] = 5, n
	s.Closed[stats.CausePeerClosed], s.Closed[stats.CauseIdlePurge] = n, 1
	s.Reused, s.TakenOver, s.Requests, s.Errors[stats.ErrorConnect] = 95*n, n, 100*n, n
	s.BytesIn, s.BytesOut = 5000*n, 1000*n
	w.Server("api", "s2").State = stats.StateMaint
	w.Server("api", "old").State = stats.StateGone
	w.Loop.Conns, w.Loop.Turns, w.Loop.LogDropped = 9, 1000*n, n
	w.Loop.MailIn, w.Loop.MailOut = 5, 6
	w.Answers[0] = n
	w.Fail(stats.Failure{
		UnixNano: 1709294400_000000000 + int64(n)*1e6, Frontend: "web", Backend: "api", Server: "s1", Status: 502,
		Client: netip.MustParseAddrPort("192.0.2.1:4242"), Reason: "stale-connection", Detail: "reset before the response",
	})
}

func sampleSessions() []stats.Session {
	return []stats.Session{
		{ID: 1, Frontend: "web", Client: "192.0.2.1:4242", Protocol: "h1", State: "idle", Age: 90 * time.Second,
			Idle: 1500 * time.Microsecond, Requests: 12, BytesIn: 100, BytesOut: 2000, Generation: 7},
		{ID: 2, Worker: 1, Frontend: "web", Client: "[2001:db8::1]:99", Protocol: "h2", TLS: "1.3", State: "request",
			Age: time.Second, InFlight: 3, Requests: 40, Backend: "api", Server: "s1", Generation: 6},
	}
}

// socketPath is a path short enough for a unix socket.
func socketPath(t *testing.T) string { return filepath.Join(t.TempDir(), "w.sock") }

// serve listens with a fake engine and closes at the end of the test.
func serve(t *testing.T, o Options, e Engine) *Server {
	t.Helper()
	s, err := Listen(o, e)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// serveSocket is serve with a runtime socket only.
func serveSocket(t *testing.T, e Engine) (path string) {
	t.Helper()
	path = socketPath(t)
	serve(t, Options{Socket: path}, e)
	return path
}

func dial(t *testing.T, path string) *Client {
	t.Helper()
	c, err := Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func do(t *testing.T, c *Client, cmd string, args ...string) Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	rsp, err := c.Do(ctx, Request{Cmd: cmd, Args: args})
	if err != nil {
		t.Fatalf("%s %v: %v", cmd, args, err)
	}
	return rsp
}
