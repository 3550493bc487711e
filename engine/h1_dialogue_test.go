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

// simple are terms with one server and no limits.
func simple(backend string) *terms {
	return &terms{limits: allOff, backend: backend, servers: []string{""}}
}

// get is a request of a client that stays.
func get(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: example.com\r\n\r\n" }

// TestResponseOfOneTurnIsFollowed: a response that is more than may wait in our buffers, made and taken by the kernel in one
// turn. No event tells that it has left, and the next request must not wait for one.
func TestResponseOfOneTurnIsFollowed(t *testing.T) {
	r := newRig(t, 1, 1, simple("").text())
	chunk := "400\r\n" + strings.Repeat("x", 1024) + "\r\n"
	r.net.Server(serverOne, func() sim.Script {
		return &sim.Origin{Answer: func(p *sim.Peer, m *sim.Message) {
			p.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat(chunk, 30) + "0\r\n\r\n")
		}}
	})
	c := &sim.Surfer{Requests: []string{get("/1"), get("/2"), get("/3")}}
	r.net.Client(frontAddr, c)
	start := r.net.Now()
	r.must("three responses come", time.Minute, c.Done)
	if took := r.net.Now().Sub(start); took > 100*time.Millisecond {
		t.Errorf("three requests took %v", took)
	}
	r.finish()
}

// TestBodyInSmallPiecesIsTaken: the same for a body that fills all of max-buffer-size, in pieces too small to be sent at
// once, towards a kernel that has room for everything: no event tells that there is room again, in either direction. And
// chunk heads come on top of what a connection was said to have room for, which must not make the room less than none.
func TestBodyInSmallPiecesIsTaken(t *testing.T) {
	r := newRig(t, 1, 1, simple("").text())
	r.net.SendBytes, r.net.RecvBytes = 4<<20, 4<<20
	const n = 400
	body := strings.Repeat("400\r\n"+strings.Repeat("x", 1024)+"\r\n", n) + "0\r\n\r\n"
	got := 0
	r.net.Server(serverOne, func() sim.Script {
		return &sim.Origin{Answer: func(p *sim.Peer, m *sim.Message) {
			got = len(m.Body)
			p.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
		}}
	})
	c := &sim.Surfer{Requests: []string{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body}}
	r.net.Client(frontAddr, c)
	start := r.net.Now()
	r.must("the response comes", time.Minute, c.Done)
	if took := r.net.Now().Sub(start); took > 500*time.Millisecond {
		t.Errorf("it took %v", took)
	}
	if got != n*1024 || len(c.Responses[0].Body) != n*1024 {
		t.Errorf("the server got %d bytes, the client %d", got, len(c.Responses[0].Body))
	}
	r.finish()
}

// TestEndInAResponseHeadIsABadResponse: the server had begun to answer, so that it is not the same as an empty reply.
func TestEndInAResponseHeadIsABadResponse(t *testing.T) {
	for name, end := range map[string]sim.Line{"fin": sim.Shut(), "reset": sim.Kill()} {
		r := newRig(t, 1, 1, simple("").text())
		r.net.Server(serverOne, func() sim.Script {
			return sim.Play(sim.HearUntil("\r\n\r\n"), sim.Say("HTTP/1.1 200 OK\r\nContent-"), sim.Pause(time.Millisecond), end)
		})
		s := &sim.Surfer{Requests: []string{get("/")}}
		r.net.Client(frontAddr, s)
		r.must("an answer comes", time.Minute, s.Done)
		if s.Responses[0].Body != "bad-response\n" {
			t.Errorf("%s: %s %q", name, s.Responses[0].Start, s.Responses[0].Body)
		}
		r.finish()
	}
}

// TestAnswerToHalfARequestSaysClose: what follows the answer is the rest of a body, so that the connection ends; a client
// that was told does not put its next request on it.
func TestAnswerToHalfARequestSaysClose(t *testing.T) {
	r := newRig(t, 1, 1, simple("").text())
	r.net.Server(serverOne, func() sim.Script { return sim.Play(sim.HearUntil("\r\n\r\n"), sim.Kill()) })
	client := sim.Play(
		sim.Say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n123"),
		sim.HearLine("502"), sim.HearUntil("Connection: close\r\n"), sim.HearUntil("server-closed\n"), sim.HearEnd(netio.EOF), sim.Hangup(),
	)
	r.net.Client(frontAddr, client)
	r.must("the dialogue ends", time.Minute, client.Done)
	r.finish()
}

// TestFreshConnectionThatWasIdleIsStaleToo: nobody has used it yet, but it has waited in the pool, and the server may have
// ended it before it could know of the request. What is idempotent is sent again.
func TestFreshConnectionThatWasIdleIsStaleToo(t *testing.T) {
	r := newRig(t, 1, 1, simple("reuse = \"always\"\npool-warm-conn = 1\n").text())
	conns := 0
	r.net.Server(serverOne, func() sim.Script {
		if conns++; conns == 1 { // it ends when the request is on its way
			return sim.Funcs{OnData: func(p *sim.Peer, _ []byte) { p.Abort() }}
		}
		return sim.Echo()
	})
	srv := r.serverOn(0, "api", "s1")
	r.must("a connection is warm", time.Minute, func() bool { return srv.shard.Len() == 1 })
	s := &sim.Surfer{Requests: []string{get("/")}}
	r.net.Client(frontAddr, s)
	r.must("an answer comes", time.Minute, s.Done)
	if s.Responses[0].Status() != 200 || r.lines[0].Retries != 1 || r.closed("api", "s1", stats.CauseStaleOnUse) != 1 {
		t.Errorf("%s %q; %+v", s.Responses[0].Start, s.Responses[0].Body, r.lines)
	}
	r.finish()
}

// TestInputBeforeTheRequestIsNoAnswer: a server gives an idle connection up with a 408, which arrives in the very turn in
// which a request is put on that connection. The client must not get it.
func TestInputBeforeTheRequestIsNoAnswer(t *testing.T) {
	r := newRig(t, 1, 1, simple("reuse = \"always\"\n").text())
	r.net.Jitter = 0
	var server *sim.Peer
	r.net.Server(serverOne, func() sim.Script {
		return &sim.Origin{Answer: func(p *sim.Peer, m *sim.Message) {
			server = p
			p.Send(sim.Response(200, m.Target()))
		}}
	})
	const think = 10 * time.Millisecond
	s := &sim.Surfer{Requests: []string{get("/1"), get("/2")}, Think: think}
	s.Check = func(_ *sim.Peer, i int, _ *sim.Message) {
		if i > 0 {
			return
		}
		first := server
		r.net.After(0, func() { // so that the second request leaves at the same instant, and a moment before
			r.net.After(think, func() {
				first.Send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
				first.ShutdownSend()
			})
		})
	}
	r.net.Client(frontAddr, s)
	r.must("both responses come", time.Minute, s.Done)
	if got := s.Responses[1]; got.Status() != 200 || got.Body != "/2" {
		t.Errorf("the client got %s %q", got.Start, got.Body)
	}
	if r.closed("api", "s1", stats.CauseStaleOnUse) != 1 || r.lines[1].Retries != 1 {
		t.Error("the 408 has not met the request: this test shows nothing")
	}
	r.finish()
}

// TestBytesBehindAResponse come in its segment, or to an idle connection: the connection is not used again.
func TestBytesBehindAResponse(t *testing.T) {
	for _, pause := range []time.Duration{0, time.Millisecond} {
		r := newRig(t, 1, 1, simple("reuse = \"always\"\n").text())
		v := r.net.Server(serverOne, func() sim.Script {
			return &sim.Origin{Answer: func(p *sim.Peer, m *sim.Message) {
				response := sim.Response(200, m.Target())
				stray := sim.Response(200, "stray")
				if pause == 0 {
					p.Send(response + stray)
					return
				}
				p.Send(response)
				r.net.After(pause, func() { p.Send(stray) })
			}}
		})
		s := &sim.Surfer{Requests: []string{get("/1"), get("/2"), get("/3")}, Think: 10 * time.Millisecond}
		r.net.Client(frontAddr, s)
		r.must("all responses come", time.Minute, s.Done)
		for i, m := range s.Responses {
			if m.Body != fmt.Sprintf("/%d", i+1) {
				t.Errorf("response %d is %q", i+1, m.Body)
			}
		}
		r.run(10 * time.Millisecond)
		if bad := r.closed("api", "s1", stats.CauseProtocolError); len(v.Peers) != 3 || bad != 3 {
			t.Errorf("%d connections, %d closed for what the server sent", len(v.Peers), bad)
		}
		r.finish()
	}
}

// TestClientThatIsDoneIsNotWaitedFor: who has asked for the connection's end and has sent nothing since gets its response and
// the end of the connection at once, and holds nothing here until it closes its own side.
func TestClientThatIsDoneIsNotWaitedFor(t *testing.T) {
	r := newRig(t, 1, 1, simple("reuse = \"always\"\n").text())
	r.net.Server(serverOne, sim.Echo)
	client := sim.Play(sim.Say("GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), sim.HearUntil("GET /last\n"),
		sim.HearEnd(netio.EOF), sim.Pause(time.Minute), sim.Hangup())
	r.net.Client(frontAddr, client)
	r.must("only the server connection is left", 50*time.Millisecond, func() bool {
		return len(r.linesOf("/last")) == 1 && r.ws[0].stats.Loop.Conns == 1
	})
	r.must("the client has heard all of it", 2*time.Minute, client.Done)
	r.finish()
}

// TestClientThatTalksOnIsListenedTo: one that sends more behind its last request must not get a RST instead of the response.
func TestClientThatTalksOnIsListenedTo(t *testing.T) {
	r := newRig(t, 1, 1, simple("reuse = \"always\"\n").text())
	r.net.Server(serverOne, sim.Echo)
	client := sim.Play(sim.Say("GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nand more"), sim.HearUntil("GET /last\n"),
		sim.HearEnd(netio.EOF), sim.Hangup())
	r.net.Client(frontAddr, client)
	r.must("the client has heard all of it", 2*time.Minute, client.Done)
	r.finish()
}
