package h3

import (
	"strconv"

	"github.com/quic-go/qpack"

	"weir/internal/msg"
)

// Encoder makes field blocks for the responses of one worker, which alone may use it. Blocks refer to the static table
// only, so one encoder does for all connections.
type Encoder struct {
	q    *qpack.Encoder
	out  []byte
	text []byte
}

// NewEncoder makes an encoder.
func NewEncoder() *Encoder {
	e := &Encoder{}
	e.q = qpack.NewEncoder(e)
	return e
}

// Write is where the QPACK encoder leaves its output.
func (e *Encoder) Write(p []byte) (int, error) {
	e.out = append(e.out, p...)
	return len(p), nil
}

// statusTexts are the values of :status.
var statusTexts = func() (t [600]string) {
	for i := 100; i < len(t); i++ {
		t[i] = strconv.Itoa(i)
	}
	return t
}()

// head makes the block of a response head. It is valid until the next call.
func (e *Encoder) head(h *msg.Head) []byte {
	status := h.Status
	tunnel := status == 101 || h.Framing == msg.BodyTunnel
	if status == 101 {
		status = 200 // RFC 9220 section 3, RFC 8441 section 5
	}
	if int(status) >= len(statusTexts) || status < 100 {
		panic("h3: status that cannot be sent")
	}
	e.out = e.out[:0]
	e.put(":status", statusTexts[status])
	text, digits := e.lower(h)
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.Drop || f.ID != msg.FieldOther && !passes(h, f.ID, tunnel) {
			continue
		}
		e.put(nameOf(f, text), text[f.Value.Off:f.Value.End])
	}
	if digits != "" {
		e.put("content-length", digits)
	}
	e.q.Close()
	return e.out
}

// trailers makes the block of a trailer section; nil when nothing of it may be sent.
func (e *Encoder) trailers(h *msg.Head) []byte {
	if h == nil {
		return nil
	}
	e.out = e.out[:0]
	text, _ := e.lower(h)
	for i := range h.Fields {
		if f := &h.Fields[i]; !f.Drop {
			e.put(nameOf(f, text), text[f.Value.Off:f.Value.End])
		}
	}
	e.q.Close()
	if len(e.out) == 0 {
		return nil
	}
	return e.out
}

func (e *Encoder) put(name, value string) {
	e.q.WriteField(qpack.HeaderField{Name: name, Value: value})
}

// lower returns the text of h, unknown names in lower case, as one string: the QPACK library wants strings, and this makes
// it one allocation for a head instead of two for every field. digits is what content-length says, if it is to be sent.
func (e *Encoder) lower(h *msg.Head) (text, digits string) {
	b := append(e.text[:0], h.Buf...)
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.ID != msg.FieldOther || f.Drop {
			continue
		}
		for j, c := range b[f.Name.Off:f.Name.End] {
			if 'A' <= c && c <= 'Z' {
				b[int(f.Name.Off)+j] = c | 0x20
			}
		}
	}
	n := len(b)
	if h.Framing == msg.BodyLength {
		b = strconv.AppendInt(b, h.Length, 10)
	}
	e.text = b
	s := string(b)
	return s[:n], s[n:]
}

func nameOf(f *msg.Field, text string) string {
	if f.ID != msg.FieldOther {
		return f.ID.String()
	}
	return text[f.Name.Off:f.Name.End]
}

// passes reports whether a field with an identity goes out: not what RFC 9114 section 4.2 forbids, nor what is said by
// other means.
func passes(h *msg.Head, id msg.FieldID, tunnel bool) bool {
	switch id {
	case msg.FieldConnection, msg.FieldKeepAlive, msg.FieldProxyConnection, msg.FieldTransferEncoding, msg.FieldUpgrade,
		msg.FieldHTTP2Settings, msg.FieldTE, msg.FieldHost:
		return false
	case msg.FieldContentLength: // responses to HEAD and 304 describe a body that is not sent (RFC 9110 section 8.6)
		return h.Framing == msg.BodyNone && !tunnel
	case msg.FieldSecWebSocketKey, msg.FieldSecWebSocketAccept:
		return !tunnel
	}
	return true
}
