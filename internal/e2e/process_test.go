package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen. It is long because it is only ever used up by a failure.
const patience = time.Minute

// setup is a configuration: lines of TOML for its tables. What is left out has weir's defaults. In all of them $HOST is the
// address of the process, $FILES the directory of the certificates, $DIR one of the test's own.
type setup struct {
	over     transport // towards clients
	global   string
	frontend string // of [frontend.web]
	bind     string // further keys of its only bind: `h3 = true`
	backend  string // of [backend.api]
	servers  []*origin
	server   string // further keys of each server: `max-conn = 1`
	tables   string // further tables
	leaves   bool   // clients are still there when the process is told to end
}

// text is the file.
func (s *setup) text(host string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[global]\nadmin = \"%s:9911\"\nruntime-socket = \"$DIR/sock\"\npin-cpus = false\n", host)
	if !strings.Contains(s.global, "hard-stop-after") {
		b.WriteString("hard-stop-after = \"3s\"\n")
	}
	if !strings.Contains(s.global, "workers") {
		b.WriteString("workers = 1\n")
	}
	fmt.Fprintf(&b, "%s\n\n[frontend.web]\nbind = [{ address = \"%s:8080\"%s", s.global, host, s.over.bind())
	if s.bind != "" {
		b.WriteString(", " + s.bind)
	}
	fmt.Fprintf(&b, " }]\nbackend = \"api\"\n%s\n\n[backend.api]\nservers = [", s.frontend)
	for i, o := range s.servers {
		fmt.Fprintf(&b, "{ name = \"s%d\", address = \"%s\"", i+1, o.addr)
		if s.server != "" {
			b.WriteString(", " + s.server)
		}
		b.WriteString(" }, ")
	}
	b.WriteString("]\n")
	if len(s.servers) > 0 {
		b.WriteString(s.servers[0].backend())
	}
	fmt.Fprintf(&b, "%s\n\n%s\n%s\n", s.backend, s.over.tables(), s.tables)
	return b.String()
}

// weir is a running process.
type weir struct {
	t      *testing.T
	host   string
	dir    string
	config string // path of the file
	over   transport
	setup  *setup
	cmd    *exec.Cmd
	log    *logText
	ended  chan struct{} // closed when the process has ended
	status int           // after ended
	told   bool          // to end

	finishing sync.Once // finish is called in the end
}

// start runs weir until the end of the test and returns when it is ready.
func start(t *testing.T, s setup) *weir {
	t.Helper()
	dir, err := os.MkdirTemp("", "weir-") // not t.TempDir: the path of a Unix socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w := &weir{t: t, host: newHost(), dir: dir, config: filepath.Join(dir, "weir.toml"), over: s.over, setup: &s, log: &logText{path: filepath.Join(dir, "log")}}
	w.write(s.text(w.host))
	w.launch()
	return w
}

// launch starts the process and returns when it is ready.
func (w *weir) launch() {
	t := w.t
	t.Helper()
	w.cmd = exec.Command(binary, "run", "-c", w.config)
	out, err := os.OpenFile(w.log.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) // a pipe would have to be read until its last heir has ended
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	ended := make(chan struct{})
	w.ended = ended
	w.cmd.Stdout, w.cmd.Stderr = out, out
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		err := w.cmd.Wait()
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			w.status = failed.ExitCode()
			if failed.ExitCode() < 0 {
				w.log.note("weir was ended by a signal: " + failed.String())
			}
		}
		close(ended)
	}()
	w.finishing.Do(func() { t.Cleanup(w.finish) })
	eventually(t, "weir is ready", func() bool {
		select {
		case <-w.ended:
			t.Fatalf("weir ended at once with status %d:\n%s", w.status, w.log)
		default:
		}
		return w.ready()
	})
}

// crash ends the process without a word and starts another.
func (w *weir) crash() {
	w.t.Helper()
	_ = w.cmd.Process.Kill()
	<-w.ended
	w.status = 0
	w.launch()
}

// write replaces the configuration file.
func (w *weir) write(text string) {
	w.t.Helper()
	text = w.expand(text)
	if err := os.WriteFile(w.config, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *weir) expand(text string) string {
	return strings.NewReplacer("$HOST", w.host, "$FILES", files, "$DIR", w.dir).Replace(text)
}

// rewrite changes the setup and writes the file anew.
func (w *weir) rewrite(change func(*setup)) {
	w.t.Helper()
	s := *w.setup
	change(&s)
	w.setup = &s
	w.write(s.text(w.host))
}

// front is the address of the frontend.
func (w *weir) front() string { return w.host + ":8080" }

func (w *weir) ready() bool {
	status, _, err := w.admin("/readyz")
	return err == nil && status == 200
}

// admin asks the admin listener, each time on a connection of its own.
func (w *weir) admin(path string) (status int, body string, err error) {
	c := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := c.Get("http://" + w.host + ":9911" + path)
	if err != nil {
		return 0, "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return r.StatusCode, string(b), err
}

// finish holds the process to what every process is held to: all it counts goes down to zero with its last client, it
// drains at SIGTERM, ends with status 0, and has logged nothing that looks like a crash.
func (w *weir) finish() {
	t := w.t
	select {
	case <-w.ended:
		if !w.told {
			t.Errorf("weir ended by itself")
		}
	default:
		if !w.setup.leaves && !w.told && !t.Failed() {
			w.wantIdle()
		}
		if t.Failed() {
			_, failures, _ := w.run("show", "errors")
			w.log.note("weir show errors:\n" + failures)
		}
		if !w.told { // a second signal would cut the drain short
			w.terminate()
		}
		select {
		case <-w.ended:
		case <-time.After(patience):
			t.Error("weir does not end")
			_ = w.cmd.Process.Signal(syscall.SIGQUIT) // its goroutines go to the log
			<-w.ended
		}
	}
	if w.status != 0 {
		t.Errorf("weir ended with status %d", w.status)
	}
	log := w.log.String()
	for _, bad := range []string{"panic:", "fatal error:", "runtime error", "DATA RACE", "goroutine ", "SIGSEGV"} {
		if strings.Contains(log, bad) {
			t.Errorf("weir's log has %q", bad)
			break
		}
	}
	if !w.setup.leaves && strings.Contains(log, "drain ended early") {
		t.Error("sessions were left after all clients had gone")
	}
	if t.Failed() {
		text, _ := os.ReadFile(w.config)
		t.Logf("configuration:\n%s\nlog:\n%s", text, log)
	}
}

// terminate asks the process to end.
func (w *weir) terminate() {
	w.told = true
	_ = w.cmd.Process.Signal(syscall.SIGTERM)
}

// wantEnd waits for the process to end by itself after terminate.
func (w *weir) wantEnd() {
	w.t.Helper()
	select {
	case <-w.ended:
	case <-time.After(patience):
		w.t.Fatal("weir does not end")
	}
}

// gauges that are zero when there are no clients.
var idleGauges = []struct {
	name   string
	labels []string
}{
	{"weir_frontend_connections", nil}, {"weir_frontend_requests_in_flight", nil}, {"weir_server_requests_in_flight", nil},
	{"weir_queue_length", nil}, {"weir_server_connections", []string{"state", "used"}},
	{"weir_server_connections", []string{"state", "private"}}, {"weir_server_connections", []string{"state", "draining"}},
}

// wantIdle waits until nothing of any client is left in what weir counts.
func (w *weir) wantIdle() {
	deadline := time.Now().Add(patience)
	for {
		m, err := w.metrics()
		left := ""
		for _, g := range idleGauges {
			if n := m.sum(g.name, g.labels...); n != 0 {
				left += fmt.Sprintf("%s%v = %v\n", g.name, g.labels, n)
			}
		}
		if err == nil && left == "" {
			return
		}
		if time.Now().After(deadline) {
			_, sessions, _ := w.admin("/api/sessions")
			w.t.Errorf("left after the last client had gone (%v):\n%s%s", err, left, sessions)
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// run runs another command of the binary against this process.
func (w *weir) run(args ...string) (status int, stdout, stderr string) {
	w.t.Helper()
	return command(w.t, append(args, "--runtime-socket", filepath.Join(w.dir, "sock"))...)
}

// command runs a command of the binary.
func command(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, binary, args...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return failed.ExitCode(), out.String(), errs.String()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0, out.String(), errs.String()
}

// done runs a command that must succeed and returns what it printed.
func (w *weir) done(args ...string) string {
	w.t.Helper()
	status, out, errs := w.run(args...)
	if status != 0 {
		w.t.Fatalf("weir %s: status %d: %s", strings.Join(args, " "), status, errs)
	}
	return out
}

// show fills v from `weir show WHAT --json`.
func (w *weir) show(v any, what ...string) {
	w.t.Helper()
	out := w.done(append(append([]string{"show"}, what...), "--json")...)
	if err := json.Unmarshal([]byte(out), v); err != nil {
		w.t.Fatalf("weir show %v: %v in %s", what, err, out)
	}
}

// reload has the file as it is now take effect.
func (w *weir) reload() {
	w.t.Helper()
	w.done("reload")
}

// rss is the memory of the process that is resident, in bytes.
func (w *weir) rss() int {
	w.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", w.cmd.Process.Pid))
	if err != nil {
		w.t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	if err != nil {
		w.t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// scrape is what /metrics said.
type scrape []sample

type sample struct {
	name   string
	labels map[string]string
	value  float64
}

var labelPair = regexp.MustCompile(`([a-z_]+)="((?:[^"\\]|\\.)*)"`)

func (w *weir) metrics() (scrape, error) {
	status, text, err := w.admin("/metrics")
	if err != nil || status != 200 {
		return nil, fmt.Errorf("/metrics: status %d, %w", status, err)
	}
	var out scrape
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if i := strings.LastIndexByte(line, '}'); i >= 0 {
			name, value = line[:i+1], strings.TrimSpace(line[i+1:])
		}
		s := sample{labels: map[string]string{}}
		if s.value, err = strconv.ParseFloat(value, 64); err != nil {
			return nil, fmt.Errorf("sample %q: %w", line, err)
		}
		s.name, _, _ = strings.Cut(name, "{")
		for _, p := range labelPair.FindAllStringSubmatch(name, -1) {
			s.labels[p[1]] = p[2]
		}
		out = append(out, s)
	}
	return out, nil
}

// sum adds the samples of a name that have the given labels: name, value, name, value.
func (m scrape) sum(name string, labels ...string) (n float64) {
	for _, s := range m {
		if s.name == name && s.has(labels) {
			n += s.value
		}
	}
	return n
}

func (s *sample) has(labels []string) bool {
	for i := 0; i < len(labels); i += 2 {
		if s.labels[labels[i]] != labels[i+1] {
			return false
		}
	}
	return true
}

// metric is the sum of the samples of a name that have the given labels.
func (w *weir) metric(name string, labels ...string) float64 {
	w.t.Helper()
	m, err := w.metrics()
	if err != nil {
		w.t.Fatal(err)
	}
	return m.sum(name, labels...)
}

// wantMetric waits until a metric has a value.
func (w *weir) wantMetric(want float64, name string, labels ...string) {
	w.t.Helper()
	var got float64
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		if got = w.metric(name, labels...); got == want {
			return
		}
		time.Sleep(3 * time.Millisecond)
	}
	w.t.Fatalf("%s%v is %v, not %v", name, labels, got, want)
}

// eventually waits for what something else brings about.
func eventually(t *testing.T, what string, happened func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !happened() {
		if time.Now().After(deadline) {
			t.Fatalf("it never happens that %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// logText is what a process has written, and what is noted about it.
type logText struct {
	path  string
	mu    sync.Mutex
	notes strings.Builder
}

func (l *logText) note(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notes.WriteString(s + "\n")
}

func (l *logText) String() string {
	b, err := os.ReadFile(l.path)
	if err != nil {
		return err.Error()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(b) + l.notes.String()
}

// answers reports whether something listens at an address.
func answers(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}
