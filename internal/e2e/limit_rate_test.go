package e2e

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// rates are the places and axes whose passes are counted per second. Each client connection of the test is a session with
// one request over one server connection of its own, so that all of them count the same events.
var rates = []struct{ level, axis string }{
	{"global", "max-conn-rate"}, {"global", "rate-limit-sessions"}, {"global", "max-sess-rate"}, {"global", "max-ssl-rate"},
	{"frontend", "max-conn-rate"}, {"frontend", "rate-limit-sessions"}, {"frontend", "max-sess-rate"}, {"frontend", "max-ssl-rate"},
	{"backend", "max-conn-rate"}, {"backend", "rate-limit-sessions"}, {"backend", "max-sess-rate"}, {"backend", "max-ssl-rate"},
}

// A rate of N never lets through more than N·T + N/10. That it lets through as many as it may is proven where time is exact: in
// the engine's simulated worlds and in package limit.
func TestRateLimitsAreExact(t *testing.T) {
	t.Parallel()
	for _, r := range rates {
		t.Run(r.level+","+r.axis, func(t *testing.T) {
			t.Parallel()
			testRate(t, r.level, r.axis)
		})
	}
}

func testRate(t *testing.T, level, axis string) {
	const rate, run = 50, 2400 * time.Millisecond // so few that clients of a busy machine meet the limit too
	over := plain
	if axis == "max-ssl-rate" {
		over = tlsed
	}
	backOver := plain
	if level == "backend" {
		backOver = over
	}
	back := newTally(t, backOver, nil)
	profile := fmt.Sprintf("queue-depth = 100\nqueue-timeout = \"20s\"\n%s = %d", axis, rate)
	for _, r := range []string{"max-conn-rate", "rate-limit-sessions", "max-sess-rate", "max-ssl-rate"} {
		if r != axis {
			profile += "\n" + r + " = 0"
		}
	}
	s := attached(level, profile, setup{servers: []*origin{back.origin}, backend: `reuse = "never"`})
	if level != "backend" {
		s.over = over
	}
	w := start(t, s)
	var heard outcomes
	began := time.Now()
	stop := began.Add(run)
	crowd(60, func(int) {
		for time.Now().Before(stop) {
			heard.heard(w.once("GET", "/"))
		}
	})
	if len(heard.n) != 1 || heard.n["200"] == 0 {
		t.Errorf("%v", heard.n)
	}
	wantRate(t, back, began, rate)
	row := w.limit(level, axis)
	if row.Max != rate || row.Hits == 0 || row.Hits > int64(heard.n["200"]) {
		t.Errorf("shown as %+v after %v", row, heard.n)
	}
	held := 0
	eventually(t, "all lines are written", func() bool {
		lines := w.accessLog()
		held = 0
		for _, l := range lines {
			if l.LimitAxis == axis {
				held++
			}
		}
		return len(lines) == heard.n["200"]
	})
	if int64(held) != row.Hits {
		t.Errorf("%d lines of the log name the axis, %d hits are counted", held, row.Hits)
	}
}

// wantRate compares how many requests the server got with how long it took: all of them were let through between the first
// connect, at began, and the last arrival.
func wantRate(t *testing.T, back *tally, began time.Time, rate float64) {
	t.Helper()
	back.mu.Lock()
	at := slices.Clone(back.times)
	back.mu.Unlock()
	if len(at) == 0 {
		t.Fatal("nothing was let through")
	}
	slices.SortFunc(at, time.Time.Compare)
	for i, last := range at {
		if n, most := float64(i+1), rate*last.Sub(began).Seconds()+max(rate/10, 1); n > most {
			t.Errorf("%v were let through in %v, never more than %.1f may be", n, last.Sub(began), most)
		}
	}
	n, took := float64(len(at)), at[len(at)-1].Sub(began)
	t.Logf("%v in %v: %.2f %% of the rate", n, took, 100*(n-rate/10)/took.Seconds()/rate)
}

// What a rate cannot let through in time is answered at once with its name: a request with 429, a connection with 503 or,
// in TLS, an alert.
func TestRateLimitsRefuse(t *testing.T) {
	t.Parallel()
	for _, r := range rates {
		t.Run(r.level+","+r.axis, func(t *testing.T) {
			t.Parallel()
			testRateRefuses(t, r.level, r.axis)
		})
	}
}

func testRateRefuses(t *testing.T, level, axis string) {
	const clients, rate = 60, 2 // so few that clients of a busy machine are refused too
	over, backOver := plain, plain
	if axis == "max-ssl-rate" && level == "backend" {
		backOver = tlsed
	} else if axis == "max-ssl-rate" {
		over = tlsed
	}
	back := newTally(t, backOver, nil)
	s := attached(level, fmt.Sprintf("queue-depth = 15\nqueue-timeout = \"500ms\"\n%s = %d", axis, rate),
		setup{over: over, servers: []*origin{back.origin}, backend: `reuse = "never"`})
	w := start(t, s)
	var heard outcomes
	began := time.Now()
	crowd(clients, func(int) {
		r, err := w.once("GET", "/")
		heard.heard(r, err)
		if err == nil && r.status != 200 {
			wantRefusal(t, r)
		}
	})
	wantRate(t, back, began, rate)
	sum, refused := 0, clients-heard.n["200"]
	for word, n := range heard.n {
		sum += n
		switch {
		case word == "200":
		case over == tlsed:
			if !strings.Contains(word, "remote error: tls") {
				t.Errorf("%d times %s, want an alert", n, word)
			}
		case axis == "max-sess-rate" || level == "backend" && axis == "rate-limit-sessions":
			if word != "429 limit:"+axis {
				t.Errorf("%d times %s, want 429", n, word)
			}
		case word != "503 limit:"+axis:
			t.Errorf("%d times %s, want 503 limit:%s", n, word, axis)
		}
	}
	if sum != clients {
		t.Errorf("%d answers for %d clients", sum, clients)
	}
	if row := w.limit(level, axis); refused == 0 || int(row.Hits) < refused || int(row.Hits) > clients {
		t.Errorf("%d hits of %d clients: %v", row.Hits, clients, heard.n)
	}
	t.Logf("%v", heard.n)
}

// A change of a profile, by command or by reload, is in force wherever it is attached within a second.
func TestLimitsChangeEverywhereAtOnce(t *testing.T) {
	t.Parallel()
	hold := newHolding(t)
	back := newTally(t, plain, hold.serve)
	w := start(t, setup{servers: []*origin{back.origin}, global: "workers = 2\nlimits = \"shared\"", frontend: `limits = "shared"`,
		backend: "limits = \"shared\"\nreuse = \"never\"", tables: "[limits.shared]\nmax-conn = 5\nqueue-timeout = \"10m\""})
	var answered atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		crowd(40, func(int) {
			if r, err := w.once("GET", "/hold"); err == nil && r.status == 200 {
				answered.Add(1)
			}
		})
	}()
	inFlight := func(n int) func() bool {
		return func() bool { return back.requests() == n }
	}
	eventually(t, "5 are at the server", inFlight(5))
	for _, step := range []struct {
		n  int
		by func()
	}{
		{9, func() { w.done("set", "limits", "shared", "max-conn", "9") }},
		{14, func() {
			w.rewrite(func(s *setup) { s.tables = strings.Replace(s.tables, "max-conn = 5", "max-conn = 14", 1) })
			w.reload()
		}},
		{20, func() { w.done("set", "limits", "shared", "max-conn", "20") }},
	} {
		step.by()
		eventually(t, fmt.Sprint(step.n, " are at the server"), inFlight(step.n))
		for _, level := range []string{"global", "frontend", "backend"} {
			if row := w.limit(level, "max-conn"); int(row.Max) != step.n || int(row.Current) != step.n {
				t.Errorf("%+v, want %d", row, step.n)
			}
		}
	}
	// Fewer: nobody is thrown out, and nobody comes in.
	w.done("set", "limits", "shared", "max-conn", "1")
	if row := w.limit("frontend", "max-conn"); row.Max != 1 || row.Current != 20 {
		t.Errorf("%+v", row)
	}
	status, _, errs := w.run("set", "limits", "shared", "max-conn", "some")
	if status != 1 || errs == "" {
		t.Errorf("no number: status %d, %q", status, errs)
	}
	for _, line := range []string{"limits shared max-conn -3", "limits shared queue-timeout -1s", "server api/s1 weight -1", "server api/s1 weight 257", "server api/s1 max-conn -1", "server api/s1 max-conn 1000001"} {
		words := strings.Fields(line)
		status, _, errs := w.run(append([]string{"set"}, words...)...)
		if status != 1 || !strings.Contains(errs, words[2]) {
			t.Errorf("set %s: status %d, %q", line, status, errs)
		}
	}
	if status, _, _ := w.run("set", "limits", "none", "max-conn", "3"); status != 1 {
		t.Errorf("an unknown profile: status %d", status)
	}
	hold.release()
	w.done("set", "limits", "shared", "max-conn", "0")
	<-done
	if n := answered.Load(); n != 40 {
		t.Errorf("%d of 40 were answered", n)
	}
}
