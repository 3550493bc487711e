package e2e

import (
	"strings"
	"testing"
)

// unhurriedDrain is for what a busy machine must have time for during a drain.
const unhurriedDrain = `hard-stop-after = "1m"`

// SIGTERM: what is under way finishes and learns that it is the last, who is idle is sent away, nobody new is let in.
func TestDrain(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, global: unhurriedDrain, backend: `reuse = "always"`})
		resting, server := idle(t, w, back)
		busy := w.dial()
		busy.ask("POST /busy HTTP/1.1", host, "Content-Length: 6", "", "abc")
		server.requestHead()
		server.bytes("abc")

		w.terminate()
		eventually(t, "the listener is closed", func() bool { return !answers(w.front()) })
		resting.end()
		if w.ready() {
			t.Error("a process that drains says that it is ready")
		}
		busy.send("def")
		server.bytes("def")
		server.answer(ok, hello...)
		busy.response().want(t, ok, "Connection: close", "", "hello")
		busy.end()
		busy.close()
		server.gone()
		w.wantEnd()
	})
}

// A client that was accepted just before may still send its first request.
func TestDrainServesTheFirstRequest(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, global: unhurriedDrain})
		client := w.dial()
		w.terminate()
		eventually(t, "the listener is closed", func() bool { return !answers(w.front()) })
		client.ask("GET / HTTP/1.1", host)
		back.serve()
		client.response().want(t, ok, "Connection: close")
		client.end()
	})
}

// A response that has begun goes on to its end.
func TestDrainLetsABodyFinish(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, global: unhurriedDrain})
		client := w.dial()
		client.ask("GET / HTTP/1.1", host)
		server := back.accept()
		server.request()
		server.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
		client.responseHead()
		client.bytes("first")
		w.terminate()
		eventually(t, "the listener is closed", func() bool { return !answers(w.front()) })
		server.send("later")
		client.bytes("later")
		client.end() // its head could not say so any more
	})
}

// hard-stop-after bounds the drain: tunnels live until then.
func TestDrainIsCut(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, leaves: true})
		client, server := tunnel(t, w, back)
		w.terminate()
		eventually(t, "the listener is closed", func() bool { return !answers(w.front()) })
		client.send("still here")
		server.bytes("still here")
		client.gone()
		server.gone()
		w.wantEnd()
		if !strings.Contains(w.log.String(), "drain ended early") {
			t.Error("the log does not say that something was cut")
		}
	})
}

// A second signal ends the patience.
func TestDrainIsCutShort(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, leaves: true, global: `hard-stop-after = "10m"`})
		client, _ := tunnel(t, w, back)
		w.terminate()
		eventually(t, "the listener is closed", func() bool { return !answers(w.front()) })
		w.terminate()
		client.gone()
		w.wantEnd() // without waiting for hard-stop-after
	})
}

// The commands are answered when it is over.
func TestDrainAndStopCommands(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"drain", "stop"} {
		back := listen(t, plain)
		w := start(t, setup{servers: []*origin{back}})
		client, _ := idle(t, w, back)
		w.told = true
		w.done(command)
		client.end()
		w.wantEnd()
		if status, _, _ := w.run("show", "info"); status != 3 {
			t.Errorf("after weir %s: status %d", command, status)
		}
	}
}

// A reload is refused once a drain has begun.
func TestReloadWhileDraining(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, global: unhurriedDrain})
		client, server := tunnel(t, w, back)
		w.terminate()
		eventually(t, "the listener is closed", func() bool { return !answers(w.front()) })
		if status, _, errs := w.run("reload"); status != 1 || !strings.Contains(errs, "draining") {
			t.Errorf("status %d, %s", status, errs)
		}
		client.close()
		server.close()
		w.wantEnd()
	})
}
