package e2e

import "testing"

const expects = "Expect: 100-continue"

func TestExpectContinue(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		client := start(t, setup{over: over, servers: []*origin{back}}).dial()

		client.ask("POST / HTTP/1.1", host, "Content-Length: 5", expects)
		server := back.accept()
		m := server.requestHead().want(t, "POST / HTTP/1.1", "Content-Length: 5")
		if !m.has("Expect") {
			t.Error("the server does not learn what the client expects")
		}
		client.quiet() // weir promises nothing in the server's name
		server.send("HTTP/1.1 100 Continue\r\n\r\n")
		client.response().want(t, "HTTP/1.1 100 Continue")
		client.asked = []string{"POST"}
		client.send("hello")
		server.bytes("hello")
		server.answer(ok, "Content-Length: 2", "", "ok")
		client.response().want(t, ok, "-Connection", "", "ok")
	})
}

// The client may send its body without waiting for long (RFC 9110 section 10.1.1).
func TestExpectWithABodyThatDoesNotWait(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		client := start(t, setup{over: over, servers: []*origin{back}}).dial()

		client.ask("POST / HTTP/1.1", host, "Content-Length: 5", expects, "", "hello")
		server := back.accept()
		server.request().want(t, "POST / HTTP/1.1", "", "hello")
		server.answer(ok, "Content-Length: 2", "", "ok")
		client.response().want(t, ok, "-Connection", "", "ok")
	})
}

// A final status instead of 100: whether the body follows is the client's to decide, so the connection cannot go on.
func TestExpectRefusedByTheServer(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}})
		for _, start := range []string{"HTTP/1.1 417 Expectation Failed", "HTTP/1.1 403 Forbidden", "HTTP/1.1 200 OK"} {
			client := w.dial()
			client.ask("POST / HTTP/1.1", host, "Content-Length: 5", expects)
			server := back.accept()
			server.requestHead()
			server.answer(start, "Content-Length: 2", "", "no")
			client.response().want(t, start, "Connection: close", "", "no")
			client.end()
			server.gone() // it may still wait for the body
		}
	})
}

func TestExpectationThatNobodyKnows(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		client := start(t, setup{over: over, servers: []*origin{back}}).dial()
		client.ask("POST / HTTP/1.1", host, "Content-Length: 0", "Expect: a-miracle")
		client.response().want(t, "HTTP/1.1 417 Expectation Failed", `Proxy-Status: weir; error=http_request_error; details="expectation-failed"`)
		if back.connections() != 0 {
			t.Error("it has reached the server")
		}
	})
}

func TestInterimResponsesPass(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		client := start(t, setup{over: over, servers: []*origin{back}}).dial()

		client.ask("GET / HTTP/1.1", host)
		server := back.accept()
		server.request()
		server.send("HTTP/1.1 100 Continue\r\n\r\n") // nobody asked for it: it stays behind
		server.send("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
		client.response().want(t, "HTTP/1.1 102 Processing")
		client.asked = []string{"GET"}
		client.response().want(t, "HTTP/1.1 103 Early Hints", "Link: </a.css>; rel=preload", "-Content-Length")
		client.asked = []string{"GET"}
		server.answer(ok, hello...)
		client.response().want(t, ok, "", "hello")
	})
}

// The operator's early hints come before the response of a page, and do not wait for the server.
func TestEarlyHints(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		client := start(t, setup{over: over, servers: []*origin{back}, backend: `early-hints = ["</a.css>; rel=preload; as=style"]`}).dial()

		client.ask("GET / HTTP/1.1", host, "Sec-Fetch-Dest: document", "Sec-Fetch-Mode: navigate", "Accept: text/html")
		server := back.accept()
		server.request()
		client.response().want(t, "HTTP/1.1 103 Early Hints", "Link: </a.css>; rel=preload; as=style")
		client.asked = []string{"GET"}
		server.answer(ok, hello...)
		client.response().want(t, ok, "", "hello")
	})
}
