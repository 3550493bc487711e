package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"testing"
)

const staleAnswer = `weir; error=connection_terminated; details="stale-connection"`

// idle leaves a server connection in the pool: used once, and proven.
func idle(t *testing.T, w *weir, back *origin) (client, server *peer) {
	t.Helper()
	client = w.dial()
	client.ask("GET /first HTTP/1.1", host)
	server = back.serve()
	client.response().want(t, ok)
	w.wantMetric(1, "weir_server_connections", "state", "idle")
	return client, server
}

// A server that closes a connection just as it is used again has not answered. Whether it has acted nobody knows, so only
// what may be done twice is sent again.
func TestStaleConnection(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, backend: `reuse = "always"`})

		client, server := idle(t, w, back)
		client.ask("GET /again HTTP/1.1", host)
		server.request()
		server.close()
		server = back.accept()
		server.request().want(t, "GET /again HTTP/1.1", host)
		server.answer(ok, hello...)
		client.response().want(t, ok, "", "hello")

		client.ask("PUT /again HTTP/1.1", host, "Content-Length: 5", "", "hello")
		server.request()
		server.abort()
		server = back.accept()
		server.request().want(t, "PUT /again HTTP/1.1", "", "hello") // with its body
		server.answer(ok, hello...)
		client.response().want(t, ok, "", "hello")

		client.ask("POST /once HTTP/1.1", host, "Content-Length: 5", "", "hello")
		server.request()
		server.close()
		client.response().want(t, "HTTP/1.1 502 Bad Gateway", "Proxy-Status: "+staleAnswer, "", "stale-connection\n")
		if n := back.connections(); n != 3 {
			t.Errorf("%d connections: the POST was sent again", n)
		}
		w.wantMetric(2, "weir_retries_total", "reason", "stale-connection", "outcome", "success")
		w.wantMetric(1, "weir_retries_total", "reason", "stale-connection", "outcome", "refused")
		w.wantMetric(3, "weir_server_connections_closed_total", "cause", "stale-on-use")
	})
}

// A fresh connection cannot be stale: a server that closes it has refused, and a second try would do no better.
func TestServerClosesAFreshConnection(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, backend: `reuse = "always"`})
		client := w.dial()
		client.ask("GET / HTTP/1.1", host)
		server := back.accept()
		server.request()
		server.close()
		client.response().want(t, "HTTP/1.1 502 Bad Gateway", `Proxy-Status: weir; error=connection_terminated; details="server-closed"`)
		if n := back.connections(); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

// Once a byte of the response has come the connection was alive.
func TestServerClosesInsideAHead(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, backend: `reuse = "always"`})
		client, server := idle(t, w, back)
		client.ask("GET / HTTP/1.1", host)
		server.request()
		server.send("HTTP/1.1 200 O")
		server.close()
		client.response().want(t, "HTTP/1.1 502 Bad Gateway", `Proxy-Status: weir; error=http_protocol_error; details="bad-response"`)
	})
}

// A body that is larger than what is kept for a retry cannot be sent again.
func TestStaleConnectionWithABodyTooLargeToKeep(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, backend: `reuse = "always"`})
		client, server := idle(t, w, back)
		const size = 300 << 10
		client.send(fmt.Sprintf("PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\n\r\n", size))
		client.asked = []string{"PUT"}
		transfer(t, func() error {
			_, err := io.Copy(client.conn, noise(1, size))
			return err
		}, func() error {
			_, err := http.ReadRequest(bufio.NewReader(server.conn))
			if err == nil {
				_, err = io.CopyN(io.Discard, server.conn, 200<<10)
			}
			return err
		})
		server.close()
		client.response().want(t, "HTTP/1.1 502 Bad Gateway", "Proxy-Status: "+staleAnswer)
	})
}
