package h3

import (
	"strconv"

	"weir/internal/msg"
)

// Encoder makes field blocks for the responses of one worker, which alone may use it. Blocks refer to the static table
// only, so one encoder does for all connections. It allocates nothing once it has grown to its usual size.
type Encoder struct {
	out  []byte
	name []byte
}

// NewEncoder makes an encoder.
func NewEncoder() *Encoder { return &Encoder{} }

// head makes the block of a response head. It is valid until the next call.
func (e *Encoder) head(h *msg.Head) []byte {
	status := h.Status
	tunnel := status == 101 || h.Framing == msg.BodyTunnel
	if status == 101 {
		status = 200 // RFC 9220 section 3, RFC 8441 section 5
	}
	e.begin()
	e.status(status)
	for i := range h.Fields {
		f := &h.Fields[i]
		if !f.Drop && (f.ID == msg.FieldOther || passes(h, f.ID, tunnel)) {
			e.field(h, f)
		}
	}
	if h.Framing == msg.BodyLength {
		var digits [20]byte
		e.known("content-length", strconv.AppendInt(digits[:0], h.Length, 10), false)
	}
	return e.out
}

// trailers makes the block of a trailer section; nil when nothing of it may be sent.
func (e *Encoder) trailers(h *msg.Head) []byte {
	if h == nil {
		return nil
	}
	e.begin()
	empty := len(e.out)
	for i := range h.Fields {
		if f := &h.Fields[i]; !f.Drop {
			e.field(h, f)
		}
	}
	if len(e.out) == empty {
		return nil
	}
	return e.out
}

// begin writes the prefix of a block that stands by itself.
func (e *Encoder) begin() { e.out = append(e.out[:0], 0, 0) }

func (e *Encoder) status(status uint16) {
	if status < 100 || int(status) >= len(staticStatus) {
		panic("h3: status that cannot be sent")
	}
	if i := staticStatus[status]; i != 0 {
		e.out = appendInt(e.out, 0xc0, 6, uint64(i))
		return
	}
	e.out = appendInt(e.out, 0x50, 4, staticStatusName)
	e.out = append(e.out, 3, '0'+byte(status/100), '0'+byte(status/10%10), '0'+byte(status%10))
}

func (e *Encoder) field(h *msg.Head, f *msg.Field) {
	value := h.Bytes(f.Value)
	if f.ID != msg.FieldOther {
		e.known(f.ID.String(), value, f.Sensitive)
		return
	}
	e.name = append(e.name[:0], h.Bytes(f.Name)...)
	for i, c := range e.name {
		if 'A' <= c && c <= 'Z' {
			e.name[i] = c | 0x20
		}
	}
	if i, ok := staticNames[string(e.name)]; ok {
		e.referred(i, value, f.Sensitive)
		return
	}
	e.literal(e.name, value, f.Sensitive)
}

// known appends a field whose name is given in lower case.
func (e *Encoder) known(name string, value []byte, sensitive bool) {
	if i, ok := staticNames[name]; ok {
		e.referred(i, value, sensitive)
		return
	}
	e.name = append(e.name[:0], name...)
	e.literal(e.name, value, sensitive)
}

// referred appends a field whose name is in the static table, and perhaps its value: entries of one name stand together,
// but for a few that the first run of them does for.
func (e *Encoder) referred(i uint8, value []byte, sensitive bool) {
	if !sensitive {
		for j := i; j < staticSize && staticTable[j].name == staticTable[i].name; j++ {
			if staticTable[j].value == string(value) {
				e.out = appendInt(e.out, 0xc0, 6, uint64(j))
				return
			}
		}
	}
	first := byte(0x50)
	if sensitive {
		first |= 0x20
	}
	e.out = appendString(appendInt(e.out, first, 4, uint64(i)), 0, 7, value)
}

func (e *Encoder) literal(name, value []byte, sensitive bool) {
	first := byte(0x20)
	if sensitive {
		first |= 0x10
	}
	e.out = appendString(appendString(e.out, first, 3, name), 0, 7, value)
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
