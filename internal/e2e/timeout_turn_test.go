package e2e

import (
	"testing"
	"time"
)

// A server that pauses inside its response, or between an interim response and the final one, lets its client wait. However
// long that is, it is no client's inactivity: the client has taken all there was.
func TestPausesOfAServerAreNotItsClients(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, frontend: useShort, tables: "[timeouts.short]\nclient = \"200ms\"\n"})
		pause := func(server *peer) { server.more(time.Now().Add(700 * time.Millisecond)) } // nothing comes: it only takes time

		client := w.dial()
		client.ask("GET /body HTTP/1.1", host)
		server := back.accept()
		server.request()
		server.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
		client.responseHead()
		client.bytes("abc")
		pause(server)
		server.send("def")
		client.bytes("def")

		client.ask("GET /interim HTTP/1.1", host)
		server.request()
		server.send("HTTP/1.1 103 Early Hints\r\n\r\n")
		client.response().want(t, "HTTP/1.1 103 Early Hints")
		client.asked = []string{"GET"}
		pause(server)
		server.answer(ok, hello...)
		client.response().want(t, ok, "", "hello")
	})
}
