package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// ridden says over which connection a request went: "new", one of the session's "own", or one of "another" session.
func ridden(r *reply, first map[string]string, session string) string {
	id := r.header.Get("X-Conn")
	owner, known := first[id]
	if !known {
		first[id] = session
		return "new"
	}
	if owner == session {
		return "own"
	}
	return "another"
}

// The table of behaviour section 4: who rides on what, told from the server by which connection each request came over.
// Session A leaves one proven idle connection behind; B and C are the sessions that are looked at.
func TestReuseMatrix(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		for _, mode := range []struct {
			keys string
			want string // first GET, later GET, later PUT, later POST of B; first POST of C
		}{
			{`reuse = "never"`, "new own own own new"},
			{`reuse = "safe"`, "new shared new new new"},
			{`reuse = "aggressive"`, "shared shared shared shared shared"},
			{`reuse = "always"`, "shared shared shared shared shared"},
			{`reuse = "safe"` + "\n" + `reuse-methods = "all"`, "new shared shared shared new"},
			{`reuse = "safe"` + "\n" + `reuse-methods = "idempotent"`, "new shared shared new new"},
			{`reuse = "safe"` + "\n" + `reuse-first-request = "any"`, "shared shared new new new"},
			{`reuse = "safe"` + "\n" + `reuse-first-request = "proven"`, "shared shared new new new"},
			{`reuse = "aggressive"` + "\n" + `reuse-methods = "safe"`, "shared shared new new new"},
			{`reuse = "aggressive"` + "\n" + `reuse-first-request = "never"`, "new shared shared shared new"},
			{`reuse = "always"` + "\n" + `reuse-methods = "idempotent"`, "shared shared shared new new"},
			{`reuse = "always"` + "\n" + `reuse-first-request = "never"`, "new shared shared shared new"},
		} {
			t.Run(strings.ReplaceAll(mode.keys, "\n", ","), func(t *testing.T) {
				t.Parallel()
				back := newTally(t, over, nil)
				w := start(t, setup{over: over, servers: []*origin{back.origin}, global: "workers = 2", backend: mode.keys})
				first := map[string]string{}
				how := func(u *user, session, method string) string {
					r := ridden(w.ask(u, method, "/"+session), first, session)
					if r == "new" || strings.Contains(mode.keys, "never\"") && !strings.Contains(mode.keys, "first") {
						return r
					}
					return "shared"
				}
				a, b, c := w.client(""), w.client(""), w.client("")
				if got := how(a, "a", "GET"); got != "new" {
					t.Fatalf("the very first request is on a %s connection", got)
				}
				got := []string{how(b, "b", "GET"), how(b, "b", "GET"), how(b, "b", "PUT"), how(b, "b", "POST"), how(c, "c", "POST")}
				if s := strings.Join(got, " "); s != mode.want {
					t.Errorf("%s: %s, want %s", mode.keys, s, mode.want)
				}
				if n := back.everOpen(); float64(n) != w.opened("") {
					t.Errorf("the server saw %d connections, weir opened %v", n, w.opened(""))
				}
			})
		}
	})
}

// A connection that was opened ahead of demand has proven nothing: only "any" may have it.
func TestFirstRequestsAndFreshConnections(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		for _, mode := range []struct{ reuse, why, want string }{
			{"safe", "demand", "new"}, {"aggressive", "demand", "new"}, {"always", "warm", "warm"},
		} {
			t.Run(mode.reuse, func(t *testing.T) {
				t.Parallel()
				back := newTally(t, over, nil)
				w := start(t, setup{over: over, servers: []*origin{back.origin}, global: "workers = 2",
					backend: "reuse = \"" + mode.reuse + "\"\npool-warm-conn = 1"})
				w.wantMetric(1, "weir_server_connections", "state", "idle")
				got := w.ask(w.client(""), "GET", "/").header.Get("X-Conn")
				if warm := got == "1"; warm != (mode.want == "warm") {
					t.Errorf("the first request is on connection %s; 1 is the one kept warm", got)
				}
			})
		}
	})
}

// A later request may have a connection that has proven nothing.
func TestLaterRequestsTakeFreshConnections(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		hold := newHolding(t)
		back := newTally(t, over, hold.serve)
		w := start(t, setup{over: over, servers: []*origin{back.origin}, global: "workers = 2",
			backend: "reuse = \"aggressive\"\npool-warm-conn = 1"})
		w.wantMetric(1, "weir_server_connections", "state", "idle")
		a, b := w.client(""), w.client("")
		if got := w.ask(a, "GET", "/a").header.Get("X-Conn"); got != "2" {
			t.Fatalf("the first request is on connection %s", got)
		}
		held := make(chan error, 1)
		go func() {
			_, err := b.try("GET", "/hold")
			held <- err
		}()
		eventually(t, "the held request arrives", func() bool { return back.requests() == 2 })
		if got := w.ask(a, "GET", "/a").header.Get("X-Conn"); got != "1" {
			t.Errorf("the later request is on connection %s, want the idle one", got)
		}
		hold.release()
		if err := <-held; err != nil {
			t.Error(err)
		}
	})
}

// The name in SNI is part of what makes a server connection: no request for one host rides on a handshake for another.
func TestConnectionsAreKeptApartBySNI(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"never", "safe", "aggressive", "always"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			back := newTally(t, tlsed, func(c *tallyConn, r *http.Request) bool {
				return c.answer("200 OK", c.facts("X-SNI: "+c.sni)...)
			})
			tls := `tls = { enabled = true, sni = "host", ca = "$FILES/ca.pem" }`
			bare := &origin{t: t, addr: back.addr} // the keys of TLS stand here, and not twice
			w := start(t, setup{servers: []*origin{bare}, global: "workers = 2", backend: tls + "\nreuse = \"" + mode + "\""})
			u := w.client("")
			for i := range 12 {
				name := []string{"x.a.example", "b.example", "y.a.example"}[i%3]
				r := w.askHost(u, name)
				if got := r.header.Get("X-SNI"); got != name {
					t.Fatalf("request %d, for %s, is on a connection with SNI %s", i, name, got)
				}
			}
		})
	}
}

// askHost asks for a host.
func (w *weir) askHost(u *user, name string) *reply {
	w.t.Helper()
	if _, err := fmt.Fprintf(u.conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", name); err != nil {
		w.t.Fatal(err)
	}
	r, err := u.read("GET", time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	if r.status != 200 {
		w.t.Fatalf("for %s: %d %s", name, r.status, r.proxyReason())
	}
	return r
}

// With forward-close the server's wish to close is the client's; without it, and with multiplex, it is weir's business.
func TestForwardClose(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		for _, c := range []struct {
			keys    string
			forward bool
		}{
			{"multiplex = false", true}, {"multiplex = false\nforward-close = false", false}, {"multiplex = true\nforward-close = true", false},
		} {
			t.Run(strings.ReplaceAll(c.keys, "\n", ","), func(t *testing.T) {
				t.Parallel()
				back := newTally(t, over, func(c *tallyConn, r *http.Request) bool {
					c.answer("200 OK", c.facts("Connection: close")...)
					return false
				})
				w := start(t, setup{over: over, servers: []*origin{back.origin}, backend: c.keys})
				u := w.client("")
				r := w.ask(u, "GET", "/")
				if r.close != c.forward {
					t.Fatalf("the client is told to close: %v, want %v", r.close, c.forward)
				}
				if !c.forward {
					w.ask(u, "GET", "/again")
					return
				}
				if _, err := u.try("GET", "/again"); err == nil {
					t.Error("the client's connection goes on")
				}
			})
		}
	})
}

// Clients of streams are told by GOAWAY.
func TestForwardCloseOfStreams(t *testing.T) {
	closing := func(c *tallyConn, r *http.Request) bool {
		c.answer("200 OK", c.facts("Connection: close")...)
		return false
	}
	overBoth(t, func(t *testing.T, over transport) {
		for _, forward := range []bool{true, false} {
			back := newTally(t, over, closing)
			w := start(t, setup{over: over, servers: []*origin{back.origin}, backend: fmt.Sprintf("multiplex = false\nforward-close = %v", forward)})
			client := w.dialH2(t)
			client.get(1, "/")
			if s := client.whole(1); s.get(":status") != "200" {
				t.Fatalf("%v", s.fields)
			}
			if !forward {
				client.get(3, "/")
				client.whole(3)
				if client.goaway != nil {
					t.Errorf("GOAWAY %v although the wish to close is not passed on", client.goaway)
				}
				continue
			}
			client.until("GOAWAY with the last stream", func() bool { return client.goaway != nil && client.goaway.LastStreamID == 1 })
			client.end()
		}
	})
}
