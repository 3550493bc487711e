package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// logLine is a line of the access log.
type logLine map[string]any

// lines waits for n lines of the log in $DIR/lines, which the setup must name.
func (w *weir) lines(n int) (lines []logLine) {
	w.t.Helper()
	eventually(w.t, "the access log is written", func() bool {
		b, err := os.ReadFile(filepath.Join(w.dir, "lines"))
		return err == nil && strings.Count(string(b), "\n") >= n
	})
	b, err := os.ReadFile(filepath.Join(w.dir, "lines"))
	if err != nil {
		w.t.Fatal(err)
	}
	for l := range strings.Lines(string(b)) {
		var line logLine
		if err := json.Unmarshal([]byte(l), &line); err != nil {
			w.t.Fatalf("%q: %v", l, err)
		}
		lines = append(lines, line)
	}
	if len(lines) != n {
		w.t.Fatalf("%d lines, not %d: %v", len(lines), n, lines)
	}
	return lines
}

// want compares keys with values: key, value, key, value.
func (l logLine) want(t *testing.T, pairs ...any) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		want := pairs[i+1]
		if n, ok := want.(int); ok {
			want = float64(n)
		}
		if got := l[pairs[i].(string)]; got != want {
			t.Errorf("%s is %v, want %v, in %v", pairs[i], got, want, l)
		}
	}
}

// number is a value that is a number.
func (l logLine) number(t *testing.T, key string) float64 {
	t.Helper()
	n, ok := l[key].(float64)
	if !ok {
		t.Errorf("%s is %v in %v", key, l[key], l)
	}
	return n
}

var logKeys = strings.Fields(`time generation worker request_id client frontend backend server protocol method host path status
	bytes_in bytes_out t_request t_queue t_connect t_response t_total conn_reused conn_requests conn_age_ms retries reason
	limit_axis tls_version tls_resumed`)

func TestAccessLog(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, global: `access-log = "$DIR/lines"`, backend: `reuse = "always"`})
		client := w.dial()
		client.ask(`POST /a"b?c HTTP/1.1`, host, "X-Request-ID: id-1", "Content-Length: 3", "", "abc")
		client.response().want(t, "HTTP/1.1 400 Bad Request") // a quote is no part of a target
		client.close()

		client = w.dial()
		client.ask("POST /a?c=%22 HTTP/1.1", host, "X-Request-ID: id-2", "Content-Length: 3", "", "abc")
		server := back.serve()
		client.response()
		client.ask("GET /b HTTP/1.0", host, "X-Request-ID: \"\\\x80", "Connection: keep-alive")
		server.serve()
		client.response()
		client.ask("GET /c HTTP/1.1", host)
		server.request()
		server.close()
		back.serve()
		client.response()

		version := ""
		if over == tlsed {
			version = "TLSv1.3"
		}
		l := w.lines(4)
		for _, line := range l {
			if got, want := slices.Sorted(maps.Keys(line)), slices.Sorted(slices.Values(logKeys)); !slices.Equal(got, want) {
				t.Errorf("keys %v, want %v", got, want)
			}
			if _, err := time.Parse(time.RFC3339Nano, line["time"].(string)); err != nil {
				t.Error(err)
			}
			line.want(t, "frontend", "web", "generation", 1, "worker", 0, "t_queue", 0, "limit_axis", "", "tls_version", version, "tls_resumed", false)
			if total := line.number(t, "t_total"); total < line.number(t, "t_response") || total < line.number(t, "t_request") {
				t.Errorf("times of %v", line)
			}
		}
		l[0].want(t, "status", 400, "reason", "bad-request", "backend", "", "server", "", "conn_requests", 0)
		l[1].want(t, "status", 200, "reason", "", "backend", "api", "server", "s1", "method", "POST", "host", "a.example",
			"path", "/a?c=%22", "protocol", "HTTP/1.1", "request_id", "id-2", "client", client.conn.LocalAddr().String(),
			"bytes_in", 3, "bytes_out", 5, "conn_reused", false, "conn_requests", 1, "retries", 0)
		if l[1].number(t, "t_connect") <= 0 {
			t.Errorf("connecting took no time: %v", l[1])
		}
		l[2].want(t, "status", 200, "method", "GET", "path", "/b", "protocol", "HTTP/1.0", "request_id", "\"\\\u0080",
			"bytes_in", 0, "conn_reused", true, "conn_requests", 2)
		l[3].want(t, "status", 200, "path", "/c", "conn_reused", false, "conn_requests", 1, "retries", 1)
		if id := l[3]["request_id"].(string); len(id) != 32 {
			t.Errorf("request_id %q", id)
		}
	})
}

// A client that leaves is logged too, with what it has got.
func TestAccessLogOfAClientThatLeaves(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, global: `access-log = "$DIR/lines"`})
		client := w.dial()
		client.ask("GET / HTTP/1.1", host)
		server := back.accept()
		server.request()
		client.abort()
		server.gone()
		client = w.dial()
		client.ask("GET / HTTP/1.1", host)
		server = back.accept()
		server.request()
		server.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
		client.responseHead()
		client.bytes("hello")
		client.abort()
		server.gone()
		l := w.lines(2)
		l[0].want(t, "status", 0, "reason", "client-closed", "bytes_out", 0)
		l[1].want(t, "status", 200, "reason", "client-closed", "bytes_out", 5)
	})
}

// Lines that nobody takes are dropped and counted; no worker waits.
func TestAccessLogThatNobodyReads(t *testing.T) {
	t.Parallel()
	back := newRecorder(t)
	w := start(t, setup{servers: []*origin{back.origin}, global: `access-log = "/dev/full"`})
	c := &caller{addr: w.front()}
	defer c.close()
	for range 100 {
		if status, _, err := c.ask("GET", "/"); status != 200 {
			t.Fatal(status, err)
		}
	}
	eventually(t, "lost lines are counted", func() bool { return w.metric("weir_access_log_dropped_total") > 0 })
}

// A reload switches the access log on and off; a file that is off is let go.
func TestReloadSwitchesTheAccessLog(t *testing.T) {
	t.Parallel()
	back := newRecorder(t)
	w := start(t, setup{servers: []*origin{back.origin}})
	c := &caller{addr: w.front()}
	defer c.close()
	ask := func(path string) {
		t.Helper()
		if status, _, err := c.ask("GET", path); status != 200 {
			t.Fatal(status, err)
		}
	}
	isOpen := func() bool {
		dir := fmt.Sprintf("/proc/%d/fd", w.pid())
		fds, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(fds, func(fd os.DirEntry) bool {
			to, _ := os.Readlink(filepath.Join(dir, fd.Name()))
			return to == filepath.Join(w.dir, "lines")
		})
	}
	ask("/off")
	for i := range 2 {
		w.rewrite(func(s *setup) { s.global = `access-log = "$DIR/lines"` })
		w.reload()
		for n := range 20 {
			ask(fmt.Sprint("/on", n))
		}
		w.rewrite(func(s *setup) { s.global = "" })
		w.reload()
		if l := w.lines(20 * (i + 1)); l[20*i]["path"] != "/on0" {
			t.Errorf("%v", l[20*i])
		}
		if isOpen() {
			t.Error("the file is still open")
		}
		ask("/off")
	}
	w.lines(40)
	if n := w.metric("weir_access_log_dropped_total"); n != 0 {
		t.Errorf("%v lines were dropped", n)
	}
}
