package e2e

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// generation is the configuration in force.
func (w *weir) generation() float64 {
	w.t.Helper()
	return w.metric("weir_config_generation")
}

// A file with an error changes nothing, and says so: to whoever asked, or in the log.
func TestReloadOfABadFile(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, backend: `reuse = "always"`})
		client, server := idle(t, w, back)
		bad := *w.setup
		bad.frontend = `colour = "red"`
		w.write(bad.text(w.host))

		status, out, errs := w.run("reload")
		if status != 1 || out != "" || !strings.Contains(errs, `unknown key "colour"`) || !strings.Contains(errs, "^^^") {
			t.Errorf("weir reload: status %d, %q %q", status, out, errs)
		}
		_ = w.cmd.Process.Signal(syscall.SIGHUP)
		eventually(t, "the log says why", func() bool { return strings.Contains(w.log.String(), "reload refused") })
		if g := w.generation(); g != 1 {
			t.Errorf("generation %v", g)
		}
		w.wantMetric(1, "weir_server_connections", "state", "idle")
		client.ask("GET / HTTP/1.1", host)
		server.serve()
		client.response().want(t, ok, "-Connection")
		client.close()
	})
}

// A file that is good but cannot be put into force changes nothing either.
func TestReloadThatCannotListen(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back, taken := listen(t, over), listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, backend: `reuse = "always"`})
		client, server := idle(t, w, back)
		w.rewrite(func(s *setup) {
			s.backend, s.frontend = `reuse = "never"`, `via = "other"`
			s.tables = "[frontend.more]\nbind = [{ address = \"" + taken.addr + "\" }]\nbackend = \"api\"\n"
		})
		if status, _, errs := w.run("reload"); status != 1 || !strings.Contains(errs, taken.addr) {
			t.Errorf("status %d, %s", status, errs)
		}
		client.ask("GET / HTTP/1.1", host)
		server.serve().want(t, "GET / HTTP/1.1", "Via: 1.1 weir")
		client.response().want(t, ok, "-Connection")
	})
}

// What has not changed keeps its connections, on both sides.
func TestReloadKeepsConnections(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, global: `access-log = "$DIR/lines"`, backend: `reuse = "always"`})
		client, server := idle(t, w, back)
		w.rewrite(func(s *setup) { s.tables = "[backend.more]\nservers = []\n" })
		if out := w.done("reload"); out != "reloaded: generation 1 -> 2\n" {
			t.Errorf("%q", out)
		}
		_ = w.cmd.Process.Signal(syscall.SIGHUP)
		w.wantMetric(3, "weir_config_generation")

		client.ask("GET / HTTP/1.1", host)
		server.serve()
		client.response().want(t, ok, "-Connection")
		w.wantMetric(0, "weir_server_connections_closed_total")
		w.lines(2)[1].want(t, "generation", 3, "conn_reused", true)
	})
}

// A frontend that has changed serves new clients as it is now; those that it had finish as they began.
func TestReloadOfAFrontend(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, backend: `reuse = "always"`})
		_, server := idle(t, w, back)
		busy := w.dial()
		busy.ask("GET /busy HTTP/1.1", host)
		server.request().want(t, "GET /busy HTTP/1.1", "Via: 1.1 weir")

		w.rewrite(func(s *setup) { s.frontend = `via = "new"` })
		w.reload()
		server.answer(ok, hello...)
		busy.response().want(t, ok, "Connection: close")
		busy.end()

		fresh := w.dial()
		fresh.ask("GET /fresh HTTP/1.1", host)
		server.serve().want(t, "GET /fresh HTTP/1.1", "Via: 1.1 new") // the backend has not changed: the connection is the same
		fresh.response().want(t, ok, "-Connection")

		// Idle clients are sent away within seconds, but none in the first half of one. On a busy machine that may be over when
		// the reload has been answered.
		for n := 0; ; n++ {
			resting := w.dial()
			resting.ask("GET / HTTP/1.1", host)
			server.serve()
			resting.response().want(t, ok)
			began := time.Now()
			w.rewrite(func(s *setup) { s.frontend = fmt.Sprintf("via = \"newer-%d\"", n) })
			w.reload()
			resting.ask("GET /resting HTTP/1.1", host)
			took := time.Since(began)
			for !resting.ended && len(server.in) == 0 {
				server.more(soon())
				resting.more(time.Now().Add(time.Millisecond))
			}
			if len(server.in) == 0 && took > 500*time.Millisecond {
				continue
			}
			if m := server.serve(); m.get("Via") == fmt.Sprintf("1.1 newer-%d", n) {
				t.Errorf("an old client is served as a new one: %s", m)
			}
			resting.response().want(t, ok, "Connection: close")
			resting.end()
			break
		}
	})
}

// Servers that have gone finish what they have.
func TestReloadOfABackend(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		before, after := listen(t, over), listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{before}, backend: `reuse = "always"`})
		resting, idler := idle(t, w, before)
		busy := w.dial()
		busy.ask("GET /busy HTTP/1.1", host)
		idler.request()
		resting.ask("GET /second HTTP/1.1", host) // so that there are two connections
		second := before.serve()
		resting.response()
		w.wantMetric(1, "weir_server_connections", "state", "idle")

		w.rewrite(func(s *setup) { s.servers = []*origin{after} })
		w.reload()
		second.end() // it was idle
		w.wantMetric(1, "weir_server_connections_closed_total", "cause", "drain")
		resting.ask("GET /third HTTP/1.1", host)
		after.serveOne().want(t, "GET /third HTTP/1.1")
		resting.response().want(t, ok, "-Connection")

		idler.answer(ok, hello...)
		busy.response().want(t, ok, "-Connection", "", "hello")
		idler.end()
		w.wantMetric(2, "weir_server_connections_closed_total", "cause", "drain")
	})
}

func TestReloadOfListeners(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		more := func(port string) string {
			return fmt.Sprintf("[frontend.more]\nbind = [{ address = \"$HOST:%s\"%s }]\nbackend = \"api\"\n", port, over.bind())
		}
		w := start(t, setup{over: over, servers: []*origin{back}, tables: more("8081"), backend: `reuse = "always"`})
		old := w.dialPort("8081")
		old.ask("GET /1 HTTP/1.1", host)
		held := back.accept() // until the reload is over
		held.request()

		w.rewrite(func(s *setup) { s.tables = more("8082") })
		w.reload()
		if answers(w.host + ":8081") {
			t.Error("the old listener still answers")
		}
		fresh := w.dialPort("8082")
		fresh.ask("GET /2 HTTP/1.1", host, "Connection: close")
		back.serve()
		fresh.response().want(t, ok)
		held.answer(ok, hello...)
		old.response().want(t, ok, "Connection: close")
		old.end()
	})
}

// Limits and timeouts take effect, and whoever is under way counts on and finishes.
func TestReloadOfProfiles(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, frontend: useShort + "\nlimits = \"edge\"", backend: `reuse = "always"`,
			tables: "[timeouts.short]\nhttp-keep-alive = \"1h\"\n[limits.edge]\nmax-conn = 10\n"})
		client := w.dial()
		client.ask("GET / HTTP/1.1", host)
		server := back.accept()
		server.request()
		w.wantMetric(10, "weir_limit_max", "level", "frontend", "name", "web", "axis", "max-conn")
		w.rewrite(func(s *setup) {
			s.tables = "[timeouts.short]\nhttp-keep-alive = \"1h\"\n[limits.edge]\nmax-conn = 20\n"
		})
		w.reload()
		w.wantMetric(20, "weir_limit_max", "level", "frontend", "name", "web", "axis", "max-conn")
		w.wantMetric(1, "weir_limit_current", "level", "frontend", "name", "web", "axis", "max-conn")
		server.answer(ok, hello...)
		client.response().want(t, ok, "-Connection") // a limit is no reason to send clients away
	})
}

// A client that stays connected goes where the new routes say.
func TestReloadOfRoutes(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back, other := listen(t, over), listen(t, plain)
		w := start(t, setup{over: over, servers: []*origin{back}, backend: `reuse = "always"`})
		client, server := idle(t, w, back)
		w.rewrite(func(s *setup) {
			s.frontend = `routes = [{ path-prefix = "/new", backend = "other" }]`
			s.tables = "[backend.other]\nservers = [{ name = \"s1\", address = \"" + other.addr + "\" }]\n"
		})
		w.reload()
		client.ask("GET /new HTTP/1.1", host)
		other.serve()
		client.response().want(t, ok, "-Connection")
		client.ask("GET /old HTTP/1.1", host)
		server.serve()
		client.response().want(t, ok, "-Connection")
		w.rewrite(func(s *setup) { s.frontend, s.tables = "", "" })
		w.reload()
		client.ask("GET /new HTTP/1.1", host)
		server.serve()
		client.response().want(t, ok, "-Connection")
	})
}

// TestReloadUnderLoad changes everything that can change, twenty times, while clients go on asking: no request fails.
func TestReloadUnderLoad(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		one, two := newRecorder(t), newRecorder(t)
		w := start(t, setup{over: over, servers: []*origin{one.origin}, global: "workers = 2", backend: `reuse = "always"`})
		var stop atomic.Bool
		var all sync.WaitGroup
		var asked atomic.Int64
		for i := range 16 {
			all.Add(1)
			go func() {
				defer all.Done()
				c := &caller{addr: w.front(), over: over}
				defer c.close()
				for n := 0; !stop.Load(); n++ {
					status, reason, err := c.insist([]string{"GET", "POST"}[n%2], fmt.Sprintf("/%d/%d", i, n))
					if err != nil || status != 200 {
						t.Errorf("request %d of client %d: %d %s %v", n, i, status, reason, err)
						return
					}
					asked.Add(1)
				}
			}()
		}
		changes := []func(*setup){
			func(*setup) {},
			func(s *setup) { s.frontend = `via = "new"` },
			func(s *setup) { s.servers = []*origin{two.origin} },
			func(s *setup) { s.tables = "[limits.l]\nmax-conn = 1000\n"; s.backend += "\nlimits = \"l\"" },
			func(s *setup) { s.servers = []*origin{one.origin, two.origin}; s.frontend = `forwarded = "both"` },
		}
		first := *w.setup
		for i := range 20 {
			before := asked.Load()
			w.rewrite(func(s *setup) {
				*s = first
				changes[i%len(changes)](s)
			})
			w.reload()
			eventually(t, "clients are served", func() bool { return asked.Load() > before+32 || t.Failed() })
		}
		stop.Store(true)
		all.Wait()
		wantOnce(t, one, two)
		if g := w.generation(); g != 21 {
			t.Errorf("generation %v", g)
		}
	})
}
