package h1

import (
	"strconv"

	"weir/internal/msg"
)

// RequestOptions is what a request says that its head does not.
type RequestOptions struct {
	Close        bool   // Connection: close: the connection ends with this exchange
	Host         string // Host of a request that has none (HTTP/1.0); the server's own name or address
	WebSocketKey string // Sec-WebSocket-Key of a tunnel whose client has none (RFC 8441 section 5): 16 random bytes in base64
	Fields       []byte // further field lines, each with its CRLF
}

// AppendRequest appends the head of a vetted request as HTTP/1.1. Host is Authority, the body's framing is made of
// Framing and Length: a body of unknown length goes out in chunks (AppendChunkHead). An extended CONNECT goes out as the
// GET that it is in HTTP/1.1.
func AppendRequest(dst []byte, h *msg.Head, o RequestOptions) []byte {
	dst = appendRequestLine(dst, h)
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	if h.Authority.Len() == 0 {
		dst = append(dst, o.Host...)
	} else {
		dst = append(dst, h.Bytes(h.Authority)...)
	}
	dst = append(dst, crlf...)
	dst = appendFields(dst, h)
	dst = append(dst, o.Fields...)
	options := 0
	if h.Flags.Has(msg.FlagUpgrade) {
		options |= sayUpgrade
		if o.WebSocketKey != "" {
			dst = append(dst, "Sec-WebSocket-Key: "...)
			dst = append(dst, o.WebSocketKey...)
			dst = append(dst, crlf...)
		}
	} else {
		dst = appendRequestFraming(dst, h)
	}
	if h.Flags.Has(msg.FlagTETrailers) {
		dst = append(dst, "TE: trailers\r\n"...)
		options |= sayTE
	}
	if o.Close {
		options |= sayClose
	}
	return appendConnection(dst, h, options)
}

func appendRequestLine(dst []byte, h *msg.Head) []byte {
	if h.Method == msg.MethodConnect && h.Flags.Has(msg.FlagUpgrade) {
		dst = append(dst, "GET"...) // RFC 8441 section 5
	} else {
		dst = append(dst, h.Bytes(h.Name)...)
	}
	dst = append(dst, ' ')
	if h.Target.Len() == 0 {
		return append(dst, h.Bytes(h.Authority)...)
	}
	return append(dst, h.Bytes(h.Target)...)
}

func appendRequestFraming(dst []byte, h *msg.Head) []byte {
	switch h.Framing {
	case msg.BodyNone:
		// RFC 9110 section 8.6: some servers answer 411 to a method that usually has content.
		if h.Method == msg.MethodPost || h.Method == msg.MethodPut || h.Method == msg.MethodPatch {
			dst = append(dst, "Content-Length: 0\r\n"...)
		}
		return dst
	case msg.BodyLength:
		return appendLength(dst, h.Length)
	}
	return append(dst, chunkedLine...)
}

// ResponseOptions is what a response says that its head does not.
type ResponseOptions struct {
	Version   msg.Version // of the client
	Head      bool        // the request was HEAD: no body follows whatever the head says
	Close     bool        // Connection: close: the connection ends with this exchange
	KeepAlive bool        // to an HTTP/1.0 client that asked: Connection: keep-alive
	Fields    []byte      // further field lines, each with its CRLF
}

// Chunked reports whether the body goes out in chunks.
func (o ResponseOptions) Chunked(h *msg.Head) bool {
	return o.Version != msg.HTTP10 && unknownLength(h) && !o.Head
}

// MustClose reports whether only the end of the connection can end the body: the length is unknown and the client
// cannot read chunks. Close must be set then.
func (o ResponseOptions) MustClose(h *msg.Head) bool {
	return o.Version == msg.HTTP10 && unknownLength(h) && !o.Head
}

func unknownLength(h *msg.Head) bool {
	return h.Framing == msg.BodyChunked || h.Framing == msg.BodyStream || h.Framing == msg.BodyClose
}

// AppendResponse appends the head of a vetted final response, or of a 101. The status line always says HTTP/1.1 (RFC 9110
// section 6.2); what follows is fit for o.Version.
func AppendResponse(dst []byte, h *msg.Head, o ResponseOptions) []byte {
	dst = appendStatus(dst, h)
	dst = appendFields(dst, h)
	dst = append(dst, o.Fields...)
	switch h.Framing {
	case msg.BodyTunnel:
	case msg.BodyLength:
		dst = appendLength(dst, h.Length)
	case msg.BodyNone:
		if h.Status != 204 && h.Status != 304 && !o.Head {
			dst = append(dst, "Content-Length: 0\r\n"...)
		}
	default:
		if o.Chunked(h) {
			dst = append(dst, chunkedLine...)
		}
	}
	options := 0
	if h.Protocol.Len() > 0 && o.Version != msg.HTTP10 {
		options = sayUpgrade
	}
	switch {
	case h.Framing == msg.BodyTunnel:
	case o.Close || o.MustClose(h):
		options |= sayClose
	case o.KeepAlive && o.Version == msg.HTTP10:
		options |= sayKeepAlive
	}
	return appendConnection(dst, h, options)
}

// AppendInterim appends a vetted 1xx response other than 101. An HTTP/1.0 client must not get one (RFC 9110 section 15.2).
func AppendInterim(dst []byte, h *msg.Head) []byte {
	dst = appendStatus(dst, h)
	dst = appendFields(dst, h)
	return append(dst, crlf...)
}

const (
	crlf        = "\r\n"
	chunkedLine = "Transfer-Encoding: chunked\r\n"
)

func appendStatus(dst []byte, h *msg.Head) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	s := h.Status
	dst = append(dst, byte('0'+s/100), byte('0'+s/10%10), byte('0'+s%10), ' ')
	if h.Reason.Len() > 0 {
		dst = append(dst, h.Bytes(h.Reason)...)
	} else {
		dst = append(dst, msg.Phrase(s)...)
	}
	return append(dst, crlf...)
}

func appendLength(dst []byte, n int64) []byte {
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, crlf...)
}

// The connection options that weir can say; indices into connectionLines.
const (
	sayClose = 1 << iota
	sayKeepAlive
	sayTE
	sayUpgrade
)

// connectionLines holds the Connection line of every combination, with the empty line behind it where no Upgrade line
// is to come.
var connectionLines = buildConnectionLines()

func buildConnectionLines() (t [16]string) {
	for options := range t {
		s, sep := "", ""
		for i, name := range [...]string{"close", "keep-alive", "TE", "Upgrade"} {
			if options&(1<<i) != 0 {
				s, sep = s+sep+name, ", "
			}
		}
		if s != "" {
			s = "Connection: " + s + crlf
		}
		if options&sayUpgrade != 0 {
			s += "Upgrade: "
		} else {
			s += crlf
		}
		t[options] = s
	}
	return t
}

// appendConnection ends a head.
func appendConnection(dst []byte, h *msg.Head, options int) []byte {
	dst = append(dst, connectionLines[options]...)
	if options&sayUpgrade != 0 {
		dst = append(dst, h.Bytes(h.Protocol)...)
		dst = append(dst, crlf+crlf...)
	}
	return dst
}

// appendFields appends the kept fields. Lines that came from an h1 reader and lie behind one another are copied as one
// piece (BenchmarkAppendRequest).
func appendFields(dst []byte, h *msg.Head) []byte {
	fields := h.Fields
	for i := 0; i < len(fields); i++ {
		f := &fields[i]
		if f.Drop {
			continue
		}
		if f.Line {
			off, end := f.Name.Off, f.Value.End+2
			for i+1 < len(fields) {
				next := &fields[i+1]
				if next.Drop || !next.Line || next.Name.Off != end {
					break
				}
				end = next.Value.End + 2
				i++
			}
			dst = append(dst, h.Buf[off:end]...)
			continue
		}
		dst = append(dst, h.Bytes(f.Name)...)
		dst = append(dst, ": "...)
		dst = append(dst, h.Bytes(f.Value)...)
		dst = append(dst, crlf...)
	}
	return dst
}
