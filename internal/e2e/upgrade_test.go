package e2e

import (
	"io"
	"testing"
)

var (
	upgrades = []string{host, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}
	switches = []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}
)

const switching = "HTTP/1.1 101 Switching Protocols"

// tunnel opens a WebSocket through weir.
func tunnel(t *testing.T, w *weir, back *origin) (client, server *peer) {
	t.Helper()
	client = w.dial()
	client.ask("GET /chat HTTP/1.1", upgrades...)
	server = back.accept()
	server.request().want(t, "GET /chat HTTP/1.1", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
	server.answer(switching, switches...)
	client.response().want(t, switching, switches...)
	return client, server
}

func TestUpgrade(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}})
		client, server := tunnel(t, w, back)
		for range 10 {
			client.send("\x81\x05hello\x00\r\n\r\n")
			server.bytes("\x81\x05hello\x00\r\n\r\n")
			server.send("\x82\x03abc")
			client.bytes("\x82\x03abc")
		}
		w.wantMetric(1, "weir_server_connections", "state", "private")
		server.send("bye")
		server.close()
		client.bytes("bye")
		client.gone()
	})
}

// Bytes that come right behind the heads belong to the tunnel.
func TestUpgradeWithBytesBehindTheHeads(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		client := start(t, setup{over: over, servers: []*origin{back}}).dial()
		client.ask("GET /chat HTTP/1.1", append(upgrades, "", "early")...)
		server := back.accept()
		server.request()
		server.answer(switching, append(switches, "", "first")...)
		client.response().want(t, switching)
		client.bytes("first")
		server.bytes("early")
		client.finish()
		server.end()
		server.close()
		client.gone()
	})
}

// Each direction ends by itself.
func TestUpgradeHalfClosed(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}})
		client, server := tunnel(t, w, back)
		client.send("last")
		client.finish()
		server.bytes("last")
		server.end()
		server.send("still here")
		client.bytes("still here")
		server.finish()
		client.end()
		client.close()

		client, server = tunnel(t, w, back)
		server.send("last")
		server.finish()
		client.bytes("last")
		client.end()
		client.send("still here")
		server.bytes("still here")
		client.finish()
		server.end()
	})
}

func TestUpgradeMovesMuch(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}})
		client, server := tunnel(t, w, back)
		const size = 10 * megabyte
		send := func(to *peer, seed byte) func() error {
			return func() error {
				_, err := io.Copy(to.conn, noise(seed, size))
				return err
			}
		}
		recv := func(from *peer, seed byte) func() error {
			return func() error {
				return wantSum(from.conn.RemoteAddr().String(), io.LimitReader(from.conn, size), seed, size)
			}
		}
		transfer(t, send(client, 5), recv(server, 5), send(server, 6), recv(client, 6))
	})
}

// A server that refuses an upgrade answers an ordinary request.
func TestUpgradeRefused(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		client := start(t, setup{over: over, servers: []*origin{back}}).dial()
		client.ask("GET /chat HTTP/1.1", upgrades...)
		server := back.accept()
		server.request()
		server.answer("HTTP/1.1 403 Forbidden", "Content-Length: 2", "", "no")
		client.response().want(t, "HTTP/1.1 403 Forbidden", "-Upgrade", "", "no")
		client.ask("GET / HTTP/1.1", host)
		server.serve()
		client.response().want(t, ok)
	})
}

// A 101 that nobody asked for is no response.
func TestUpgradeThatNobodyAskedFor(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		client := start(t, setup{over: over, servers: []*origin{back}}).dial()
		client.ask("GET / HTTP/1.1", host)
		server := back.accept()
		server.request()
		server.answer(switching, switches...)
		client.response().want(t, "HTTP/1.1 502 Bad Gateway", `Proxy-Status: weir; error=http_protocol_error; details="bad-response"`)
		server.gone()
	})
}
