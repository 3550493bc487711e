package e2e

import "testing"

const ok = "HTTP/1.1 200 OK"

// hello is a response that keeps the connection.
var hello = []string{"Content-Length: 5", "", "hello"}

func TestRequestAndResponse(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		client := start(t, setup{over: over, servers: []*origin{back}}).dial()
		client.ask("GET /a?b=c HTTP/1.1", "Host: a.example", "X-Mine: yes")
		server := back.accept()
		server.request().want(t, "GET /a?b=c HTTP/1.1", "Host: a.example", "X-Mine: yes", "Via: 1.1 weir", "-Connection", "-Content-Length", "-Transfer-Encoding")
		server.answer(ok, hello...)
		client.response().want(t, ok, "Content-Length: 5", "-Connection", "", "hello")
	})
}

