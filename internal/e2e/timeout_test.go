package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// short is a timeout profile in which one key is short.
func short(key string) string { return fmt.Sprintf("\n[timeouts.short]\n%s = \"150ms\"\n", key) }

// roomy is one for what must not expire: however busy the machine is, the other side of the dialogue is not late by so much.
func roomy(key string) string { return fmt.Sprintf("\n[timeouts.short]\n%s = \"2s\"\n", key) }

// beyondRoomy is how long one rests who is not bound by that timeout.
const beyondRoomy = 2500 * time.Millisecond

const useShort = `timeouts = "short"`

const timeout408 = "HTTP/1.1 408 Request Timeout"

func TestTimeoutOfARequestHead(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, frontend: useShort, tables: roomy("http-request")}) // a handshake must fit into it
		for _, part := range []string{"", "G", "GET / HTTP/1.1\r\nHost: a.example\r\n"} {
			client := w.dial()
			client.send(part)
			client.response().want(t, timeout408, "Connection: close", `Proxy-Status: weir; error=http_request_error; details="request-timeout"`)
			client.end()
		}
		// A head that comes slowly but steadily is bounded as a whole.
		client := w.dial()
		began := time.Now()
		for client.trySend("G") == nil && time.Since(began) < patience && !client.more(time.Now().Add(20*time.Millisecond)) {
		}
		client.response().want(t, timeout408)
		if back.connections() != 0 {
			t.Error("a head that is not whole has reached the server")
		}
	})
}

// On HTTP/2 there is nothing yet that a 408 could answer: GOAWAY says that nothing was taken, and the connection ends.
func TestTimeoutOfAFirstRequest(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, frontend: useShort, tables: "\n[timeouts.short]\nhttp-request = \"1s\"\n"})
		client := w.dialH2(t)
		for !client.ended && client.step(time.Now().Add(patience)) {
		}
		if !client.ended || client.goaway == nil || client.goaway.ErrCode != 0 || client.goaway.LastStreamID != 0 {
			t.Errorf("ended %v with %v", client.ended, client.goaway)
		}
		// What has asked once may rest for http-keep-alive.
		client = w.dialH2(t)
		client.head(1, true, ":method", "GET", ":scheme", "http", ":authority", "a.example", ":path", "/")
		back.serve()
		client.whole(1)
		for until := time.Now().Add(1500 * time.Millisecond); client.step(until); {
		}
		if client.ended || client.goaway != nil {
			t.Errorf("after the response: ended %v, %v", client.ended, client.goaway)
		}
	})
}

func TestTimeoutOfKeepAlive(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, frontend: useShort, tables: short("http-keep-alive")})
		client := w.dial()
		client.ask("GET / HTTP/1.1", host)
		back.serve()
		client.response().want(t, ok, "-Connection")
		client.end() // without a word
	})
}

// The client owes the rest of its request.
func TestTimeoutOfAClientThatDoesNotSend(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, frontend: useShort, tables: roomy("client")})
		client := w.dial()
		client.ask("POST / HTTP/1.1", host, "Content-Length: 10", "", "half")
		server := back.accept()
		server.requestHead()
		server.bytes("half")
		client.response().want(t, timeout408, "Connection: close", `Proxy-Status: weir; error=http_request_error; details="client-timeout"`)
		client.end()
		server.gone()

		// After the response has begun nothing can be said any more.
		client = w.dial()
		client.ask("POST / HTTP/1.1", host, "Content-Length: 10", "", "half")
		server = back.accept()
		server.requestHead()
		server.bytes("half")
		server.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
		client.responseHead()
		client.bytes("half")
		client.gone()
		server.gone()
	})
}

// The client does not take its response.
func TestTimeoutOfAClientThatDoesNotRead(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, frontend: useShort, tables: short("client")})
		client := w.dial()
		client.ask("GET / HTTP/1.1", host)
		server := back.accept()
		server.request()
		server.send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", 1<<40))
		for err := error(nil); err == nil; {
			_ = server.conn.SetWriteDeadline(time.Now().Add(patience))
			_, err = io.CopyN(server.conn, noise(1, megabyte), megabyte)
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Fatal("the server is not released")
			}
		}
		w.wantMetric(0, "weir_frontend_connections")
	})
}

// Both sides send steadily, each time within its timeout: nothing expires.
func TestTimeoutsAreOfInactivity(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, frontend: useShort, backend: useShort,
			tables: roomy("client") + "server = \"2s\"\n"})
		client := w.dial()
		client.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 12\r\n\r\n")
		client.asked = []string{"POST"}
		server := back.accept()
		server.requestHead()
		pause := func() { server.more(time.Now().Add(200 * time.Millisecond)) } // nothing comes: it only takes time
		for range 12 {
			pause()
			client.send("x")
			server.bytes("x")
		}
		server.send("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n")
		for range 12 {
			pause()
			server.send("y")
		}
		client.response().want(t, ok, "", strings.Repeat("y", 12))
	})
}

// A server that takes its time over the body of a request is not the client's fault, and a client that takes its time over
// a response is not the server's.
func TestTimeoutsAreOfTheOneWhoseTurnItIs(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		const size = 16 * megabyte
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, frontend: useShort, tables: roomy("client")})
		client := w.dial()
		client.send(fmt.Sprintf("PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\n\r\n", size))
		client.asked = []string{"PUT"}
		server := back.accept()
		sent := &counted{Reader: noise(8, size)}
		transfer(t, func() error {
			_, err := io.Copy(client.conn, sent)
			return err
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

		w = start(t, setup{over: over, servers: []*origin{back}, backend: useShort, tables: roomy("server")})
		client = w.dial()
		client.ask("GET / HTTP/1.1", host)
		server = back.accept()
		server.request()
		server.send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size))
		sent = &counted{Reader: noise(9, size)}
		transfer(t, func() error {
			_, err := io.Copy(server.conn, sent)
			return err
		}, func() error {
			sent.pauses(beyondRoomy)
			r, err := http.ReadResponse(bufio.NewReader(client.conn), nil)
			if err != nil {
				return err
			}
			return wantSum("response", r.Body, 9, size)
		})
	})
}

func TestTimeoutOfAServerThatDoesNotAnswer(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, backend: "reuse = \"always\"\n" + useShort, tables: roomy("server")})
		client := w.dial()
		for _, part := range []string{"", "HTTP/1.1 200 OK\r\nX-A: "} {
			client.ask("GET / HTTP/1.1", host)
			server := back.accept()
			server.request()
			server.send(part)
			client.response().want(t, "HTTP/1.1 504 Gateway Timeout", "-Connection", `Proxy-Status: weir; error=http_response_timeout; details="server-timeout"`, "", "server-timeout\n")
			server.gone()
		}
		if n := back.connections(); n != 2 {
			t.Errorf("%d connections: a timeout is no reason to try again", n)
		}
	})
}

func TestTimeoutOfAServerInsideABody(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, backend: useShort, tables: roomy("server")})
		client := w.dial()
		client.ask("GET / HTTP/1.1", host)
		server := back.accept()
		server.request()
		server.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
		client.responseHead()
		client.bytes("half")
		client.gone()
		if len(client.in) > 0 {
			t.Errorf("behind what was cut short comes %q", client.in)
		}
		server.gone()
	})
}

// deaf is a server whose queue of connections is full: the kernel drops every further SYN.
func deaf(t *testing.T) *origin {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	ip := net.ParseIP(newHost()).To4()
	addr := &unix.SockaddrInet4{Port: 9000, Addr: [4]byte(ip)}
	if err := unix.Bind(fd, addr); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	o := &origin{t: t, addr: net.JoinHostPort(ip.String(), "9000")}
	for range 4 { // more than the queue holds
		c, err := net.DialTimeout("tcp", o.addr, 50*time.Millisecond)
		if err != nil {
			return o
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	t.Fatal("the queue is not full")
	return nil
}

func TestTimeoutOfAConnect(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		w := start(t, setup{over: over, servers: []*origin{deaf(t)}, backend: useShort, tables: short("connect")})
		client := w.dial()
		client.ask("GET / HTTP/1.1", host)
		client.response().want(t, "HTTP/1.1 503 Service Unavailable", "Retry-After: 1", `Proxy-Status: weir; error=connection_timeout; details="connect-timeout"`)
		if got := w.metric("weir_retries_total", "reason", "connect-timeout"); got < 3 {
			t.Errorf("%v retries", got)
		}
	})
}

// The last of the retries goes to another server.
func TestConnectIsTriedElsewhere(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		gone := listen(t, over)
		gone.close()
		w := start(t, setup{over: over, servers: []*origin{gone, back}, backend: "max-errors = 0\npersistence = { type = \"cookie\" }"})
		client := w.dial()
		client.ask("POST / HTTP/1.1", host, "Cookie: SERVERID=s1", "Content-Length: 5", "", "hello")
		back.serveOne().want(t, "POST / HTTP/1.1", "", "hello")
		client.response().want(t, ok)
		w.wantMetric(1, "weir_server_connections_opened_total", "server", "s2", "why", "retry")
		if got := w.metric("weir_retries_total", "reason", "connect-failed", "outcome", "failure"); got != 2 {
			t.Errorf("%v retries that failed, want 2 of 3", got)
		}
	})
}

func TestTimeoutOfAQueue(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, server: "max-conn = 1", backend: useShort, tables: short("queue")})
		first := w.dial()
		first.ask("GET /1 HTTP/1.1", host)
		server := back.accept()
		server.request()
		second := w.dial()
		second.ask("GET /2 HTTP/1.1", host)
		second.response().want(t, "HTTP/1.1 503 Service Unavailable", "Retry-After: 1", `Proxy-Status: weir; error=connection_limit_reached; details="queue-timeout"`)
		server.answer(ok, hello...)
		first.response().want(t, ok)
	})
}

// A client that has ended its direction waits no longer than client-fin for a response to begin; its connection ends in order.
func TestTimeoutOfAHalfClosedClient(t *testing.T) {
	t.Parallel()
	back := listen(t, plain)
	w := start(t, setup{servers: []*origin{back}, frontend: useShort, tables: short("client-fin")})
	client := w.dial()
	client.ask("GET / HTTP/1.1", host)
	server := back.accept()
	server.request()
	client.finish()
	client.end()
	server.gone()
}

func TestTimeoutOfATunnel(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, backend: useShort, tables: short("tunnel")})
		client, server := tunnel(t, w, back)
		client.end()
		server.end()
	})
}

// Half of a tunnel that stays open alone is bounded by the shorter timeouts of the other half.
func TestTimeoutOfHalfATunnel(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, backend: useShort, frontend: useShort,
			tables: "\n[timeouts.short]\nclient-fin = \"150ms\"\nserver-fin = \"150ms\"\n"})
		client, server := tunnel(t, w, back)
		client.finish()
		server.end()
		client.end()
		client, server = tunnel(t, w, back)
		server.finish()
		client.end()
		server.end()
	})
}

// A listener that stays takes a changed keep-alive over for the connections to come.
func TestReloadChangesTCPKeepAlive(t *testing.T) {
	t.Parallel()
	profile := func(v string) string { return "\n[timeouts.short]\ntcp-keepalive = \"" + v + "\"\n" }
	w := start(t, setup{servers: []*origin{newRecorder(t).origin}, frontend: useShort, global: "workers = 2", tables: profile("7s/2s/3")})
	wantLeft := func(least, most time.Duration) {
		t.Helper()
		for range 8 { // enough to reach both workers
			client := w.dial()
			defer client.close()
			eventually(t, "the kernel's timer runs as configured", func() bool {
				left, ok := keepAliveLeft(t, client.conn.RemoteAddr(), client.conn.LocalAddr())
				return ok == (most > 0) && left >= least && left <= most
			})
		}
	}
	wantLeft(1, 7*time.Second)
	for _, c := range []struct {
		value       string
		least, most time.Duration
	}{{"500s/2s/3", 400 * time.Second, 500 * time.Second}, {"0", 0, 0}, {"7s/2s/3", 1, 7 * time.Second}} {
		w.rewrite(func(s *setup) { s.tables = profile(c.value) })
		w.reload()
		wantLeft(c.least, c.most)
	}
}

// The kernel probes connections on both sides as configured.
func TestTCPKeepAlive(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, frontend: useShort, backend: useShort, tables: "\n[timeouts.short]\ntcp-keepalive = \"7s/2s/3\"\n"})
		client := w.dial()
		client.ask("GET / HTTP/1.1", host)
		server := back.serve()
		client.response()
		for side, ends := range map[string][2]net.Addr{
			"client": {client.conn.RemoteAddr(), client.conn.LocalAddr()}, "server": {server.conn.RemoteAddr(), server.conn.LocalAddr()},
		} {
			eventually(t, "the kernel's timer of the "+side+" side runs for keep-alive", func() bool {
				left, ok := keepAliveLeft(t, ends[0], ends[1])
				return ok && left > 0 && left <= 7*time.Second
			})
		}
	})
}
