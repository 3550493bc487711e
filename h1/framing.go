package h1

import (
	"weir/internal/msg"
)

// framed is what the fields of a head say about its body and its host.
type framed struct {
	host, length, coding    int // index of the field, -1 without one
	hosts, lengths, codings int
}

func scanFramed(fields []msg.Field) framed {
	x := framed{host: -1, length: -1, coding: -1}
	for i := range fields {
		switch fields[i].ID {
		case msg.FieldHost:
			x.host = i
			x.hosts++
		case msg.FieldContentLength:
			x.length = i
			x.lengths++
		case msg.FieldTransferEncoding:
			x.coding = i
			x.codings++
		}
	}
	return x
}

// finishHead decides what only the whole head can tell: the host, and how the body ends.
func (r *Reader) finishHead(h *msg.Head) msg.Fault {
	x := scanFramed(h.Fields)
	if r.request {
		if f := finishHost(h, &x); f != 0 {
			return f
		}
	}
	if f := r.framing(h, &x); f != 0 {
		return f
	}
	switch h.Framing {
	case msg.BodyNone:
		r.state = stateEnd
		if !r.request && h.Status < 200 {
			r.state = stateHead // interim: the same response goes on
		}
	case msg.BodyLength:
		r.left = h.Length
		r.state = stateLength
		if h.Length == 0 {
			r.state = stateEnd
		}
	case msg.BodyChunked:
		r.startChunk()
	case msg.BodyClose:
		r.state = stateClose
	case msg.BodyTunnel:
		r.state = stateTunnel
	}
	return 0
}

// framing is RFC 9112 section 6.3 in its order, but for its second thoughts: what it lets a recipient repair is refused.
func (r *Reader) framing(h *msg.Head, x *framed) msg.Fault {
	if f := framingFields(h, x, r.request); f != 0 {
		return f
	}
	switch {
	case r.request:
	case h.Status == 101:
		if !r.upgrade {
			return msg.FaultSwitch
		}
		h.Framing = msg.BodyTunnel
		return 0
	case h.Status < 200, h.Status == 204, h.Status == 304, r.method == msg.MethodHead:
		h.Framing = msg.BodyNone
		return 0
	case r.method == msg.MethodConnect && h.Status < 300:
		h.Framing = msg.BodyTunnel
		return 0
	}
	switch {
	case x.codings > 0:
		h.Framing = msg.BodyChunked
	case x.lengths > 0:
		h.Framing = msg.BodyLength
	case r.request:
		h.Framing = msg.BodyNone
	default:
		h.Framing = msg.BodyClose
	}
	return 0
}

// framingFields checks Content-Length and Transfer-Encoding, also where they do not apply.
func framingFields(h *msg.Head, x *framed, request bool) msg.Fault {
	if x.codings > 0 {
		switch {
		case x.lengths > 0:
			return msg.FaultLengthCoding
		case h.Version == msg.HTTP10:
			return msg.FaultCodingHTTP10 // RFC 9112 section 6.1
		case x.codings > 1:
			return msg.FaultCoding
		}
		return codingFault(h.Bytes(h.Fields[x.coding].Value))
	}
	if x.lengths > 1 {
		return msg.FaultLengthTwice
	}
	if x.lengths == 1 {
		n, ok := msg.ParseLength(h.Bytes(h.Fields[x.length].Value))
		if !ok {
			return msg.FaultLength
		}
		h.Length = n
	}
	return 0
}

// codingFault: the one transfer coding is chunked. A list that ends in chunked has a known length but unknown content
// (501, RFC 9112 section 6.1); any other has no length that can be known (400, section 6.3), or is malformed.
func codingFault(v []byte) msg.Fault {
	const chunked = "chunked"
	if msg.EqualFold(v, []byte(chunked)) {
		return 0
	}
	n := len(v) - len(chunked)
	if n < 2 || !msg.EqualFold(v[n:], []byte(chunked)) {
		return msg.FaultCoding
	}
	v = v[:n]
	for len(v) > 0 && (v[len(v)-1] == ' ' || v[len(v)-1] == '\t') {
		v = v[:len(v)-1]
	}
	if len(v) < 2 || v[len(v)-1] != ',' || !msg.ValidToken(v[:len(v)-1]) || msg.EqualFold(v[:len(v)-1], []byte(chunked)) {
		return msg.FaultCoding
	}
	return msg.FaultCodingUnknown
}
