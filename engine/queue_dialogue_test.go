package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/internal/limit"
	"weir/internal/mono"
	"weir/internal/sim"
	"weir/netio"
)

// gated is a server that answers a request when it is told to.
type gated struct {
	r       *rig
	waiting []func()
	seen    []string
	conns   int
}

// serveGated opens one.
func (r *rig) serveGated() *gated {
	g := &gated{r: r}
	r.net.Server(serverOne, func() sim.Script {
		g.conns++
		return &sim.Origin{Answer: func(p *sim.Peer, m *sim.Message) {
			g.seen = append(g.seen, m.Target())
			g.waiting = append(g.waiting, func() { p.Send(sim.Response(200, sim.EchoOf(m))) })
		}}
	})
	return g
}

// answer answers the oldest request.
func (g *gated) answer() {
	f := g.waiting[0]
	g.waiting = g.waiting[1:]
	f()
}

// asks sends a client with one request from an address of its own port.
func (r *rig) asks(request string) *sim.Surfer {
	s := &sim.Surfer{Requests: []string{request}}
	r.net.Client(frontAddr, s)
	return s
}

// TestQueueIsFirstInFirstOut over two workers: a server takes one request at a time, and those that wait get their turn in
// the order in which they came, whichever worker they are on.
func TestQueueIsFirstInFirstOut(t *testing.T) {
	for seed := range uint64(20) {
		c := simple("")
		c.servers = []string{", max-conn = 1"}
		c.limits += "queue-timeout = \"10s\"\n"
		r := newRig(t, seed, 2, c.text())
		r.exact = true
		g := r.serveGated()
		const clients = 8
		var surfers []*sim.Surfer
		var want []string
		for i := range clients {
			want = append(want, fmt.Sprintf("/%d", i))
			surfers = append(surfers, r.asks(get(want[i])))
			r.run(5 * time.Millisecond)
		}
		if len(g.seen) != 1 {
			t.Fatalf("seed %d: the server has %d requests at once", seed, len(g.seen))
		}
		for i := range clients {
			r.must("the server gets a request", time.Second, func() bool { return len(g.seen) == i+1 })
			g.answer()
		}
		r.must("all are answered", time.Second, func() bool { return surfers[clients-1].Done() })
		if got := strings.Join(g.seen, " "); got != strings.Join(want, " ") {
			t.Errorf("seed %d: the order was %s", seed, got)
		}
		if w := r.lines[clients-1]; w.TQueue == 0 {
			t.Errorf("seed %d: the last one has not waited: %+v", seed, w)
		}
		r.finish()
	}
}

// TestWhoLeavesTheQueueGivesItsPlaceUp: the next one moves up, and a place is free for another.
func TestWhoLeavesTheQueueGivesItsPlaceUp(t *testing.T) {
	c := simple("")
	c.servers = []string{", max-conn = 1"}
	c.limits += "queue-timeout = \"10s\"\nqueue-depth = 2\n"
	r := newRig(t, 1, 2, c.text())
	g := r.serveGated()
	first := r.asks(get("/first"))
	r.run(5 * time.Millisecond)
	leaver := sim.Play(sim.Say(get("/leaver")), sim.Pause(20*time.Millisecond), sim.Hangup())
	r.net.Client(frontAddr, leaver)
	r.run(5 * time.Millisecond)
	second := r.asks(get("/second"))
	r.run(5 * time.Millisecond)
	refused := r.asks(get("/refused"))
	r.must("one is refused", time.Second, refused.Done)
	if m := refused.Responses[0]; m.Status() != 503 || m.Body != "queue-full\n" || m.Get("Retry-After") == "" {
		t.Errorf("%s %q", m.Start, m.Body)
	}
	r.must("the leaver has left", time.Second, func() bool { return len(r.linesOf("/leaver")) == 1 })
	third := r.asks(get("/third"))
	r.run(5 * time.Millisecond)
	for _, s := range []*sim.Surfer{first, second, third} {
		r.must("the server has a request", time.Second, func() bool { return len(g.waiting) == 1 })
		g.answer()
		r.must("it is answered", time.Second, s.Done)
	}
	if got := fmt.Sprint(g.seen); got != "[/first /second /third]" {
		t.Errorf("the server has seen %s", got)
	}
	r.finish()
}

// TestQueueTimeoutIsAnswered, and not before its time.
func TestQueueTimeoutIsAnswered(t *testing.T) {
	c := simple("")
	c.servers = []string{", max-conn = 1"}
	c.limits += "queue-timeout = \"300ms\"\n"
	r := newRig(t, 1, 1, c.text())
	g := r.serveGated()
	first := r.asks(get("/first"))
	r.run(5 * time.Millisecond)
	began := r.net.Now()
	late := r.asks(get("/late"))
	r.must("it is answered", time.Second, late.Done)
	if m, took := late.Responses[0], r.net.Now().Sub(began); m.Status() != 503 || m.Body != "queue-timeout\n" || took < 300*time.Millisecond || took > 320*time.Millisecond {
		t.Errorf("%s %q after %v", m.Start, m.Body, took)
	}
	g.answer()
	r.must("the first one is answered", time.Second, first.Done)
	r.finish()
}

// TestNobodyIsBlamedForTheQueue: a client whose request waits for a server is not read, so that it cannot send the rest of
// its body. Seed 13 of TestLimitedWorlds found it answered with 408 client-timeout.
func TestNobodyIsBlamedForTheQueue(t *testing.T) {
	c := simple("")
	c.servers = []string{", max-conn = 1"}
	c.limits += "queue-timeout = \"20s\"\n"
	c.server = "10s"
	r := newRig(t, 1, 1, c.text())
	g := r.serveGated()
	r.asks(get("/first"))
	r.run(5 * time.Millisecond)
	body := strings.Repeat("x", 300_000)
	second := r.asks("POST /second HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n" + body)
	r.run(8 * time.Second) // timeouts.client is 3 seconds
	g.answer()
	r.must("the second one arrives", 5*time.Second, func() bool { return len(g.waiting) == 1 })
	g.answer()
	r.must("it is answered", time.Second, second.Done)
	if m := second.Responses[0]; m.Status() != 200 || !strings.HasSuffix(m.Body, body) {
		t.Errorf("%s %.40q", m.Start, m.Body)
	}
	// But one that has its server and sends nothing is.
	silent := sim.Play(sim.Say("POST /silent HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n123"),
		sim.HearLine("408"), sim.HearUntil("client-timeout\n"), sim.HearEnd(netio.EOF), sim.Hangup())
	began := r.net.Now()
	r.net.Client(frontAddr, silent)
	r.must("it is sent away", 10*time.Second, silent.Done)
	if took := r.net.Now().Sub(began); took > 3500*time.Millisecond {
		t.Errorf("it took %v", took)
	}
	r.finish()
}

// TestMaxConnOfABackend: idle connections give way to a request that needs a new one, on this worker or on another.
func TestMaxConnOfABackend(t *testing.T) {
	for seed := range uint64(30) {
		c := simple("reuse = \"never\"\n") // every session needs a connection of its own
		c.limits = strings.Replace(allOff, "max-conn = 0", "max-conn = 2", 1) + "queue-timeout = \"2s\"\n"
		r := newRig(t, seed, 2, c.text())
		r.exact = true
		r.net.Server(serverOne, sim.Echo)
		var clients []*sim.Surfer
		for i := range 6 {
			clients = append(clients, r.asks(get(fmt.Sprintf("/%d", i))))
		}
		r.must("all are served", 5*time.Second, func() bool {
			for _, s := range clients {
				if !s.Done() {
					return false
				}
			}
			return true
		})
		for i, s := range clients {
			if s.Responses[0].Status() != 200 {
				t.Errorf("seed %d: client %d: %s %q", seed, i, s.Responses[0].Start, s.Responses[0].Body)
			}
		}
		r.finish()
	}
}

// TestRatesAreExact: a rate of N a second lets through N·T + N/10 in any T seconds and no more, at each level, over all
// workers, and no fewer than N·T as long as anybody waits, who all get their turn.
func TestRatesAreExact(t *testing.T) {
	for _, level := range []string{"global", "frontend", "backend"} {
		for _, axis := range []string{"max-conn-rate", "rate-limit-sessions", "max-sess-rate"} {
			t.Run(level+","+axis, func(t *testing.T) { testRate(t, level, axis) })
		}
	}
}

func testRate(t *testing.T, level, axis string) {
	const clients, rate = 200, 50
	c := simple("reuse = \"never\"\n")
	profile := strings.Replace(allOff, axis+" = 0", fmt.Sprintf("%s = %d", axis, rate), 1) + "queue-timeout = \"20s\"\n"
	c.more = "[limits.tight]\n" + profile
	text := c.text()
	switch level {
	case "global":
		text = strings.Replace(text, `limits = "none"`, `limits = "tight"`, 1)
	case "frontend":
		text = strings.Replace(text, "[frontend.web]\n", "[frontend.web]\nlimits = \"tight\"\n", 1)
	case "backend":
		text = strings.Replace(text, `limits = "some"`, `limits = "tight"`, 1)
	}
	r := newRig(t, 1, 2, text)
	var at []mono.Time
	r.net.Server(serverOne, func() sim.Script {
		at = append(at, r.net.Now())
		return sim.Echo()
	})
	var all []*sim.Surfer
	for i := range clients {
		all = append(all, r.asks(get(fmt.Sprintf("/%d", i))))
	}
	r.must("all are served", 30*time.Second, func() bool {
		return !slices.ContainsFunc(all, func(s *sim.Surfer) bool { return !s.Done() })
	})
	for i := range at {
		for j := i + 1; j < len(at); j++ {
			seconds := (at[j].Sub(at[i]) + time.Millisecond).Seconds() // the wire's jitter
			if n := float64(j - i + 1); n > rate*seconds+rate/10+1 {
				t.Fatalf("%v connections in %v seconds", n, seconds)
			}
		}
	}
	took := at[len(at)-1].Sub(at[0])
	if least := 0.99 * rate * (took - time.Millisecond).Seconds(); float64(len(at)) < least || len(at) != clients {
		t.Errorf("%d connections in %v, want %.1f", len(at), took, least)
	}
	r.finish()
}

// TestAdmissionOfClients: a frontend takes two clients; the third waits for one of them to leave; a fourth finds no place in
// the queue and is answered.
func TestAdmissionOfClients(t *testing.T) {
	c := simple("")
	c.frontend = "limits = \"door\"\n"
	c.more = "[limits.door]\n" + strings.Replace(allOff, "max-conn = 0", "max-conn = 2", 1) + "queue-depth = 1\nqueue-timeout = \"1s\"\n"
	r := newRig(t, 1, 2, c.text())
	r.net.Server(serverOne, sim.Echo)
	stays := func() *sim.Dialogue { return sim.Play(sim.Say(get("/stays")), sim.HearUntil("GET /stays\n")) }
	a, b := stays(), stays()
	r.net.Client(frontAddr, a)
	r.net.Client(frontAddr, b)
	r.must("two are served", time.Second, func() bool { return a.Done() && b.Done() })
	third := r.asks(get("/third"))
	r.run(10 * time.Millisecond)
	fourth := r.asks(get("/fourth"))
	r.must("the fourth is answered", time.Second, fourth.Done)
	if m := fourth.Responses[0]; m.Status() != 503 || m.Body != "queue-full\n" || r.lines[len(r.lines)-1].Axis != limit.MaxConn.String() {
		t.Errorf("%s %q, %+v", m.Start, m.Body, r.lines[len(r.lines)-1])
	}
	if third.Done() {
		t.Error("the third was let in")
	}
	a.Peer().Close()
	r.must("the third is served", time.Second, third.Done)
	if third.Responses[0].Status() != 200 {
		t.Errorf("the third: %s", third.Responses[0].Start)
	}
	b.Peer().Close()
	r.finish()
}
