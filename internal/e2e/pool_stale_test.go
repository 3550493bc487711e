package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A server ends idle connections when it likes, under load. A request that meets the end on its way was never delivered:
// what may be sent again is, and the client does not notice; what may not is answered with a word of its own.
func TestServerClosesIdleConnectionsUnderLoad(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		for _, how := range []string{"close", "reset"} {
			t.Run(how, func(t *testing.T) {
				t.Parallel()
				testClosesUnderLoad(t, over, how == "reset")
			})
		}
	})
}

func testClosesUnderLoad(t *testing.T, over transport, reset bool) {
	back := newTally(t, over, func(c *tallyConn, r *http.Request) bool {
		if !c.answer("200 OK", c.facts()...) {
			return false
		}
		if rand.IntN(3) > 0 {
			return true
		}
		// Gone is what arrives between this deadline and the close: those are the requests that were never read.
		_ = c.Conn.SetReadDeadline(time.Now().Add(time.Duration(rand.IntN(400)) * time.Microsecond))
		_, err := c.in.Peek(1)
		_ = c.Conn.SetReadDeadline(time.Time{})
		if err == nil {
			return true
		}
		if reset {
			_ = c.raw.(interface{ SetLinger(int) error }).SetLinger(0)
		}
		return false
	})
	s := poolSetup(over, back, "")
	w := start(t, s)
	var heard outcomes
	var ids atomic.Int64
	stop := time.Now().Add(1500 * time.Millisecond)
	crowd(24, func(i int) {
		u, err := w.user("")
		if err != nil {
			heard.add(err.Error())
			return
		}
		defer func() { u.close() }()
		for n := 0; time.Now().Before(stop); n++ {
			method := []string{"GET", "POST", "GET", "PUT"}[n%4]
			r, err := u.try(method, fmt.Sprintf("/%s/%d", method, ids.Add(1)))
			if err != nil {
				heard.add(method + " " + err.Error())
				return
			}
			word := fmt.Sprint(method, " ", r.status)
			if r.status != 200 {
				word += " " + r.proxyReason()
			}
			heard.add(word)
			if r.close {
				heard.add("told to close 200")
				u.close()
				if u, err = w.user(""); err != nil {
					heard.add(err.Error())
					return
				}
			}
			time.Sleep(time.Duration(rand.IntN(500)) * time.Microsecond) // how much rests when the server closes is the test
		}
	})
	for word, n := range heard.n {
		if !strings.HasSuffix(word, " 200") && word != "POST 502 stale-connection" {
			t.Errorf("%d times %s", n, word)
		}
	}
	back.mu.Lock()
	defer back.mu.Unlock()
	for target, n := range back.seen {
		if n != 1 {
			t.Errorf("the server got %s %d times", target, n)
		}
	}
	m, err := w.metrics()
	if err != nil {
		t.Fatal(err)
	}
	stale := m.sum("weir_server_connections_closed_total", "cause", "stale-on-use")
	retried := m.sum("weir_retries_total", "reason", "stale-connection", "outcome", "success")
	refused := m.sum("weir_retries_total", "reason", "stale-connection", "outcome", "refused")
	if int(refused) != heard.n["POST 502 stale-connection"] {
		t.Errorf("%v retries refused, %d POSTs answered 502", refused, heard.n["POST 502 stale-connection"])
	}
	t.Logf("%v; %v stale on use, %v retried, %v refused, %v closed while idle", heard.n, stale, retried, refused,
		m.sum("weir_server_connections_closed_total", "cause", "peer-closed")+m.sum("weir_server_connections_closed_total", "cause", "peer-reset"))
}

// One reused connection that ends when a request comes: what each method gets, and that a body is sent again whole.
func TestStaleConnectionByMethod(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		for _, c := range []struct {
			request string
			replays bool
		}{
			{"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", true},
			{"PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc", true},
			{"DELETE / HTTP/1.1\r\nHost: a.example\r\n\r\n", true},
			{"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc", false},
			{"PATCH / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc", false},
			{"PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 300000\r\n\r\n" + strings.Repeat("x", 300_000), false},
		} {
			method, _, _ := strings.Cut(c.request, " ")
			t.Run(fmt.Sprintf("%s,%d", method, len(c.request)), func(t *testing.T) {
				t.Parallel()
				back := listen(t, over)
				w := start(t, setup{over: over, servers: []*origin{back}, backend: `reuse = "always"`})
				client := w.dial()
				client.ask("GET /first HTTP/1.1", host)
				server := back.serve()
				client.response()
				client.asked = []string{method}
				sent := make(chan error, 1)
				go func() { sent <- client.trySend(c.request) }()
				server.upto("\r\n\r\n")
				if len(c.request) > 1000 {
					server.bytes(strings.Repeat("x", 200_000)) // more than is held for another try
				}
				server.abort()
				if !c.replays {
					m := client.response().want(t, "HTTP/1.1 502 Bad Gateway")
					if !strings.Contains(m.get("Proxy-Status"), "stale-connection") {
						t.Errorf("Proxy-Status: %s", m.get("Proxy-Status"))
					}
					w.wantMetric(1, "weir_retries_total", "reason", "stale-connection", "outcome", "refused")
				} else {
					again := back.accept()
					m := again.request()
					if _, body, _ := strings.Cut(c.request, "\r\n\r\n"); string(m.body) != body {
						t.Errorf("the body comes again as %q", clip(m.body))
					}
					again.answer(ok, hello...)
					client.response().want(t, ok, "", "hello")
					w.wantMetric(1, "weir_retries_total", "reason", "stale-connection", "outcome", "success")
					w.wantMetric(1, "weir_server_connections_opened_total", "why", "retry")
				}
				<-sent
				w.wantMetric(1, "weir_server_connections_closed_total", "cause", "stale-on-use")
			})
		}
	})
}

// Everything that ends a server connection is told apart.
func TestCausesOfClose(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		for _, c := range []struct {
			cause string
			keys  string
			play  func(t *testing.T, w *weir, client, server *peer)
		}{
			{"peer-closed", "", func(t *testing.T, w *weir, client, server *peer) { server.close() }},
			{"peer-reset", "", func(t *testing.T, w *weir, client, server *peer) { server.abort() }},
			{"protocol-error", "", func(t *testing.T, w *weir, client, server *peer) { server.send("HTTP/1.1 200 OK\r\n\r\n") }},
			{"stale-on-use", "", func(t *testing.T, w *weir, client, server *peer) {
				client.ask("POST / HTTP/1.1", host, "Content-Length: 0")
				server.request()
				server.abort()
				client.response().want(t, "HTTP/1.1 502 Bad Gateway")
			}},
			{"timeout", "timeouts = \"short\"", func(t *testing.T, w *weir, client, server *peer) {
				client.ask("GET / HTTP/1.1", host)
				server.request()
				client.response().want(t, "HTTP/1.1 504 Gateway Timeout")
			}},
			{"drain", "", func(t *testing.T, w *weir, client, server *peer) {
				w.done("set", "server", "api/s1", "state", "maint")
			}},
			{"session-end", "multiplex = false", func(t *testing.T, w *weir, client, server *peer) { client.close() }},
			{"idle-purge", `pool-purge-delay = "100ms"`, func(t *testing.T, w *weir, client, server *peer) {}},
			{"max-age", `pool-max-age = "300ms"`, func(t *testing.T, w *weir, client, server *peer) {}},
			{"pool-max", `pool-max-conn = 0`, func(t *testing.T, w *weir, client, server *peer) {}},
			{"max-reuse", `max-reuse = 1`, func(t *testing.T, w *weir, client, server *peer) {}},
		} {
			t.Run(c.cause, func(t *testing.T) {
				t.Parallel()
				back := listen(t, over)
				w := start(t, setup{over: over, servers: []*origin{back}, backend: "reuse = \"always\"\n" + c.keys,
					tables: "[timeouts.short]\nserver = \"200ms\""})
				client := w.dial()
				client.ask("GET / HTTP/1.1", host)
				server := back.serve()
				client.response()
				c.play(t, w, client, server)
				w.wantMetric(1, "weir_server_connections_closed_total", "cause", c.cause)
				if n := w.metric("weir_server_connections_closed_total"); n != 1 {
					t.Errorf("%v connections were closed", n)
				}
				server.gone()
			})
		}
	})
}
