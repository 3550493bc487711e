package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// limitRow is a line of `weir show limits`.
type limitRow struct {
	Level, Name, Profile, Axis string
	Current, Max, Hits         int64
}

// limit is the line of one axis at one place.
func (w *weir) limit(level, axis string) limitRow {
	w.t.Helper()
	var rows []limitRow
	w.show(&rows, "limits")
	for _, r := range rows {
		if r.Level == level && r.Axis == axis {
			return r
		}
	}
	w.t.Fatalf("no %s of %s in weir show limits", axis, level)
	return limitRow{}
}

// attached is a setup with a profile at one level and every line of the log kept.
func attached(level, profile string, s setup) setup {
	s.tables += "\n[limits.tight]\n" + profile
	s.global += "\nworkers = 2\naccess-log = \"$DIR/access\""
	switch level {
	case "global":
		s.global += "\nlimits = \"tight\""
	case "frontend":
		s.frontend += "\nlimits = \"tight\""
	case "backend":
		s.backend += "\nlimits = \"tight\""
	}
	return s
}

// watchLimit samples what counts against a limit until it is told to end, and returns the largest.
func (w *weir) watchLimit(level, axis string) (most func() int64) {
	stop, largest := make(chan struct{}), make(chan int64, 1)
	go func() {
		var top int64
		defer func() { largest <- top }()
		for {
			select {
			case <-stop:
				return
			default:
			}
			m, err := w.metrics()
			if err == nil {
				top = max(top, int64(m.sum("weir_limit_current", "level", level, "axis", axis)))
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	return func() int64 { close(stop); return <-largest }
}

// 500 clients come at once and stay. As many as the limit says are served, the others wait queue-timeout and are told why;
// nobody is forgotten, and what is counted adds up to who came.
func TestCountLimitsAreExact(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"global", "frontend", "backend"} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			testCountLimit(t, level)
		})
	}
}

func testCountLimit(t *testing.T, level string) {
	const clients, most, depth = 500, 37, 300
	const timeout = 2 * time.Second
	hold := newHolding(t)
	back := newTally(t, plain, hold.serve)
	w := start(t, attached(level, fmt.Sprintf("max-conn = %d\nqueue-depth = %d\nqueue-timeout = \"%v\"\nmax-conn-rate = 0\nmax-sess-rate = 0\nrate-limit-sessions = 0",
		most, depth, timeout), setup{servers: []*origin{back.origin}, backend: `reuse = "always"`}))
	top := w.watchLimit(level, "max-conn")
	var heard outcomes
	var late atomic.Int64
	var ended atomic.Int64
	go func() {
		for (ended.Load() < clients-most || back.requests() < most) && !t.Failed() {
			time.Sleep(5 * time.Millisecond)
		}
		hold.release()
	}()
	crowd(clients, func(i int) {
		began := time.Now()
		u, err := w.user("")
		if err != nil {
			heard.add(err.Error())
			ended.Add(1)
			return
		}
		defer u.close()
		r, err := u.try("GET", "/hold")
		heard.heard(r, err)
		if err == nil && r.status == 503 {
			ended.Add(1)
			wantRefusal(t, r)
			late.Store(max(late.Load(), int64(time.Since(began))))
		} else if err != nil {
			ended.Add(1)
		}
	})
	if n := top(); n > most {
		t.Errorf("%d counted against a limit of %d", n, most)
	}
	if back.busyMost != most || back.openMost > most {
		t.Errorf("the server saw %d requests at once and %d connections, the limit is %d", back.busyMost, back.openMost, most)
	}
	// The queue fills up once. Clients that come so late that others have given up take their places.
	full, timed := heard.n["503 queue-full"], heard.n["503 queue-timeout"]
	if heard.n["200"] != most || timed < depth || full+timed != clients-most {
		t.Errorf("%v, want %d of 200, at least %d of queue-timeout, and queue-full for the others", heard.n, most, depth)
	}
	t.Logf("%s: %v, the last refusal %v after its connect", level, heard.n, time.Duration(late.Load()))
	refusals := map[string]int{"queue-timeout": timed}
	if full > 0 {
		refusals["queue-full"] = full
	}
	wantLogged(t, w, "max-conn", refusals)
	for _, l := range w.accessLog() { // by weir's own clock; that it is never later is the simulator's to prove
		if d := time.Duration(l.Total) * time.Microsecond; l.Reason == "queue-timeout" && d < timeout {
			t.Errorf("%s after %v, queue-timeout is %v", l.Reason, d, timeout)
		}
	}
	if row := w.limit(level, "max-conn"); row.Max != most || row.Hits != clients-most {
		t.Errorf("shown as %+v; %d were held up", row, clients-most)
	}
	if n := w.metric("weir_limit_hits_total", "level", level, "axis", "max-conn"); n != clients-most {
		t.Errorf("%v hits, %d were held up", n, clients-most)
	}
	if level == "backend" {
		for reason, n := range refusals {
			if got := w.metric("weir_queue_rejected_total", "reason", reason); int(got) != n {
				t.Errorf("%v are counted as rejected with %s, %d were", got, reason, n)
			}
		}
	}
}

// wantRefusal holds an answer of weir's own to what it must have.
func wantRefusal(t *testing.T, r *reply) {
	t.Helper()
	if r.header.Get("Retry-After") == "" || !strings.HasPrefix(r.header.Get("Proxy-Status"), "weir; error=") || r.body == "" {
		t.Errorf("a refusal with %v, body %q", r.header, r.body)
	}
}

// wantLogged waits for the lines of refused requests and looks at their reason and axis.
func wantLogged(t *testing.T, w *weir, axis string, want map[string]int) {
	t.Helper()
	got := map[string]int{}
	sum := 0
	for _, n := range want {
		sum += n
	}
	eventually(t, "all lines are written", func() bool {
		n := 0
		clear(got)
		for _, l := range w.accessLog() {
			if l.Reason != "" {
				got[l.Reason]++
				n++
				if l.LimitAxis != axis {
					got["axis "+l.LimitAxis]++
				}
			}
		}
		return n >= sum
	})
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("logged %v, want %v", got, want)
	}
}

// A server is slow to read that a connection has ended. It never has more than it may all the same: the place of one that
// weir closes is given away when the server has closed it too.
func TestServerHoldsNoConnectionTooMany(t *testing.T) {
	t.Parallel()
	for _, over := range []transport{plain, tlsed} {
		for _, reuse := range []string{"never", "safe", "aggressive", "always"} {
			t.Run(fmt.Sprint(over, ",", reuse), func(t *testing.T) {
				t.Parallel()
				const most, clients = 5, 40
				back := newTally(t, over, func(c *tallyConn, r *http.Request) bool {
					goOn := tallyOK(c, r)
					time.Sleep(10 * time.Millisecond)
					return goOn
				})
				profile := fmt.Sprintf("max-conn = %d\nqueue-timeout = \"30s\"\nmax-conn-rate = 0\nmax-sess-rate = 0\nrate-limit-sessions = 0", most)
				if over == tlsed {
					profile = strings.Replace(profile, "max-conn =", "max-conn = 0\nmax-ssl-conn =", 1)
				}
				w := start(t, attached("backend", profile, setup{servers: []*origin{back.origin}, backend: `reuse = "` + reuse + `"`}))
				var heard outcomes
				crowd(clients, func(int) {
					for range 3 {
						heard.heard(w.once("GET", "/"))
					}
				})
				if len(heard.n) != 1 || heard.n["200"] != 3*clients {
					t.Errorf("%v", heard.n)
				}
				if back.heldMost > most {
					t.Errorf("the server held %d connections, the limit is %d", back.heldMost, most)
				}
			})
		}
	}
}

// Clients that come and go: the limit is never passed, and no token is lost.
func TestCountLimitsUnderChurn(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"global", "frontend", "backend"} {
		for _, reuse := range []string{"always", "never", "safe"} {
			t.Run(level+","+reuse, func(t *testing.T) {
				t.Parallel()
				const most = 20
				back := newTally(t, plain, nil)
				w := start(t, attached(level, fmt.Sprintf("max-conn = %d\nqueue-depth = 1000\nqueue-timeout = \"8s\"\nmax-conn-rate = 0\nmax-sess-rate = 0\nrate-limit-sessions = 0", most),
					setup{servers: []*origin{back.origin}, backend: `reuse = "` + reuse + `"`}))
				top := w.watchLimit(level, "max-conn")
				var heard outcomes
				crowd(250, func(i int) {
					for n := range 4 {
						if (i+n)%9 == 0 { // leaves before its answer
							if u, err := w.user(""); err == nil {
								_, _ = u.conn.Write([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
								u.close()
							}
							continue
						}
						heard.heard(w.once("GET", "/"))
					}
				})
				if len(heard.n) != 1 || heard.n["200"] == 0 {
					t.Errorf("%v", heard.n)
				}
				if n := top(); n > most {
					t.Errorf("%d counted against a limit of %d", n, most)
				}
				// Connections to servers are counted at the backend only: elsewhere some may rest while others are opened.
				if back.busyMost > most || level == "backend" && back.openMost > most {
					t.Errorf("the server saw %d requests and %d connections at once", back.busyMost, back.openMost)
				}
				eventually(t, "no token is left but those of open server connections", func() bool {
					want := 0
					if level == "backend" {
						want = back.open() // which may still have to see that weir has closed some
					}
					return int(w.metric("weir_limit_current", "level", level, "axis", "max-conn")) == want
				})
				w.wantMetric(0, "weir_queue_length")
			})
		}
	}
}

// max-ssl-conn bounds client TLS connections at a frontend and in the process: who is over it waits, and then has no
// handshake but an alert.
func TestTLSConnectionLimit(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"global", "frontend"} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			const clients, most = 60, 11
			hold := newHolding(t)
			back := newTally(t, plain, hold.serve)
			w := start(t, attached(level, fmt.Sprintf("max-ssl-conn = %d\nqueue-timeout = \"600ms\"\nmax-ssl-rate = 0", most),
				setup{over: tlsed, servers: []*origin{back.origin}}))
			top := w.watchLimit(level, "max-ssl-conn")
			var heard outcomes
			var refused atomic.Int64
			go func() { // nobody leaves before all are served or refused
				for (refused.Load() < clients-most || back.requests() < most) && !t.Failed() {
					time.Sleep(5 * time.Millisecond)
				}
				hold.release()
			}()
			crowd(clients, func(i int) {
				u, err := w.user("")
				if err != nil {
					heard.add(err.Error())
					refused.Add(1)
					return
				}
				defer u.close()
				heard.heard(u.try("GET", "/hold"))
			})
			if heard.n["200"] != most || back.busyMost != most {
				t.Errorf("%v; the server saw %d at once", heard.n, back.busyMost)
			}
			if n := top(); n > most {
				t.Errorf("%d counted against a limit of %d", n, most)
			}
			for word, n := range heard.n {
				if word != "200" && !strings.Contains(word, "remote error: tls:") {
					t.Errorf("%d times %s: no alert", n, word)
				}
			}
			t.Logf("%v", heard.n)
		})
	}
}

// The same of a backend bounds TLS connections to servers.
func TestTLSConnectionLimitToServers(t *testing.T) {
	t.Parallel()
	const clients, most = 60, 11
	hold := newHolding(t)
	back := newTally(t, tlsed, hold.serve)
	w := start(t, attached("backend", fmt.Sprintf("max-ssl-conn = %d\nqueue-timeout = \"600ms\"\nmax-ssl-rate = 0", most),
		setup{servers: []*origin{back.origin}, backend: `reuse = "always"`}))
	var heard outcomes
	var refused atomic.Int64
	crowd(clients, func(i int) {
		r, err := w.once("GET", "/hold")
		heard.heard(r, err)
		if err != nil || r.status != 200 {
			if refused.Add(1) == clients-most {
				hold.release()
			}
		}
	})
	if heard.n["200"] != most || heard.n["503 queue-timeout"] != clients-most || back.openMost != most {
		t.Errorf("%v; the server saw %d at once", heard.n, back.openMost)
	}
	wantLogged(t, w, "max-ssl-conn", map[string]int{"queue-timeout": clients - most})
}
