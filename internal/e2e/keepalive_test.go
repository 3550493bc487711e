package e2e

import (
	"strings"
	"testing"
)

const (
	ok   = "HTTP/1.1 200 OK"
	host = "Host: a.example"
)

// hello is a response that keeps the connection.
var hello = []string{"Content-Length: 5", "", "hello"}

// serve accepts a connection, reads a request and answers it with hello.
func (o *origin) serve() *peer {
	o.t.Helper()
	p := o.accept()
	p.serve()
	return p
}

// serveOne is serve for who wants to see the request.
func (o *origin) serveOne() *message {
	o.t.Helper()
	return o.accept().serve()
}

// serve reads a request and answers it with hello.
func (p *peer) serve() *message {
	p.t.Helper()
	m := p.request()
	p.answer(ok, hello...)
	return m
}

func TestRequestAndResponse(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		client := start(t, setup{over: over, servers: []*origin{back}}).dial()

		client.ask("GET /a?b=c HTTP/1.1", host, "X-Mine: yes")
		server := back.accept()
		server.request().want(t, "GET /a?b=c HTTP/1.1", host, "X-Mine: yes", "Via: 1.1 weir",
			"-Connection", "-Content-Length", "-Transfer-Encoding")
		server.answer(ok, "Content-Length: 5", "X-Theirs: yes", "", "hello")
		client.response().want(t, ok, "Content-Length: 5", "X-Theirs: yes", "-Connection", "", "hello")
	})
}

func TestKeepAlive(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, backend: `reuse = "always"`})
		client := w.dial()

		client.ask("GET /1 HTTP/1.1", host)
		server := back.serve()
		client.response().want(t, ok, "-Connection")
		client.ask("POST /2 HTTP/1.1", host, "Content-Length: 3", "", "abc")
		server.serve().want(t, "POST /2 HTTP/1.1", "Content-Length: 3", "", "abc")
		client.response().want(t, ok, "-Connection", "", "hello")

		client.ask("GET /3 HTTP/1.1", host, "Connection: close")
		server.serve().want(t, "GET /3 HTTP/1.1", "-Connection")
		client.response().want(t, ok, "Connection: close", "", "hello")
		client.end()
		w.wantMetric(3, "weir_requests_total", "frontend", "web", "backend", "api", "code", "2xx")
	})
}

func TestFieldsNamedByConnectionStayBehind(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		client := start(t, setup{over: over, servers: []*origin{back}}).dial()

		client.ask("GET / HTTP/1.1", host, "Connection: keep-alive, X-Hop", "X-Hop: 1", "Keep-Alive: timeout=5",
			"Proxy-Connection: keep-alive", "TE: gzip", "X-End: 1")
		server := back.accept()
		server.request().want(t, "GET / HTTP/1.1", "-X-Hop", "-Keep-Alive", "-Proxy-Connection", "-TE", "-Connection", "X-End: 1")
		server.answer(ok, "Content-Length: 0", "Connection: X-Back", "X-Back: 1", "Keep-Alive: timeout=5", "X-End: 2")
		client.response().want(t, ok, "-X-Back", "-Keep-Alive", "-Connection", "X-End: 2")
	})
}

func TestPipelining(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		client := start(t, setup{over: over, servers: []*origin{back}, backend: `reuse = "always"`}).dial()

		client.asked = []string{"GET", "POST", "HEAD", "GET"}
		client.send(
			"GET /1 HTTP/1.1\r\nHost: a.example\r\n\r\n",
			"POST /2 HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc",
			"HEAD /3 HTTP/1.1\r\nHost: a.example\r\n\r\n",
			"GET /4 HTTP/1.1\r\nHost: a.example\r\n\r\n")
		server := back.accept()
		server.request().want(t, "GET /1 HTTP/1.1")
		server.quiet() // one at a time: what follows has not been asked yet
		server.answer(ok, "Content-Length: 1", "", "1")
		server.request().want(t, "POST /2 HTTP/1.1", "", "abc")
		server.answer(ok, "Transfer-Encoding: chunked", "", "1\r\n2\r\n0\r\n\r\n")
		server.request().want(t, "HEAD /3 HTTP/1.1")
		server.answer(ok, "Content-Length: 33")
		server.request().want(t, "GET /4 HTTP/1.1")
		server.answer(ok, "Content-Length: 1", "", "4")

		client.response().want(t, ok, "", "1")
		client.response().want(t, ok, "", "2")
		client.response().want(t, ok, "Content-Length: 33", "", "")
		client.response().want(t, ok, "", "4")
	})
}

func TestPipelinedRequestsThatWereReadTogetherWithABody(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		client := start(t, setup{over: over, servers: []*origin{back}, backend: `reuse = "always"`}).dial()

		client.send("POST /1 HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", "c\r\n0\r\n\r\nGET /2 HT")
		client.asked = []string{"POST", "GET"}
		server := back.accept()
		server.request().want(t, "POST /1 HTTP/1.1", "", "abc")
		client.send("TP/1.1\r\nHost: a.example\r\n\r\n")
		server.answer(ok, hello...)
		server.serve().want(t, "GET /2 HTTP/1.1")
		client.response()
		client.response()
	})
}

func TestHTTP10(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}})

		// Without keep-alive the connection ends with the response; a body of unknown length ends with it too.
		client := w.dial()
		client.ask("GET /1 HTTP/1.0", host)
		server := back.accept()
		server.request().want(t, "GET /1 HTTP/1.1", host)
		server.answer(ok, "Transfer-Encoding: chunked", "", "5\r\nhello\r\n0\r\n\r\n")
		client.response().want(t, "HTTP/1.1 200 OK", "-Transfer-Encoding", "-Content-Length", "", "hello")
		client.end()

		// With it the connection goes on, if the length is known.
		client = w.dial()
		client.ask("GET /2 HTTP/1.0", host, "Connection: keep-alive")
		server = back.serve()
		client.response().want(t, ok, "Connection: keep-alive", "Content-Length: 5", "", "hello")
		client.ask("GET /3 HTTP/1.0", host)
		server.request().want(t, "GET /3 HTTP/1.1")
		// An HTTP/1.0 client knows no interim responses.
		server.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
		server.answer(ok, hello...)
		client.response().want(t, ok, "Connection: close", "", "hello")
		client.end()
	})
}

func TestHTTP10WithoutHost(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		client := start(t, setup{over: over, servers: []*origin{back}}).dial()
		client.ask("GET / HTTP/1.0")
		server := back.accept()
		if got := server.request().get("Host"); got != back.addr {
			t.Errorf("Host: %q, want the server's own address", got)
		}
		server.answer(ok, hello...)
		client.response().want(t, ok, "", "hello")
	})
}

func TestResponsesWithoutBody(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		client := start(t, setup{over: over, servers: []*origin{back}, backend: `reuse = "always"`}).dial()

		client.ask("HEAD /1 HTTP/1.1", host)
		server := back.accept()
		server.request().want(t, "HEAD /1 HTTP/1.1")
		server.answer(ok, "Content-Length: 1000")
		client.response().want(t, ok, "Content-Length: 1000", "-Transfer-Encoding")

		client.ask("HEAD /2 HTTP/1.1", host)
		server.request()
		server.answer(ok, "Transfer-Encoding: chunked")
		client.response().want(t, ok, "-Content-Length")

		client.ask("GET /3 HTTP/1.1", host)
		server.request()
		server.answer("HTTP/1.1 204 No Content", "X-A: b")
		client.response().want(t, "HTTP/1.1 204 No Content", "X-A: b", "-Content-Length", "-Transfer-Encoding")

		client.ask("GET /4 HTTP/1.1", host, `If-None-Match: "x"`)
		server.request().want(t, "GET /4 HTTP/1.1", `If-None-Match: "x"`)
		server.answer("HTTP/1.1 304 Not Modified", `ETag: "x"`, "Content-Length: 1000")
		client.response().want(t, "HTTP/1.1 304 Not Modified", `ETag: "x"`)

		client.ask("DELETE /5 HTTP/1.1", host)
		server.request().want(t, "DELETE /5 HTTP/1.1")
		server.answer(ok, "Content-Length: 0")
		client.response().want(t, ok, "Content-Length: 0", "", "")
	})
}

func TestChunksAndTrailersBothWays(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		client := start(t, setup{over: over, servers: []*origin{back}}).dial()

		client.ask("POST / HTTP/1.1", host, "Transfer-Encoding: chunked", "Trailer: X-Sum", "",
			"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n")
		server := back.accept()
		m := server.request().want(t, "POST / HTTP/1.1", "Transfer-Encoding: chunked", "Trailer: X-Sum", "", "abcde")
		if got := values(m.trailers, "X-Sum"); len(got) != 1 || got[0] != "5" {
			t.Errorf("trailers at the server: %v", m.trailers)
		}
		server.answer(ok, "Transfer-Encoding: chunked", "Trailer: X-Sum", "", "4\r\nfghi\r\n0\r\nX-Sum: 4\r\n\r\n")
		m = client.response().want(t, ok, "Transfer-Encoding: chunked", "", "fghi")
		if got := values(m.trailers, "X-Sum"); len(got) != 1 || got[0] != "4" {
			t.Errorf("trailers at the client: %v", m.trailers)
		}
	})
}

// A chunk is passed on when it has come, not when the message is whole.
func TestChunksAreNotHeldBack(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		client := start(t, setup{over: over, servers: []*origin{back}}).dial()

		client.send("POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
		server := back.accept()
		server.requestHead()
		server.bytes("3\r\nabc\r\n")
		server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n")
		client.responseHead()
		client.bytes("2\r\nde\r\n")
		client.send("1\r\nf\r\n")
		server.bytes("1\r\nf\r\n")
		server.send("1\r\ng\r\n")
		client.bytes("1\r\ng\r\n")
		client.send("0\r\n\r\n")
		server.bytes("0\r\n\r\n")
		server.send("0\r\n\r\n")
		client.bytes("0\r\n\r\n")
	})
}

// A response that ends with its connection is re-framed for a client whose connection goes on.
func TestResponseUntilClose(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		client := start(t, setup{over: over, servers: []*origin{back}}).dial()

		client.ask("GET /1 HTTP/1.1", host)
		server := back.accept()
		server.request()
		server.answer(ok, "", "hello")
		server.close()
		client.response().want(t, ok, "Transfer-Encoding: chunked", "-Connection", "", "hello")
		client.ask("GET /2 HTTP/1.1", host)
		back.serve()
		client.response().want(t, ok, "", "hello")
	})
}

func TestHeadsThatComeByteByByte(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		client := start(t, setup{over: over, servers: []*origin{back}}).dial()

		for _, b := range strings.Split("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "") {
			client.send(b)
		}
		client.asked = []string{"GET"}
		server := back.accept()
		server.request().want(t, "GET / HTTP/1.1", host)
		for _, b := range strings.Split("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "") {
			server.send(b)
		}
		client.response().want(t, ok, "", "hello")
	})
}

func TestLargeHeads(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}})
		client := w.dial()

		long := strings.Repeat("x", 60_000) // max-head-size is 64 KiB
		client.ask("GET / HTTP/1.1", host, "X-Long: "+long)
		server := back.accept()
		server.request().want(t, "GET / HTTP/1.1", "X-Long: "+long)
		longer := strings.Repeat("y", 120_000)
		server.answer(ok, "Content-Length: 0", "X-Long: "+longer)
		client.response().want(t, ok, "X-Long: "+longer)

		client.ask("GET / HTTP/1.1", host, "X-Long: "+long, "X-Longer: "+long)
		client.response().want(t, "HTTP/1.1 431 Request Header Fields Too Large", "Connection: close")
		client.end()
	})
}
