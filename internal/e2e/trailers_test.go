package e2e

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"
)

// someTrailers are trailers of which only x-sum and x-more may go on: all others would deceive whoever merges them into the
// head (RFC 9110 section 6.5.1).
var someTrailers = []string{
	"x-sum", "5", "host", "evil.example", "authorization", "Basic eA==", "x-forwarded-for", "1.2.3.4", "cookie", "a=1",
	"set-cookie", "a=1", "content-type", "text/html", "content-encoding", "gzip", "cache-control", "public", "x-more", "6",
}

const keptTrailers = "x-sum: 5, x-more: 6"

func trailersText(fields []hpack.HeaderField) string {
	var kept []string
	for _, f := range fields {
		kept = append(kept, f.Name+": "+f.Value)
	}
	return strings.Join(kept, ", ")
}

// trailersServer is the server's half of an exchange: wants returns the trailers that have come with a request, answers
// sends a response with someTrailers.
type trailersServer interface {
	wants() string
	answers()
}

type trailersH1 struct{ s *peer }

func (o trailersH1) wants() string {
	var fields []hpack.HeaderField
	for _, f := range o.s.request().trailers {
		fields = append(fields, hpack.HeaderField{Name: strings.ToLower(f.name), Value: f.value})
	}
	return trailersText(fields)
}

func (o trailersH1) answers() {
	var b strings.Builder
	b.WriteString("4\r\nfghi\r\n0\r\n")
	for i := 0; i < len(someTrailers); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", someTrailers[i], someTrailers[i+1])
	}
	o.s.answer(ok, "Transfer-Encoding: chunked", "", b.String()+"\r\n")
}

type trailersH2 struct{ p *h2Peer }

func (o trailersH2) wants() string { return trailersText(o.p.whole(1).trailers) }

func (o trailersH2) answers() {
	o.p.head(1, false, ":status", "200")
	o.p.data(1, false, "fghi")
	o.p.head(1, true, someTrailers...)
}

// What may not stand in trailers is left out whatever the protocols of the two sides, in both directions.
func TestTrailersThatMayNotBe(t *testing.T) {
	for _, back := range []string{"h1", "h2"} {
		serve := func(t *testing.T, over transport, bind string) (*weir, func() trailersServer) {
			o := listen(t, plain)
			s := setup{over: over, servers: []*origin{o}, bind: bind}
			if back == "h2" {
				s.backend = speakH2(plain)
				return start(t, s), func() trailersServer { return trailersH2{o.acceptH2()} }
			}
			return start(t, s), func() trailersServer { return trailersH1{o.accept()} }
		}
		t.Run("h1 to "+back, func(t *testing.T) {
			t.Parallel()
			w, accept := serve(t, plain, "")
			client := w.dial()
			var b strings.Builder
			for i := 0; i < len(someTrailers); i += 2 {
				fmt.Fprintf(&b, "%s: %s\r\n", someTrailers[i], someTrailers[i+1])
			}
			client.send("POST / HTTP/1.1\r\nHost: a.example\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n" + b.String() + "\r\n")
			server := accept()
			wantTrailers(t, "at the server", server.wants())
			server.answers()
			var got []hpack.HeaderField
			for _, f := range client.response().trailers {
				got = append(got, hpack.HeaderField{Name: strings.ToLower(f.name), Value: f.value})
			}
			wantTrailers(t, "at the client", trailersText(got))
		})
		t.Run("h2 to "+back, func(t *testing.T) {
			t.Parallel()
			w, accept := serve(t, plain, "")
			client := w.dialH2(t)
			client.head(1, false, client.request("POST", "/", "te", "trailers")...)
			client.data(1, false, "abc")
			client.head(1, true, someTrailers...)
			server := accept()
			wantTrailers(t, "at the server", server.wants())
			server.answers()
			wantTrailers(t, "at the client", trailersText(client.whole(1).trailers))
		})
		t.Run("h3 to "+back, func(t *testing.T) {
			t.Parallel()
			w, accept := serve(t, tlsed, "h3 = true")
			client := w.dialH3(t)
			s := client.stream(h3Request("POST", "/", "te", "trailers"), h3Frame(h3Data, []byte("abc")), h3Head(someTrailers...))
			_ = s.Close()
			server := accept()
			wantTrailers(t, "at the server", server.wants())
			server.answers()
			in := &h3Stream{p: client, s: s}
			in.head()
			in.bytes("fghi")
			tail := in.head()
			if len(tail) != 2 || tail["x-sum"] != "5" || tail["x-more"] != "6" {
				t.Errorf("at the client: %v", tail)
			}
			in.end()
		})
	}
}

func wantTrailers(t *testing.T, where, got string) {
	t.Helper()
	if got != keptTrailers {
		t.Errorf("%s: %q, want %q", where, got, keptTrailers)
	}
}

// A section of which nothing is left is none, but the message still ends.
func TestTrailersOfWhichNoneIsLeft(t *testing.T) {
	t.Parallel()
	o := listen(t, plain)
	w := start(t, setup{over: tlsed, bind: "h3 = true", servers: []*origin{o}, backend: speakH2(plain)})
	client := w.dialH3(t)
	s := client.stream(h3Request("POST", "/"), h3Frame(h3Data, []byte("abc")), h3Head("host", "evil.example"))
	_ = s.Close()
	server := o.acceptH2()
	if got := server.whole(1); string(got.body) != "abc" || len(got.trailers) > 0 {
		t.Errorf("at the server: %q, %v", got.body, got.trailers)
	}
	server.head(1, false, ":status", "200")
	server.data(1, false, "fghi")
	server.head(1, true, "set-cookie", "a=1")
	in := &h3Stream{p: client, s: s}
	in.head()
	in.bytes("fghi")
	_ = s.SetReadDeadline(time.Now().Add(patience))
	if rest, err := io.ReadAll(s); err != nil || len(rest) > 2 {
		t.Errorf("behind the body: %q, %v", rest, err)
	}
}
