package engine

import (
	"fmt"
	"math/rand/v2"
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

// TestStreamsOfOneWorkerDoNotStarveAnother: the backend may have one h2 connection, which worker 0 has and never lets rest:
// before one stream ends the next one begins. Who waits on worker 1 comes next all the same, and then worker 0 again.
func TestStreamsOfOneWorkerDoNotStarveAnother(t *testing.T) {
	for seed := range uint64(10) {
		c := simple("reuse = \"always\"\n")
		c.server = "60s"
		c.hop = strings.Replace(hop(t, false, true, "reuse = \"always\"\n"), "[backend.hop]\ntimeouts = \"inner\"\nlimits = \"some\"",
			"[limits.one]\n"+strings.Replace(allOff, "max-conn = 0", "max-conn = 1", 1)+"queue-timeout = \"20s\"\n[backend.hop]\ntimeouts = \"inner\"\nlimits = \"one\"", 1)
		r := newRig(t, seed, 2, c.text())
		g := r.serveGated()
		clients := []*sim.Surfer{r.clientOn(0, get("/a1"))}
		r.must("the server has the first", time.Second, func() bool { return len(g.seen) == 1 })
		clients = append(clients, r.clientOn(1, get("/b")))
		r.run(20 * time.Millisecond)
		clients = append(clients, r.clientOn(0, get("/a2")))
		r.run(20 * time.Millisecond)
		g.answer()
		r.must("the server has the one of worker 1", 2*time.Second, func() bool { return slices.Contains(g.seen, "/b") })
		for len(g.waiting) > 0 {
			g.answer()
			r.run(time.Second)
		}
		r.must("all are served", 5*time.Second, func() bool {
			return !slices.ContainsFunc(clients, func(s *sim.Surfer) bool { return !s.Done() || s.Responses[0].Status() != 200 })
		})
		if got := fmt.Sprint(g.seen); got != "[/a1 /b /a2]" {
			t.Errorf("seed %d: the order was %s", seed, got)
		}
		r.finish()
	}
}

// TestLimitedHoppedWorlds: workers share fewer h2 connections than they are, under patrons who never stop. Nobody waits for long.
func TestLimitedHoppedWorlds(t *testing.T) {
	seeds(t, 20, func(t *testing.T, seed uint64) {
		rnd := rand.New(rand.NewPCG(seed, 8))
		c := &terms{limits: allOff, backend: "max-errors = 0\nreuse = \"always\"\n", servers: []string{""}, server: "1m"}
		one := fmt.Sprintf("[limits.one]\n%squeue-timeout = \"20s\"\n", strings.Replace(allOff, "max-conn = 0", fmt.Sprintf("max-conn = %d", 1+rnd.IntN(3)), 1))
		c.hop = strings.Replace(hop(t, false, true, "max-errors = 0\nreuse = \"always\"\n"), "[backend.hop]\ntimeouts = \"inner\"\nlimits = \"some\"",
			one+"[backend.hop]\ntimeouts = \"inner\"\nlimits = \"one\"", 1)
		r := newRig(t, seed, 1+rnd.IntN(4), c.text())
		r.exact = true
		scatter(r.net, rnd)
		town := newTown(r)
		town.populate(1, 5+rnd.IntN(20), kindsGood)
		town.idleMax = 0
		r.must("all patrons have left", 5*time.Minute, town.gone)
		r.finish()
		town.settle(strict{hop: true}) // without limits: none may be refused
	})
}

// TestPingIsNotAwaitedFromAClosedConnection: an idle h2 connection is asked whether it lives (idle-ping), and before it can
// answer it is closed, because its server's address has changed. The request goes on at once, and not after timeouts.connect.
func TestPingIsNotAwaitedFromAClosedConnection(t *testing.T) {
	c := simple("reuse = \"always\"\n")
	c.hop = hop(t, false, true, "reuse = \"always\"\nidle-ping = \"400ms\"\n")
	r := newRig(t, 1, 1, c.text())
	r.net.Server(serverOne, sim.Echo)
	first := r.asks(get("/first"))
	r.must("the first is served", time.Second, first.Done)
	r.run(2 * time.Second)
	r.net.Latency = 20 * time.Millisecond
	second := r.asks(get("/second"))
	inner := r.serverOn(0, "hop", "inner")
	asked := func() bool {
		asked := false
		r.ws[0].conns.each(func(c *conn) {
			b, ok := c.owner.(*backConn)
			asked = asked || ok && b.srv == inner && b.h2 != nil && !b.h2.pinged.IsZero()
		})
		return asked
	}
	r.must("the connection is asked", time.Second, asked)
	inner.closeIdle(stats.CauseDrain)
	r.must("the second is served", 350*time.Millisecond, second.Done)
	if m := second.Responses[0]; m.Status() != 200 {
		t.Errorf("%s %q", m.Start, m.Body)
	}
	r.finish()
}
