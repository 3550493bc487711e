package e2e

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

// Many requests in one go are answered one by one and in order.
func TestManyPipelinedRequests(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		const n = 2000
		back := newRecorder(t)
		w := start(t, setup{over: over, servers: []*origin{back.origin}, backend: `reuse = "always"`})
		client := w.dial()
		var text strings.Builder
		for i := range n {
			fmt.Fprintf(&text, "GET /%d HTTP/1.1\r\nHost: a.example\r\n\r\n", i)
			client.asked = append(client.asked, "GET")
		}
		transfer(t, func() error {
			_, err := io.WriteString(client.conn, text.String())
			return err
		}, func() error {
			for i := range n {
				if m := client.response(); m.get("X-Echo") != fmt.Sprintf("/%d", i) {
					return fmt.Errorf("response %d is to %s", i, m.get("X-Echo"))
				}
			}
			return nil
		})
		if n := back.connections(); n != 1 {
			t.Errorf("%d server connections", n)
		}
	})
}

// A client that pipelines and does not read is not asked for on its behalf without end.
func TestPipeliningWithoutReading(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		const n, body = 4000, 20_000
		back := listen(t, plain)
		w := start(t, setup{over: over, servers: []*origin{back}, backend: `reuse = "always"`})
		client := w.dial()
		asked := &counted{}
		go func() {
			server := back.accept()
			for {
				for i := strings.Index(string(server.in), "\r\n\r\n"); i >= 0; i = strings.Index(string(server.in), "\r\n\r\n") {
					server.in = server.in[i+4:]
					_, _ = asked.Write([]byte{0})
					if _, err := fmt.Fprintf(server.conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", body, strings.Repeat("x", body)); err != nil {
						return
					}
				}
				if server.ended {
					return
				}
				server.more(soon())
			}
		}()
		before := w.rss()
		go func() {
			_, _ = io.WriteString(client.conn, strings.Repeat("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", n))
		}()
		asked.stalls(t, n)
		w.wantGrowth(before, 2*megabyte)
		for i := range n {
			client.asked = []string{"GET"}
			if m := client.response(); len(m.body) != body {
				t.Fatalf("response %d has %d bytes", i, len(m.body))
			}
		}
	})
}

// Behind a request that says close nothing is read as a request.
func TestNothingBehindTheLastRequest(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		client := start(t, setup{over: over, servers: []*origin{back}, backend: `reuse = "always"`}).dial()
		client.asked = []string{"GET"}
		client.send("GET /1 HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: a.example\r\n\r\n")
		server := back.serve()
		client.response().want(t, ok, "Connection: close")
		client.end()
		server.quiet()
	})
}

// After a request that is refused nothing that follows is read as a request, whatever the status.
func TestNothingBehindARefusedRequest(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}})
		for _, bad := range []string{
			"POST /1 HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			"POST /1 HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: xchunked\r\n\r\n",
			"GET /1 HTTP/1.1\r\nHost: a.example\r\nA B: c\r\n\r\n",
		} {
			client := w.dial()
			client.send(bad, "GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n")
			if m := client.response(); m.status() < 400 || m.get("Connection") != "close" {
				t.Errorf("%q: %s", bad, m)
			}
			client.end()
		}
		if n := back.connections(); n != 0 {
			t.Errorf("%d connections to the server", n)
		}
	})
}
