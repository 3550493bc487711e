package e2e

import (
	"testing"
)

// Whoever is answered before it has sent all it had to can send the rest without a RST, which would take the answer from it: a
// client that was refused before it has asked, and one that took too long.
func TestAnswersOutliveWhatIsSentAfterThem(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ tables, before, status string }{
		"not admitted":            {"[limits.tight]\nmax-conn = 1\nqueue-depth = 1\nqueue-timeout = \"20s\"\n", "", "HTTP/1.1 503 Service Unavailable"},
		"a head that is too slow": {short("http-request"), "GET / HTTP/1.1\r\nConnection: close\r\n", timeout408},
		"a body that is too slow": {short("client"), "POST / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nContent-Length: 100\r\n\r\nhalf", timeout408},
		"a body that is none":     {"", "POST / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nnone\r\n", "HTTP/1.1 400 Bad Request"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			back := listen(t, plain)
			front := useShort
			switch name {
			case "not admitted":
				front = "limits = \"tight\""
			case "a body that is none":
				front = ""
			}
			w := start(t, setup{servers: []*origin{back}, frontend: front, tables: c.tables})
			if name == "not admitted" {
				in := w.dial()
				in.ask("GET / HTTP/1.1", host)
				back.serve()
				in.response().want(t, ok)
				waits := w.dial()
				waits.send("GET / HTTP/1.1\r\n")
				w.wantMetric(1, "weir_limit_hits_total", "level", "frontend", "axis", "max-conn")
				defer waits.quiet()
			}
			client := w.dial()
			client.send(c.before)
			client.responseHead().want(t, c.status, "Connection: close")
			for range 3 { // the first would be answered by the RST, the second would fail
				client.send("X-More: of it\r\n")
				w.metric("weir_frontend_connections") // a round trip to the process
			}
			client.drain()
			if client.err != nil {
				t.Errorf("it ended with %v", client.err)
			}
		})
	}
}
