package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"testing"
)

// A client that leaves in the middle of its request takes the server connection with it, and nothing else.
func TestClientLeavesMidRequest(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, backend: `reuse = "always"`})
		for _, leave := range []func(*peer){(*peer).close, (*peer).abort} {
			client := w.dial()
			client.ask("POST / HTTP/1.1", host, "Content-Length: 100", "", "half")
			server := back.accept()
			server.requestHead()
			server.bytes("half")
			leave(client)
			server.gone()
			w.wantMetric(0, "weir_frontend_connections")
			w.wantMetric(0, "weir_server_connections")
		}
		client := w.dial()
		client.ask("GET / HTTP/1.1", host)
		back.serve()
		client.response().want(t, ok)
	})
}

func TestClientLeavesInsideAHead(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}})
		client := w.dial()
		client.send("GET / HTTP/1.1\r\nHost: a.ex")
		client.close()
		client = w.dial()
		client.send("GET / HTTP/1.1\r\nHost: a.ex")
		client.abort()
		w.wantMetric(0, "weir_frontend_connections")
		if back.connections() != 0 {
			t.Error("half a head has reached the server")
		}
	})
}

func TestClientLeavesBeforeTheResponse(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}})
		client := w.dial()
		client.ask("GET / HTTP/1.1", host)
		server := back.accept()
		server.request()
		client.abort()
		server.gone()
		w.wantMetric(1, "weir_requests_total", "code", "none")
	})
}

func TestClientLeavesMidResponse(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}})
		client := w.dial()
		client.ask("GET / HTTP/1.1", host)
		server := back.accept()
		server.request()
		server.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nsome")
		client.responseHead()
		client.bytes("some")
		client.abort()
		server.gone()
	})
}

// A client that ends its direction behind its request still wants the response.
func TestClientHalfClosesBehindItsRequest(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		client := start(t, setup{over: over, servers: []*origin{back}}).dial()
		client.ask("GET / HTTP/1.1", host)
		client.finish()
		back.serve()
		m := client.response().want(t, ok, "", "hello")
		if over == plain { // a FIN is seen at once, close_notify when it is read
			m.want(t, ok, "Connection: close")
		}
		client.end()
	})
}

// What a client has sent before it ended its direction is served, pipelined or not.
func TestClientHalfClosesBehindSeveralRequests(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		client := start(t, setup{over: over, servers: []*origin{back}, backend: `reuse = "always"`}).dial()
		client.ask("GET /1 HTTP/1.1", host)
		server := back.accept()
		server.request()
		client.ask("POST /2 HTTP/1.1", host, "Content-Length: 5", "", "hello") // while the first is served
		client.finish()
		server.answer(ok, hello...)
		client.response().want(t, ok, "", "hello")
		server.serve().want(t, "POST /2 HTTP/1.1", "", "hello")
		client.response().want(t, ok, "", "hello")
		client.end()
	})
}

// The end of the client's direction lies behind a body that its server has not taken yet.
func TestClientHalfClosesBehindALongRequest(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		const size = 4 * megabyte
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, frontend: useShort, tables: roomy("client-fin")})
		client := w.dial()
		client.send(fmt.Sprintf("PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\n\r\n", size))
		client.asked = []string{"PUT"}
		server := back.accept()
		sent := &counted{Reader: noise(8, size)}
		transfer(t, func() error {
			if _, err := io.Copy(client.conn, sent); err != nil {
				return err
			}
			client.finish()
			return nil
		}, func() error {
			sent.pauses(beyondRoomy)
			r, err := http.ReadRequest(bufio.NewReader(server.conn))
			if err != nil {
				return err
			}
			return wantSum("request", r.Body, 8, size)
		})
		server.answer(ok, hello...)
		client.response().want(t, ok, "", "hello")
	})
}

// A response that is cut short must look cut short, whatever frames it.
func TestServerDiesMidResponse(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}})
		for name, body := range map[string][]string{
			"length":  {"Content-Length: 10", "", "hello"},
			"chunked": {"Transfer-Encoding: chunked", "", "5\r\nhello\r\n"},
		} {
			for _, die := range []func(*peer){(*peer).close, (*peer).abort} {
				client := w.dial()
				client.ask("GET / HTTP/1.1", host)
				server := back.accept()
				server.request()
				server.answer(ok, body...)
				client.responseHead()
				die(server)
				client.drain()
				if got := string(client.in); got != "hello" && got != "5\r\nhello\r\n" {
					t.Errorf("%s: the client gets %q", name, got)
				}
			}
		}
		w.wantMetric(0, "weir_server_connections")
	})
}

// An HTTP/1.0 client sees the end of a body as the end of the connection. If the body is cut short, that end is a RST.
func TestServerDiesMidResponseToHTTP10(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}})
		client := w.dial()
		client.ask("GET / HTTP/1.0", host)
		server := back.accept()
		server.request()
		server.answer(ok, "Transfer-Encoding: chunked", "", "5\r\nhello\r\n")
		client.responseHead().want(t, ok, "-Content-Length", "-Transfer-Encoding")
		client.bytes("hello")
		server.close()
		client.reset()
	})
}

// A response that ends with its connection is whole at a FIN and cut short at a RST.
func TestResponseUntilCloseCutShort(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}})
		client := w.dial()
		client.ask("GET / HTTP/1.1", host)
		server := back.accept()
		server.request()
		server.answer(ok, "", "hello")
		client.responseHead().want(t, ok, "Transfer-Encoding: chunked")
		client.bytes("5\r\nhello\r\n")
		server.abort()
		client.drain()
		if len(client.in) > 0 {
			t.Errorf("behind what was cut short comes %q", client.in)
		}
	})
}

// Over TLS the end of the stream is close_notify: a body that ends with the connection is whole with it and cut short
// without (RFC 8446 section 6.1).
func TestResponseUntilCloseOverTLS(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, tlsed)
		w := start(t, setup{over: over, servers: []*origin{back}})
		client := w.dial()
		client.ask("GET / HTTP/1.1", host)
		server := back.accept()
		server.request()
		server.answer(ok, "", "hello")
		server.close() // says close_notify
		client.response().want(t, ok, "", "hello")

		client.ask("GET / HTTP/1.1", host)
		server = back.accept()
		server.request()
		server.answer(ok, "", "hello")
		client.responseHead()
		client.bytes("5\r\nhello\r\n")
		server.closeWithoutGoodbye()
		client.drain()
		if len(client.in) > 0 {
			t.Errorf("behind what was cut short comes %q", client.in)
		}

		// A client of HTTP/1.0 has nothing but the end of the connection to go by.
		client = w.dial()
		client.ask("GET / HTTP/1.0", host)
		server = back.accept()
		server.request()
		server.answer(ok, "", "hello")
		client.responseHead()
		client.bytes("hello")
		server.closeWithoutGoodbye()
		client.reset()
	})
}

func TestBadResponses(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, backend: `reuse = "always"`})
		client := w.dial()
		for _, bad := range []string{
			"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
			"HTTP/1.1 20 OK\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n", "not HTTP at all\r\n\r\n",
			"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
		} {
			client.ask("GET / HTTP/1.1", host)
			server := back.accept() // a new one each time: none was kept
			server.request()
			server.send(bad)
			client.response().want(t, "HTTP/1.1 502 Bad Gateway", `Proxy-Status: weir; error=http_protocol_error; details="bad-response"`,
				"-Connection", "", "bad-response\n")
			server.gone()
		}
		w.wantMetric(7, "weir_server_connections_closed_total", "cause", "protocol-error")
	})
}

// Bytes behind a response can only be taken for the next one.
func TestBytesBehindAResponse(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, backend: `reuse = "always"`})
		client := w.dial()
		client.ask("GET /1 HTTP/1.1", host)
		server := back.accept()
		server.request()
		server.answer(ok, append(hello, "HTTP/1.1 200 OK\r\nX-Evil: 1\r\nContent-Length: 0\r\n\r\n")...)
		client.response().want(t, ok, "", "hello")
		server.gone()
		client.ask("GET /2 HTTP/1.1", host)
		back.serve()
		client.response().want(t, ok, "-X-Evil", "", "hello")
	})
}

// What a server sends on an idle connection ends it before anyone can be given it.
func TestBytesOnAnIdleConnection(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, backend: `reuse = "always"`})
		client := w.dial()
		client.ask("GET /1 HTTP/1.1", host)
		server := back.serve()
		client.response()
		server.send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
		server.gone()
		w.wantMetric(0, "weir_server_connections")
		client.ask("GET /2 HTTP/1.1", host)
		back.serve()
		client.response().want(t, ok)
	})
}

func TestServerEndsItsIdleConnection(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, backend: `reuse = "always"`})
		client := w.dial()
		client.ask("GET /1 HTTP/1.1", host)
		server := back.serve()
		client.response()
		w.wantMetric(1, "weir_server_connections", "state", "idle")
		server.close()
		w.wantMetric(1, "weir_server_connections_closed_total", "cause", "peer-closed")
		client.ask("GET /2 HTTP/1.1", host)
		back.serve()
		client.response().want(t, ok)
	})
}

// A server that says Connection: close is taken at its word, before it acts.
func TestServerSaysClose(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, backend: `reuse = "always"`})
		client := w.dial()
		client.ask("GET /1 HTTP/1.1", host)
		server := back.accept()
		server.request()
		server.answer(ok, "Connection: close", "Content-Length: 0")
		client.response().want(t, ok, "-Connection")
		server.end()
		client.ask("GET /2 HTTP/1.1", host)
		server = back.accept()
		server.request()
		server.answer("HTTP/1.0 200 OK", "Content-Length: 0") // HTTP/1.0 closes without a word
		client.response().want(t, ok, "-Connection")
		server.end()
	})
}
