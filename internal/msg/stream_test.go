package msg

import (
	"strings"
	"testing"
)

// RFC 9113 sections 8.2 and 8.3.
func TestStreamRequests(t *testing.T) {
	h := stream("GET /x?a=1&b=%20;c&d=/?@:", "accept: */*", "x-a: v w", "te: trailers")
	wantKept(t, "plain", h, VetRequest(h), "accept=*/* x-a=v w")
	wantFlags(t, "plain", h, FlagKeepAlive|FlagTETrailers)
	if h.Fields[0].ID != FieldAccept {
		t.Error("identities were not resolved")
	}
	for _, c := range []struct {
		why  string
		want Fault
		h    *Head
	}{
		{"CRLF in a value", FaultFieldValue, stream("GET /x", "x-a: a\r\nx-inj: 1")},
		{"bare CR", FaultFieldValue, stream("GET /x", "x-a: a\rb")},
		{"NUL", FaultFieldValue, stream("GET /x", "x-a: a\x00b")},
		{"control byte", FaultFieldValue, stream("GET /x", "x-a: a\x01b")},
		{"leading space", FaultFieldValue, stream("GET /x", "x-a:  v")},
		{"trailing tab", FaultFieldValue, stream("GET /x", "x-a: v\t")},
		{"CRLF in a name", FaultFieldName, stream("GET /x", "x\r\ny: v")},
		{"space in a name", FaultFieldName, stream("GET /x", "x a: v")},
		{"upper case", FaultFieldName, stream("GET /x", "X-A: v")},
		{"colon in a name", FaultFieldName, stream("GET /x", "x:a: v")},
		{"high byte in a name", FaultFieldName, stream("GET /x", "x-\xe9: v")},
		{"empty name", FaultFieldName, stream("GET /x", ": v")},
		{"pseudo field", FaultFieldName, stream("GET /x", ":transfer-encoding: chunked")},
		{"space in the method", FaultMethod, request2("GET /admin", "/x")},
		{"empty method", FaultMethod, request2("", "/x")},
		{"long method", FaultMethodSize, request2(strings.Repeat("G", 33), "/x")},
		{"NUL in the path", FaultTarget, stream("GET /x\x00y")},
		{"LF in the path", FaultTarget, stream("GET /x\ny")},
		{"space in the path", FaultTarget, stream("GET /x y")},
		{"fragment", FaultTarget, stream("GET /x#f")},
		{"empty path", FaultTarget, stream("GET ")},
		{"relative path", FaultTarget, stream("GET x")},
		{"* with GET", FaultTarget, stream("GET *")},
		{"connection", FaultHopField, stream("GET /x", "connection: close")},
		{"keep-alive", FaultHopField, stream("GET /x", "keep-alive: timeout=5")},
		{"proxy-connection", FaultHopField, stream("GET /x", "proxy-connection: close")},
		{"transfer-encoding", FaultHopField, stream("POST /x", "transfer-encoding: chunked")},
		{"upgrade", FaultHopField, stream("GET /x", "upgrade: h2c")},
		{"te", FaultHopField, stream("GET /x", "te: trailers, gzip")},
		{"two lengths", FaultLengthTwice, stream("POST /x", "content-length: 5", "content-length: 5")},
		{"bad length", FaultLength, stream("POST /x", "content-length: +5")},
		{"empty length", FaultLength, stream("POST /x", "content-length: ")},
		{"plain CONNECT", FaultConnect, stream("CONNECT ")},
		{"two hosts", FaultHostTwice, stream("GET /x", "host: a.example", "host: a.example")},
		{"another host", FaultHostDiffers, stream("GET /x", "host: b.example")},
		{"bad authority", FaultHost, authority(stream("GET /x"), "a.example/evil")},
		{"userinfo", FaultHost, authority(stream("GET /x"), "u@a.example")},
		{"no authority", FaultHostMissing, authority(stream("GET /x"), "")},
		{"bad host", FaultHost, authority(stream("GET /x", "host: a b"), "")},
		{"too many fields", FaultFieldCount, stream("GET /x", strings.Split(strings.Repeat("x: y\n", FieldsMax)+"x: y", "\n")...)},
		{"unknown protocol", FaultProtocol, protocol(stream("CONNECT /x"), "connect-udp")},
		{"protocol without CONNECT", FaultRequestLine, protocol(stream("GET /x"), "websocket")},
	} {
		wantFault(t, c.why, VetRequest(c.h), c.want)
	}
}

func request2(method, target string) *Head {
	h := stream("GET " + target)
	h.Name, h.Method = h.PutString(method), LookupMethod([]byte(method))
	return h
}

func authority(h *Head, s string) *Head {
	h.Authority = h.PutString(s)
	return h
}

func protocol(h *Head, s string) *Head {
	h.Protocol = h.PutString(s)
	return h
}

func TestStreamHost(t *testing.T) {
	h := authority(stream("GET /x", "host: b.example"), "")
	wantKept(t, "host only", h, VetRequest(h), "")
	if got := string(h.Bytes(h.Authority)); got != "b.example" {
		t.Errorf("authority %q", got)
	}
	h = stream("GET /x", "host: A.Example")
	wantKept(t, "both", h, VetRequest(h), "")
	h = stream("OPTIONS *")
	wantKept(t, "OPTIONS *", h, VetRequest(h), "")
}

// RFC 9113 section 8.1.1.
func TestStreamLength(t *testing.T) {
	h := stream("POST /x", "content-length: 5")
	wantKept(t, "known", h, VetRequest(h), "")
	if h.Framing != BodyLength || h.Length != 5 {
		t.Errorf("framing %d, length %d", h.Framing, h.Length)
	}
	h = stream("POST /x", "content-length: 0")
	h.Framing = BodyNone
	wantKept(t, "none", h, VetRequest(h), "")
	h = stream("POST /x", "content-length: 5")
	h.Framing = BodyNone
	wantFault(t, "a body that does not come", VetRequest(h), FaultLength)
	h = response(200, BodyNone)
	h.Version = HTTP2
	h.addLines([]string{"content-length: 5"}, false)
	wantKept(t, "response to HEAD", h, VetResponse(h), "content-length=5")
}

// RFC 8441 section 5.
func TestExtendedConnect(t *testing.T) {
	h := protocol(stream("CONNECT /chat", "sec-websocket-version: 13"), "websocket")
	wantKept(t, "websocket", h, VetRequest(h), "sec-websocket-version=13")
	wantFlags(t, "websocket", h, FlagKeepAlive|FlagUpgrade)
}

func TestStreamResponses(t *testing.T) {
	h := response(200, BodyStream)
	h.Version = HTTP2
	h.addLines([]string{"te: gzip", "server: x", "content-length: 5"}, false)
	wantKept(t, "plain", h, VetResponse(h), "server=x")
	if h.Framing != BodyLength || h.Length != 5 {
		t.Errorf("framing %d, length %d", h.Framing, h.Length)
	}
	for _, c := range []struct {
		why    string
		want   Fault
		status uint16
		lines  []string
	}{
		{"101", FaultStatus, 101, nil}, {"99", FaultStatus, 99, nil}, {"600", FaultStatus, 600, nil},
		{"connection", FaultHopField, 200, []string{"connection: close"}},
		{"CRLF", FaultFieldValue, 200, []string{"x: a\r\nb: c"}},
		{"upper case", FaultFieldName, 200, []string{"X: a"}},
		{"two lengths", FaultLengthTwice, 200, []string{"content-length: 1", "content-length: 1"}},
	} {
		h := response(c.status, BodyStream)
		h.Version = HTTP2
		h.addLines(c.lines, false)
		err := VetResponse(h)
		wantFault(t, c.why, err, c.want)
		if err != nil && err.Status != 502 {
			t.Errorf("%s: answered with %d", c.why, err.Status)
		}
	}
}

// RFC 9110 section 6.5.1.
func TestTrailers(t *testing.T) {
	h := response(0, 0, "X-T: v", "grpc-status: 0", "Server-Timing: a", "ETag: x", "Link: </a>",
		"Content-Length: 100", "Transfer-Encoding: chunked", "Host: b", "Connection: close", "Cookie: a", "Set-Cookie: a",
		"Authorization: x", "Content-Type: a/b", "content-encoding: gzip", "Cache-Control: x", "IF-MATCH: x", "Trailer: x",
		"X-Forwarded-For: 1.1.1.1", "Forwarded: for=x", "X-Request-ID: 1", "TE: x", "Expect: 100-continue", "Location: /",
		"Age: 1", "WWW-Authenticate: x", "Max-Forwards: 1", "Range: x")
	want := "X-T=v grpc-status=0 Server-Timing=a ETag=x Link=</a>"
	wantKept(t, "once", h, VetTrailers(h, false), want)
	wantKept(t, "again", h, VetTrailers(h, false), want)

	h = response(0, 0)
	h.Version = HTTP2
	h.addLines([]string{"x-t: v", "content-length: 5"}, false)
	wantKept(t, "stream", h, VetTrailers(h, true), "x-t=v")
	for _, l := range []string{"x: a\r\nb", "X: a", ":path: /", "a b: c"} {
		h = response(0, 0)
		h.Version = HTTP3
		h.addLines([]string{l}, false)
		if err := VetTrailers(h, true); err == nil || err.Status != 400 {
			t.Errorf("%q: %v", l, err)
		}
		if err := VetTrailers(h, false); err == nil || err.Status != 502 {
			t.Errorf("%q: %v", l, err)
		}
	}
}
