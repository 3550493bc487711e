package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// chatOrigin speaks HTTP/1 and HTTP/2, and WebSocket over HTTP/1 only, as most servers do: net/http offers no extended
// CONNECT. It says of each request which version it came in.
func chatOrigin(t *testing.T) *origin {
	return goOrigin(t, protocols{over: tlsed, h1: true, h2: true}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" {
			_, _ = io.WriteString(w, r.Proto)
			return
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n",
			acceptOf(r.Header.Get("Sec-WebSocket-Key")))
		_, _ = io.Copy(conn, rw) // an echo
	}))
}

// A server that speaks HTTP/2 but has not offered extended CONNECT (RFC 8441 section 3) gets its WebSockets over HTTP/1,
// whether one of its HTTP/2 connections is known or not, and its other requests over HTTP/2 as before.
func TestWebSocketToServersWithoutExtendedConnect(t *testing.T) {
	t.Parallel()
	const one = "\nlimits = \"one\"" // an HTTP/2 connection has to make way
	for name, more := range map[string]string{
		"unknown": "", "known": "", "known, one connection": one, "unknown, one connection": one, "known, reuse never": "\nreuse = \"never\"",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			known := strings.HasPrefix(name, "known")
			backend := "h2 = true" + more
			if !strings.Contains(more, "reuse") {
				backend += "\nreuse = \"always\""
			}
			w := start(t, setup{over: plain, servers: []*origin{chatOrigin(t)}, backend: backend, tables: "[limits.one]\nmax-conn = 1"})
			plainly := func() {
				t.Helper()
				c := w.dial()
				c.ask("GET / HTTP/1.1", host)
				c.response().want(t, ok, "", "HTTP/2.0")
				c.close()
			}
			if known {
				plainly()
			}
			for range 2 {
				client := w.dial()
				client.ask("GET /chat HTTP/1.1", upgrades...)
				client.response().want(t, switching, switches...)
				client.send("hello")
				client.bytes("hello")
				client.close()

				streamed := w.dialH2(t)
				streamed.head(1, false, connectH2...)
				if s := streamed.headOf(1); s.get(":status") != "200" {
					t.Fatalf("%v", s.fields)
				}
				streamed.data(1, false, "hello")
				streamed.until("an echo", func() bool { return string(streamed.stream(1).body) == "hello" })
				_ = streamed.conn.Close()
				plainly()
			}
		})
	}
}

// With prior knowledge there is no HTTP/1 to fall back to. What the server has not offered is not sent to it.
func TestWebSocketThatNobodyOffers(t *testing.T) {
	t.Parallel()
	back := listen(t, plain)
	w := start(t, h2cSetup(back, ""))
	client := w.dial()
	client.ask("GET /chat HTTP/1.1", upgrades...)
	server := back.acceptH2()
	client.response().want(t, "HTTP/1.1 501 Not Implemented")
	client.ask("GET / HTTP/1.1", host)
	if s := server.asked(1); s.get(":method") != "GET" || s.get(":protocol") != "" {
		t.Errorf("%v", s.fields)
	}
	server.reply(1)
	client.response().want(t, ok, "", "hello")
}

// A server that answers the Upgrade with a response of its own has opened no tunnel. A 2xx would say to who has asked by
// extended CONNECT that it has (RFC 8441 section 5; RFC 9110 section 9.3.6).
func TestWebSocketAnsweredWithoutASwitch(t *testing.T) {
	t.Parallel()
	back := listen(t, plain)
	w := start(t, setup{over: tlsed, bind: "h3 = true", servers: []*origin{back}, backend: `reuse = "always"`})
	for _, status := range []string{"200 OK", "204 No Content", "206 Partial Content"} {
		client := w.dialH2(t)
		client.head(1, false, connectH2...)
		server := back.accept()
		server.request()
		server.send("HTTP/1.1 " + status + "\r\n\r\n")
		s := client.headOf(1)
		if s.get(":status") != "502" {
			t.Errorf("%s: %v", status, s.fields)
		}
		streamed := h3Tunnel(w.dialH3(t))
		server = back.accept()
		server.request()
		server.send("HTTP/1.1 " + status + "\r\n\r\n")
		if head := streamed.head(); head[":status"] != "502" {
			t.Errorf("%s: %v", status, head)
		}
	}
	client := w.dialH2(t)
	client.head(1, false, connectH2...)
	server := back.accept()
	server.request()
	server.answer("HTTP/1.1 403 Forbidden", "Content-Length: 2", "", "no")
	if s := client.whole(1); s.get(":status") != "403" || string(s.body) != "no" {
		t.Errorf("%v, %q", s.fields, s.body)
	}
}

// NTLM forces HTTP/1 to the server from the first request that carries it, and that one connection was offered no HTTP/2 does
// not make weir believe that the server speaks none.
func TestNTLMGoesOverHTTP1(t *testing.T) {
	t.Parallel()
	w := start(t, setup{over: plain, servers: []*origin{chatOrigin(t)}, backend: "reuse = \"always\"\nh2 = true"})
	for range 2 {
		client := w.dial()
		client.ask("GET / HTTP/1.1", host, "Authorization: NTLM TlRMTVNTUAABAAAA")
		client.response().want(t, ok, "", "HTTP/1.1")
		client.close()
		streamed := w.dialH2(t)
		for id := uint32(1); id < 20; id += 2 {
			streamed.get(id, "/")
		}
		for id := uint32(1); id < 20; id += 2 {
			if s := streamed.whole(id); string(s.body) != "HTTP/2.0" {
				t.Errorf("stream %d: %q", id, s.body)
			}
		}
		_ = streamed.conn.Close()
	}
	w.wantMetric(3, "weir_server_connections_opened_total")
}
