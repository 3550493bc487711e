package e2e

import (
	"fmt"
	"io"
	"net/http"

	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// h2cSetup is a weir in front of a server that speaks HTTP/2 with prior knowledge.
func h2cSetup(back *origin, more string) setup {
	return setup{over: plain, servers: []*origin{back}, backend: "reuse = \"always\"\nh2 = \"h2c\"\n" + more + "\n"}
}

// asked waits for a request on a stream.
func (p *h2Peer) asked(id uint32) *h2Stream {
	p.t.Helper()
	return p.headOf(id)
}

// reply answers a request with hello.
func (p *h2Peer) reply(id uint32) {
	p.t.Helper()
	p.head(id, false, ":status", "200")
	p.data(id, true, "hello")
}

func TestH2ServerRefusesAStream(t *testing.T) {
	t.Parallel()
	back := listen(t, plain)
	w := start(t, h2cSetup(back, ""))
	client := w.dial()
	client.ask("POST / HTTP/1.1", host, "Content-Length: 4", "", "body")
	server := back.acceptH2()
	server.asked(1)
	server.must(server.framer.WriteRSTStream(1, http2.ErrCodeRefusedStream))
	// A fresh connection, since the server may refuse streams because it is about to leave.
	again := back.acceptH2()
	const id = 1
	s := again.whole(id)
	if s.get(":method") != "POST" || string(s.body) != "body" {
		t.Errorf("sent again: %s with %q", s.get(":method"), s.body)
	}
	again.reply(id)
	client.response().want(t, ok, "", "hello")
	w.wantMetric(1, "weir_retries_total", "reason", "stale-connection", "outcome", "success")
}

// What a GOAWAY says was not seen is sent again, whatever the method; what was seen is answered on the old connection.
func TestH2ServerGoesAway(t *testing.T) {
	t.Parallel()
	back := listen(t, plain)
	w := start(t, h2cSetup(back, ""))
	first, second := w.dial(), w.dial()
	first.ask("GET /seen HTTP/1.1", host)
	server := back.acceptH2()
	server.whole(1)
	second.ask("POST /unseen HTTP/1.1", host, "Content-Length: 4", "", "body")
	server.whole(3)
	server.must(server.framer.WriteGoAway(1, http2.ErrCodeNo, nil))
	other := back.acceptH2()
	if s := other.whole(1); s.get(":path") != "/unseen" || string(s.body) != "body" {
		t.Errorf("sent again: %v", s.fields)
	}
	other.reply(1)
	second.response().want(t, ok, "", "hello")
	server.reply(1)
	first.response().want(t, ok, "", "hello")
	server.end()
	first.ask("GET /next HTTP/1.1", host)
	if s := other.whole(3); s.get(":path") != "/next" {
		t.Error("the next request does not go to the connection that is left")
	}
	other.reply(3)
	first.response().want(t, ok)
	w.wantMetric(1, "weir_server_connections_closed_total", "cause", "goaway")
}

// A server that a reload has taken away finishes its streams. Its connection has been drained then.
func TestH2ServerIsTakenAway(t *testing.T) {
	t.Parallel()
	back, other := listen(t, plain), listen(t, plain)
	for _, keys := range []string{"", "multiplex = false"} {
		w := start(t, h2cSetup(back, keys))
		client := w.dial()
		client.ask("GET / HTTP/1.1", host)
		server := back.acceptH2()
		server.asked(1)
		w.rewrite(func(s *setup) { s.servers = []*origin{other} })
		w.reload()
		server.reply(1)
		client.response().want(t, ok, "", "hello")
		server.end()
		w.wantMetric(1, "weir_server_connections_closed_total", "cause", "drain")
		w.wantMetric(1, "weir_server_connections_closed_total")
	}
}

// A reset in the middle is the exchange's end, not the connection's.
func TestH2ServerResetsAStream(t *testing.T) {
	t.Parallel()
	back := listen(t, plain)
	w := start(t, h2cSetup(back, ""))
	client := w.dial()
	client.ask("GET / HTTP/1.1", host)
	server := back.acceptH2()
	server.whole(1)
	server.must(server.framer.WriteRSTStream(1, http2.ErrCodeInternal))
	client.response().want(t, "HTTP/1.1 502 Bad Gateway", `Proxy-Status: weir; error=http_response_incomplete; details="server-closed"`)
	client.ask("GET / HTTP/1.1", host)
	server.whole(3)
	server.reply(3)
	client.response().want(t, ok, "", "hello")
	client.ask("GET / HTTP/1.1", host)
	server.whole(5)
	server.head(5, false, ":status", "200", "content-length", "10")
	server.data(5, false, "hello")
	client.responseHead()
	client.bytes("hello")
	server.must(server.framer.WriteRSTStream(5, http2.ErrCodeCancel))
	if client.gone(); len(client.in) > 0 { // five bytes short of what was announced
		t.Errorf("%q", client.in)
	}
}

// An idle connection is asked whether it still lives before it is used.
func TestH2ServerIdlePing(t *testing.T) {
	t.Parallel()
	back := listen(t, plain)
	w := start(t, h2cSetup(back, "idle-ping = \"1500ms\"")) // in which a busy machine answers a PING
	client := w.dial()
	client.ask("GET /1 HTTP/1.1", host)
	server := back.acceptH2()
	server.whole(1)
	server.reply(1)
	client.response().want(t, ok)

	time.Sleep(1600 * time.Millisecond) // silence is what is tested
	client.ask("GET /2 HTTP/1.1", host)
	_ = server.conn.SetReadDeadline(time.Now().Add(patience))
	for pinged := false; !pinged; {
		f, err := server.framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			t.Fatal("the connection is used before it is asked")
		case *http2.PingFrame:
			pinged = !f.IsAck()
			server.must(server.framer.WritePing(true, f.Data))
		}
	}
	server.whole(3)
	server.reply(3)
	client.response().want(t, ok, "", "hello")

	time.Sleep(1600 * time.Millisecond)
	client.ask("POST /3 HTTP/1.1", host, "Content-Length: 0") // this time nobody answers
	other := back.acceptH2()
	if s := other.whole(1); s.get(":path") != "/3" {
		t.Errorf("%v", s.fields)
	}
	other.reply(1)
	client.response().want(t, ok, "", "hello")
	w.wantMetric(1, "weir_server_connections_closed_total", "cause", "ping-failed")
}

// A server's limit of streams is kept, and what is over it goes to another connection.
func TestH2ServerStreamLimit(t *testing.T) {
	t.Parallel()
	back := listen(t, plain)
	w := start(t, h2cSetup(back, ""))
	first, second, third := w.dial(), w.dial(), w.dial()
	first.ask("GET /1 HTTP/1.1", host)
	server := back.acceptH2(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 2})
	server.whole(1)
	second.ask("GET /2 HTTP/1.1", host)
	server.whole(3)
	third.ask("GET /3 HTTP/1.1", host)
	other := back.acceptH2()
	other.whole(1)
	other.reply(1)
	server.reply(3)
	server.reply(1)
	for _, c := range []*peer{first, second, third} {
		c.response().want(t, ok, "", "hello")
	}
}

// 50 clients need few connections to a server that carries a hundred streams.
func TestH2ServerConnectionsAreFew(t *testing.T) {
	t.Parallel()
	const clients, each = 50, 10
	o := goOrigin(t, protocols{over: plain, h2: true}, http.HandlerFunc(sayHello))
	s := h2cSetup(o, "")
	s.global = "workers = 2\n"
	w := start(t, s)
	var all sync.WaitGroup
	for range clients {
		client := w.dial()
		all.Go(func() {
			for i := range each {
				if client.trySend(fmt.Sprintf("GET /%d HTTP/1.1\r\n%s\r\n\r\n", i, host)) != nil {
					t.Error("cannot send")
					return
				}
				client.response().want(t, ok, "", "hello")
			}
		})
	}
	all.Wait()
	if n := o.connections(); n > 4 {
		t.Errorf("%d clients took %d connections", clients, n)
	}
}

// A server that was offered HTTP/2 and has chosen HTTP/1.1 is spoken to in that.
func TestH2ServerFallsBack(t *testing.T) {
	t.Parallel()
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprint(h2), func(t *testing.T) {
			t.Parallel()
			o := goOrigin(t, protocols{over: tlsed, h1: true, h2: h2}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Proto", r.Proto)
				sayHello(w, r)
			}))
			w := start(t, setup{over: tlsed, servers: []*origin{o}, backend: "reuse = \"always\"\nh2 = true\n"})
			want := map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[h2]
			client := w.dialH2(t)
			for id := uint32(1); id < 60; id += 2 {
				client.get(id, "/")
			}
			for id := uint32(1); id < 60; id += 2 {
				if s := client.whole(id); s.get("x-proto") != want || string(s.body) != "hello" {
					t.Errorf("%s: %q over %s", s.get(":status"), s.body, s.get("x-proto"))
				}
			}
		})
	}
}

// A client of HTTP/1.0 need not name a host. A server of HTTP/2 gets its own address as the authority, as one of HTTP/1 does as
// Host.
func TestH2ServerIsNamedIfNobodyIs(t *testing.T) {
	t.Parallel()
	for _, h2 := range []bool{false, true} {
		back := listen(t, plain)
		if !h2 {
			client := start(t, setup{over: plain, servers: []*origin{back}}).dial()
			client.ask("GET / HTTP/1.0")
			back.serveOne().want(t, "GET / HTTP/1.1", "Host: "+back.addr)
			client.response().want(t, ok)
			continue
		}
		client := start(t, h2cSetup(back, "")).dial()
		client.ask("GET / HTTP/1.0")
		server := back.acceptH2()
		if s := server.asked(1); s.get(":authority") != back.addr {
			t.Errorf("%v", s.fields)
		}
		server.reply(1)
		client.response().want(t, ok)
	}
}

// HTTP_1_1_REQUIRED (RFC 9113 section 7) is what servers say that want to authenticate a connection: the request is sent again
// over HTTP/1.1, whatever its method, and later ones go over HTTP/2 as before.
func TestH2ServerRequiresHTTP1(t *testing.T) {
	t.Parallel()
	back := listen(t, tlsed)
	back.tls.NextProtos = []string{"h2", "http/1.1"}
	w := start(t, setup{over: plain, servers: []*origin{back}, backend: "reuse = \"always\"\nh2 = true\n"})
	client := w.dial()
	client.ask("POST /mine HTTP/1.1", host, "Content-Length: 4", "", "body")
	server := back.acceptH2()
	if s := server.whole(1); string(s.body) != "body" {
		t.Errorf("%q", s.body)
	}
	server.must(server.framer.WriteRSTStream(1, http2.ErrCodeHTTP11Required))
	back.serveOne().want(t, "POST /mine HTTP/1.1", "", "body")
	client.response().want(t, ok, "", "hello")

	other := w.dial()
	other.ask("GET /other HTTP/1.1", host)
	server.asked(3)
	server.reply(3)
	other.response().want(t, ok, "", "hello")
}

// Streams above the limit are refused, which tells the client that it may send them again.
func TestH2FrontStreamLimit(t *testing.T) {
	t.Parallel()
	back := listen(t, plain)
	w := start(t, setup{over: plain, servers: []*origin{back}, frontend: "h2-max-concurrent-streams = 2"})
	client := w.dialH2(t)
	for _, id := range []uint32{1, 3, 5} {
		client.get(id, fmt.Sprint("/", id))
	}
	if code := client.resetOf(5); code != http2.ErrCodeRefusedStream {
		t.Errorf("reset with %v", code)
	}
	back.serve().close()
	back.serve().close()
	client.whole(1)
	client.whole(3)
	client.get(7, "/7")
	back.serve()
	client.whole(7)
}

func TestH2Misdirected(t *testing.T) {
	t.Parallel()
	w := start(t, behind(site("site", "other"), setup{servers: []*origin{httpOrigin(t, sayHello)}}))
	w.over = tlsed
	client := w.dialH2(t) // for a.example
	for i, c := range []struct{ authority, want string }{
		{"a.example", "200"}, {"www.a.example:443", "200"}, {"b.example", "421"}, {"c.example", "421"}, {"x.www.a.example", "421"}, {"a.example", "200"},
	} {
		id := uint32(2*i + 1)
		client.head(id, true, ":method", "GET", ":path", "/", ":scheme", "https", ":authority", c.authority)
		if got := client.whole(id).get(":status"); got != c.want {
			t.Errorf("%s: %s, want %s", c.authority, got, c.want)
		}
	}
}

var connectH2 = []string{
	":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path", "/chat", ":authority", "a.example", "sec-websocket-version", "13",
}

// A WebSocket in a stream (RFC 8441) towards a server of HTTP/1.
func TestH2WebSocketToH1(t *testing.T) {
	t.Parallel()
	back := listen(t, plain)
	w := start(t, setup{over: plain, servers: []*origin{back}})
	client := w.dialH2(t)
	client.head(1, false, connectH2...)
	server := back.accept()
	m := server.request().want(t, "GET /chat HTTP/1.1", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", host)
	key := m.get("Sec-WebSocket-Key")
	if len(key) != 24 {
		t.Errorf("Sec-WebSocket-Key: %q", key)
	}
	server.answer(switching, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Accept: "+acceptOf(key))
	s := client.headOf(1)
	if s.get(":status") != "200" || s.get("upgrade") != "" || s.get("connection") != "" || s.get("sec-websocket-accept") != "" {
		t.Errorf("%v", s.fields)
	}
	client.data(1, false, "from the client")
	server.bytes("from the client")
	server.send("from the server")
	client.until("data", func() bool { return string(s.body) == "from the server" })
	client.get(3, "/beside") // the connection carries other streams meanwhile
	back.serve()
	client.whole(3)
	client.data(1, true, "")
	server.end()
	server.close()
	client.whole(1)
}

// The same towards a server of HTTP/2, from clients of both.
func TestH2WebSocketToH2(t *testing.T) {
	t.Parallel()
	connects := http2.Setting{ID: http2.SettingEnableConnectProtocol, Val: 1}
	serve := func(t *testing.T, back *origin) *h2Peer {
		server := back.acceptH2(connects)
		s := server.asked(1)
		if s.get(":method") != "CONNECT" || s.get(":protocol") != "websocket" || s.get(":path") != "/chat" || s.get("upgrade") != "" || s.get("sec-websocket-key") != "" {
			t.Errorf("%v", s.fields)
		}
		server.head(1, false, ":status", "200")
		server.data(1, false, "from the server")
		return server
	}
	t.Run("h2", func(t *testing.T) {
		t.Parallel()
		back := listen(t, plain)
		w := start(t, h2cSetup(back, ""))
		client := w.dialH2(t)
		client.head(1, false, connectH2...)
		server := serve(t, back)
		s := client.headOf(1)
		client.until("data", func() bool { return string(s.body) == "from the server" })
		client.data(1, true, "from the client")
		if got := server.whole(1); string(got.body) != "from the client" {
			t.Errorf("%q", got.body)
		}
		server.data(1, true, "")
		client.whole(1)
	})
	t.Run("h1", func(t *testing.T) {
		t.Parallel()
		back := listen(t, plain)
		w := start(t, h2cSetup(back, ""))
		client := w.dial()
		client.ask("GET /chat HTTP/1.1", upgrades...)
		server := serve(t, back)
		client.response().want(t, switching, switches...)
		client.bytes("from the server")
		client.send("from the client")
		in := server.stream(1)
		server.until("data", func() bool { return string(in.body) == "from the client" })
		client.finish()
		server.whole(1)
		server.data(1, true, "")
		client.gone()
	})
}

// A request whose rest does not come is answered after the client's timeout, however busy the connection is otherwise.
func TestH2BodyThatNeverComes(t *testing.T) {
	t.Parallel()
	for _, back := range []string{"h1", "h2"} {
		t.Run(back, func(t *testing.T) {
			t.Parallel()
			o := goOrigin(t, protocols{over: plain, h1: back == "h1", h2: back == "h2"}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				sayHello(w, r)
			}))
			s := setup{over: plain, servers: []*origin{o}, frontend: `timeouts = "short"`, tables: "[timeouts.short]\nclient = \"400ms\"\n"}
			if back == "h2" {
				s.backend = speakH2(plain)
			}
			client := start(t, s).dialH2(t)
			client.head(1, false, client.request("POST", "/")...)
			client.head(3, false, client.request("POST", "/", "content-length", "10")...)
			client.data(3, false, "12345")
			client.head(5, false, client.request("POST", "/", "content-length", "0")...) // its end never comes
			id := uint32(7)
			owed := []*h2Stream{client.stream(1), client.stream(3), client.stream(5)}
			for !owed[0].ended || !owed[1].ended || !owed[2].ended {
				client.get(id, "/")
				client.whole(id)
				id += 2
			}
			for i, s := range owed {
				if s.get(":status") != "408" || s.get("proxy-status") != `weir; error=http_request_error; details="client-timeout"` {
					t.Errorf("stream %d: %v", 2*i+1, s.fields)
				}
			}
		})
	}
}
