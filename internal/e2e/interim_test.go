package e2e

import (
	"bufio"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

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

// A server that sends interim responses without end to a client that does not read them fills nobody's memory: they wait with
// the server, or are left out where they would have to wait among other streams. Whoever reads then has all that waited, and
// the response.
func TestInterimResponsesOfASlowReader(t *testing.T) {
	const hint, count = 4 << 10, 12 << 10 // 48 MiB: more than the kernel holds for two connections
	const most = 24 << 20
	storm := func(server *peer) (sent *atomic.Int64, whole chan bool) {
		one := "HTTP/1.1 103 Early Hints\r\nLink: <" + strings.Repeat("/", hint) + ">\r\n\r\n"
		sent, whole = &atomic.Int64{}, make(chan bool, 1)
		go func() {
			_ = server.conn.SetWriteDeadline(time.Now().Add(3 * patience))
			for range count {
				if _, err := io.WriteString(server.conn, one); err != nil {
					whole <- false
					return
				}
				sent.Add(1)
			}
			_, err := io.WriteString(server.conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
			whole <- err == nil
		}()
		return sent, whole
	}
	// settled waits until the server has sent everything or nobody takes more of it.
	settled := func(sent *atomic.Int64) {
		for last, since := int64(-1), time.Now(); sent.Load() < count && time.Since(since) < 500*time.Millisecond; time.Sleep(5 * time.Millisecond) {
			if now := sent.Load(); now != last {
				last, since = now, time.Now()
			}
		}
	}
	for _, front := range []string{"h1", "h2", "h3"} {
		t.Run(front, func(t *testing.T) {
			t.Parallel()
			back := listen(t, plain)
			s := setup{over: plain, servers: []*origin{back}, frontend: `timeouts = "long"`, backend: `timeouts = "long"`, tables: "[timeouts.long]\nclient = \"60s\"\nserver = \"60s\""}
			if front == "h3" {
				s.over, s.bind = tlsed, "h3 = true"
			}
			w := start(t, s)
			before := w.rss()
			var finish func() // reads what there is
			switch front {
			case "h1":
				client := w.dial()
				client.ask("GET / HTTP/1.1", host)
				finish = func() {
					_ = client.conn.SetReadDeadline(time.Now().Add(3 * patience))
					in, hints := bufio.NewReader(client.conn), 0
					for line := ""; line != "HTTP/1.1 200 OK\r\n"; {
						var err error
						if line, err = in.ReadString('\n'); err != nil {
							t.Fatalf("behind %d interim responses: %v", hints, err)
						}
						if line == "HTTP/1.1 103 Early Hints\r\n" {
							hints++
						}
					}
					if hints != count {
						t.Errorf("%d interim responses of %d have come", hints, count)
					}
				}
			case "h2":
				client := w.dialH2(t)
				client.get(1, "/")
				finish = func() {
					if s := client.whole(1); s.get(":status") != "200" || string(s.body) != "hello" || len(s.interim) == 0 {
						t.Errorf("%v, %q behind %d interim responses", s.fields, s.body, len(s.interim))
					}
				}
			case "h3":
				client := w.dialH3(t)
				s := client.stream(h3Request("GET", "/"))
				_ = s.Close()
				finish = func() {
					if status, body := client.answer(s); status != "200" || string(body) != "hello" {
						t.Errorf("%q, %q", status, body)
					}
				}
			}
			server := back.accept()
			server.request()
			sent, whole := storm(server)
			settled(sent)
			if grown := w.rss() - before; grown > most {
				t.Errorf("it grew by %d KiB for %d KiB of interim responses", grown>>10, sent.Load()*hint>>10)
			}
			finish()
			if !<-whole {
				t.Error("the server could not send everything")
			}
		})
	}
}
