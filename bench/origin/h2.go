package origin

import (
	"encoding/binary"
	"hash"

	"golang.org/x/net/http2/hpack"
)

// Frame types and flags (RFC 9113 section 6).
const (
	frameData         = 0
	frameHeaders      = 1
	frameReset        = 3
	frameSettings     = 4
	framePing         = 6
	frameGoAway       = 7
	frameWindow       = 8
	frameContinuation = 9

	flagEndStream  = 0x1
	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20

	frameHeadBytes  = 9
	framePayloadMax = 16 << 10 // what a peer must take without having said more
	initialWindow   = 65535
	ownWindow       = 16 << 20 // what we let a peer send on a stream and a connection before we say more
	concurrent      = 256
	outAtOnce       = 256 << 10
)

// h2conn is the h2c side of a conn.
type h2conn struct {
	c       *conn
	decoder *hpack.Decoder
	path    []byte // of the block being decoded
	block   []byte // a header block that CONTINUATION frames go on with
	blockID uint32
	blockES bool

	streams    map[uint32]*stream
	sending    []*stream // those with body left, in order of service
	window     int64     // what we may send on the connection
	peerWindow int64     // what we may send on a new stream
	received   int64     // of the connection's window, not yet given back
}

type stream struct {
	id       uint32
	reply    *reply
	left     int64 // body bytes to send
	window   int64
	received int64
	sum      hash.Hash
	own      []byte // body that is not the pattern's
}

func newH2(c *conn) *h2conn {
	h := &h2conn{c: c, streams: map[uint32]*stream{}, window: initialWindow, peerWindow: initialWindow}
	h.decoder = hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		if f.Name == ":path" {
			h.path = append(h.path[:0], f.Value...)
		}
	})
	return h
}

// hello is our preface: settings, and a wider window for the connection.
func (h *h2conn) hello(out []byte) []byte {
	out = appendFrameHead(out, 12, frameSettings, 0, 0)
	out = appendSetting(out, 3, concurrent)
	out = appendSetting(out, 4, ownWindow)
	return appendWindow(out, 0, ownWindow-initialWindow)
}

func appendSetting(out []byte, id uint16, v uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(out, id), v)
}

func appendFrameHead(out []byte, n int, kind, flags byte, id uint32) []byte {
	out = append(out, byte(n>>16), byte(n>>8), byte(n), kind, flags)
	return binary.BigEndian.AppendUint32(out, id)
}

func appendWindow(out []byte, id uint32, n int64) []byte {
	return binary.BigEndian.AppendUint32(appendFrameHead(out, 4, frameWindow, 0, id), uint32(n))
}

// frameH2 handles one whole frame.
func (c *conn) frameH2(p, out []byte) (int, []byte) {
	if len(p) < frameHeadBytes {
		return 0, out
	}
	size := int(p[0])<<16 | int(p[1])<<8 | int(p[2])
	if size > framePayloadMax {
		return c.endH2(len(p), 6, out) // FRAME_SIZE_ERROR
	}
	n := frameHeadBytes + size
	if len(p) < n {
		return 0, out
	}
	out, code := c.h2.frame(p[3], p[4], binary.BigEndian.Uint32(p[5:])&^(1<<31), p[frameHeadBytes:n], out)
	if code != 0 {
		return c.endH2(len(p), code, out)
	}
	return n, out
}

// endH2 says GOAWAY with an error and ends the connection.
func (c *conn) endH2(n int, code uint32, out []byte) (int, []byte) {
	c.srv.counters.refused.Add(1)
	c.mode = modeEnded
	out = appendFrameHead(out, 8, frameGoAway, 0, 0)
	return n, binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(out, 0), code)
}

const protocolError = 1

func (h *h2conn) frame(kind, flags byte, id uint32, p, out []byte) ([]byte, uint32) {
	if h.blockID != 0 && kind != frameContinuation {
		return out, protocolError
	}
	switch kind {
	case frameHeaders:
		return h.headers(flags, id, p, out)
	case frameContinuation:
		if id != h.blockID {
			return out, protocolError
		}
		h.block = append(h.block, p...)
		return h.fragment(flags, out)
	case frameData:
		return h.data(flags, id, p, out)
	case frameSettings:
		return h.settings(flags, p, out)
	case framePing:
		if flags&flagAck == 0 && len(p) == 8 {
			out = append(appendFrameHead(out, 8, framePing, flagAck, 0), p...)
		}
	case frameWindow:
		if len(p) != 4 {
			return out, protocolError
		}
		n := int64(binary.BigEndian.Uint32(p) &^ (1 << 31))
		if id == 0 {
			h.window += n
		} else if s := h.streams[id]; s != nil {
			s.window += n
		}
		return h.more(out), 0
	case frameReset:
		if s := h.streams[id]; s != nil {
			s.left = 0
			delete(h.streams, id)
		}
	}
	return out, 0 // PRIORITY, GOAWAY and unknown frames change nothing here.
}

func (h *h2conn) headers(flags byte, id uint32, p, out []byte) ([]byte, uint32) {
	pad := 0
	if flags&flagPadded != 0 && len(p) > 0 {
		pad, p = int(p[0]), p[1:]
	}
	if flags&flagPriority != 0 && len(p) >= 5 {
		p = p[5:]
	}
	if pad > len(p) || id%2 == 0 {
		return out, protocolError
	}
	h.block = append(h.block[:0], p[:len(p)-pad]...)
	h.blockID, h.blockES = id, flags&flagEndStream != 0
	return h.fragment(flags, out)
}

// fragment goes on when a header block may be complete.
func (h *h2conn) fragment(flags byte, out []byte) ([]byte, uint32) {
	if flags&flagEndHeaders == 0 {
		if len(h.block) > headBytesMax {
			return out, 11 // ENHANCE_YOUR_CALM
		}
		return out, 0
	}
	id := h.blockID
	h.blockID = 0
	h.path = h.path[:0]
	if _, err := h.decoder.Write(h.block); err != nil || h.decoder.Close() != nil {
		return out, 9 // COMPRESSION_ERROR
	}
	s := h.streams[id]
	if s == nil {
		s = &stream{id: id, reply: h.c.srv.replies.find(h.path), window: h.peerWindow}
		h.streams[id] = s
	} // else these are trailers
	if h.blockES {
		out = h.answer(s, out)
	}
	return out, 0
}

func (h *h2conn) data(flags byte, id uint32, p, out []byte) ([]byte, uint32) {
	size := int64(len(p))
	if flags&flagPadded != 0 && len(p) > 0 {
		pad := int(p[0])
		if pad >= len(p) {
			return out, protocolError
		}
		p = p[1 : len(p)-pad]
	}
	if h.received += size; h.received >= ownWindow/4 {
		out = appendWindow(out, 0, h.received)
		h.received = 0
	}
	s := h.streams[id]
	if s == nil {
		return out, 0 // A stream that was reset: its bytes count for the connection only.
	}
	s.take(p)
	if flags&flagEndStream != 0 {
		return h.answer(s, out), 0
	}
	if s.received += size; s.received >= ownWindow/4 {
		out = appendWindow(out, id, s.received)
		s.received = 0
	}
	return out, 0
}

func (h *h2conn) settings(flags byte, p, out []byte) ([]byte, uint32) {
	if flags&flagAck != 0 {
		return out, 0
	}
	for ; len(p) >= 6; p = p[6:] {
		if binary.BigEndian.Uint16(p) == 4 { // SETTINGS_INITIAL_WINDOW_SIZE moves the open streams too (section 6.9.2).
			v := int64(binary.BigEndian.Uint32(p[2:]))
			for _, s := range h.streams {
				s.window += v - h.peerWindow
			}
			h.peerWindow = v
		}
	}
	return h.more(appendFrameHead(out, 0, frameSettings, flagAck, 0)), 0
}
