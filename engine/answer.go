package engine

import (
	"strconv"
	"time"

	"weir/internal/msg"
)

// refuse answers a request that is not fit to be sent on and ends its connection where the protocol asks for it.
func (x *exchange) refuse(c *cause) {
	if x.place == placeAttached {
		x.detach(false)
		if x.rsp.state != rspAwaited {
			x.req.state = reqStopped
			x.front.rspCut()
			x.end(c)
			return
		}
	}
	x.leaveQueue()
	x.answer(c)
}

// answer makes weir's own response: the status of the cause, the reason in Proxy-Status (RFC 9209) and in one plain line
// of body, which error-pages may replace.
func (x *exchange) answer(c *cause) {
	if c.status == 0 {
		x.front.rspCut()
		x.end(c)
		return
	}
	x.place = placeAnswered
	x.rsp.ownAnswer = true
	if !x.internal {
		x.w.stats.Answers[c.index]++
	}
	if x.isGRPC() {
		x.answerGRPC(c)
		return
	}
	h := &x.w.rspHead
	body := x.answerHead(h, c)
	x.rsp.state, x.rsp.status = rspFlowing, c.status
	x.cut = c
	if x.req.head.Method == msg.MethodHead {
		body = nil
	}
	x.rsp.ended = len(body) == 0
	x.rsp.rest = body
	x.front.rspHead(h, x.rsp.ended)
	x.pumpAnswer()
}

// pumpAnswer sends as much of our own answer's body as the client takes, and ends the exchange when it has all.
func (x *exchange) pumpAnswer() {
	for len(x.rsp.rest) > 0 {
		n := min(len(x.rsp.rest), x.front.rspRoom())
		if n <= 0 {
			return
		}
		p := x.rsp.rest[:n]
		x.rsp.rest = x.rsp.rest[n:]
		x.rsp.bytes += int64(n)
		x.front.rspData(p)
	}
	x.rsp.state = rspWhole
	if !x.rsp.ended {
		x.rsp.ended = true
		x.front.rspEnd(nil)
	}
	x.end(x.cut)
}

// answerHead fills h and returns the body, which is nobody's to change.
func (x *exchange) answerHead(h *msg.Head, c *cause) []byte {
	w := x.w
	h.Reset()
	h.Version, h.Status = msg.HTTP11, c.status
	h.Reason = h.PutString(statusText(c.status))
	h.Flags = msg.FlagKeepAlive
	contentType := "text/plain; charset=utf-8"
	body := c.line
	if page, ok := x.s.fe.cfg.ErrorPages[int(c.status)]; ok {
		contentType = page.ContentType
		body = page.Body
	}
	h.Add(msg.FieldDate, "Date", w.httpDate())
	h.Add(msg.FieldContentType, "Content-Type", []byte(contentType))
	h.Add(msg.FieldOther, "Cache-Control", []byte("no-store"))
	h.Add(msg.FieldOther, "Proxy-Status", c.proxyStatus)
	if c.status == 503 || c.status == 429 {
		h.Add(msg.FieldOther, "Retry-After", strconv.AppendInt(nil, x.retryAfter(), 10))
	}
	h.Framing, h.Length = msg.BodyLength, int64(len(body))
	return body
}

// retryAfter is in seconds.
func (x *exchange) retryAfter() int64 {
	return max(int64(x.s.fe.cfg.RetryAfter/time.Second), 1)
}

// statusText is the reason phrase of the statuses that weir sends itself.
func statusText(status uint16) string {
	switch status {
	case 200:
		return "OK"
	case 400:
		return "Bad Request"
	case 404:
		return "Not Found"
	case 408:
		return "Request Timeout"
	case 413:
		return "Content Too Large"
	case 414:
		return "URI Too Long"
	case 417:
		return "Expectation Failed"
	case 421:
		return "Misdirected Request"
	case 425:
		return "Too Early"
	case 429:
		return "Too Many Requests"
	case 431:
		return "Request Header Fields Too Large"
	case 501:
		return "Not Implemented"
	case 502:
		return "Bad Gateway"
	case 503:
		return "Service Unavailable"
	case 504:
		return "Gateway Timeout"
	case 505:
		return "HTTP Version Not Supported"
	}
	return "Error"
}

// isGRPC reports whether the client speaks gRPC, whose errors are trailers and not statuses.
func (x *exchange) isGRPC() bool {
	const prefix = "application/grpc"
	if x.req.head.Version != msg.HTTP2 && x.req.head.Version != msg.HTTP3 {
		return false
	}
	v := x.req.head.Get(msg.FieldContentType)
	return len(v) >= len(prefix) && string(v[:len(prefix)]) == prefix
}

// answerGRPC says "unavailable" as gRPC does it: trailers only.
func (x *exchange) answerGRPC(c *cause) {
	h := &x.w.rspHead
	h.Reset()
	h.Version, h.Status = msg.HTTP11, 200
	h.Add(msg.FieldContentType, "content-type", []byte("application/grpc"))
	h.Add(msg.FieldOther, "grpc-status", grpcStatus(c))
	h.Add(msg.FieldOther, "grpc-message", []byte(c.word))
	h.Add(msg.FieldOther, "proxy-status", c.proxyStatus)
	x.rsp.state, x.rsp.status = rspFlowing, c.status
	x.front.rspHead(h, true)
	x.rsp.state = rspWhole
	x.end(c)
}

// grpcStatus maps the HTTP status to gRPC's: 14 unavailable, 13 internal, 4 deadline exceeded, 3 invalid argument.
func grpcStatus(c *cause) []byte {
	switch c.status {
	case 503, 502, 429:
		return []byte("14")
	case 504, 408:
		return []byte("4")
	case 400:
		return []byte("13")
	}
	return []byte("2")
}
