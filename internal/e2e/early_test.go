package e2e

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

// A server may answer before the request is whole. Its client gets the answer, and neither connection goes on: what is left
// of the request would be read as the next one.
func TestEarlyResponse(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, backend: `reuse = "always"`})
		client := w.dial()
		client.ask("POST / HTTP/1.1", host, "Content-Length: 100", "", "the first part")
		server := back.accept()
		server.requestHead()
		server.bytes("the first part")
		server.answer("HTTP/1.1 403 Forbidden", "Content-Length: 2", "", "no")
		client.response().want(t, "HTTP/1.1 403 Forbidden", "Connection: close", "", "no")
		client.end()
		server.gone()
		w.wantMetric(0, "weir_server_connections")
	})
}

// A client that goes on sending what nobody wants still gets the answer, not a RST that would take it away (RFC 9112
// section 9.6).
func TestEarlyResponseWhileTheBodyComes(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		client := start(t, setup{over: over, servers: []*origin{back}}).dial()
		const size = 2 * megabyte
		client.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\n\r\n", size))
		client.asked = []string{"POST"}
		server := back.accept()
		server.requestHead()
		server.answer("HTTP/1.1 413 Content Too Large", "Content-Length: 2", "", "no")
		if _, err := io.Copy(client.conn, noise(7, size)); err != nil {
			t.Errorf("the body cannot be sent to its end: %v", err)
		}
		client.response().want(t, "HTTP/1.1 413 Content Too Large", "Connection: close", "", "no")
		client.end()
	})
}

// The response may begin early and flow while the request does.
func TestResponseWhileTheRequestFlows(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		client := start(t, setup{over: over, servers: []*origin{back}, backend: `reuse = "always"`}).dial()
		client.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10\r\n\r\n")
		client.asked = []string{"POST"}
		server := back.accept()
		server.requestHead()
		server.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
		for i := range 10 {
			b := fmt.Sprint(i)
			client.send(b)
			server.bytes(b)
			server.send(b)
		}
		client.response().want(t, ok, "", "0123456789")
		client.ask("GET / HTTP/1.1", host)
		server.serve()
		client.response().want(t, ok)
	})
}

// The server dies while the body is still coming, after it has answered: the answer counts.
func TestEarlyResponseFromAServerThatResets(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		client := start(t, setup{over: over, servers: []*origin{back}}).dial()
		client.ask("POST / HTTP/1.1", host, "Content-Length: 1000000", "", strings.Repeat("x", 1000))
		server := back.accept()
		server.requestHead()
		server.answer("HTTP/1.1 401 Unauthorized", "Content-Length: 2", "WWW-Authenticate: Basic", "Connection: close", "", "no")
		server.close() // with input unread: the kernel sends a RST
		client.response().want(t, "HTTP/1.1 401 Unauthorized", "Connection: close", "", "no")
		client.end()
	})
}
