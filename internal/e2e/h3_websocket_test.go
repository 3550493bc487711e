package e2e

import (
	"testing"

	"golang.org/x/net/http2"
)

// h3Tunnel asks for a WebSocket in a stream of HTTP/3 (RFC 9220). The stream is left open.
func h3Tunnel(p *h3Peer) *h3Stream {
	return &h3Stream{p: p, s: p.stream(h3Head(":method", "CONNECT", ":protocol", "websocket", ":scheme", "https",
		":authority", "a.example", ":path", "/chat", "sec-websocket-version", "13"))}
}

// A WebSocket in a stream of HTTP/3 becomes an Upgrade towards a server of HTTP/1, and the connection carries other requests
// meanwhile.
func TestH3WebSocketToH1(t *testing.T) {
	t.Parallel()
	back := listen(t, plain)
	w := start(t, setup{over: tlsed, bind: "h3 = true", servers: []*origin{back}})
	client := w.dialH3(t)
	s := h3Tunnel(client)
	server := back.accept()
	m := server.request().want(t, "GET /chat HTTP/1.1", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", host)
	key := m.get("Sec-WebSocket-Key")
	if len(key) != 24 {
		t.Errorf("Sec-WebSocket-Key: %q", key)
	}
	server.answer(switching, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Accept: "+acceptOf(key))
	head := s.head()
	if head[":status"] != "200" || head["upgrade"] != "" || head["connection"] != "" || head["sec-websocket-accept"] != "" {
		t.Errorf("%v", head)
	}
	s.send("from the client")
	server.bytes("from the client")
	server.send("from the server")
	s.bytes("from the server")
	beside := client.stream(h3Request("GET", "/beside"))
	_ = beside.Close()
	back.serve()
	client.answer(beside)
	_ = s.s.Close()
	server.end()
	server.send("last words")
	s.bytes("last words")
	server.close()
	s.end()
}

// The same towards a server of HTTP/2 (RFC 8441).
func TestH3WebSocketToH2(t *testing.T) {
	t.Parallel()
	back := listen(t, plain)
	setup := h2cSetup(back, "")
	setup.over, setup.bind = tlsed, "h3 = true"
	client := start(t, setup).dialH3(t)
	s := h3Tunnel(client)
	server := back.acceptH2(http2.Setting{ID: http2.SettingEnableConnectProtocol, Val: 1})
	m := server.asked(1)
	if m.get(":method") != "CONNECT" || m.get(":protocol") != "websocket" || m.get(":path") != "/chat" || m.get("upgrade") != "" || m.get("sec-websocket-key") != "" {
		t.Errorf("%v", m.fields)
	}
	server.head(1, false, ":status", "200")
	server.data(1, false, "from the server")
	if head := s.head(); head[":status"] != "200" {
		t.Errorf("%v", head)
	}
	s.bytes("from the server")
	s.send("from the client")
	_ = s.s.Close()
	if got := server.whole(1); string(got.body) != "from the client" {
		t.Errorf("%q", got.body)
	}
	server.data(1, true, "")
	s.end()
}

// A server that knows no WebSocket answers as to any request.
func TestH3WebSocketRefused(t *testing.T) {
	t.Parallel()
	back := listen(t, plain)
	client := start(t, setup{over: tlsed, bind: "h3 = true", servers: []*origin{back}}).dialH3(t)
	s := h3Tunnel(client)
	server := back.accept()
	server.request()
	server.answer("HTTP/1.1 403 Forbidden", "Content-Length: 2", "", "no")
	if head := s.head(); head[":status"] != "403" {
		t.Errorf("%v", head)
	}
	s.bytes("no")
	s.end()
}
