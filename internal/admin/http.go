package admin

import (
	"context"
	"strconv"
	"time"

	"weir/h1"
	"weir/internal/msg"
)

// headBytesMax bounds a request head. Nobody needs to say much to ask for metrics.
const headBytesMax = 8 << 10

// exchange is HTTP/1 as the admin listener speaks it: GET and HEAD, no bodies.
type exchange struct {
	site    *site
	r       h1.Reader
	head    msg.Head
	refused *msg.Error // why the head that was read is no good
	do      task       // of the head that was read, until its End
}

func newExchange(s *site) *exchange {
	x := &exchange{site: s}
	x.r.InitRequests(headBytesMax)
	return x
}

// next implements protocol.
func (x *exchange) next(in []byte) (used int, do task) {
	for {
		ev, n, err := x.r.Recv(in[used:], &x.head)
		used += n
		switch {
		case err != nil:
			return len(in), respond(reply{answer: plain(int(err.Status), err.Detail), then: linger})
		case ev.Kind == h1.Head:
			if x.do = x.begin(); x.do == nil {
				return len(in), respond(x.refuse())
			}
		case ev.Kind == h1.End:
			return used, x.do
		default:
			return used, nil
		}
	}
}

// begin makes the task for the request in x.head, or nil if it is no good. It copies what it needs: the head aliases the
// input.
func (x *exchange) begin() task {
	if x.refused = msg.VetRequest(&x.head); x.refused != nil || x.hasBody() {
		return nil
	}
	r := reply{head: x.head.Method == msg.MethodHead, old: x.head.Version == msg.HTTP10}
	if !x.head.Flags.Has(msg.FlagKeepAlive) {
		r.then = closeNow
	}
	if x.head.Method != msg.MethodGet && x.head.Method != msg.MethodHead {
		r.answer = plain(405, "only GET and HEAD")
		return respond(r)
	}
	target := string(x.head.Bytes(x.head.Target))
	return func(ctx context.Context) ([]byte, fate) {
		r.answer = x.site.get(ctx, target)
		return r.bytes(time.Now()), r.then
	}
}

func (x *exchange) hasBody() bool {
	return x.head.Framing != msg.BodyNone && (x.head.Framing != msg.BodyLength || x.head.Length > 0)
}

// refuse answers what begin would not. A body that is not read cannot be told from the next request (RFC 9112 section
// 9.3), so the connection ends.
func (x *exchange) refuse() reply {
	if x.refused != nil {
		return reply{answer: plain(int(x.refused.Status), x.refused.Detail), then: linger}
	}
	return reply{answer: plain(413, "no body is welcome here"), then: linger}
}

// reply is an answer and how it is sent.
type reply struct {
	answer answer
	then   fate
	head   bool // the request was HEAD: no body follows
	old    bool // the client speaks HTTP/1.0, where persistence must be said (RFC 9112 appendix C.2.2)
}

func respond(r reply) task {
	return func(context.Context) ([]byte, fate) { return r.bytes(time.Now()), r.then }
}

// statusText is the reason phrases of what this listener answers and what h1 refuses with.
var statusText = map[int]string{
	200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 413: "Content Too Large",
	414: "URI Too Long", 417: "Expectation Failed", 431: "Request Header Fields Too Large",
	500: "Internal Server Error", 501: "Not Implemented", 503: "Service Unavailable",
}

// dateLayout is IMF-fixdate (RFC 9110 section 5.6.7).
const dateLayout = "Mon, 02 Jan 2006 15:04:05 GMT"

// bytes is the response. Framing is always a length, so that the end never depends on the connection's.
func (r *reply) bytes(now time.Time) []byte {
	b := make([]byte, 0, 512+len(r.answer.body))
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(r.answer.status), 10)
	b = append(b, ' ')
	b = append(b, statusText[r.answer.status]...)
	b = append(b, "\r\nDate: "...)
	b = now.UTC().AppendFormat(b, dateLayout)
	b = append(b, "\r\nContent-Type: "...)
	b = append(b, r.answer.contentType...)
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(r.answer.body)), 10)
	// The page shows names and paths that are not ours: a browser shall neither guess a type nor run anything.
	b = append(b, "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff"...)
	b = append(b, "\r\nContent-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"...)
	if r.answer.status == 405 {
		b = append(b, "\r\nAllow: GET, HEAD"...) // RFC 9110 section 15.5.6
	}
	switch {
	case r.then != keepOpen:
		b = append(b, "\r\nConnection: close"...)
	case r.old:
		b = append(b, "\r\nConnection: keep-alive"...)
	}
	b = append(b, "\r\n\r\n"...)
	if !r.head {
		b = append(b, r.answer.body...)
	}
	return b
}
