package h2

import "encoding/binary"

// frameKind is the type of a frame (RFC 9113 section 6).
type frameKind uint8

const (
	frameData           frameKind = 0x0
	frameHeaders        frameKind = 0x1
	framePriority       frameKind = 0x2
	frameReset          frameKind = 0x3
	frameSettings       frameKind = 0x4
	framePush           frameKind = 0x5
	framePing           frameKind = 0x6
	frameGoAway         frameKind = 0x7
	frameWindow         frameKind = 0x8
	frameContinuation   frameKind = 0x9
	framePriorityUpdate frameKind = 0x10 // RFC 9218 section 7.1
)

const (
	flagAck        = 0x1
	flagEndStream  = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

const (
	frameHeaderBytes = 9
	frameBytesMin    = 1 << 14   // least that SETTINGS_MAX_FRAME_SIZE may be, and its initial value
	frameBytesMax    = 1<<24 - 1 // RFC 9113 section 4.2
	windowMax        = 1<<31 - 1 // section 6.9.1
	windowInitial    = 1<<16 - 1 // section 6.9.2
)

// MaxStreamID is the highest stream identifier; GOAWAY with it announces a shutdown without refusing anything yet.
const MaxStreamID = 1<<31 - 1

// Preface is what a client sends first (RFC 9113 section 3.4); on cleartext it tells HTTP/2 from HTTP/1.
const Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// frame is a frame's header (RFC 9113 section 4.1).
type frame struct {
	length uint32
	id     uint32
	kind   frameKind
	flags  uint8
}

func (f *frame) has(flag uint8) bool { return f.flags&flag != 0 }

// parseFrame reads a header. b holds at least frameHeaderBytes. The reserved bit is ignored.
func parseFrame(b []byte) frame {
	_ = b[frameHeaderBytes-1]
	return frame{
		length: uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]),
		kind:   frameKind(b[3]),
		flags:  b[4],
		id:     binary.BigEndian.Uint32(b[5:]) & MaxStreamID,
	}
}

// appendFrame appends the header of a frame with the given payload size.
func appendFrame(dst []byte, length int, kind frameKind, flags uint8, id uint32) []byte {
	return append(dst, byte(length>>16), byte(length>>8), byte(length), byte(kind), flags,
		byte(id>>24), byte(id>>16), byte(id>>8), byte(id))
}

// putFrame writes a header into b.
func putFrame(b []byte, length int, kind frameKind, flags uint8, id uint32) {
	appendFrame(b[:0:frameHeaderBytes], length, kind, flags, id)
}

// appendFrame32 appends a frame whose payload is one 32-bit number: RST_STREAM, WINDOW_UPDATE.
func appendFrame32(dst []byte, kind frameKind, id, v uint32) []byte {
	dst = appendFrame(dst, 4, kind, 0, id)
	return binary.BigEndian.AppendUint32(dst, v)
}
