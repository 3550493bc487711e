package sim_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"weir/internal/sim"
	"weir/netio"
)

// direct lets a client talk to a server without a proxy between them, for up to an hour.
func direct(n *sim.Net, server func() sim.Script, client sim.Script) *sim.Server {
	v := n.Server(originAddr, server)
	n.Client(originAddr, client)
	n.Run(n.Now().Add(time.Hour))
	return v
}

func TestDialogue(t *testing.T) {
	n := sim.New(1)
	server := sim.Play(
		sim.HearLine("GET", "/page"), sim.HearUntil("\r\n\r\n"),
		sim.Trickle("HTTP/1.1 200 OK\r\n", 1, time.Millisecond), sim.Say("\r\nbody"), sim.Shut(),
		sim.HearBytes(3), sim.Hear("d"), sim.HearEnd(netio.EOF), sim.Hangup(),
	)
	client := sim.Play(
		sim.Say("GET /page HTTP/1.1\r\nHost: a\r\n\r\n"), sim.Deafen(), sim.Pause(time.Second), sim.Listen(),
		sim.Hear("HTTP/1.1 200 OK\r\n\r\nbody"), sim.HearEnd(netio.EOF), sim.Say("abcd"), sim.Shut(), sim.Hangup(),
	)
	direct(n, func() sim.Script { return server }, client)
	if err := n.Err(); err != nil || !client.Done() || !server.Done() {
		t.Fatalf("%v; client: %s; server: %s", err, client.Stuck(), server.Stuck())
	}
}

func TestDialogueFails(t *testing.T) {
	for want, lines := range map[string][]sim.Line{
		`line 1: hear "hello": heard "help!"`:            {sim.Hear("hello")},
		`line 2: hear the end: eof: heard "p!"`:          {sim.Hear("hel"), sim.HearEnd(netio.EOF)},
		`line 2: hear the end: eof: it ended: reset`:     {sim.Hear("help!"), sim.HearEnd(netio.EOF)},
		`the connection ended (reset) after "help!"`:     {sim.HearBytes(6)},
		`hear until "x": the connection ended (reset)`:   {sim.HearUntil("x")},
		`hear a line with ["404"]: the connection ended`: {sim.HearLine("404")},
	} {
		n := sim.New(1)
		d := sim.Play(append(lines, sim.Say("not said"))...)
		v := direct(n, func() sim.Script { return sim.Play(sim.Say("help!"), sim.Pause(time.Second), sim.Kill()) }, d)
		if err := n.Err(); err == nil || !strings.Contains(err.Error(), want) || d.Done() || d.Stuck() == "" {
			t.Errorf("the failure is %v, want %q", err, want)
		}
		if len(v.Peers[0].Received) != 0 {
			t.Error("a dialogue that failed went on")
		}
	}
}

func TestDialogueWithNobody(t *testing.T) {
	n := sim.New(1)
	d := sim.Play(sim.Say("x"))
	var refused netio.IO
	n.Client(originAddr, sim.Funcs{OnEnd: func(_ *sim.Peer, how netio.IO) { refused = how }})
	n.Client(originAddr, d)
	n.Run(n.Now().Add(time.Second))
	if refused != netio.Refused {
		t.Errorf("the script was told %v", refused)
	}
	if d.Done() || n.Err() == nil || !strings.Contains(n.Err().Error(), "there is no connection: refused") {
		t.Errorf("it spoke to nobody: %v", n.Err())
	}
	n = sim.New(1)
	expects := sim.Play(sim.HearEnd(netio.Refused))
	n.Client(originAddr, expects)
	n.Run(n.Now().Add(time.Second))
	if !expects.Done() || n.Err() != nil {
		t.Errorf("it expected to be refused: %v", n.Err())
	}
}

// TestBackpressure: a deaf end stops the other one, and nothing is lost when it listens again.
func TestBackpressure(t *testing.T) {
	n := sim.New(1)
	text := strings.Repeat("0123456789", 100_000)
	client := sim.Play(sim.Say(text), sim.Shut())
	var server *sim.Peer
	n.Server(originAddr, func() sim.Script {
		return sim.Funcs{OnOpen: func(p *sim.Peer) { server = p; p.Pause() }}
	})
	n.Client(originAddr, client)
	n.Run(n.Now().Add(time.Minute))
	if w := client.Peer().Waiting(); w < len(text)-2*64<<10-64<<10 || w == 0 {
		t.Errorf("%d bytes wait at the sender", w)
	}
	if len(server.Received) != 0 {
		t.Error("a deaf end received")
	}
	server.Resume()
	n.Run(n.Now().Add(time.Minute))
	if string(server.Received) != text || server.Ended != netio.EOF {
		t.Errorf("received %d of %d bytes, then %v", len(server.Received), len(text), server.Ended)
	}
}

func TestServerThatStops(t *testing.T) {
	n := sim.New(1)
	v := n.Server(originAddr, sim.Echo)
	v.Stop()
	s := &sim.Surfer{Requests: []string{"GET / HTTP/1.1\r\n\r\n"}}
	n.Client(originAddr, s)
	n.Run(n.Now().Add(time.Second))
	if s.Done() {
		t.Fatal("a stopped server answered")
	}
	v.Start()
	n.Run(n.Now().Add(time.Second))
	if !s.Done() {
		t.Fatal("it never answered")
	}
	v.Close()
	s = &sim.Surfer{Requests: s.Requests}
	n.Client(originAddr, s)
	n.Run(n.Now().Add(time.Second))
	if s.Ended != netio.Refused {
		t.Fatalf("a closed server: %v", s.Ended)
	}
}

// TestOddServers says what each one is odd in.
func TestOddServers(t *testing.T) {
	post := "POST /x HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"
	for name, c := range map[string]struct {
		server    func() sim.Script
		responses int
		ended     netio.IO
		failure   string
	}{
		"echo":     {sim.Echo, 3, netio.OK, ""},
		"hangs up": {sim.HangsUp(2), 2, netio.EOF, ""},
		"forgets":  {sim.Forgets(30 * time.Millisecond), 1, netio.EOF, ""},
		"silent":   {sim.Silent, 0, netio.OK, ""},
		"slow":     {sim.Slow(5, time.Millisecond), 3, netio.OK, ""},
		"breaks":   {sim.Breaks(30), 0, netio.Reset, ""},
		"hasty":    {sim.Hasty(413), 1, netio.EOF, ""},
		"babbles":  {sim.Babbles, 1, netio.OK, "a response that nobody asked for"},
	} {
		n := sim.New(1)
		s := &sim.Surfer{Requests: []string{post, post, post}, Think: 40 * time.Millisecond}
		direct(n, c.server, s)
		if len(s.Responses) != c.responses || s.Ended != c.ended {
			t.Errorf("%s: %d responses, then %v; want %d, then %v", name, len(s.Responses), s.Ended, c.responses, c.ended)
		}
		for _, m := range s.Responses {
			if m.Status() == 200 && m.Body != "POST /x\nhello" && m.Body != "stray" {
				t.Errorf("%s: the body is %q", name, m.Body)
			}
		}
		if err := n.Err(); (err == nil) != (c.failure == "") || err != nil && !strings.Contains(err.Error(), c.failure) {
			t.Errorf("%s: %v, want %q", name, err, c.failure)
		}
	}
}

// TestOddClients says what each one is odd in, by what a server sees of it.
func TestOddClients(t *testing.T) {
	get := "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	for name, c := range map[string]struct {
		client  sim.Script
		after   time.Duration
		heard   string
		ended   netio.IO
		answers bool
	}{
		"loris, in the middle": {sim.Loris(get, time.Second), 3500 * time.Millisecond, "GET ", netio.OK, false},
		"loris, at the end":    {sim.Loris(get, time.Second), time.Hour, get, netio.OK, true},
		"deaf":                 {sim.Deaf(get), time.Hour, get, netio.OK, true},
		"impatient":            {sim.Impatient(get, time.Millisecond), time.Hour, get, netio.Reset, true},
		"half closes":          {sim.HalfCloses(get), time.Hour, get, netio.EOF, true},
		"mute":                 {sim.Mute(), time.Hour, "", netio.OK, false},
	} {
		n := sim.New(1)
		answers := 0
		v := n.Server(originAddr, func() sim.Script {
			o := &sim.Origin{Answer: func(p *sim.Peer, _ *sim.Message) { answers++; p.Send(sim.Response(200, "hi")) }}
			return o
		})
		n.Client(originAddr, c.client)
		n.Run(n.Now().Add(c.after))
		p := v.Peers[0]
		if string(p.Received) != c.heard || p.Ended != c.ended || (answers == 1) != c.answers {
			t.Errorf("%s: heard %q, then %v, %d answers", name, p.Received, p.Ended, answers)
		}
	}
}

// TestSurferReadsEveryFraming has one response of each kind, whole and byte by byte.
func TestSurferReadsEveryFraming(t *testing.T) {
	stream := "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" +
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc" +
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" + // to HEAD
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\nA\r\n0123456789\r\n0\r\nT: v\r\n\r\n" +
		"HTTP/1.1 204 No Content\r\n\r\n" + "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" +
		"HTTP/1.0 200 OK\r\n\r\nup to the end"
	for _, size := range []int{1, 7, len(stream)} {
		n := sim.New(1)
		get := "GET / HTTP/1.1\r\n\r\n"
		s := &sim.Surfer{Requests: []string{get, "HEAD / HTTP/1.1\r\n\r\n", get, get, get, get}, Pipeline: true}
		direct(n, func() sim.Script {
			return sim.Play(sim.HearUntil("HEAD"), sim.Trickle(stream, size, time.Millisecond), sim.Shut())
		}, s)
		var bodies []string
		for _, m := range s.Responses {
			bodies = append(bodies, m.Body)
		}
		got := fmt.Sprintf("%d %q", len(s.Interim), bodies)
		want := `2 ["abc" "" "ab0123456789" "" "" "up to the end"]`
		if got != want || n.Err() != nil {
			t.Errorf("in parts of %d: %s (%v), want %s", size, got, n.Err(), want)
		} else if s.Responses[2].Trailer[0] != [2]string{"T", "v"} {
			t.Errorf("the trailer is %q", s.Responses[2].Trailer)
		}
	}
}

// TestSurferRefuses what a proxy must not send.
func TestSurferRefuses(t *testing.T) {
	for _, bad := range []string{
		"stray bytes\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
		"HTTP/1.1 200 OK\r\nName : value\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	} {
		n := sim.New(1)
		s := &sim.Surfer{Requests: []string{"GET / HTTP/1.1\r\n\r\n"}}
		direct(n, func() sim.Script { return sim.Play(sim.HearUntil("\r\n\r\n"), sim.Say(bad)) }, s)
		if n.Err() == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestClientAddresses(t *testing.T) {
	n := sim.New(1)
	v := n.Server(originAddr, sim.Echo)
	six := netip.MustParseAddrPort("[2001:db8::9]:80")
	v6 := n.Server(six, sim.Echo)
	from := netip.MustParseAddrPort("203.0.113.77:4321")
	n.ClientFrom(from, originAddr, sim.Mute())
	n.Client(originAddr, sim.Mute())
	n.Client(six, sim.Mute())
	n.Run(n.Now().Add(time.Second))
	remotes := map[netip.AddrPort]bool{}
	for _, p := range v.Peers {
		remotes[p.Remote()] = true
	}
	if len(v.Peers) != 2 || len(remotes) != 2 || !remotes[from] {
		t.Errorf("clients came from %v", remotes)
	}
	if len(v6.Peers) != 1 || !v6.Peers[0].Remote().Addr().Is6() {
		t.Error("no client came over IPv6")
	}
}
