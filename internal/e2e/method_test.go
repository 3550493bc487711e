package e2e

import (
	"strings"
	"testing"
)

func TestMethods(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, backend: `reuse = "always"`})
		client := w.dial()
		client.ask("OPTIONS * HTTP/1.1", host)
		server := back.serve()
		client.response().want(t, ok)
		for _, m := range []string{"OPTIONS", "TRACE", "PATCH", "PROPFIND", "QUERY", "X-MINE"} {
			client.ask(m+" /a HTTP/1.1", host)
			server.serve().want(t, m+" /a HTTP/1.1")
			client.response().want(t, ok, "", "hello")
		}
		client.ask("get / HTTP/1.1", host) // methods are compared with case: this is one of its own
		server.serve().want(t, "get / HTTP/1.1")
		client.response().want(t, ok)
	})
}

// CONNECT is for forward proxies.
func TestConnectIsNotServed(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		client := start(t, setup{over: over, servers: []*origin{back}}).dial()
		client.send("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n")
		m := client.response()
		if m.status() < 400 || m.status() == 502 || back.connections() != 0 {
			t.Errorf("%s", m)
		}
	})
}

// TRACE has no content (RFC 9110 section 9.3.8). That of a stream may still end behind its head: then it is like any other.
func TestTraceOfAStream(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, backend: `reuse = "always"`})
		client := w.dialH2(t)
		client.head(1, false, client.request("TRACE", "/late")...)
		client.data(1, true, "")
		m := back.serveOne().want(t, "TRACE /late HTTP/1.1")
		if m.has("Transfer-Encoding") || m.has("Content-Length") {
			t.Errorf("an empty request became %s", m)
		}
		if s := client.whole(1); s.get(":status") != "200" {
			t.Errorf("an empty TRACE: %v", s.fields)
		}
		client.head(3, false, client.request("TRACE", "/content")...)
		client.data(3, false, "x")
		if s := client.whole(3); s.get(":status") != "400" {
			t.Errorf("TRACE with content: %v", s.fields)
		}
	})
}

func TestH3TraceThatEndsLate(t *testing.T) {
	t.Parallel()
	back := listen(t, plain)
	w := start(t, setup{over: tlsed, bind: "h3 = true", servers: []*origin{back}, backend: `reuse = "always"`})
	client := w.dialH3(t)
	late := client.stream(h3Request("TRACE", "/late"))
	content := client.stream(h3Request("TRACE", "/content"), h3Frame(h3Data, []byte("x")))
	if status, _ := client.answer(content); status != "400" { // by then the other head has been read too
		t.Errorf("TRACE with content: %s", status)
	}
	_ = late.Close()
	back.serveOne().want(t, "TRACE /late HTTP/1.1")
	if status, _ := client.answer(late); status != "200" {
		t.Errorf("an empty TRACE: %s", status)
	}
}

// A request line whose version is none of ours is answered, also where the connection could have begun with the preface of
// HTTP/2. What has nothing of a request line is not: there is no protocol to answer it in.
func TestStrangeVersions(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}})
		for _, line := range []string{
			"GET / http/1.1", "GET / HTTPS/1.1", "GET / HTTP/2.0", "GET / HTTP/11", "GET / ", "GET http://a.example/ X", "OPTIONS * HTTP/0.9",
		} {
			client := w.dial()
			client.send(line + "\r\nHost: a.example\r\n\r\n")
			if m := client.response(); m.status() != 400 {
				t.Errorf("%q: %s", line, m)
			}
			client.end()
		}
		if back.connections() != 0 {
			t.Error("one was passed on")
		}
	})
}

// Max-Forwards bounds TRACE and OPTIONS (RFC 9110 section 7.6.2).
func TestMaxForwards(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, backend: `reuse = "always"`})
		client := w.dial()
		client.ask("OPTIONS / HTTP/1.1", host, "Max-Forwards: 3")
		server := back.accept()
		server.serve().want(t, "OPTIONS / HTTP/1.1", "Max-Forwards: 2")
		client.response().want(t, ok)
		client.ask("GET / HTTP/1.1", host, "Max-Forwards: 0") // other methods pay no heed
		server.serve().want(t, "GET / HTTP/1.1", "Max-Forwards: 0")
		client.response().want(t, ok)
		client.ask("OPTIONS / HTTP/1.1", host, "Max-Forwards: 0")
		if m := client.response(); m.start != "HTTP/1.1 200 OK" || len(m.body) > 20 {
			t.Errorf("%s", m)
		}
		server.quiet()
	})
}

// The largest head that may be configured, and one byte more than the smallest.
func TestMaxHeadSize(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		for _, c := range []struct {
			max  string
			size int
			fits bool
		}{{"128KiB", 127 << 10, true}, {"128KiB", 132 << 10, false}, {"4KiB", 4 << 10, true}, {"4KiB", 4<<10 + 1, false}} {
			w := start(t, setup{over: over, servers: []*origin{back}, frontend: `max-head-size = "` + c.max + `"`})
			client := w.dial()
			head := "GET / HTTP/1.1\r\nHost: a.example\r\n"
			value := strings.Repeat("v", c.size-len(head)-len("X: \r\n\r\n"))
			client.send(head, "X: ", value[:len(value)/2])
			client.send(value[len(value)/2:], "\r\n\r\n")
			client.asked = []string{"GET"}
			if !c.fits {
				client.response().want(t, "HTTP/1.1 431 Request Header Fields Too Large")
				continue
			}
			server := back.accept()
			server.request().want(t, "GET / HTTP/1.1", "X: "+value)
			server.answer(ok, hello...)
			client.response().want(t, ok)
		}
	})
}

// A server that ends its direction without an answer, while the request still comes, will not answer any more.
func TestServerEndsWhileTheRequestComes(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}})
		client := w.dial()
		client.ask("POST / HTTP/1.1", host, "Content-Length: 10", "", "half")
		server := back.accept()
		server.requestHead()
		server.bytes("half")
		server.finish()
		client.response().want(t, "HTTP/1.1 502 Bad Gateway", `Proxy-Status: weir; error=connection_terminated; details="server-closed"`, "Connection: close")
		client.end()
	})
}

// Very many very small chunks, both ways.
func TestTinyChunks(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		client := start(t, setup{over: over, servers: []*origin{back}}).dial()
		const n = 50_000
		body := strings.Repeat("1\r\nx\r\n", n) + "0\r\n\r\n"
		transfer(t, func() error {
			return client.trySend("POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n", body)
		}, func() error {
			client.asked = []string{"POST"}
			client.response().want(t, ok, "", strings.Repeat("y", n))
			return nil
		}, func() error {
			server := back.accept()
			server.request().want(t, "POST / HTTP/1.1", "", strings.Repeat("x", n))
			return server.trySend("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", strings.ReplaceAll(body, "x", "y"))
		})
	})
}
