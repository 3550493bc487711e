package engine

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"weir/internal/sim"
	"weir/internal/stats"
)

// clientOn finds a client whose connection worker i has taken: the kernel spreads them, so that a few may have to be tried.
func (r *rig) clientOn(i int, requests ...string) *sim.Surfer {
	r.t.Helper()
	for range 200 {
		before := r.ws[i].stats.Frontend("web").ConnsTotal[stats.H1]
		s := &sim.Surfer{Requests: requests}
		r.net.Client(frontAddr, sim.Funcs{
			OnOpen: func(p *sim.Peer) {
				r.net.After(5*time.Millisecond, func() { // once it is known who has taken it
					if r.ws[i].stats.Frontend("web").ConnsTotal[stats.H1] == before {
						p.Close()
						return
					}
					s.Open(p)
				})
			},
			OnData: s.Data, OnEnd: s.End,
		})
		r.run(7 * time.Millisecond)
		if r.ws[i].stats.Frontend("web").ConnsTotal[stats.H1] > before {
			return s
		}
	}
	r.t.Fatalf("no connection has come to worker %d", i)
	return nil
}

// TestTakeover: worker 1 has no connection and worker 0 has an idle one, which moves. The server sees one connection.
func TestTakeover(t *testing.T) {
	for seed := range uint64(20) {
		r := newRig(t, seed, 2, simple("reuse = \"always\"\n").text())
		v := r.net.Server(serverOne, sim.Echo)
		first := r.clientOn(0, get("/1"))
		r.must("the first is served", time.Second, first.Done)
		second := r.clientOn(1, get("/2"))
		r.must("the second is served", time.Second, second.Done)
		third := r.clientOn(0, get("/3"))
		r.must("the third is served", time.Second, third.Done)
		if len(v.Peers) != 1 || r.opened("api", "s1") != 1 {
			t.Errorf("seed %d: %d connections were opened", seed, len(v.Peers))
		}
		if n := r.ws[1].stats.Server("api", "s1").TakenOver; n != 1 {
			t.Errorf("seed %d: worker 1 has taken %d over", seed, n)
		}
		r.finish()
	}
}

// TestTakeoverLeavesWhatIsNeeded: pool-low-conn connections stay with the worker that has them.
func TestTakeoverLeavesWhatIsNeeded(t *testing.T) {
	r := newRig(t, 1, 2, simple("reuse = \"always\"\npool-low-conn = 1\n").text())
	v := r.net.Server(serverOne, sim.Echo)
	first := r.clientOn(0, get("/1"))
	r.must("the first is served", time.Second, first.Done)
	second := r.clientOn(1, get("/2"))
	r.must("the second is served", time.Second, second.Done)
	if len(v.Peers) != 2 || r.ws[1].stats.Server("api", "s1").TakenOver != 0 {
		t.Errorf("%d connections were opened", len(v.Peers))
	}
	r.finish()
}

// TestTakeoverOfAConnectionThatHasEnded: it ends while it is between two workers. The taker finds it stale and sends the
// request again.
func TestTakeoverOfAConnectionThatHasEnded(t *testing.T) {
	for seed := range uint64(60) {
		r := newRig(t, seed, 2, simple("reuse = \"always\"\n").text())
		r.net.Jitter = 0
		v := r.net.Server(serverOne, sim.Echo)
		first := r.clientOn(0, get("/1"))
		r.must("the first is served", time.Second, first.Done)
		peer := v.Peers[0]
		// The second client's request leaves 5 ms after its connection stands, the server's FIN about then.
		r.net.After(5*time.Millisecond+time.Duration(seed)*20*time.Microsecond, peer.Close)
		second := r.clientOn(1, get("/2"))
		r.must("the second is served", time.Second, second.Done)
		if m := second.Responses[0]; m.Status() != 200 {
			t.Errorf("seed %d: %s %q", seed, m.Start, m.Body)
		}
		r.finish()
	}
}

// TestTakeoverDuringAMove: the server has got another address, which one worker knows already and the other does not yet. A
// connection to the old one must not come to where the new one is meant.
func TestTakeoverDuringAMove(t *testing.T) {
	c := simple("reuse = \"always\"\n")
	r := newRig(t, 1, 2, c.text())
	r.net.Server(serverOne, sim.Echo)
	moved := r.net.Server(serverTwo, sim.Echo)
	first := r.clientOn(0, get("/1"))
	r.must("the first is served", time.Second, first.Done)
	c.hosts = []int{1}
	p := r.prepare(strings.Replace(c.text(), `name = "s2"`, `name = "s1"`, 1))
	r.ws[1].mail.Post(do(func(w *worker) { w.apply(p) }))
	r.run(5 * time.Millisecond)
	second := r.clientOn(1, get("/2"))
	r.must("the second is served", time.Second, second.Done)
	if len(moved.Peers) != 1 {
		t.Error("the second request went to the old address")
	}
	r.ws[0].mail.Post(do(func(w *worker) { w.apply(p) }))
	r.run(5 * time.Millisecond)
	r.commit(p)
	r.finish()
}

// TestConnectIsRetried: max-retries times, the last time on another server, and each attempt gets timeouts.connect.
func TestConnectIsRetried(t *testing.T) {
	c := simple("balance = \"hash-source\"\nmax-errors = 0\n")
	c.limits += "max-retries = 3\n"
	r := newRig(t, 1, 1, c.text())
	r.net.SetRoute(serverOne.Addr(), sim.Route{Blackhole: true})
	began := r.net.Now()
	s := r.asks(get("/"))
	r.must("it is answered", time.Minute, s.Done)
	took := r.net.Now().Sub(began)
	if m := s.Responses[0]; m.Status() != 503 || m.Body != "connect-timeout\n" {
		t.Errorf("%s %q", m.Start, m.Body)
	}
	if n := r.opened("api", "s1"); n != 4 || took < 2*time.Second || took > 2100*time.Millisecond {
		t.Errorf("%d connects in %v, want 4 in 2 s", n, took)
	}
	if l := r.lines[0]; l.Retries != 3 {
		t.Errorf("%+v", l)
	}
	r.finish()
}

// TestLastRetryGoesElsewhere.
func TestLastRetryGoesElsewhere(t *testing.T) {
	c := simple("balance = \"hash-source\"\nmax-errors = 0\n")
	c.servers = []string{"", ""}
	c.limits += "max-retries = 2\n"
	for _, down := range []netip.AddrPort{serverOne, serverTwo} {
		for _, blackhole := range []bool{true, false} {
			r := newRig(t, 1, 1, c.text())
			for _, a := range []netip.AddrPort{serverOne, serverTwo} {
				if a != down {
					r.net.Server(a, sim.Echo)
				} else if blackhole {
					r.net.SetRoute(a.Addr(), sim.Route{Blackhole: true})
				}
			}
			var all []*sim.Surfer
			for i := range 8 {
				s := &sim.Surfer{Requests: []string{get("/")}}
				r.net.ClientFrom(netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), 0), frontAddr, s)
				all = append(all, s)
			}
			r.run(5 * time.Second)
			retried := false
			for i, s := range all {
				if !s.Done() || s.Responses[0].Status() != 200 {
					t.Errorf("client %d was not served", i)
				}
			}
			for _, l := range r.lines {
				retried = retried || l.Retries == 2
			}
			if !retried {
				t.Error("nobody was sent elsewhere")
			}
			r.finish()
		}
	}
}

// TestWarmConnections are kept per server, not per worker, and come back when they are lost.
func TestWarmConnections(t *testing.T) {
	r := newRig(t, 1, 3, simple("pool-warm-conn = 4\n").text())
	v := r.net.Server(serverOne, sim.Echo)
	warm := func() bool { return r.e.plan.backends["api"].servers["s1"].pool.Idle() == 4 }
	r.must("four are warm", 10*time.Second, warm)
	r.run(10 * time.Millisecond)
	for _, p := range v.Peers[:3] {
		p.Close()
	}
	r.run(50 * time.Millisecond)
	r.must("four are warm again", 20*time.Second, warm)
	if n := r.opened("api", "s1"); n != 7 || len(v.Peers) < 4 {
		t.Errorf("%d connections were opened", n)
	}
	r.finish()
}

// TestMaxReuse: a connection carries no more exchanges than it may, and the last one says so.
func TestMaxReuse(t *testing.T) {
	r := newRig(t, 1, 1, simple("reuse = \"always\"\nmax-reuse = 3\n").text())
	var heads []string
	v := r.net.Server(serverOne, func() sim.Script {
		return &sim.Origin{Answer: func(p *sim.Peer, m *sim.Message) {
			heads = append(heads, m.Get("Connection"))
			p.Send(sim.Response(200, ""))
		}}
	})
	var requests []string
	for i := range 7 {
		requests = append(requests, get(fmt.Sprintf("/%d", i)))
	}
	s := &sim.Surfer{Requests: requests}
	r.net.Client(frontAddr, s)
	r.must("all are served", time.Second, s.Done)
	if got := strings.Join(heads, ","); len(v.Peers) != 3 || got != ",,close,,,close," {
		t.Errorf("%d connections, Connection: %s", len(v.Peers), got)
	}
	if n := r.closed("api", "s1", stats.CauseMaxReuse); n != 2 {
		t.Errorf("%d were closed for max-reuse", n)
	}
	r.finish()
}

// TestServerHintIsInTime: a server that says how long it keeps an idle connection has it closed before that is over, so that no
// request meets its end, but not long before.
func TestServerHintIsInTime(t *testing.T) {
	for _, mode := range []string{"always", "never"} { // in the pool, and a session's own
		r := newRig(t, 1, 1, simple("reuse = \""+mode+"\"\n").text())
		r.net.Server(serverOne, func() sim.Script {
			return &sim.Origin{Answer: func(p *sim.Peer, m *sim.Message) {
				p.Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: timeout=2\r\n\r\n")
			}}
		})
		client := sim.Play(sim.Say(get("/")), sim.HearLine("200"))
		r.net.Client(frontAddr, client)
		r.must("it is answered", time.Second, client.Done)
		began := r.net.Now()
		r.must("it is closed", 5*time.Second, func() bool { return r.closed("api", "s1", stats.CauseServerHint) == 1 })
		if took := r.net.Now().Sub(began); took < time.Second || took > 2*time.Second {
			t.Errorf("%s: closed after %v", mode, took)
		}
		client.Peer().Close()
		r.finish()
	}
}

// TestLimitsGiveWayAcrossWorkers: the only connection that the backend may have is idle on another worker, and the request
// needs a new one.
func TestLimitsGiveWayAcrossWorkers(t *testing.T) {
	c := simple("reuse = \"safe\"\n") // a session's first request wants a new connection
	c.limits = strings.Replace(allOff, "max-conn = 0", "max-conn = 1", 1) + "queue-timeout = \"2s\"\n"
	r := newRig(t, 1, 2, c.text())
	r.exact = true
	r.net.Server(serverOne, sim.Echo)
	for i := range 6 {
		began := r.net.Now()
		s := r.clientOn(i%2, get("/"))
		r.must("it is served", 5*time.Second, s.Done)
		if took := r.net.Now().Sub(began); s.Responses[0].Status() != 200 || took > 2*time.Second {
			t.Errorf("client %d: %s after %v", i, s.Responses[0].Start, took)
		}
	}
	if n := r.closed("api", "s1", stats.CauseEvicted); n != 5 {
		t.Errorf("%d gave way", n)
	}
	r.finish()
}
