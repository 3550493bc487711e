package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/internal/sim"
	"weir/internal/stats"
)

// few is a configuration whose backend may have only so many connections, and whose requests wait long for one.
func few(most int, backend string) *terms {
	c := simple(backend)
	c.limits = strings.Replace(allOff, "max-conn = 0", fmt.Sprintf("max-conn = %d", most), 1) + "queue-timeout = \"8s\"\n"
	c.server = "20s"
	return c
}

// TestIdleConnectionGoesToWhoWaitsElsewhere: the only connection that the backend may have is busy on worker 0 while a request
// on worker 1 waits for one. When it becomes idle it moves there; nobody on worker 0 wants it, and nothing else would ever
// wake the one who waits.
func TestIdleConnectionGoesToWhoWaitsElsewhere(t *testing.T) {
	for seed := range uint64(20) {
		r := newRig(t, seed, 2, few(1, "reuse = \"always\"\n").text())
		r.exact = true
		g := r.serveGated()
		first := r.clientOn(0, get("/1"))
		r.must("the server has the first", time.Second, func() bool { return len(g.waiting) == 1 })
		second := r.clientOn(1, get("/2"))
		r.run(20 * time.Millisecond)
		g.answer()
		r.must("the server has the second", time.Second, func() bool { return len(g.waiting) == 1 })
		g.answer()
		r.must("both are served", time.Second, func() bool { return first.Done() && second.Done() })
		if g.conns != 1 || r.ws[1].stats.Server("api", "s1").TakenOver != 1 {
			t.Errorf("seed %d: %d connections were opened", seed, g.conns)
		}
		r.finish()
	}
}

// TestIdleConnectionGivesWayToWhoCannotUseIt: what waits needs a connection of its own, because the reuse mode says so. The
// connection that becomes idle is of no use to it, but its token is.
func TestIdleConnectionGivesWayToWhoCannotUseIt(t *testing.T) {
	for _, mode := range []string{"safe", "aggressive", "never"} {
		for second := range 2 {
			r := newRig(t, 1, 2, few(1, "reuse = \""+mode+"\"\n").text())
			r.exact = true
			g := r.serveGated()
			first := r.clientOn(0, get("/1"))
			r.must("the server has the first", time.Second, func() bool { return len(g.waiting) == 1 })
			waits := r.clientOn(second, get("/2"))
			r.run(20 * time.Millisecond)
			g.answer()
			r.must("the server has the second", time.Second, func() bool { return len(g.waiting) == 1 })
			g.answer()
			r.must("both are served", time.Second, func() bool { return first.Done() && waits.Done() })
			r.finish()
		}
	}
}

// TestIdleConnectionGivesWayToAnotherServer: the limit is the backend's, the connection that becomes idle goes to one server
// and the request that waits is tied to another.
func TestIdleConnectionGivesWayToAnotherServer(t *testing.T) {
	c := few(1, "reuse = \"always\"\npersistence = { type = \"cookie\", name = \"to\" }\n")
	c.servers = []string{"", ""}
	r := newRig(t, 1, 1, c.text())
	r.exact = true
	g := r.serveGated()
	r.net.Server(serverTwo, sim.Echo)
	to := func(server string) string { return "GET / HTTP/1.1\r\nHost: a\r\nCookie: to=" + server + "\r\n\r\n" }
	first := r.asks(to("s1"))
	r.must("the server has the first", time.Second, func() bool { return len(g.waiting) == 1 })
	second := r.asks(to("s2"))
	r.run(20 * time.Millisecond)
	g.answer()
	r.must("both are served", time.Second, func() bool { return first.Done() && second.Done() })
	if n := r.closed("api", "s1", stats.CauseEvicted); n != 1 {
		t.Errorf("%d gave way", n)
	}
	r.finish()
}

// TestConnectionsAreGivenInOrder over two workers: those who wait for one of the backend's connections get their turn in the
// order in which they came, also when a connection becomes idle on the other worker and somebody younger waits there.
func TestConnectionsAreGivenInOrder(t *testing.T) {
	for seed := range uint64(20) {
		r := newRig(t, seed, 2, few(1, "reuse = \"always\"\n").text())
		r.exact = true
		g := r.serveGated()
		const clients = 9
		var surfers []*sim.Surfer
		var want []string
		for i := range clients {
			want = append(want, fmt.Sprintf("/%d", i))
			surfers = append(surfers, r.asks(get(want[i])))
			r.run(5 * time.Millisecond)
		}
		for i := range clients {
			r.must("the server gets a request", time.Second, func() bool { return len(g.seen) == i+1 })
			g.answer()
		}
		r.must("all are answered", time.Second, func() bool { return surfers[clients-1].Done() })
		if !slices.Equal(g.seen, want) {
			t.Errorf("seed %d: the order was %v", seed, g.seen)
		}
		if g.conns != 1 {
			t.Errorf("seed %d: %d connections were opened", seed, g.conns)
		}
		r.finish()
	}
}

// TestNothingIsClosedForWhoCanShare: a crowd over three workers shares few connections, each of which any of them may use.
// Connections move between the workers, and none is closed to make room for another.
func TestNothingIsClosedForWhoCanShare(t *testing.T) {
	for seed := range uint64(60) {
		most := 1 + int(seed%4)
		r := newRig(t, seed, 3, few(most, "reuse = \"always\"\n").text())
		r.exact = true
		r.net.Latency = time.Duration(seed%7) * 100 * time.Microsecond
		r.net.Server(serverOne, sim.Echo)
		var all []*sim.Surfer
		for i := range 40 {
			s := &sim.Surfer{}
			for n := range 1 + i%5 {
				s.Requests = append(s.Requests, get(fmt.Sprintf("/%d-%d", i, n)))
			}
			all = append(all, s)
			r.net.After(time.Duration(i)*200*time.Microsecond, func() { r.net.Client(frontAddr, s) })
		}
		r.must("all are served", 10*time.Second, func() bool {
			return !slices.ContainsFunc(all, func(s *sim.Surfer) bool { return !s.Done() })
		})
		for _, l := range r.lines {
			if l.Status != 200 {
				t.Errorf("seed %d: %+v", seed, l)
			}
		}
		if n := r.closed("api", "s1", stats.CauseEvicted); n != 0 {
			t.Errorf("seed %d: %d connections were closed", seed, n)
		}
		r.finish()
	}
}
