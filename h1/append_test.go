package h1

import (
	"slices"
	"strings"
	"testing"

	"weir/internal/msg"
)

// front reads and vets a request from a client.
func front(t *testing.T, s string) *msg.Head {
	t.Helper()
	got := play([]byte(s), nil, nil, false, testHeadMax)
	if got.err != nil || len(got.messages) == 0 {
		t.Fatalf("%q: %s", s, got.String())
	}
	return &got.messages[0].head
}

func back(t *testing.T, s string, asked request) *msg.Head {
	t.Helper()
	got := play([]byte(s), nil, []request{asked}, false, testHeadMax)
	if got.err != nil || len(got.messages) == 0 {
		t.Fatalf("%q: %s", s, got.String())
	}
	return &got.messages[0].head
}

// stream makes a head as an h2 codec does.
func stream(method, target string, lines ...string) *msg.Head {
	lines = append([]string{":method: " + method, ":scheme: https", ":path: " + target, ":authority: a.example"}, lines...)
	h, fault := sectionOf(lines, false)
	if fault != 0 {
		panic(fault.InRequest())
	}
	return h
}

// sectionOf makes a head of "name: value" lines; end: without a body.
func sectionOf(lines []string, end bool) (*msg.Head, msg.Fault) {
	s := msg.NewSection(&msg.Head{Version: msg.HTTP2}, msg.RequestSection)
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		if fault := s.AddText(msg.Field{Name: s.Head.PutString(name), Value: s.Head.PutString(value)}); fault != 0 {
			return nil, fault
		}
	}
	return s.Head, s.FinishRequest(true, end)
}

func wantBytes(t *testing.T, why string, got []byte, want string) {
	t.Helper()
	if string(got) != want {
		t.Errorf("%s:\n%s\nwant\n%s", why, got, want)
	}
}

func TestAppendRequest(t *testing.T) {
	const head = " HTTP/1.1\r\nHost: a.example\r\n"
	for _, c := range []struct {
		why, in, want string
		o             RequestOptions
	}{
		{"plain", "GET /x?y HTTP/1.1\r\nHost: a.example\r\nA: b\r\n\r\n", "GET /x?y" + head + "A: b\r\n\r\n", RequestOptions{}},
		{"Host comes first", "GET / HTTP/1.1\r\nA: b\r\nHost:a.example\r\n\r\n", "GET /" + head + "A: b\r\n\r\n", RequestOptions{}},
		{"lines are tidied", "GET / HTTP/1.1\r\nA:b\r\nHost: a.example\r\nC:  d \r\nE: f\r\nG:\r\nH: i \r\nJ:\tk\r\n\r\n",
			"GET /" + head + "A: b\r\nC: d\r\nE: f\r\nG: \r\nH: i\r\nJ: k\r\n\r\n", RequestOptions{}},
		{"gaps", "GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nKeep-Alive: x\r\nHost: a.example\r\nC: 3\r\nTE: x\r\nD: 4\r\n\r\n",
			"GET /" + head + "A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n", RequestOptions{}},
		{"HTTP/1.0 goes on as 1.1", "GET / HTTP/1.0\r\nHost: a.example\r\n\r\n", "GET /" + head + crlf, RequestOptions{}},
		{"HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: s1:80\r\n\r\n", RequestOptions{Host: "s1:80"}},
		{"Host is not replaced", "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET /" + head + crlf, RequestOptions{Host: "s1:80"}},
		{"absolute-form", "GET http://a.example?x HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET /?x" + head + crlf, RequestOptions{}},
		{"length", "PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 005\r\n\r\nhello",
			"PUT /" + head + "Content-Length: 5\r\n\r\n", RequestOptions{}},
		{"chunks", "PUT / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: CHUNKED\r\n\r\n",
			"PUT /" + head + "Transfer-Encoding: chunked\r\n\r\n", RequestOptions{}},
		{"POST without a body says so", "POST / HTTP/1.1\r\nHost: a.example\r\n\r\n",
			"POST /" + head + "Content-Length: 0\r\n\r\n", RequestOptions{}},
		{"close", "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET /" + head + "Connection: close\r\n\r\n", RequestOptions{Close: true}},
		{"further fields", "GET / HTTP/1.1\r\nHost: a.example\r\nA: b\r\n\r\n", "GET /" + head + "A: b\r\nVia: 1.1 weir\r\n\r\n",
			RequestOptions{Fields: []byte("Via: 1.1 weir\r\n")}},
		{"TE", "GET / HTTP/1.1\r\nHost: a.example\r\nTE: gzip, trailers\r\nConnection: TE\r\n\r\n",
			"GET /" + head + "TE: trailers\r\nConnection: TE\r\n\r\n", RequestOptions{}},
		{"all options", "GET / HTTP/1.1\r\nHost: a.example\r\nTE: trailers\r\nConnection: Upgrade\r\nUpgrade: h2c, websocket\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
			"GET /" + head + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nTE: trailers\r\n" +
				"Connection: close, TE, Upgrade\r\nUpgrade: websocket\r\n\r\n", RequestOptions{Close: true}},
	} {
		wantBytes(t, c.why, AppendRequest(nil, front(t, c.in), c.o), c.want)
	}
}

// Lines are copied in one piece only where they still are neighbours.
func TestAppendAfterFieldsMoved(t *testing.T) {
	h := front(t, "GET / HTTP/1.1\r\nHost: a.example\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n")
	h.Fields = slices.Delete(h.Fields, 2, 3)
	h.Add(msg.FieldVia, "Via", []byte("1.1 weir"))
	wantBytes(t, "without B", AppendRequest(nil, h, RequestOptions{}),
		"GET / HTTP/1.1\r\nHost: a.example\r\nA: 1\r\nC: 3\r\nVia: 1.1 weir\r\n\r\n")
}

func TestAppendStreamRequest(t *testing.T) {
	const head = " HTTP/1.1\r\nHost: a.example\r\n"
	websocket := stream("CONNECT", "/chat", ":protocol: websocket", "sec-websocket-version: 13")
	for _, c := range []struct {
		why, want string
		h         *msg.Head
		o         RequestOptions
	}{
		{"body of unknown length", "POST /x" + head + "a: b\r\nTransfer-Encoding: chunked\r\n\r\n", stream("POST", "/x", "a: b"), RequestOptions{}},
		{"known", "POST /x" + head + "Content-Length: 5\r\n\r\n", stream("POST", "/x", "content-length: 5"), RequestOptions{}},
		{"websocket (RFC 8441)", "GET /chat" + head + "sec-websocket-version: 13\r\n" +
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", websocket,
			RequestOptions{WebSocketKey: "dGhlIHNhbXBsZSBub25jZQ=="}},
	} {
		if err := msg.VetRequest(c.h); err != nil {
			t.Fatal(c.why, err)
		}
		wantBytes(t, c.why, AppendRequest(nil, c.h, c.o), c.want)
	}
	h := front(t, "GET / HTTP/1.1\r\nHost: a.example\r\nCookie:a\r\nCookie: b\r\n\r\n")
	wantBytes(t, "HTTP/1 cookies stay apart", AppendRequest(nil, h, RequestOptions{}), "GET /"+head+"Cookie: a\r\nCookie: b\r\n\r\n")
}

func TestAppendResponse(t *testing.T) {
	get, head := request{method: msg.MethodGet}, request{method: msg.MethodHead}
	to11, to10 := ResponseOptions{Version: msg.HTTP11}, ResponseOptions{Version: msg.HTTP10}
	with := func(o ResponseOptions, f func(*ResponseOptions)) ResponseOptions { f(&o); return o }
	for _, c := range []struct {
		why, in, want string
		asked         request
		o             ResponseOptions
	}{
		{"length", "HTTP/1.1 200 Fine\r\nA: b\r\nContent-Length: 2\r\n\r\n", "HTTP/1.1 200 Fine\r\nA: b\r\nContent-Length: 2\r\n\r\n", get, to11},
		{"no reason", "HTTP/1.0 404\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", get, to11},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", get, to11},
		{"to the end", "HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", get, to11},
		{"close", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n", get,
			with(to11, func(o *ResponseOptions) { o.Close = true })},
		{"keep-alive is not said to 1.1", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", get,
			with(to11, func(o *ResponseOptions) { o.KeepAlive = true })},
		{"keep-alive to 1.0", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n", get,
			with(to10, func(o *ResponseOptions) { o.KeepAlive = true })},
		{"1.0 reads no chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", get,
			with(to10, func(o *ResponseOptions) { o.KeepAlive = true })},
		{"HEAD keeps its length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", head,
			with(to11, func(o *ResponseOptions) { o.Head = true })},
		{"HEAD without a length", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", head,
			with(to11, func(o *ResponseOptions) { o.Head = true })},
		{"304 keeps its length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n",
			"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", get, to11},
		{"204 has none", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n", get, to11},
		{"101", "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n",
			"HTTP/1.1 101 Go\r\nSec-WebSocket-Accept: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
			request{msg.MethodGet, true}, with(to11, func(o *ResponseOptions) { o.Close = true })},
		{"426", "HTTP/1.1 426 No\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 426 No\r\nContent-Length: 0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", get, to11},
		{"426 to 1.0", "HTTP/1.1 426 No\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 426 No\r\nContent-Length: 0\r\n\r\n", get, to10},
		{"further fields", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "HTTP/1.1 200 OK\r\nVia: 1.1 weir\r\nContent-Length: 2\r\n\r\n", get,
			with(to11, func(o *ResponseOptions) { o.Fields = []byte("Via: 1.1 weir\r\n") })},
	} {
		wantBytes(t, c.why, AppendResponse(nil, back(t, c.in, c.asked), c.o), c.want)
	}
	h := &msg.Head{Version: msg.HTTP2, Status: 200}
	wantBytes(t, "an h2 server's empty body", AppendResponse(nil, h, to11), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	h = &msg.Head{Status: 599}
	wantBytes(t, "no phrase", AppendResponse(nil, h, to11), "HTTP/1.1 599 \r\nContent-Length: 0\r\n\r\n")
	h = back(t, "HTTP/1.1 103 Hi\r\nLink: </a>\r\nContent-Length: 0\r\nConnection: x\r\n\r\n", get)
	wantBytes(t, "interim", AppendInterim(nil, h), "HTTP/1.1 103 Hi\r\nLink: </a>\r\n\r\n")
}

func TestChunkedAndMustClose(t *testing.T) {
	for f, unknown := range map[msg.Framing]bool{msg.BodyNone: false, msg.BodyLength: false, msg.BodyChunked: true,
		msg.BodyClose: true, msg.BodyStream: true, msg.BodyTunnel: false} {
		h := &msg.Head{Status: 200, Framing: f}
		for _, v := range []msg.Version{msg.HTTP10, msg.HTTP11} {
			for _, head := range []bool{false, true} {
				o := ResponseOptions{Version: v, Head: head}
				if got, want := o.Chunked(h), unknown && !head && v == msg.HTTP11; got != want {
					t.Errorf("framing %d, version %d, HEAD %v: chunked %v", f, v, head, got)
				}
				if got, want := o.MustClose(h), unknown && !head && v == msg.HTTP10; got != want {
					t.Errorf("framing %d, version %d, HEAD %v: must close %v", f, v, head, got)
				}
			}
		}
	}
}

func TestAppendChunks(t *testing.T) {
	for n, want := range map[int]string{1: "1", 9: "9", 10: "a", 15: "f", 16: "10", 255: "ff", 4096: "1000", 1<<63 - 1: "7fffffffffffffff"} {
		wantBytes(t, want, AppendChunkHead([]byte("x"), n), "x"+want+crlf)
	}
	wantBytes(t, "end", AppendChunkEnd([]byte("x")), "x\r\n")
	wantBytes(t, "last", AppendLastChunk(nil, nil), "0\r\n\r\n")
	var tr msg.Head
	tr.Add(msg.FieldOther, "x-t", []byte("v"))
	tr.Add(msg.FieldCookie, "cookie", []byte("v"))
	msg.DropTrailers(&tr)
	wantBytes(t, "trailers", AppendLastChunk(nil, &tr), "0\r\nx-t: v\r\n\r\n")
	defer func() {
		if recover() == nil {
			t.Error("an empty chunk would end the body")
		}
	}()
	AppendChunkHead(nil, 0)
}
