package h1

import (
	"bytes"
	"encoding/binary"

	"weir/internal/msg"
)

// requestLine reads method SP target SP version CRLF (RFC 9112 section 3). Only single spaces separate: anything looser
// is a place to hide a second target. It leaves s.at at zero while the line is incomplete.
func (s *scanner) requestLine() msg.Fault {
	b := s.b
	name, f := methodEnd(b)
	if f != 0 || name == len(b) {
		return f
	}
	target, f := targetEnd(b, name+1)
	if f != 0 || target == len(b) {
		return f
	}
	version, end, f := lineVersion(b, target+1)
	if f != 0 || end == 0 {
		return f
	}
	*s.h = msg.Head{
		Buf: b, Fields: s.h.Fields, Version: version, Method: msg.LookupMethod(b[:name]), Name: msg.Span{End: uint32(name)},
		Target: msg.Span{Off: uint32(name + 1), End: uint32(target)},
	}
	if f := targetForm(s.h); f != 0 {
		return f
	}
	s.at = end
	return 0
}

// methodEnd is the end of the method that b starts with, or of b.
func methodEnd(b []byte) (int, msg.Fault) {
	i := 0
	for i < len(b) && msg.IsToken(b[i]) {
		i++
	}
	switch {
	case i == len(b):
		return i, 0
	case i == 0, b[i] == '\r', b[i] == '\n', b[i] == '\t':
		return 0, msg.FaultRequestLine
	case b[i] != ' ':
		return 0, msg.FaultMethod
	case i > msg.MethodBytesMax:
		return 0, msg.FaultMethodSize
	}
	return i, 0
}

// targetEnd is the end of the target at start, or of b.
func targetEnd(b []byte, start int) (int, msg.Fault) {
	i := start
	for i < len(b) && msg.IsTarget(b[i]) {
		i++
	}
	switch {
	case i == len(b):
		return i, 0
	case b[i] == '\r', b[i] == '\n', b[i] == ' ' && i == start:
		return 0, msg.FaultRequestLine
	case b[i] != ' ':
		return 0, msg.FaultTarget
	}
	return i, 0
}

// lineVersion reads the version at i and the line end behind it. end is 0 while the line is incomplete.
func lineVersion(b []byte, i int) (v msg.Version, end int, f msg.Fault) {
	const size = len("HTTP/1.1")
	if i+size+2 > len(b) {
		if bytes.IndexByte(b[i:], '\n') >= 0 {
			return 0, 0, msg.FaultVersion
		}
		return 0, 0, 0
	}
	v, f = version(b[i:])
	if f != 0 {
		return 0, 0, f
	}
	if b[i+size] != '\r' || b[i+size+1] != '\n' {
		return 0, 0, msg.FaultVersion
	}
	return v, i + size + 2, 0
}

var http1 = binary.LittleEndian.Uint64([]byte("HTTP/1.\x00"))

// version reads "HTTP/1." DIGIT. RFC 9110 section 2.5: a higher minor version is to be read as the highest known one.
func version(b []byte) (msg.Version, msg.Fault) {
	w := binary.LittleEndian.Uint64(b)
	minor := byte(w >> 56)
	if w&(1<<56-1) != http1 || minor < '0' || minor > '9' {
		return 0, msg.FaultVersion
	}
	if minor == '0' {
		return msg.HTTP10, 0
	}
	return msg.HTTP11, 0
}

// statusLine reads version SP 3DIGIT [SP reason] CRLF (RFC 9112 section 4). The space before an empty reason may be
// missing: many servers do so and nobody reads it differently.
func (s *scanner) statusLine() msg.Fault {
	const code, reason = len("HTTP/1.1"), len("HTTP/1.1 200")
	b := s.b
	if len(b) < reason+2 {
		if bytes.IndexByte(b, '\n') >= 0 {
			return msg.FaultStatusLine
		}
		return 0
	}
	v, f := version(b)
	c0, c1, c2 := b[code+1]-'0', b[code+2]-'0', b[code+3]-'0'
	if f != 0 || b[code] != ' ' || c0 > 9 || c1 > 9 || c2 > 9 || b[reason] != ' ' && b[reason] != '\r' {
		return msg.FaultStatusLine
	}
	if c0 < 1 || c0 > 5 {
		return msg.FaultStatus // RFC 9110 section 15
	}
	start := reason
	if b[start] == ' ' {
		start++
	}
	end := msg.ScanValue(b, start)
	if end == len(b) || end+1 == len(b) && b[end] == '\r' {
		return 0
	}
	if b[end] != '\r' || b[end+1] != '\n' {
		return msg.FaultStatusLine
	}
	*s.h = msg.Head{
		Buf: b, Fields: s.h.Fields, Version: v, Status: uint16(c0)*100 + uint16(c1)*10 + uint16(c2),
		Reason: msg.Span{Off: uint32(start), End: uint32(end)},
	}
	s.at = end + 2
	return 0
}
