package e2e

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

// chats opens a WebSocket on a port.
func chats(w *weir, port string, back *origin) (client, server *peer) {
	w.t.Helper()
	client = w.dialPort(port)
	client.ask("GET /chat HTTP/1.1", upgrades...)
	server = back.accept()
	server.request()
	server.answer(switching, switches...)
	client.response().want(w.t, switching)
	return client, server
}

// What a reload takes out of the configuration ends like a drain: with hard-stop-after. What it changes goes on as it began.
func TestReloadEndsWhatIsGone(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back, leaving := listen(t, over), listen(t, over)
		more := fmt.Sprintf("[frontend.gone]\nbind = [{ address = \"$HOST:8081\"%s }]\nbackend = \"api\"\n", over.bind())
		two := fmt.Sprintf("[frontend.two]\nbind = [{ address = \"$HOST:8082\"%s }]\nbackend = \"two\"\n[backend.two]\nservers = [{ name = \"%%s\", address = \"%s\" }]\n%s\n",
			over.bind(), leaving.addr, leaving.backend())
		w := start(t, setup{over: over, servers: []*origin{back}, global: "hard-stop-after = \"1s\"", tables: more + fmt.Sprintf(two, "old")})
		clientGone, serverGone := chats(w, "8081", back)
		clientOfGone, goneServer := chats(w, "8082", leaving)
		client, server := chats(w, "8080", back)
		slow := w.dialPort("8081")
		slow.ask("GET /slow HTTP/1.1", host)
		slowServer := back.accept()
		slowServer.request()
		slowServer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
		slow.upto("half")

		w.rewrite(func(s *setup) {
			s.frontend, s.backend, s.tables = `via = "new"`, "h2 = \"h2c\"\n", fmt.Sprintf(two, "new")
			if over == tlsed {
				s.backend = "h2 = true\n"
			}
		})
		w.reload()
		for _, pair := range [][2]*peer{{clientGone, serverGone}, {clientOfGone, goneServer}} {
			pair[0].send("not yet")
			pair[1].bytes("not yet")
		}
		for _, p := range []*peer{clientGone, serverGone, clientOfGone, goneServer, slow, slowServer} {
			p.gone()
		}
		client.send("still here")
		server.bytes("still here")
		client.close()
		server.gone()
		w.wantMetric(0, "weir_frontend_connections", "frontend", "gone")
	})
}

// The same over HTTP/3, whose address the new frontend has taken over.
func TestReloadEndsWhatIsGoneOverH3(t *testing.T) {
	t.Parallel()
	w := start(t, setup{over: tlsed, bind: "h3 = true", servers: []*origin{echoOrigin(t)}, global: "hard-stop-after = \"1s\"", backend: `reuse = "always"`})
	u := w.h3Client(t).upload(t)
	u.goesOn("before")
	w.write(strings.Replace(w.setup.text(w.host), "[frontend.web]", "[frontend.other]", 1))
	w.reload()
	u.goesOn("after")
	if rest, err := io.ReadAll(u.rsp.Body); err == nil {
		t.Errorf("the response ended well after %q", rest)
	}
	_ = u.feed.Close()
	fresh := w.h3Client(t).upload(t)
	fresh.goesOn("the new one")
	fresh.ends()
}
