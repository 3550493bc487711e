package engine

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/internal/sim"
)

// seeds is how many worlds each test makes. WEIR_SEEDS makes more of them; WEIR_SEED makes that one only.
func seeds(t *testing.T, n uint64, world func(*testing.T, uint64)) {
	first := uint64(0)
	if s := os.Getenv("WEIR_SEED"); s != "" {
		first, _ = strconv.ParseUint(s, 10, 64)
		n = 1
	} else if s := os.Getenv("WEIR_SEEDS"); s != "" {
		n, _ = strconv.ParseUint(s, 10, 64)
	} else if testing.Short() || underRace {
		n = n/10 + 1
	}
	for seed := first; seed < first+n; seed++ {
		world(t, seed)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// terms are the configuration of a world.
type terms struct {
	limits, frontend, backend string
	server                    string   // timeouts.server; "": 1s
	more                      string   // further tables
	servers                   []string // further keys of each
	hosts                     []int    // which of the world's servers they are; nil: the first ones
	hop                       string   // further tables that stand between the clients and the backend (hopped_worlds_test.go)
}

// text is the file. Timeouts are short, but long enough for everything that is not meant to run into them.
func (c *terms) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "[global]\nhard-stop-after = \"30s\"\nlimits = \"none\"\n")
	b.WriteString("[limits.none]\n" + allOff)
	b.WriteString("[limits.some]\n" + c.limits + "\n")
	b.WriteString("[timeouts.t]\nhttp-request = \"2s\"\nhttp-keep-alive = \"5s\"\nclient = \"3s\"\nclient-fin = \"1s\"\nserver-fin = \"1s\"\n" +
		"connect = \"500ms\"\ntunnel = \"3s\"\n")
	server := c.server
	if server == "" {
		server = "1s"
	}
	fmt.Fprintf(&b, "server = %q\n%s", server, c.more)
	first := "api"
	if c.hop != "" {
		first = "hop"
	}
	fmt.Fprintf(&b, "[frontend.web]\nbind = [{ address = \"%v\" }]\nbackend = %q\ntimeouts = \"t\"\n%s\n%s", frontAddr, first, c.frontend, c.hop)
	b.WriteString("[backend.api]\ntimeouts = \"t\"\nlimits = \"some\"\n" + c.backend + "\nservers = [\n")
	for i, s := range c.servers {
		if c.hosts != nil {
			i = c.hosts[i]
		}
		fmt.Fprintf(&b, "  { name = \"s%d\", address = \"203.0.113.%d:8080\"%s },\n", i+1, i+1, s)
	}
	b.WriteString("]\n")
	return b.String()
}

// allOff is every axis switched off, so that a world meets the limits that it is about and no other.
const allOff = "max-conn = 0\nmax-conn-rate = 0\nmax-sess-rate = 0\nrate-limit-sessions = 0\nmax-ssl-conn = 0\nmax-ssl-rate = 0\n"

// pick is one of several words.
func pick(rnd *rand.Rand, words ...string) string { return words[rnd.IntN(len(words))] }

// randomTerms are a configuration without limits: what it sets is how connections are used.
func randomTerms(rnd *rand.Rand) *terms {
	c := &terms{limits: allOff}
	var b strings.Builder
	fmt.Fprintf(&b, "reuse = %q\n", pick(rnd, "never", "safe", "safe", "aggressive", "always", "always"))
	fmt.Fprintf(&b, "multiplex = %v\n", rnd.IntN(4) > 0)
	fmt.Fprintf(&b, "balance = %q\n", pick(rnd, "round-robin", "least-conn", "random-2", "hash-source"))
	fmt.Fprintf(&b, "persistence = { type = %q }\n", pick(rnd, "none", "none", "none", "source-ip"))
	fmt.Fprintf(&b, "pool-low-conn = %d\npool-max-conn = %d\n", rnd.IntN(2), rnd.IntN(6)-1)
	fmt.Fprintf(&b, "pool-purge-delay = %q\nmax-reuse = %d\n", pick(rnd, "500ms", "5s"), rnd.IntN(3)*rnd.IntN(5))
	fmt.Fprintf(&b, "pool-warm-conn = %d\nmax-errors = 0\n", max(rnd.IntN(6)-3, 0))
	c.backend = b.String()
	for range 1 + rnd.IntN(3) {
		c.servers = append(c.servers, fmt.Sprintf(", weight = %d", 1+rnd.IntN(3)))
	}
	return c
}

// populate has servers stand and patrons come, all with orders of their own.
func (t *town) populate(servers int, patrons int, kinds []string) {
	rnd := t.r.net.Rand()
	if rnd.IntN(2) == 0 {
		t.idleMax = time.Duration(10+rnd.IntN(100)) * time.Millisecond
	}
	for i := range servers {
		t.serve(netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i + 1)}), 8080))
	}
	for i := range patrons {
		var orders []*order
		for range 1 + rnd.IntN(6) {
			orders = append(orders, t.randomOrder(rnd, kinds))
		}
		p := t.patron(300*time.Millisecond, orders...)
		p.from = netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i + 1)}), 0)
		p.think = time.Duration(rnd.IntN(30)) * time.Millisecond
		p.pipe = rnd.IntN(5) == 0
		p.slow = rnd.IntN(5) == 0
	}
}

func (t *town) randomOrder(rnd *rand.Rand, kinds []string) *order {
	size := [...]int{0, 1, 100, 1000, 20_000, 100_000}[rnd.IntN(6)]
	o := t.order(kinds[rnd.IntN(len(kinds))], pick(rnd, "GET", "GET", "GET", "HEAD", "POST", "POST", "PUT", "DELETE"), size)
	if o.method == "POST" || o.method == "PUT" {
		o.upload = [...]int{0, 1, 500, 10_000, 150_000}[rnd.IntN(5)]
		if o.coding = pick(rnd, "", "chunked"); o.coding == "chunked" && o.kind == "early" {
			o.coding = ""
		}
	}
	if o.kind == "continue" && o.upload == 0 || o.method == "HEAD" && slices.Contains([]string{"cut", "hangmid", "early"}, o.kind) {
		o.kind = "plain"
	}
	if rnd.IntN(10) == 0 && o.coding == "" && o.kind != "continue" {
		o.old = true
	}
	return o
}

// kindsGood are answered whatever happens; kindsAll go wrong in every way that a server can.
var (
	kindsGood = []string{"plain", "plain", "plain", "chunked", "close", "slow", "late", "empty", "same", "hints", "continue", "bye", "brief", "old"}
	kindsAll  = append([]string{"early", "hang", "hangmid", "cut", "die", "bad", "half"}, kindsGood...)
)

// scatter draws the world's faults and the size of its sockets' buffers.
func scatter(n *sim.Net, rnd *rand.Rand) {
	n.Faults = sim.Faults{Fragment: 0.3 * rnd.Float64(), ShortSend: 0.2 * rnd.Float64(), Spurious: 0.1 * rnd.Float64()}
	n.SendBytes, n.RecvBytes = 1000+rnd.IntN(60_000), 1000+rnd.IntN(60_000)
	if rnd.IntN(2) == 0 {
		n.Latency = time.Duration(rnd.IntN(2000)) * time.Microsecond
	}
}

// TestCalmWorlds: nothing is lost on the wire and nothing is limited. Every request gets exactly what its server did with it.
func TestCalmWorlds(t *testing.T) {
	seeds(t, 100, func(t *testing.T, seed uint64) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		c := randomTerms(rnd)
		r := newRig(t, seed, 1+rnd.IntN(3), c.text())
		scatter(r.net, rnd)
		town := newTown(r)
		kinds := kindsGood
		if rnd.IntN(2) == 0 {
			kinds = kindsAll
		}
		town.populate(len(c.servers), 2+rnd.IntN(12), kinds)
		r.must("all patrons have left", 5*time.Minute, town.gone)
		r.finish()
		town.settle(strict{})
	})
}

// TestLimitedWorlds: servers and backends take only so much. Who is refused is told which limit it was; nobody waits for ever;
// and no server ever has more requests in progress than its max-conn.
func TestLimitedWorlds(t *testing.T) {
	seeds(t, 70, func(t *testing.T, seed uint64) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		c := randomTerms(rnd)
		inFlight := 1 + rnd.IntN(3)
		for i := range c.servers {
			c.servers[i] += fmt.Sprintf(", max-conn = %d", inFlight)
		}
		c.limits = strings.Replace(allOff, "max-conn = 0", fmt.Sprintf("max-conn = %d", rnd.IntN(5)), 1) +
			fmt.Sprintf("queue-depth = %d\nqueue-timeout = %q\n", 1+rnd.IntN(30), pick(rnd, "50ms", "1s", "20s"))
		r := newRig(t, seed, 1+rnd.IntN(3), c.text())
		r.exact = true
		scatter(r.net, rnd)
		town := newTown(r)
		town.populate(len(c.servers), 5+rnd.IntN(25), append([]string{"bad", "cut", "die", "half"}, kindsGood...))
		r.must("all patrons have left", 5*time.Minute, town.gone)
		r.finish()
		town.settle(strict{limits: true})
		for at, n := range town.busyMax {
			if n > inFlight {
				t.Errorf("seed %d: server %v has had %d requests in progress, its max-conn is %d", seed, at, n, inFlight)
			}
		}
	})
}

// TestLossyWorlds: connections are reset at any byte, descriptors run out, and odd clients come between the patrons. Much is
// lost, but what is answered is right, nothing is delivered twice, nothing hangs and nothing is left.
func TestLossyWorlds(t *testing.T) {
	seeds(t, 70, func(t *testing.T, seed uint64) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		c := randomTerms(rnd)
		if rnd.IntN(2) == 0 {
			c.limits = strings.Replace(allOff, "max-conn = 0", fmt.Sprintf("max-conn = %d", 1+rnd.IntN(5)), 1) +
				fmt.Sprintf("queue-depth = %d\nqueue-timeout = \"300ms\"\n", 1+rnd.IntN(10))
			for i := range c.servers {
				c.servers[i] += fmt.Sprintf(", max-conn = %d", rnd.IntN(4))
			}
		}
		r := newRig(t, seed, 1+rnd.IntN(3), c.text())
		r.exact = true
		scatter(r.net, rnd)
		r.net.Faults.Reset, r.net.Faults.NoFiles = 0.01*rnd.Float64(), 0.1*rnd.Float64()
		if rnd.IntN(3) == 0 {
			r.net.FilesMax = r.files + 4 + rnd.IntN(20)
		}
		town := newTown(r)
		town.populate(len(c.servers), 2+rnd.IntN(10), kindsAll)
		town.pester(rnd, rnd.IntN(10))
		r.must("all patrons have left", 10*time.Minute, town.gone)
		r.net.Faults, r.net.FilesMax = sim.Faults{}, 0
		r.run(100 * time.Millisecond)
		r.finish()
		town.settle(strict{losses: true})
	})
}

// TestReloadedWorlds: the backend's configuration changes all the time under the patrons, and none of them notices.
func TestReloadedWorlds(t *testing.T) {
	seeds(t, 70, func(t *testing.T, seed uint64) {
		rnd := rand.New(rand.NewPCG(seed, 4))
		const servers = 3
		limits := rnd.IntN(2) == 0
		r := newRig(t, seed, 1+rnd.IntN(3), reloadTerms(rnd, servers, limits).text())
		scatter(r.net, rnd)
		town := newTown(r)
		town.populate(servers, 5+rnd.IntN(10), kindsAll)
		left := 1 + rnd.IntN(15)
		var again func()
		again = func() {
			if left--; left > 0 {
				r.net.After(time.Duration(rnd.IntN(80))*time.Millisecond, func() { r.reload(reloadTerms(rnd, servers, limits).text(), again) })
			}
		}
		again()
		r.must("all patrons have left", 5*time.Minute, func() bool { return left <= 0 && town.gone() })
		r.finish()
		town.settle(strict{limits: limits})
	})
}

// reloadTerms are random terms with some of the servers that exist, in any order.
func reloadTerms(rnd *rand.Rand, servers int, limits bool) *terms {
	c := randomTerms(rnd)
	c.servers = nil
	c.hosts = rnd.Perm(servers)[:1+rnd.IntN(servers)]
	for range c.hosts {
		s := fmt.Sprintf(", weight = %d", 1+rnd.IntN(3))
		if limits {
			s += fmt.Sprintf(", max-conn = %d", rnd.IntN(4))
		}
		c.servers = append(c.servers, s)
	}
	if limits {
		c.limits = strings.Replace(allOff, "max-conn = 0", fmt.Sprintf("max-conn = %d", rnd.IntN(6)), 1) + "queue-depth = 20\nqueue-timeout = \"2s\"\n"
	}
	return c
}

// TestDrainedWorlds: the process is told to end while its clients are busy. What it has begun it finishes.
func TestDrainedWorlds(t *testing.T) {
	seeds(t, 100, func(t *testing.T, seed uint64) {
		rnd := rand.New(rand.NewPCG(seed, 5))
		c := randomTerms(rnd)
		r := newRig(t, seed, 1+rnd.IntN(3), c.text())
		scatter(r.net, rnd)
		town := newTown(r)
		town.populate(len(c.servers), 5+rnd.IntN(10), kindsAll)
		r.net.After(time.Duration(rnd.IntN(400))*time.Millisecond, func() { r.drain(20 * time.Second) })
		r.must("all patrons have left", 5*time.Minute, town.gone)
		r.run(time.Second)
		r.finish()
		town.settle(strict{drained: true})
	})
}

// pester sends clients who do not behave. What they get is their own business; that they leave no trace is ours.
func (t *town) pester(rnd *rand.Rand, n int) {
	for range n {
		o := t.order("plain", pick(rnd, "GET", "POST"), 1000)
		o.odd = true
		if o.method == "POST" {
			o.upload = 5000
		}
		text := o.text()
		within := time.Duration(rnd.IntN(300)) * time.Millisecond
		var script sim.Script
		switch rnd.IntN(9) {
		case 0:
			o.upload = min(o.upload, 50)
			script = sim.Loris(o.text(), time.Duration(rnd.IntN(100))*time.Millisecond)
		case 1:
			script = sim.Mute()
		case 2:
			o.kind = "slow"
			script = sim.Deaf(o.text())
		case 3:
			script = sim.Impatient(text, time.Duration(rnd.IntN(5000))*time.Microsecond)
		case 4:
			script = sim.HalfCloses(text)
		case 5: // leaves in the middle of its request
			script = sim.Play(sim.Say(text[:rnd.IntN(len(text))]), sim.Pause(within), sim.Hangup())
		case 6: // talks on while it is being answered, and leaves
			script = sim.Play(sim.Say(text+"GET /x HTTP/1.1\r\n\r\n"+text), sim.Pause(within), sim.Hangup())
			o.odder = true
		case 7: // two framings
			script = sim.Play(sim.Say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + text))
		case 8: // an upload that stops
			o.upload = 200_000
			long := o.text()
			script = sim.Play(sim.Say(long[:len(long)/2]))
		}
		t.coming++
		t.r.net.After(within, func() { t.coming--; t.r.net.Client(frontAddr, script) })
	}
}

// strict says how the outcomes of a world may differ from what its servers did.
type strict struct {
	limits  bool // weir may refuse with 503 because of a limit
	losses  bool // connections may be reset, and descriptors run out
	drained bool // who comes late is not served
	hop     bool // behind the frontend is another, whose own answers are a server's to this one
}

// settle compares what patrons got with what servers did, and both with the access log.
func (t *town) settle(s strict) {
	t.r.t.Helper()
	lines := map[string][]logLine{}
	for _, l := range t.r.lines {
		if l.Frontend == "web" {
			lines[l.Path] = append(lines[l.Path], l)
		}
	}
	for _, o := range t.orders {
		if err := t.judge(o, lines[o.path()], s); err != nil {
			t.r.t.Errorf("seed %d: %s %s: %v\nlog: %+v\nseen: %v\n%s", t.r.seed, o.method, o.path(), err, lines[o.path()], o.seen, t.storyOf(o))
		}
	}
}

// judge is the verdict on one order.
func (t *town) judge(o *order, lines []logLine, s strict) error {
	if len(o.seen) > 1 && !o.idempotent() && !o.odder {
		return fmt.Errorf("it was delivered %d times", len(o.seen))
	}
	if o.odd {
		return nil
	}
	if len(lines) > 1 {
		return fmt.Errorf("it has %d lines in the log", len(lines))
	}
	if o.answer == nil {
		return t.judgeLost(o, lines, s)
	}
	if len(lines) == 0 {
		return fmt.Errorf("it was answered and stands in no line of the log")
	}
	l := lines[0]
	if l.Status != o.answer.Status() {
		return fmt.Errorf("the client got %d, the log says %d", o.answer.Status(), l.Status)
	}
	if status := o.answer.Get("Proxy-Status"); status != "" {
		return t.judgeOwn(o, l, s)
	}
	return t.judgeServed(o, l, s)
}

// judgeServed looks at a response that came from a server.
func (t *town) judgeServed(o *order, l logLine, s strict) error {
	m, k := o.answer, kinds[o.kind]
	want := pattern(o.id, o.bytes)
	if o.method == "HEAD" || k.status == 204 || k.status == 304 {
		want = ""
	}
	switch {
	case len(o.seen) == 0:
		return fmt.Errorf("no server has seen it")
	case m.Status() != k.status:
		return fmt.Errorf("status %d, should be %d", m.Status(), k.status)
	case m.Body != want:
		return fmt.Errorf("its body has %d bytes, should have %d", len(m.Body), len(want))
	case m.Get("X-Stray") != "":
		return fmt.Errorf("a response that nobody asked for")
	case m.Get("X-Order") != "" && m.Get("X-Order") != fmt.Sprint(o.id):
		return fmt.Errorf("it got the response to %s", m.Get("X-Order"))
	case l.Reason != "" && s.hop && s.losses: // all of the body came, but not the end of its stream
	case l.Reason != "":
		return fmt.Errorf("it was served, and the log gives a reason: %s", l.Reason)
	case l.BytesOut != int64(len(want)):
		return fmt.Errorf("the log has %d bytes, the client %d", l.BytesOut, len(want))
	}
	return nil
}

// judgeOwn looks at an answer of weir's own.
func (t *town) judgeOwn(o *order, l logLine, s strict) error {
	m, k := o.answer, kinds[o.kind]
	if s.hop && s.losses { // it may be the inner one's, and cut behind its body
		return nil
	}
	if o.method != "HEAD" && m.Body != l.Reason+"\n" {
		return fmt.Errorf("the body is %q, the log's reason %q", m.Body, l.Reason)
	}
	if !strings.Contains(m.Get("Proxy-Status"), `details="`+l.Reason+`"`) {
		return fmt.Errorf("Proxy-Status is %s, the log's reason %q", m.Get("Proxy-Status"), l.Reason)
	}
	if s.losses || s.limits && slices.Contains([]string{"queue-full", "queue-timeout", "limit:max-conn"}, l.Reason) || s.drained && l.Reason == "draining" {
		return nil
	}
	switch {
	case o.kind == "die" && l.Reason == "stale-connection": // on a connection that had been idle
	case o.kind == "early" && (l.Reason == "server-closed" || l.Reason == "stale-connection"):
	case l.Reason == "stale-connection" && t.idleMax > 0 && (!o.idempotent() || o.upload > 50_000):
	case l.Reason == "server-closed" && t.idleMax > 0 && len(o.seen) == 0: // it ended while the head was on its way
	case m.Status() == k.status && l.Reason == k.reason:
	default:
		return fmt.Errorf("it was answered %d %s, should be %d %s", m.Status(), l.Reason, k.status, k.reason)
	}
	return nil
}

// judgeLost looks at an order without an answer.
func (t *town) judgeLost(o *order, lines []logLine, s strict) error {
	k := kinds[o.kind]
	switch {
	case o.givenUp, s.losses, s.drained && len(lines) == 0 && len(o.seen) == 0:
		return nil
	case len(lines) == 0 && o.after != nil && o.after.kind == "early":
		return nil // a response to half a request ends the connection, and cannot have said so when it began
	case len(lines) == 0:
		return fmt.Errorf("it was never answered and weir does not know it")
	case lines[0].Reason == "":
		return fmt.Errorf("it was never answered and the log gives no reason")
	case k.status == 0 && lines[0].Reason == k.reason:
		return nil
	}
	return fmt.Errorf("it was never answered, because of %s", lines[0].Reason)
}

// storyOf is all that the order's patron asked for and got.
func (t *town) storyOf(o *order) string {
	var b strings.Builder
	for _, p := range t.patrons {
		if !slices.Contains(p.orders, o) {
			continue
		}
		fmt.Fprintf(&b, "patron %v, pipelining %v, %d connections:\n", p.from.Addr(), p.pipe, p.conns)
		for _, q := range p.orders {
			answer := "nothing"
			if q.answer != nil {
				answer = q.answer.Start
			}
			fmt.Fprintf(&b, "\t%s %s up %d %s old %v: %s\n", q.method, q.path(), q.upload, q.coding, q.old, answer)
		}
	}
	return b.String()
}
