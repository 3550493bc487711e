package h3

import "encoding/binary"

// Frame types (RFC 9114 section 7.2, RFC 9218 section 7.2).
const (
	frameData           = 0x00
	frameHeaders        = 0x01
	frameCancelPush     = 0x03
	frameSettings       = 0x04
	framePushPromise    = 0x05
	frameGoAway         = 0x07
	frameMaxPushID      = 0x0d
	framePriorityUpdate = 0xf0700 // of a request
	framePriorityPush   = 0xf0701 // of a push
)

// reservedFrame reports whether t was a frame type in HTTP/2 that has no counterpart: RFC 9114 section 7.2.8 makes them
// an error, so that an HTTP/2 stack which speaks into a QUIC stream is noticed.
func reservedFrame(t uint64) bool { return t == 0x02 || t == 0x06 || t == 0x08 || t == 0x09 }

// varintBytesMax is the longest variable-length integer (RFC 9000 section 16).
const varintBytesMax = 8

// readVarint reads a variable-length integer. n is 0 when b ends before it does.
func readVarint(b []byte) (v uint64, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	n = 1 << (b[0] >> 6)
	if len(b) < n {
		return 0, 0
	}
	switch n {
	case 1:
		return uint64(b[0] & 0x3f), 1
	case 2:
		return uint64(binary.BigEndian.Uint16(b)) & 0x3fff, 2
	case 4:
		return uint64(binary.BigEndian.Uint32(b)) & 0x3fff_ffff, 4
	}
	return binary.BigEndian.Uint64(b) & 0x3fff_ffff_ffff_ffff, 8
}

// appendVarint appends v, which is below 1<<62, in as few bytes as it needs.
func appendVarint(dst []byte, v uint64) []byte {
	switch {
	case v < 1<<6:
		return append(dst, byte(v))
	case v < 1<<14:
		return binary.BigEndian.AppendUint16(dst, uint16(v)|0x4000)
	case v < 1<<30:
		return binary.BigEndian.AppendUint32(dst, uint32(v)|0x8000_0000)
	}
	return binary.BigEndian.AppendUint64(dst, v|0xc000_0000_0000_0000)
}

// frameHeaderBytesMax is the longest frame header: two integers.
const frameHeaderBytesMax = 2 * varintBytesMax

// readFrameHeader reads a type and a length. n is 0 when b ends before they do.
func readFrameHeader(b []byte) (t, length uint64, n int) {
	t, k := readVarint(b)
	if k == 0 {
		return 0, 0, 0
	}
	length, m := readVarint(b[k:])
	if m == 0 {
		return 0, 0, 0
	}
	return t, length, k + m
}

// gather collects the bytes of a frame header that came in pieces.
type gather struct {
	held [frameHeaderBytesMax]byte
	n    int
}

// header takes from b what completes a frame header. used is how much of b that was; ok is false when b ended first.
func (g *gather) header(b []byte) (t, length uint64, used int, ok bool) {
	if g.n == 0 { // the common case: it is here in one piece
		if t, length, used = readFrameHeader(b); used > 0 {
			return t, length, used, true
		}
	}
	had := g.n
	g.n += copy(g.held[g.n:], b)
	t, length, n := readFrameHeader(g.held[:g.n])
	if n == 0 {
		return 0, 0, len(b), false // shorter than the longest header, so all of b is held
	}
	g.n = 0
	return t, length, n - had, true
}
