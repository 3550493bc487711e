package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/internal/sim"
	"weir/internal/stats"
	"weir/netio"
)

// change reloads and waits until all workers have taken the new configuration over.
func (r *rig) change(text string) {
	r.t.Helper()
	over := false
	r.reload(text, func() { over = true })
	r.must("the reload is over", time.Second, func() bool { return over })
}

// TestReloadKeepsWhatDidNotChange: the connection in the pool, the client's connection, the listener.
func TestReloadKeepsWhatDidNotChange(t *testing.T) {
	c := simple("reuse = \"always\"\n")
	r := newRig(t, 1, 2, c.text())
	v := r.net.Server(serverOne, sim.Echo)
	client := sim.Play(sim.Say(get("/1")), sim.HearUntil("GET /1\n"), sim.Pause(time.Second), sim.Say(get("/2")), sim.HearUntil("GET /2\n"), sim.Hangup())
	r.net.Client(frontAddr, client)
	r.run(500 * time.Millisecond)
	c.backend += "balance = \"least-conn\"\n"
	c.more = "[limits.other]\nmax-conn = 7\n"
	r.change(c.text())
	r.must("the client is served again", 5*time.Second, client.Done)
	if len(v.Peers) != 1 {
		t.Errorf("%d server connections were opened", len(v.Peers))
	}
	r.finish()
}

// TestReloadDrainsWhatChanged: connections that would be opened otherwise now finish what they carry and close.
func TestReloadDrainsWhatChanged(t *testing.T) {
	c := simple("reuse = \"always\"\n")
	r := newRig(t, 1, 1, c.text())
	g := r.serveGated()
	busy := r.asks(get("/busy"))
	r.must("it is under way", time.Second, func() bool { return len(g.waiting) == 1 })
	c.backend += "source = \"192.0.2.7\"\n"
	r.change(c.text())
	g.answer()
	r.must("it is answered", time.Second, busy.Done)
	if m := busy.Responses[0]; m.Status() != 200 || r.closed("api", "s1", stats.CauseDrain) != 1 {
		t.Errorf("%s, %d drained", m.Start, r.closed("api", "s1", stats.CauseDrain))
	}
	next := r.asks(get("/next"))
	r.must("the next one is under way", time.Second, func() bool { return len(g.waiting) == 1 })
	g.answer()
	r.must("it is answered", time.Second, next.Done)
	r.finish()
}

// TestReloadKeepsATunnel: what passes through an upgraded connection is nobody's business.
func TestReloadKeepsATunnel(t *testing.T) {
	c := simple("")
	r := newRig(t, 1, 2, c.text())
	r.net.Server(serverOne, func() sim.Script {
		return sim.Play(sim.HearUntil("\r\n\r\n"), sim.Say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
			sim.Hear("ping"), sim.Say("pong"), sim.Hear("ping2"), sim.Say("pong2"), sim.HearEnd(netio.EOF), sim.Hangup())
	})
	client := sim.Play(
		sim.Say("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"),
		sim.HearLine("101"), sim.HearUntil("\r\n\r\n"), sim.Say("ping"), sim.Hear("pong"), sim.Pause(time.Second),
		sim.Say("ping2"), sim.Hear("pong2"), sim.Hangup())
	r.net.Client(frontAddr, client)
	r.run(500 * time.Millisecond)
	for _, h2 := range []string{"h2 = \"h2c\"\n", "multiplex = false\n"} {
		c.backend = h2
		r.change(c.text())
	}
	r.must("the tunnel's dialogue ends", 5*time.Second, client.Done)
	r.finish()
}

// TestReloadChangesMaxConn of a server that stays, up and down, and serves who waits when there is more room.
func TestReloadChangesMaxConn(t *testing.T) {
	c := simple("")
	c.limits += "queue-timeout = \"20s\"\n"
	c.server = "20s"
	c.servers = []string{", max-conn = 1"}
	r := newRig(t, 1, 2, c.text())
	g := r.serveGated()
	for i := range 4 {
		r.asks(get(fmt.Sprintf("/%d", i)))
	}
	r.run(50 * time.Millisecond)
	if len(g.waiting) != 1 {
		t.Fatalf("%d requests in flight with max-conn = 1", len(g.waiting))
	}
	c.servers = []string{", max-conn = 3"}
	r.change(c.text())
	r.run(50 * time.Millisecond)
	if len(g.waiting) != 3 {
		t.Errorf("%d requests in flight with max-conn = 3", len(g.waiting))
	}
	c.servers = []string{", max-conn = 1"}
	r.change(c.text())
	for len(g.waiting) > 0 {
		g.answer()
		r.run(10 * time.Millisecond)
	}
	for i := range 3 {
		r.asks(get(fmt.Sprintf("/more%d", i)))
	}
	r.run(50 * time.Millisecond)
	if len(g.waiting) != 1 {
		t.Errorf("%d requests in flight with max-conn = 1 again", len(g.waiting))
	}
	for len(g.waiting) > 0 {
		g.answer()
		r.run(10 * time.Millisecond)
	}
	r.finish()
}

// TestReloadChangesThePool: pool-max-conn and pool-warm-conn of a server that stays.
func TestReloadChangesThePool(t *testing.T) {
	c := simple("reuse = \"always\"\npool-warm-conn = 1\n")
	r := newRig(t, 1, 2, c.text())
	r.net.Server(serverOne, sim.Echo)
	idle := func() int { return r.e.plan.backends["api"].servers["s1"].pool.Idle() }
	r.must("one is warm", 5*time.Second, func() bool { return idle() == 1 })
	c.backend = "reuse = \"always\"\npool-warm-conn = 5\n"
	r.change(c.text())
	r.must("five are warm", 5*time.Second, func() bool { return idle() == 5 })
	c.backend = "reuse = \"always\"\npool-max-conn = 2\n"
	r.change(c.text())
	if idle() != 2 {
		t.Errorf("%d are idle, pool-max-conn is 2", idle())
	}
	r.finish()
}

// TestTokensOfARemovedServerAreWorthNothing: a server that is full is taken away while requests wait for any server. When its
// own requests end, those that wait must not take the tokens for those of the server that is left, which is full too.
func TestTokensOfARemovedServerAreWorthNothing(t *testing.T) {
	c := simple("balance = \"round-robin\"\nreuse = \"never\"\n")
	c.limits += "queue-timeout = \"20s\"\n"
	c.server = "20s"
	c.servers = []string{", max-conn = 1", ", max-conn = 1"}
	r := newRig(t, 1, 2, c.text())
	one := r.serveGated()
	two := &gated{r: r}
	r.net.Server(serverTwo, func() sim.Script {
		return &sim.Origin{Answer: func(p *sim.Peer, m *sim.Message) {
			two.seen = append(two.seen, m.Target())
			two.waiting = append(two.waiting, func() { p.Send(sim.Response(200, "")) })
		}}
	})
	var clients []*sim.Surfer
	for i := range 5 {
		clients = append(clients, r.asks(get(fmt.Sprintf("/%d", i))))
		r.run(5 * time.Millisecond)
	}
	if len(one.waiting) != 1 || len(two.waiting) != 1 {
		t.Fatalf("%d and %d requests in flight", len(one.waiting), len(two.waiting))
	}
	c.servers, c.hosts = c.servers[:1], []int{0}
	r.change(c.text())
	two.answer()
	r.run(50 * time.Millisecond)
	if len(one.waiting) != 1 || len(two.waiting) != 0 {
		t.Errorf("%d and %d requests in flight after the second server was taken away", len(one.waiting), len(two.waiting))
	}
	for len(one.waiting) > 0 {
		one.answer()
		r.run(10 * time.Millisecond)
	}
	for i, s := range clients {
		if !s.Done() || s.Responses[0].Status() != 200 {
			t.Errorf("client %d was not served", i)
		}
	}
	r.finish()
}

// TestRefusedReloadChangesNothing: a socket cannot be opened, and the limits of before stay in force, as do those that were
// changed by hand.
func TestRefusedReloadChangesNothing(t *testing.T) {
	c := simple("")
	c.limits = strings.Replace(allOff, "max-conn = 0", "max-conn = 7", 1)
	r := newRig(t, 1, 1, c.text())
	if err := r.e.SetLimit(t.Context(), "some", "max-conn", "9"); err != nil {
		t.Fatal(err)
	}
	conn := r.e.plan.backends["api"].limits.Conn
	c.limits = strings.Replace(allOff, "max-conn = 0", "max-conn = 3", 1)
	c.frontend = "limits = \"some\"\n"
	c.servers = []string{", max-conn = 4", ""}
	text := strings.Replace(c.text(), `bind = [`, `bind = [{ address = "192.0.2.1:81" }, `, 1)
	text += "[backend.new]\nlimits = \"some\"\nservers = [{ name = \"n\", address = \"203.0.113.9:1\" }]\n"
	r.net.FilesMax = r.net.Files()
	if _, err := r.e.prepare(parseConfig(t, text)); err == nil {
		t.Fatal("a plan whose socket cannot be opened was made")
	}
	r.net.FilesMax = 0
	if conn.Max() != 9 || r.e.plan.frontends["web"].limits.Conn.Max() != 0 {
		t.Errorf("max-conn is %d at the backend, %d at the frontend", conn.Max(), r.e.plan.frontends["web"].limits.Conn.Max())
	}
	for _, row := range r.e.limitRows() {
		if row.Name == "new" {
			t.Errorf("a place of the refused configuration is listed: %+v", row)
		}
	}
	if r.net.Files() != r.files {
		t.Errorf("%d descriptors, were %d", r.net.Files(), r.files)
	}
	r.finish()
}

// TestBackendThatComesAndGoes while its last connection is open: it has the counters of before, and their queues.
func TestBackendThatComesAndGoes(t *testing.T) {
	c := simple("")
	c.limits = strings.Replace(allOff, "max-conn = 0", "max-conn = 5", 1)
	with := c.text() + "[backend.other]\nlimits = \"some\"\nservers = [{ name = \"o\", address = \"203.0.113.2:8080\" }]\n"
	with = strings.Replace(with, "backend = \"api\"", "backend = \"api\"\nroutes = [{ path-prefix = \"/o\", backend = \"other\" }]", 1)
	r := newRig(t, 1, 1, with)
	r.net.Server(serverOne, sim.Echo)
	r.net.Server(serverTwo, func() sim.Script {
		return sim.Play(sim.HearUntil("\r\n\r\n"), sim.Say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"), sim.HearEnd(netio.EOF), sim.Hangup())
	})
	tunnel := sim.Play(sim.Say("GET /o HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"), sim.HearLine("101"))
	r.net.Client(frontAddr, tunnel)
	r.must("the tunnel stands", time.Second, tunnel.Done)
	for range 4 {
		r.change(c.text())
		r.change(with)
	}
	if n := r.e.plan.backends["other"].limits.Conn.Current(); n != 1 {
		t.Errorf("%d connections are counted", n)
	}
	tunnel.Peer().Close()
	r.run(time.Second)
	r.change(c.text())
	r.change(c.text())
	if n := len(r.e.queues); n != 3 { // the process, the frontend, the backend
		t.Errorf("%d places have queues", n)
	}
	r.finish()
}
