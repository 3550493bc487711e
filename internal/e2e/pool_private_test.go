package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// ntlm ties an identity to the connection, as NTLM does: a handshake of three messages names the user, and whatever comes
// on the connection afterwards is his.
func ntlm(c *tallyConn, r *http.Request) bool {
	auth := r.Header.Get("Authorization")
	scheme, token, _ := strings.Cut(auth, " ")
	switch {
	case auth == "" && r.URL.Path == "/login":
		return c.answer("401 Unauthorized", "WWW-Authenticate: "+r.Header.Get("X-Scheme"), "Content-Length: 0")
	case token == "negotiate":
		return c.answer("401 Unauthorized", "WWW-Authenticate: "+scheme+" challenge", "Content-Length: 0")
	case auth != "":
		c.identity = token
	}
	return c.answer("200 OK", c.facts("X-Identity: "+c.identity)...)
}

// login plays a client's part of the handshake, from the first 401 on or, eager, without asking first.
func login(u *user, name, scheme string, eager bool) error {
	steps := [][]string{{"X-Scheme: " + scheme}, {"Authorization: " + scheme + " negotiate"}, {"Authorization: " + scheme + " " + name}}
	if eager {
		steps = steps[1:]
	}
	for i, lines := range steps {
		r, err := u.try("GET", "/login", lines...)
		if err != nil {
			return err
		}
		want := 401
		if i == len(steps)-1 {
			want = 200
		}
		if r.status != want {
			return fmt.Errorf("%v: %d %s", lines, r.status, r.proxyReason())
		}
	}
	return nil
}

// Users with and without a name, on the most generous pool there is: nobody ever speaks with another's name, and nobody
// loses his own.
func TestIdentityNeverCrossesConnections(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		users, rounds := 200, 24
		if os.Getenv("WEIR_E2E_BIG") != "" {
			rounds = 100
		}
		back := newTally(t, over, ntlm)
		w := start(t, setup{over: over, servers: []*origin{back.origin}, global: "workers = 2", backend: `reuse = "always"`})
		var heard outcomes
		crowd(users, func(i int) {
			u, err := w.user("")
			if err != nil {
				heard.add(err.Error())
				return
			}
			defer func() { u.close() }()
			name := ""
			for n := range rounds {
				switch {
				case i%2 == 1 && n%8 == i%8: // a name, or another one on a new connection
					if name != "" {
						u.close()
						if u, err = w.user(""); err != nil {
							heard.add(err.Error())
							return
						}
					}
					name = fmt.Sprintf("user-%d-%d", i, n)
					if err := login(u, name, []string{"NTLM", "Negotiate"}[i/2%2], i/4%2 == 0); err != nil {
						heard.add("login: " + err.Error())
						return
					}
				default:
					method := []string{"GET", "POST"}[n%2]
					r, err := u.try(method, "/page")
					switch {
					case err != nil:
						heard.add(err.Error())
						return
					case r.status != 200:
						heard.add(fmt.Sprint(r.status, r.proxyReason()))
					case r.header.Get("X-Identity") != name:
						heard.add(fmt.Sprintf("%q was taken for %q", name, r.header.Get("X-Identity")))
					default:
						heard.add("right")
					}
				}
			}
		})
		for what, n := range heard.n {
			if what != "right" {
				t.Errorf("%d times: %s", n, what)
			}
		}
		t.Logf("%d requests over %d connections, %d with the right identity", back.requests(), back.everOpen(), heard.n["right"])
		w.wantMetric(0, "weir_server_connections", "state", "private")
		if w.closed("session-end") == 0 {
			t.Error("no private connection was closed with its session")
		}
	})
}

// One PROXY header stands before everything on each connection, names the client, and is never followed by another
// client's request.
func TestSendProxy(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"v1", "v2"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			back := startTally(&tally{origin: listen(t, plain), handle: func(c *tallyConn, r *http.Request) bool {
				return c.answer("200 OK", c.facts("X-Client: "+c.identity)...)
			}, born: func(c *tallyConn) bool {
				c.in = bufio.NewReader(c.Conn)
				var ok bool
				c.identity, ok = readProxyHeader(c.in, version)
				return ok
			}})
			w := start(t, setup{servers: []*origin{back.origin}, global: "workers = 2",
				backend: "reuse = \"always\"\nsend-proxy = \"" + version + "\""})
			for i := range 6 {
				u := w.client(fmt.Sprintf("127.9.0.%d", 1+i%3))
				for range 3 {
					r := w.ask(u, "GET", "/")
					if got, want := r.header.Get("X-Client"), u.conn.LocalAddr().String(); got != want {
						t.Errorf("the server was told of %s, the client is %s", got, want)
					}
				}
				u.close()
			}
			if n := back.everOpen(); n != 6 {
				t.Errorf("%d connections for 6 clients", n)
			}
			w.wantMetric(6, "weir_server_connections_closed_total", "cause", "session-end")
			if n := w.opened("private"); n != 6 {
				t.Errorf("%v were opened as private", n)
			}
		})
	}
}

// readProxyHeader reads a PROXY header of TCP over IPv4 and returns the source.
func readProxyHeader(in *bufio.Reader, version string) (source string, ok bool) {
	if version == "v1" {
		line, err := in.ReadString('\n')
		var from, to string
		var fromPort, toPort int
		_, bad := fmt.Sscanf(line, "PROXY TCP4 %s %s %d %d\r\n", &from, &to, &fromPort, &toPort)
		return fmt.Sprintf("%s:%d", from, fromPort), err == nil && bad == nil
	}
	head := make([]byte, 16)
	if _, err := io.ReadFull(in, head); err != nil || !bytes.Equal(head[:12], []byte("\r\n\r\n\x00\r\nQUIT\n")) || head[12] != 0x21 || head[13] != 0x11 {
		return "", false
	}
	rest := make([]byte, int(head[14])<<8|int(head[15]))
	if _, err := io.ReadFull(in, rest); err != nil || len(rest) < 12 {
		return "", false
	}
	return fmt.Sprintf("%d.%d.%d.%d:%d", rest[0], rest[1], rest[2], rest[3], int(rest[8])<<8|int(rest[9])), true
}

// A connection that has become a tunnel ends with its session and carries nobody else.
func TestTunnelsArePrivate(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := newTally(t, over, func(c *tallyConn, r *http.Request) bool {
			if r.Header.Get("Upgrade") == "" {
				return tallyOK(c, r)
			}
			c.answer("101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
			_, _ = io.Copy(c.Conn, c.in)
			return false
		})
		w := start(t, setup{over: over, servers: []*origin{back.origin}, global: "workers = 2", backend: `reuse = "always"`})
		a := w.client("")
		w.ask(a, "GET", "/")
		tunnel := w.client("")
		r, err := tunnel.try("GET", "/", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
		if err != nil || r.status != 101 {
			t.Fatalf("%v, %v", r, err)
		}
		w.wantMetric(1, "weir_server_connections", "state", "private")
		for range 5 {
			if got := w.ask(w.client(""), "GET", "/").header.Get("X-Conn"); got == "1" {
				t.Error("another client's request is on the tunnel's connection")
			}
		}
		if _, err := io.WriteString(tunnel.conn, "ping"); err != nil {
			t.Fatal(err)
		}
		echo := make([]byte, 4)
		_ = tunnel.conn.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.ReadFull(tunnel.in, echo); err != nil || string(echo) != "ping" {
			t.Fatalf("%q, %v", echo, err)
		}
		tunnel.close()
		w.wantMetric(0, "weir_server_connections", "state", "private")
		w.wantMetric(1, "weir_server_connections_closed_total", "cause", "session-end")
	})
}

// The four rows of multiplex × persistence, with each kind of persistence: which clients share a server, and which share a
// server connection.
func TestMultiplexAndPersistence(t *testing.T) {
	t.Parallel()
	for _, multiplex := range []bool{true, false} {
		for _, persistence := range []string{"none", "cookie", "source-ip", "header"} {
			t.Run(fmt.Sprintf("multiplex=%v,%s", multiplex, persistence), func(t *testing.T) {
				t.Parallel()
				testMultiplexAndPersistence(t, multiplex, persistence)
			})
		}
	}
}

func testMultiplexAndPersistence(t *testing.T, multiplex bool, persistence string) {
	backs := []*tally{newTally(t, plain, nil), newTally(t, plain, nil), newTally(t, plain, nil)}
	keys := fmt.Sprintf("reuse = \"always\"\nmultiplex = %v\npersistence = { type = %q", multiplex, persistence)
	switch persistence {
	case "cookie":
		keys += `, name = "SRV"`
	case "header":
		keys += `, name = "X-User"`
	}
	w := start(t, setup{servers: []*origin{backs[0].origin, backs[1].origin, backs[2].origin}, global: "workers = 2", backend: keys + " }"})
	const people, visits, requests = 8, 3, 4
	servers := make([]map[string]bool, people) // of each person
	all := map[string]bool{}
	owners := map[string]map[string]bool{} // of each server connection: the client connections that used it
	perClient := map[string]map[string]bool{}
	for who := range people {
		servers[who] = map[string]bool{}
		cookie := ""
		for visit := range visits {
			u := w.client(fmt.Sprintf("127.8.%d.1", who+1))
			for range requests {
				lines := []string{"X-User: person-" + fmt.Sprint(who)}
				if cookie != "" {
					lines = append(lines, "Cookie: a=b; "+cookie)
				}
				r := w.ask(u, "GET", "/", lines...)
				if c := r.header.Get("Set-Cookie"); c != "" {
					if cookie != "" {
						t.Errorf("a cookie again: %s", c)
					}
					cookie, _, _ = strings.Cut(c, ";")
				}
				server := r.header.Get("X-Server")
				conn, client := server+"#"+r.header.Get("X-Conn"), fmt.Sprint(who, visit)
				servers[who][server], all[server] = true, true
				note(owners, conn, client)
				note(perClient, client, conn)
			}
			u.close()
		}
	}
	if len(all) != len(backs) {
		t.Errorf("%d of %d servers are used", len(all), len(backs))
	}
	for who, s := range servers {
		if persistence != "none" && len(s) != 1 {
			t.Errorf("client %d went to %d servers", who, len(s))
		}
		if multiplex && persistence == "none" && len(s) != len(backs) {
			t.Errorf("client %d was not balanced: it went to %d servers", who, len(s))
		}
	}
	opened := backs[0].everOpen() + backs[1].everOpen() + backs[2].everOpen()
	if multiplex {
		if opened > 3*len(backs) {
			t.Errorf("%d connections opened, though one after another all clients could share", opened)
		}
		return
	}
	if opened != people*visits {
		t.Errorf("%d server connections for %d client connections", opened, people*visits)
	}
	for conn, clients := range owners {
		if len(clients) != 1 {
			t.Errorf("server connection %s carried %d client connections", conn, len(clients))
		}
	}
	for client, conns := range perClient {
		if len(conns) != 1 {
			t.Errorf("client connection %s used %d server connections", client, len(conns))
		}
	}
}

// A client's streams share the server connection that is its own, however many begin before it stands.
func TestStreamsShareTheirOwnConnection(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		for _, keys := range []string{"multiplex = false\n", "reuse = \"never\"\n"} {
			back := goOrigin(t, protocols{over: over, h2: true}, http.HandlerFunc(sayHello))
			w := start(t, setup{over: over, servers: []*origin{back}, backend: keys + speakH2(over)})
			for n := range 3 {
				client := w.dialH2(t)
				for id := uint32(1); id < 16; id += 2 {
					client.get(id, "/")
				}
				for id := uint32(1); id < 16; id += 2 {
					if s := client.whole(id); s.get(":status") != "200" {
						t.Errorf("%v", s.fields)
					}
				}
				w.wantMetric(float64(n+1), "weir_server_connections_opened_total", "why", "private")
			}
		}
	})
}

// A connection of a session's own does not outlast its server's use: the client goes on with another one.
func TestPrivateConnectionToAServerOutOfUse(t *testing.T) {
	t.Parallel()
	for _, keys := range []string{"multiplex = false", `reuse = "never"`} {
		for _, out := range []string{"maint", "gone"} {
			backs, servers := town(t, 2, nil)
			w := start(t, setup{servers: servers, backend: keys})
			u := w.client("")
			w.ask(u, "GET", "/")
			if backs[0].requests() == 0 {
				backs[0], backs[1], servers[0], servers[1] = backs[1], backs[0], servers[1], servers[0]
			}
			if out == "maint" {
				w.done("set", "server", "api/s1", "state", "maint")
			} else {
				w.rewrite(func(s *setup) { s.servers = servers[1:] })
				w.reload()
			}
			eventually(t, "the server has no connections", func() bool { return backs[0].open() == 0 })
			w.wantMetric(1, "weir_server_connections_closed_total", "cause", "drain")
			if r := w.ask(u, "POST", "/"); r.header.Get("X-Server") != servers[1].addr {
				t.Errorf("%s, %s: the client goes on at %s", keys, out, r.header.Get("X-Server"))
			}
		}
	}
}

// Without multiplex, what does not say whose it is stays with what came before on the client's connection.
func TestClientThatDoesNotSayWhoItIs(t *testing.T) {
	t.Parallel()
	for _, persistence := range []string{`type = "cookie", name = "SRV"`, `type = "header", name = "X-User"`} {
		backs, servers := town(t, 3, nil)
		w := start(t, setup{servers: servers, backend: "multiplex = false\npersistence = { " + persistence + " }"})
		for range 2 * len(servers) {
			u := w.client("")
			first := w.ask(u, "GET", "/").header
			for range 4 {
				if next := w.ask(u, "GET", "/").header; next.Get("X-Server") != first.Get("X-Server") || next.Get("X-Conn") != first.Get("X-Conn") ||
					next.Get("Set-Cookie") != first.Get("Set-Cookie") {
					t.Errorf("%s: from %v to %v", persistence, first, next)
				}
			}
			u.close()
		}
		for i, n := range shares(backs) {
			if n != 10 {
				t.Errorf("%s: server %d has had %d of 30 requests", persistence, i, n)
			}
		}
	}
}

// A client may have several cookies of a name, for different paths: the first that names a server counts.
func TestCookieThatNamesNoServer(t *testing.T) {
	t.Parallel()
	_, servers := town(t, 2, nil)
	w := start(t, setup{servers: servers, backend: `persistence = { type = "cookie", name = "SRV" }`})
	mine := w.ask(w.client(""), "GET", "/")
	for range 3 {
		r := w.ask(w.client(""), "GET", "/", "Cookie: SRV=; a=b", "Cookie: SRV=other; "+cookieOf(mine))
		if r.header.Get("X-Server") != mine.header.Get("X-Server") || r.header.Get("Set-Cookie") != "" {
			t.Errorf("from %v to %v", mine.header, r.header)
		}
		if r := w.ask(w.client(""), "GET", "/", "Cookie: SRV=other"); cookieOf(r) == "" {
			t.Errorf("the client is not told its server: %v", r.header)
		}
	}
}

func note(in map[string]map[string]bool, key, value string) {
	if in[key] == nil {
		in[key] = map[string]bool{}
	}
	in[key][value] = true
}

// A server connection that breaks under a private session is replaced, not shared.
func TestPrivateConnectionIsReplaced(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		var once sync.Once
		back := newTally(t, over, func(c *tallyConn, r *http.Request) bool {
			c.answer("200 OK", c.facts()...)
			end := false
			once.Do(func() { end = true })
			return !end
		})
		w := start(t, setup{over: over, servers: []*origin{back.origin}, backend: `reuse = "never"`})
		u := w.client("")
		for i, want := range []string{"1", "2", "2"} {
			if got := w.ask(u, "POST", "/").header.Get("X-Conn"); got != want {
				t.Errorf("request %d is on connection %s, want %s", i, got, want)
			}
			w.wantMetric(1, "weir_server_connections_closed_total", "cause", "peer-closed")
		}
	})
}
