package engine

import (
	"fmt"
	"testing"
	"time"

	"weir/internal/sim"
	"weir/internal/stats"
)

// pair is a configuration of two servers that take one request each.
func pair(backend string) *terms {
	c := simple("reuse = \"always\"\n" + backend)
	c.servers = []string{", max-conn = 1", ", max-conn = 1"}
	c.limits += "queue-timeout = \"8s\"\n"
	c.server = "20s"
	return c
}

// TestNobodyIsGivenAServerThatTakesNone: one server is full, the other must not have requests, for whichever reason. Requests
// wait for the first, although the other one's tokens are free, and none is lost at the other.
func TestNobodyIsGivenAServerThatTakesNone(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(r *rig)
	}{
		{"maint", func(r *rig) { r.setServer("s2", func(s *server) { s.setAdmin(stats.StateMaint) }) }},
		{"drain", func(r *rig) { r.setServer("s2", func(s *server) { s.setAdmin(stats.StateDrain) }) }},
		{"down", func(r *rig) { r.setServer("s2", func(s *server) { s.setHealth(false) }) }},
		{"weight 0", func(r *rig) { r.setServer("s2", func(s *server) { s.setWeight(0) }) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, 1, 2, pair("").text())
			g := r.serveGated() // nothing listens at the second one's address
			c.make(r)
			r.run(10 * time.Millisecond)
			var all []*sim.Surfer
			for i := range 6 {
				all = append(all, r.asks(get(fmt.Sprintf("/%d", i))))
				r.run(5 * time.Millisecond)
			}
			for i, s := range all {
				r.must("the server has a request", 2*time.Second, func() bool { return len(g.seen) == i+1 })
				g.answer()
				r.must("it is answered", time.Second, s.Done)
				if m := s.Responses[0]; m.Status() != 200 {
					t.Errorf("request %d: %s %q", i, m.Start, m.Body)
				}
			}
			if n := r.opened("api", "s2"); n != 0 {
				t.Errorf("%d connects to the other server", n)
			}
			r.finish()
		})
	}
}

// TestServerThatComesBackTakesWhoWaits: as soon as it may have requests again, and not only when the other one has room.
func TestServerThatComesBackTakesWhoWaits(t *testing.T) {
	for _, c := range []struct {
		name       string
		away, back func(s *server)
	}{
		{"maint", func(s *server) { s.setAdmin(stats.StateMaint) }, func(s *server) { s.setAdmin(stats.StateReady) }},
		{"down", func(s *server) { s.setHealth(false) }, func(s *server) { s.setHealth(true) }},
		{"weight 0", func(s *server) { s.setWeight(0) }, func(s *server) { s.setWeight(1) }},
		{"backoff", func(s *server) {
			for range 5 {
				s.connectFailed(s.w.now)
			}
		}, func(s *server) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, 1, 2, pair("").text())
			g := r.serveGated()
			r.net.Server(serverTwo, sim.Echo)
			r.setServer("s2", c.away)
			r.run(10 * time.Millisecond)
			r.asks(get("/first"))
			r.must("the first server is full", time.Second, func() bool { return len(g.waiting) == 1 })
			second := r.asks(get("/second"))
			third := r.asks(get("/third"))
			r.run(5 * time.Millisecond)
			if second.Done() || third.Done() {
				t.Error("one has not waited")
			}
			r.setServer("s2", c.back)
			r.must("those who wait are served", 3*time.Second, func() bool { return second.Done() && third.Done() })
			g.answer()
			r.finish()
		})
	}
}

// TestLastRetryWaitsForAnotherServer: the last try is to go to another server than the one that could not be reached, also if
// it has to wait for it while that one has room.
func TestLastRetryWaitsForAnotherServer(t *testing.T) {
	for _, backoff := range []string{"max-errors = 0\n", "max-errors = 3\n"} {
		c := pair(backoff)
		c.limits += "max-retries = 1\n"
		r := newRig(t, 1, 2, c.text())
		g := r.serveGated() // nothing listens at the second one's address
		var all []*sim.Surfer
		for i := range 8 {
			all = append(all, r.asks(get(fmt.Sprintf("/%d", i))))
			r.run(20 * time.Millisecond)
		}
		for i := range all {
			r.must("the server has a request", 2*time.Second, func() bool { return len(g.seen) == i+1 })
			g.answer()
		}
		for i, s := range all {
			r.must("it is answered", time.Second, s.Done)
			if m := s.Responses[0]; m.Status() != 200 {
				t.Errorf("%srequest %d: %s %q", backoff, i, m.Start, m.Body)
			}
		}
		r.finish()
	}
}

// setServer changes a server on all workers.
func (r *rig) setServer(name string, f func(*server)) {
	r.onWorkers(func(w *worker) { f(w.view.backend("api").server(name)) })
}
