package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOwnAnswers: each answer that weir makes itself has its reason in Proxy-Status, in its body, in the log and in a
// counter. Those of limits, timeouts and servers are with their behaviours.
func TestOwnAnswers(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		back.close() // nobody listens
		for _, c := range []struct {
			name, request            string
			start, reason, errorType string
			closes                   bool
		}{
			{"bad-request", "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request", "bad-request", "http_request_error", true},
			{"smuggling", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 400 Bad Request", "bad-request", "http_request_error", true},
			{"too-long", "GET /" + strings.Repeat("x", 70<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 414 URI Too Long", "uri-too-long", "http_request_error", true},
			{"expectation", "GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n", "HTTP/1.1 417 Expectation Failed", "expectation-failed", "http_request_error", true},
			{"too-large", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 70<<10) + "\r\n\r\n", "HTTP/1.1 431 Request Header Fields Too Large", "head-too-large", "http_request_error", true},
			{"coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 501 Not Implemented", "unknown-coding", "http_request_error", true},
			{"connect-failed", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 503 Service Unavailable", "connect-failed", "connection_refused", false},
		} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				w := start(t, setup{over: over, servers: []*origin{back}, global: `access-log = "$DIR/lines"`, backend: "max-errors = 0"})
				client := w.dial()
				client.send(c.request)
				m := client.response().want(t, c.start, fmt.Sprintf(`Proxy-Status: weir; error=%s; details="%s"`, c.errorType, c.reason),
					"Content-Type: text/plain; charset=utf-8", "Cache-Control: no-store", "", c.reason+"\n")
				if m.status() == 503 != (m.get("Retry-After") == "1") {
					t.Errorf("Retry-After: %q", m.get("Retry-After"))
				}
				if closes := m.get("Connection") == "close"; closes != c.closes {
					t.Errorf("Connection: %q", m.get("Connection"))
				}
				if c.closes {
					client.end()
				}
				w.lines(1)[0].want(t, "status", m.status(), "reason", c.reason)
				w.wantMetric(1, "weir_answers_total", "reason", c.reason)
			})
		}
	})
}

func TestAnswerToHead(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		back.close()
		client := start(t, setup{over: over, servers: []*origin{back}, backend: "max-errors = 0"}).dial()
		client.ask("HEAD / HTTP/1.1", host)
		client.response().want(t, "HTTP/1.1 503 Service Unavailable", "", "")
		client.ask("GET / HTTP/1.1", host)
		client.response().want(t, "HTTP/1.1 503 Service Unavailable", "", "connect-failed\n")
	})
}

func TestErrorPages(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		dir := t.TempDir()
		page := "<h1>" + strings.Repeat("sorry ", 50_000) + "</h1>"
		for name, text := range map[string]string{"sorry.html": page, "bad.json": `{"error":"bad"}`} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		back := listen(t, over)
		back.close()
		w := start(t, setup{over: over, servers: []*origin{back}, backend: "max-errors = 0",
			frontend: fmt.Sprintf("error-pages = { 503 = %q, 400 = %q }\nretry-after = \"7s\"", dir+"/sorry.html", dir+"/bad.json")})
		client := w.dial()
		client.ask("GET / HTTP/1.1", host)
		client.response().want(t, "HTTP/1.1 503 Service Unavailable", "Content-Type: text/html; charset=utf-8", "Retry-After: 7",
			`Proxy-Status: weir; error=connection_refused; details="connect-failed"`, "", page)
		client.ask("GET / HTTP/9.9", host)
		client.response().want(t, "HTTP/1.1 400 Bad Request", "Content-Type: application/json", "", `{"error":"bad"}`)

		client = w.dial() // a server's own errors keep their bodies
		w.rewrite(func(s *setup) { s.servers = []*origin{listen(t, over)} })
		w.reload()
		client.ask("GET / HTTP/1.1", host)
		server := w.setup.servers[0].accept()
		server.request()
		server.answer("HTTP/1.1 503 Service Unavailable", "Content-Length: 4", "", "mine")
		client.response().want(t, "HTTP/1.1 503 Service Unavailable", "-Proxy-Status", "", "mine")
	})
}
