package h2

import (
	"weir/h2/hpack"
	"weir/internal/msg"
)

// status reads :status: three digits (RFC 9113 section 8.3.2), and not 101, which HTTP/2 has no use for (section 8.6).
func (sec *section) status(v []byte) *Error {
	if len(v) != 3 {
		return errStatus
	}
	n := uint16(0)
	for _, c := range v {
		if c < '0' || c > '9' {
			return errStatus
		}
		n = n*10 + uint16(c-'0')
	}
	if n < 100 || n > 599 || n == 101 {
		return errStatus
	}
	sec.head.Status = n
	return nil
}

// finishResponse judges a response and says how its body is framed, knowing the request (RFC 9110 section 6.4.1).
func (sec *section) finishResponse(req messages, end bool) *Error {
	h := sec.head
	if !sec.has(hpack.PseudoStatus) {
		return errPseudoMissing
	}
	if h.Status < 200 {
		if end {
			return errInterimEnd // RFC 9113 section 8.1
		}
		return nil
	}
	switch {
	case req.has(msgConnect) && h.Status < 300:
		sec.body = bodyLength{}
		sec.msgs |= msgTunnel
		h.Framing = msg.BodyTunnel
		if end {
			h.Framing = msg.BodyNone
		}
	case req.has(msgHead) || h.Status == 204 || h.Status == 304:
		sec.body = bodyLength{known: true} // whatever content-length says, no DATA may follow
	case end:
		if sec.body.left != 0 {
			return errLengthDiffers
		}
	case sec.body.known:
		h.Framing, h.Length = msg.BodyLength, sec.body.left
	default:
		h.Framing = msg.BodyStream
	}
	return nil
}
