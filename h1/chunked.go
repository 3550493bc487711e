package h1

import (
	"weir/internal/msg"
)

var hexDigits = buildHexDigits()

// buildHexDigits maps a hexadecimal digit to its value, everything else to 0xff.
func buildHexDigits() (t [256]uint8) {
	for c := range 256 {
		switch {
		case '0' <= c && c <= '9':
			t[c] = uint8(c - '0')
		case 'a' <= c && c <= 'f':
			t[c] = uint8(c - 'a' + 10)
		case 'A' <= c && c <= 'F':
			t[c] = uint8(c - 'A' + 10)
		default:
			t[c] = 0xff
		}
	}
	return t
}

func (r *Reader) startChunk() { r.state, r.left, r.digits = stateSize, 0, 0 }

// recvChunked reads the chunked coding (RFC 9112 section 7.1) byte by byte between the data, so that a cut may fall
// anywhere and nothing is looked at twice.
func (r *Reader) recvChunked(b []byte, room int, h *msg.Head) (ev Event, n int, f msg.Fault) {
	for r.state != stateTrailers {
		if n == len(b) {
			return ev, n, 0
		}
		c := b[n]
		switch r.state {
		case stateChunk:
			if room == 0 {
				return ev, n, 0
			}
			d := r.chunkData(b[n:min(len(b), n+room)])
			return Event{Data, d}, n + r.chunkEnd(b[n:], len(d)), 0
		case stateSize:
			f = r.sizeByte(c)
		case stateSizeLF:
			f = r.sizeEnd(c)
		case stateChunkCR:
			if c != '\r' {
				return ev, 0, msg.FaultChunkEnd
			}
			r.state = stateChunkLF
		case stateChunkLF:
			if c != '\n' {
				return ev, 0, msg.FaultChunkEnd
			}
			r.startChunk()
		default:
			f = r.extensionByte(c)
		}
		if f != 0 {
			return ev, 0, f
		}
		n++
	}
	ev, k, f := r.recvTrailers(b[n:], h)
	return ev, n + k, f
}

// chunkData takes the data of the chunk that b starts with.
func (r *Reader) chunkData(b []byte) []byte {
	d := b
	if int64(len(d)) > r.left {
		d = b[:r.left]
	}
	r.left -= int64(len(d))
	r.ext -= uint16(min(int64(r.ext), int64(len(d))))
	return d[:len(d):len(d)]
}

// chunkEnd consumes the CRLF behind complete data when it is at hand, which saves the caller an event that says nothing.
func (r *Reader) chunkEnd(b []byte, n int) int {
	if r.left > 0 {
		return n
	}
	r.state = stateChunkCR
	if n+1 < len(b) && b[n] == '\r' && b[n+1] == '\n' {
		r.startChunk()
		return n + 2
	}
	return n
}

// sizeByte: hexadecimal digits, then CR or an extension. No white space, though RFC 9110 section 5.6.3 would have it
// skipped before ';': some readers end the number there and some do not.
func (r *Reader) sizeByte(c byte) msg.Fault {
	if v := hexDigits[c]; v < 16 {
		if r.digits++; r.digits > chunkDigitsMax || r.left>>59 != 0 {
			return msg.FaultChunkSize
		}
		r.left = r.left<<4 | int64(v)
		return 0
	}
	switch {
	case r.digits == 0:
		return msg.FaultChunkSize
	case c == '\r':
		r.state = stateSizeLF
	case c == ';':
		r.digits = 0
		r.state = stateExtName
	default:
		return msg.FaultChunkSize
	}
	return 0
}

func (r *Reader) sizeEnd(c byte) msg.Fault {
	if c != '\n' {
		return msg.FaultChunkSize
	}
	r.state = stateChunk
	if r.left == 0 {
		r.state = stateTrailers
	}
	return 0
}

// extensionByte reads ";" name ["=" token-or-quoted-string] (RFC 9112 section 7.1.1) and forgets it. digits counts the
// bytes of the name or of the unquoted value as far as one: neither may be empty.
func (r *Reader) extensionByte(c byte) msg.Fault {
	if r.ext++; r.ext > extensionBytesMax {
		return msg.FaultChunkExtension
	}
	switch r.state {
	case stateExtName, stateExtToken:
		if msg.IsToken(c) {
			r.digits = 1
			return 0
		}
		if r.digits == 0 {
			return msg.FaultChunkExtension
		}
		return r.extensionEnd(c, r.state == stateExtName)
	case stateExtValue:
		if c == '"' {
			r.state = stateExtQuoted
			return 0
		}
		r.digits = 1
		r.state = stateExtToken
		if msg.IsToken(c) {
			return 0
		}
	case stateExtQuoted:
		switch {
		case c == '"':
			r.state = stateExtEnd
			return 0
		case c == '\\':
			r.state = stateExtEscape
			return 0
		case c >= ' ' && c != 0x7f || c == '\t':
			return 0
		}
	case stateExtEscape:
		r.state = stateExtQuoted
		if c >= ' ' && c != 0x7f || c == '\t' {
			return 0
		}
	case stateExtEnd:
		return r.extensionEnd(c, false)
	}
	return msg.FaultChunkExtension
}

// extensionEnd is what may follow an extension's name or value.
func (r *Reader) extensionEnd(c byte, name bool) msg.Fault {
	r.digits = 0
	switch {
	case c == '\r':
		r.state = stateSizeLF
	case c == ';':
		r.state = stateExtName
	case c == '=' && name:
		r.state = stateExtValue
	default:
		return msg.FaultChunkExtension
	}
	return 0
}

// recvTrailers reads the trailer section (RFC 9112 section 7.1.2), most often nothing but the empty line.
func (r *Reader) recvTrailers(b []byte, h *msg.Head) (ev Event, n int, f msg.Fault) {
	if r.seen == 0 && len(b) >= 2 && b[0] == '\r' && b[1] == '\n' {
		return r.end(h), 2, 0
	}
	if len(b) == 0 {
		return
	}
	n, f = r.section(b, h)
	if f != 0 || n == 0 {
		return ev, 0, f
	}
	msg.DropTrailers(h)
	r.rest()
	return Event{Kind: End}, n, 0
}
