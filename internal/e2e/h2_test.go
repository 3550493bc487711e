package e2e

import (
	"testing"

	"golang.org/x/net/http2"
)

func TestH2Request(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		rec := newRecorder(t)
		w := start(t, setup{over: over, servers: []*origin{rec.origin}})
		for range 20 {
			client := w.dialH2(t)
			client.get(1, "/a")
			s := client.whole(1)
			if s.get(":status") != "200" || s.get("x-echo") != "/a" || string(s.body) != "GET /a\n" {
				t.Fatalf("%v %q", s.fields, s.body)
			}
			_ = client.conn.Close()
		}
	})
}

// A request that could not be one of HTTP/1 is answered 400 and its stream reset, as RFC 9113 section 8.1.1 has it for malformed
// ones; the connection goes on, and no server sees any of it.
func TestH2RequestsThatAreNoHTTP1(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, plain)
		w := start(t, setup{over: over, servers: []*origin{back}})
		client := w.dialH2(t)
		id := uint32(1)
		for what, fields := range map[string][]string{
			"a space in the path":     client.request("GET", "/a b"),
			"a fragment":              client.request("GET", "/a#b"),
			"a method that is none":   client.request("G ET", "/"),
			"CR and LF in a value":    client.request("GET", "/", "x", "a\r\nY: z"),
			"NUL in a value":          client.request("GET", "/", "x", "a\x00"),
			"a space in a name":       client.request("GET", "/", "x y", "1"),
			"upper case in a name":    client.request("GET", "/", "X-Up", "1"),
			"Transfer-Encoding":       client.request("GET", "/", "transfer-encoding", "chunked"),
			"Connection":              client.request("GET", "/", "connection", "close"),
			"two lengths":             client.request("POST", "/", "content-length", "1", "content-length", "1"),
			"a length that is none":   client.request("POST", "/", "content-length", "+1"),
			"a pseudo-field twice":    client.request("GET", "/", ":path", "/b"),
			"an authority that lies":  client.request("GET", "/", "host", "b.example"),
			"an unknown pseudo-field": client.request("GET", "/", ":x", "y"),
		} {
			client.head(id, true, fields...)
			if code := client.resetOf(id); code != http2.ErrCodeProtocol {
				t.Errorf("%s: reset with %v", what, code)
			}
			if s := client.stream(id); s.get(":status") != "400" || !s.ended {
				t.Errorf("%s: %v", what, s.fields)
			}
			id += 2
		}
		client.get(id, "/")
		back.serveOne().want(t, "GET / HTTP/1.1")
		if s := client.whole(id); s.get(":status") != "200" {
			t.Errorf("%v", s.fields)
		}
	})
}
