package e2e

import (
	"fmt"
	"math"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// town starts n servers of a backend.
func town(t *testing.T, n int, handle func(*tallyConn, *http.Request) bool) (backs []*tally, servers []*origin) {
	for range n {
		y := newTally(t, plain, handle)
		backs, servers = append(backs, y), append(servers, y.origin)
	}
	return backs, servers
}

// shares is how many requests each server has had, and what has come since an earlier reading.
func shares(backs []*tally) (n []int) {
	for _, b := range backs {
		n = append(n, b.requests())
	}
	return n
}

func since(now, before []int) (n []int) {
	for i := range now {
		n = append(n, now[i]-before[i])
	}
	return n
}

// keepAsking has clients ask n times each, on connections that stay.
func (w *weir) keepAsking(clients, n int, lines func(client, i int) []string) *outcomes {
	var heard outcomes
	crowd(clients, func(c int) {
		u, err := w.user("")
		if err != nil {
			heard.add(err.Error())
			return
		}
		defer u.close()
		for i := range n {
			var more []string
			if lines != nil {
				more = lines(c, i)
			}
			heard.heard(u.try("GET", "/", more...))
		}
	})
	return &heard
}

func wantAll(t *testing.T, heard *outcomes, n int) {
	t.Helper()
	if len(heard.n) != 1 || heard.n["200"] != n {
		t.Errorf("%v, want %d times 200", heard.n, n)
	}
}

// Weights are kept to by every balance that has a choice, and change while it runs.
func TestWeights(t *testing.T) {
	t.Parallel()
	for _, balance := range []string{"round-robin", "random-2", "least-conn"} {
		t.Run(balance, func(t *testing.T) {
			t.Parallel()
			backs, servers := town(t, 3, nil)
			w := start(t, setup{servers: servers, global: "workers = 2", backend: "reuse = \"always\"\nbalance = \"" + balance + "\""})
			one := w.client("")
			want := func(weights ...int) {
				t.Helper()
				total := 0
				for i, n := range weights {
					w.done("set", "server", fmt.Sprintf("api/s%d", i+1), "weight", fmt.Sprint(n))
					total += n
				}
				const requests = 240
				before := shares(backs)
				for range requests {
					w.ask(one, "GET", "/")
				}
				got := since(shares(backs), before)
				for i, n := range weights {
					ideal, slack := float64(requests*n)/float64(total), 3.0
					if balance == "random-2" {
						slack = 5 * math.Sqrt(ideal)
					}
					if d := math.Abs(float64(got[i]) - ideal); d > slack {
						t.Errorf("weights %v gave %v", weights, got)
						break
					}
				}
			}
			want(1, 1, 1)
			want(1, 2, 3)
			want(5, 0, 1)
		})
	}
}

// Round-robin skips a server whose connections are busy when another has an idle one. When it is free again it gets its share,
// not all that it was spared.
func TestRoundRobinSkipsWhoIsBusy(t *testing.T) {
	t.Parallel()
	hold := newHolding(t)
	backs, servers := town(t, 2, hold.serve)
	w := start(t, setup{servers: servers, backend: `reuse = "always"`})
	u, busy := w.client(""), w.client("")
	for range 2 { // each has a connection
		w.ask(u, "GET", "/")
	}
	held := make(chan *reply, 1)
	go func() {
		r, _ := busy.try("GET", "/hold")
		held <- r
	}()
	eventually(t, "a server has the request", func() bool { return backs[0].requests()+backs[1].requests() == 3 })
	before := shares(backs)
	for range 20 {
		w.ask(u, "GET", "/")
	}
	if n := since(shares(backs), before); n[0] != 0 && n[1] != 0 {
		t.Errorf("while one is busy: %v", n)
	}
	hold.release()
	if r := <-held; r == nil || r.status != 200 {
		t.Errorf("the request that was held: %v", r)
	}
	before = shares(backs)
	for range 20 {
		w.ask(u, "GET", "/")
	}
	if n := since(shares(backs), before); n[0] < 9 || n[0] > 11 {
		t.Errorf("when both are free: %v", n)
	}
	if n := w.opened(""); n != 2 {
		t.Errorf("%v connections were opened", n)
	}
}

// least-conn gives no more to a server that is slow than it can do.
func TestLeastConnAvoidsWhoIsBusy(t *testing.T) {
	t.Parallel()
	for _, balance := range []string{"least-conn", "random-2"} {
		t.Run(balance, func(t *testing.T) {
			t.Parallel()
			hold := newHolding(t)
			var slow atomic.Pointer[tally]
			backs, servers := town(t, 3, func(c *tallyConn, r *http.Request) bool {
				if c.y == slow.Load() {
					<-hold.gate
				}
				return tallyOK(c, r)
			})
			slow.Store(backs[0])
			w := start(t, setup{servers: servers, global: "workers = 2", backend: "reuse = \"always\"\nbalance = \"" + balance + "\""})
			done := make(chan *outcomes)
			go func() { done <- w.keepAsking(20, 20, nil) }()
			eventually(t, "the fast servers have done the work", func() bool {
				n := shares(backs)
				return n[0] > 0 && n[1]+n[2] >= 200
			})
			if n := shares(backs)[0]; n > 11 { // where a busy machine holds up the others too; without a choice it would be all 20
				t.Errorf("%d requests wait at the slow server", n)
			}
			hold.release()
			wantAll(t, <-done, 400)
		})
	}
}

// Hashing sends the same client, or the same value, to the same server; when a server leaves only its own move.
func TestHashes(t *testing.T) {
	t.Parallel()
	for _, balance := range []string{"hash-source", "hash-header:X-User"} {
		t.Run(balance, func(t *testing.T) {
			t.Parallel()
			_, servers := town(t, 4, nil)
			w := start(t, setup{servers: servers, global: "workers = 2", backend: "reuse = \"always\"\nbalance = \"" + balance + "\""})
			where := func() (at [40]string) {
				for i := range at {
					u := w.client(fmt.Sprintf("127.7.%d.9", i))
					at[i] = w.ask(u, "GET", "/", fmt.Sprintf("X-User: %d", i)).header.Get("X-Server")
					u.close()
				}
				return at
			}
			first, again := where(), where()
			if first != again {
				t.Error("the same clients go elsewhere the second time")
			}
			used := map[string]int{}
			for _, s := range first {
				used[s]++
			}
			if len(used) != 4 {
				t.Errorf("used %v", used)
			}
			w.done("set", "server", "api/s2", "state", "maint")
			for i, s := range where() {
				if s != first[i] && first[i] != servers[1].addr || s == servers[1].addr {
					t.Errorf("client %d went from %s to %s though s2 (%s) left", i, first[i], s, servers[1].addr)
				}
			}
			w.done("set", "server", "api/s2", "state", "ready")
			if where() != first {
				t.Error("when the server is back its clients are not")
			}
		})
	}
}

// drain keeps persisted clients, maint nobody; requests under way finish in either.
func TestServerStates(t *testing.T) {
	t.Parallel()
	hold := newHolding(t)
	backs, servers := town(t, 2, hold.serve)
	w := start(t, setup{servers: servers, global: "workers = 2",
		backend: "reuse = \"always\"\npersistence = { type = \"cookie\", name = \"SRV\" }"})
	cookies := map[string]string{}
	for len(cookies) < 2 {
		r := w.ask(w.client(""), "GET", "/")
		cookies[r.header.Get("X-Server")] = cookieOf(r)
	}
	mine := "Cookie: " + cookies[servers[0].addr]
	state := func(s string) {
		t.Helper()
		w.done("set", "server", "api/s1", "state", s)
		var rows []struct{ Server, State string }
		w.show(&rows, "servers", "conn")
		if rows[0].State != s {
			t.Errorf("s1 is shown as %+v", rows[0])
		}
	}
	to := func(lines ...string) string { return w.ask(w.client(""), "GET", "/", lines...).header.Get("X-Server") }

	state("drain")
	for range 6 {
		if got := to(mine); got != servers[0].addr {
			t.Errorf("drain: a persisted client went to %s", got)
		}
		if got := to(); got != servers[1].addr {
			t.Errorf("drain: a new client went to %s", got)
		}
	}
	held, err := w.user("")
	if err != nil {
		t.Fatal(err)
	}
	defer held.close()
	before := backs[0].requests()
	got := make(chan string, 1)
	go func() {
		r, err := held.try("GET", "/hold", mine)
		got <- fmt.Sprint(err == nil && r.status == 200)
	}()
	eventually(t, "the request is at the server", func() bool { return backs[0].requests() == before+1 })
	state("maint")
	for range 6 {
		if got := to(mine); got != servers[1].addr {
			t.Errorf("maint: a persisted client went to %s", got)
		}
	}
	hold.release()
	if s := <-got; s != "true" {
		t.Error("maint cut a request that was under way")
	}
	eventually(t, "a server in maint has no connections", func() bool { return backs[0].open() == 0 })
	state("ready")
	if got := to(mine); got != servers[0].addr {
		t.Errorf("ready: a persisted client went to %s", got)
	}
	for _, bad := range [][]string{{"api/s9", "state", "ready"}, {"nope/s1", "state", "ready"}, {"api/s1", "state", "on"}, {"api/s1", "weight", "x"}} {
		if status, _, errs := w.run(append([]string{"set", "server"}, bad...)...); status == 0 || errs == "" {
			t.Errorf("set server %v: status %d, %q", bad, status, errs)
		}
	}
	w.done("set", "server", "api/s1", "state", "maint")
	w.done("set", "server", "api/s2", "state", "maint")
	if r, err := w.once("GET", "/"); err != nil || r.status != 503 || r.proxyReason() != "no-server" {
		t.Errorf("with no server: %v, %v", r, err)
	}
}

func cookieOf(r *reply) string {
	c := (&http.Response{Header: r.header}).Cookies()
	if len(c) == 0 {
		return ""
	}
	return c[0].Name + "=" + c[0].Value
}

// A check asks each server for a path; fall bad answers take it out, rise good ones bring it back, and slow-start brings it
// back little by little.
func TestHealthChecks(t *testing.T) {
	t.Parallel()
	var sick atomic.Bool
	var first atomic.Pointer[tally]
	backs, servers := town(t, 2, func(c *tallyConn, r *http.Request) bool {
		if r.URL.Path == "/health" && c.y == first.Load() && sick.Load() {
			return c.answer("500 Internal Server Error", "Content-Length: 0")
		}
		return tallyOK(c, r)
	})
	first.Store(backs[0])
	w := start(t, setup{servers: servers, global: "workers = 2",
		backend: "reuse = \"always\"\nslow-start = \"5s\"\nhealth = { path = \"/health\", interval = \"50ms\", rise = 2, fall = 3 }"})
	state := func() string {
		var rows []struct{ Server, State string }
		w.show(&rows, "servers", "conn")
		return rows[0].State
	}
	share := func() float64 {
		n := 0
		u := w.client("")
		for range 60 {
			if w.ask(u, "GET", "/").header.Get("X-Server") == servers[0].addr {
				n++
			}
		}
		u.close()
		return float64(n) / 60
	}
	if s := state(); s != "ready" {
		t.Errorf("at first s1 is %s", s)
	}
	eventually(t, "s1 is checked", func() bool { return backs[0].requests() >= 3 })
	if n, m := w.metric("weir_server_requests_total"), w.metric("weir_server_requests_per_connection_count"); n != 0 || m != 0 {
		t.Errorf("%v requests on %v connections: checks are counted as a client's", n, m)
	}
	sick.Store(true)
	eventually(t, "s1 is down", func() bool { return state() == "down" })
	if s := share(); s != 0 {
		t.Errorf("a server that is down gets %v of the requests", s)
	}
	sick.Store(false)
	back := ""
	eventually(t, "s1 is up again", func() bool { back = state(); return back != "down" })
	if back != "slow-start" {
		t.Errorf("a server that comes back is %s", back)
	}
	eventually(t, "s1 is ready", func() bool { return state() == "ready" })
	if s := share(); math.Abs(s-0.5) > 0.05 {
		t.Errorf("ready again, s1 gets %v of the requests", s)
	}
	if n := w.metric("weir_requests_total"); n > 400 {
		t.Errorf("%v requests: checks are counted as a client's", n)
	}
	servers[1].close()
	backs[1].cut()
	eventually(t, "s2, which answers no more, is down", func() bool {
		var rows []struct{ State string }
		w.show(&rows, "servers", "conn")
		return rows[1].State == "down"
	})
}

// A server that fails is left alone by itself, without checks: errors in a row take it out for a time.
func TestPassiveHealth(t *testing.T) {
	t.Parallel()
	backs, servers := town(t, 2, nil)
	servers[0].close()
	w := start(t, setup{servers: servers, global: "workers = 2", backend: `reuse = "always"`})
	began := time.Now()
	heard := w.keepAsking(8, 50, nil)
	wantAll(t, heard, 400)
	if n := w.metric("weir_server_connections_opened_total", "server", "s1"); n > 40 {
		t.Errorf("%v connects to a server that is gone, in %v", n, time.Since(began))
	}
	if n := backs[1].requests(); n != 400 {
		t.Errorf("s2 got %d requests", n)
	}
}

// A server whose name nobody knows is down, and the others serve.
func TestServerWithoutAnAddress(t *testing.T) {
	t.Parallel()
	nowhere := &origin{t: t, addr: "nowhere.invalid:9000"} // RFC 6761 section 6.4
	back := newTally(t, plain, nil)
	w := start(t, setup{servers: []*origin{nowhere, back.origin}})
	w.wantMetric(1, "weir_server_state", "server", "s1", "state", "down")
	w.wantMetric(1, "weir_server_state", "server", "s2", "state", "ready")
	u := w.client("")
	for range 4 {
		w.ask(u, "GET", "/")
	}
}
