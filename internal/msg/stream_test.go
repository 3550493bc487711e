package msg

import (
	"strings"
	"testing"
)

// What a section of HTTP/2 or HTTP/3 may have by its own version's rules, and a request to a server may not.
func TestStreamRequests(t *testing.T) {
	h := stream("GET /x", "accept: */*", "x-a: v w", "te: trailers", "host: a.example", "content-length: 5")
	wantKept(t, "plain", h, VetRequest(h), "accept=*/* x-a=v w")
	wantFlags(t, "plain", h, FlagKeepAlive|FlagTETrailers)
	for _, c := range []struct {
		why  string
		want Fault
		h    *Head
	}{
		{"long method", FaultMethodSize, stream(strings.Repeat("G", 33) + " /x")},
		{"plain CONNECT", FaultConnect, stream("CONNECT ")},
		{"too many fields", FaultFieldCount, stream("GET /x", tooMany...)},
		{"unknown protocol", FaultProtocol, protocol(stream("CONNECT /x"), "connect-udp")},
	} {
		wantFault(t, c.why, VetRequest(c.h), c.want)
	}
}

// tooMany are more lines than a head may have.
var tooMany = strings.Split(strings.Repeat("x: y\n", FieldsMax)+"x: y", "\n")

func protocol(h *Head, s string) *Head {
	h.Protocol = h.PutString(s)
	return h
}

// RFC 8441 section 5.
func TestExtendedConnect(t *testing.T) {
	h := protocol(stream("CONNECT /chat", "sec-websocket-version: 13"), "websocket")
	wantKept(t, "websocket", h, VetRequest(h), "sec-websocket-version=13")
	wantFlags(t, "websocket", h, FlagKeepAlive|FlagUpgrade)
}

func TestStreamResponses(t *testing.T) {
	h := response(200, BodyNone, "content-length: 5", "server: x")
	h.Version = HTTP2
	wantKept(t, "response to HEAD", h, VetResponse(h), "content-length=5 server=x")
	h = response(200, BodyStream, tooMany...)
	h.Version = HTTP2
	wantFault(t, "too many fields", VetResponse(h), FaultFieldCount)
}

// RFC 9110 section 6.5.1.
func TestTrailers(t *testing.T) {
	h := response(0, 0, "X-T: v", "grpc-status: 0", "Server-Timing: a", "ETag: x", "Link: </a>",
		"Content-Length: 100", "Transfer-Encoding: chunked", "Host: b", "Connection: close", "Cookie: a", "Set-Cookie: a",
		"Authorization: x", "Content-Type: a/b", "content-encoding: gzip", "Cache-Control: x", "IF-MATCH: x", "Trailer: x",
		"X-Forwarded-For: 1.1.1.1", "Forwarded: for=x", "X-Request-ID: 1", "TE: x", "Expect: 100-continue", "Location: /",
		"Age: 1", "WWW-Authenticate: x", "Max-Forwards: 1", "Range: x")
	want := "X-T=v grpc-status=0 Server-Timing=a ETag=x Link=</a>"
	for _, when := range []string{"once", "again"} {
		DropTrailers(h)
		wantKept(t, when, h, nil, want)
	}
}
