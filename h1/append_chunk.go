package h1

import (
	"weir/internal/msg"
)

// AppendChunkHead appends what goes before n bytes of body; n must be above zero, for zero ends a body.
func AppendChunkHead(dst []byte, n int) []byte {
	if n <= 0 {
		panic("h1: empty chunk")
	}
	const digits = "0123456789abcdef"
	shift := 0
	for n>>shift > 15 {
		shift += 4
	}
	for ; shift >= 0; shift -= 4 {
		dst = append(dst, digits[n>>shift&15])
	}
	return append(dst, crlf...)
}

// AppendChunkEnd appends what goes behind the bytes of a chunk.
func AppendChunkEnd(dst []byte) []byte { return append(dst, crlf...) }

// AppendLastChunk ends a body in chunks, with the kept fields of trailers behind it if that is not nil. They must have
// been vetted (msg.DropTrailers).
func AppendLastChunk(dst []byte, trailers *msg.Head) []byte {
	dst = append(dst, "0\r\n"...)
	if trailers != nil {
		dst = appendFields(dst, trailers)
	}
	return append(dst, crlf...)
}
