package origin

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
)

const (
	frameBytesMax = 1 << 20
	opClose       = 8
	opPing        = 9
	opPong        = 10
	finBit        = 0x80
	maskBit       = 0x80
)

// accept answers a WebSocket upgrade (RFC 6455 section 4.2.2).
func (c *conn) accept(out []byte) []byte {
	if c.req.socketKey == "" {
		_, out = c.refuse(0, out)
		return out
	}
	sum := sha1.Sum([]byte(c.req.socketKey + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	out = append(out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: "...)
	out = base64.StdEncoding.AppendEncode(out, sum[:])
	c.mode = modeSocket
	c.req = request{}
	return append(out, endOfHead...)
}

// frame echoes one WebSocket frame (RFC 6455 section 5.2).
func (c *conn) frame(p, out []byte) (int, []byte) {
	if len(p) < 2 {
		return 0, out
	}
	at, size := 2, uint64(p[1]&^maskBit)
	switch size {
	case 126:
		if len(p) < 4 {
			return 0, out
		}
		at, size = 4, uint64(binary.BigEndian.Uint16(p[2:]))
	case 127:
		if len(p) < 10 {
			return 0, out
		}
		at, size = 10, binary.BigEndian.Uint64(p[2:])
	}
	if size > frameBytesMax || p[1]&maskBit == 0 { // Clients must mask (section 5.1).
		c.srv.counters.refused.Add(1)
		c.mode = modeEnded
		return len(p), out
	}
	end := at + 4 + int(size)
	if len(p) < end {
		return 0, out
	}
	key := [4]byte(p[at : at+4])
	op := p[0] & 0x0f
	first := p[0]
	if op == opPing {
		first = finBit | opPong
	}
	out = append(out, first)
	out = appendFrameSize(out, int(size))
	from := len(out)
	out = append(out, p[at+4:end]...)
	for i := range out[from:] {
		out[from+i] ^= key[i&3]
	}
	if op == opClose {
		c.mode = modeEnded
	} else {
		c.srv.counters.requests.Add(1)
	}
	return end, out
}

func appendFrameSize(out []byte, n int) []byte {
	switch {
	case n < 126:
		return append(out, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(out, 126), uint16(n))
	}
	return binary.BigEndian.AppendUint64(append(out, 127), uint64(n))
}
