package load

import (
	"encoding/binary"
	"strconv"

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
	frameContinuation = 9

	flagEndStream  = 0x1
	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20

	frameHeadBytes  = 9
	framePayloadMax = 16 << 10
	windowMax       = 1<<31 - 1
	windowBack      = 64 << 20 // give the connection's window back in pieces of this size
)

// h2 is one HTTP/2 connection. Its windows are as large as the protocol allows, so that flow control is not what is
// measured.
type h2 struct {
	first, others []byte // header blocks

	kept     []byte
	streams  map[uint32]*h2stream
	spare    []*h2stream
	nextID   uint32
	received int64
	sized    bool // the server's SETTINGS arrived
	goAway   bool
}

type h2stream struct {
	outcome
	block []byte // of the response head, when it came in several frames
	end   bool
}

func newH2(j *Job) *h2 {
	h := &h2{streams: map[uint32]*h2stream{}}
	h.first, h.others = j.blocksH2()
	h.reset()
	return h
}

func (h *h2) ready() bool      { return h.sized }
func (h *h2) pending() int     { return len(h.streams) }
func (h *h2) closing() bool    { return h.goAway || h.nextID > 1<<30 }
func (h *h2) skippable() int64 { return 0 }

func (h *h2) skipped(int64, func(outcome)) {}

func (h *h2) oldest() int64 {
	oldest := int64(1<<63 - 1)
	for _, s := range h.streams {
		oldest = min(oldest, s.due)
	}
	return oldest
}

func (h *h2) forget(f func(int64)) {
	for id, s := range h.streams {
		f(s.due)
		delete(h.streams, id)
	}
}

func (h *h2) reset() {
	clear(h.streams)
	h.kept, h.nextID, h.received, h.sized, h.goAway = h.kept[:0], 1, 0, false, false
}

func (h *h2) hello(out []byte) []byte {
	out = append(out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"...)
	out = appendFrameHead(out, 12, frameSettings, 0, 0)
	out = binary.BigEndian.AppendUint32(append(out, 0, 2), 0)         // ENABLE_PUSH off
	out = binary.BigEndian.AppendUint32(append(out, 0, 4), windowMax) // INITIAL_WINDOW_SIZE
	return appendWindow(out, windowMax-65535)
}

func appendFrameHead(out []byte, n int, kind, flags byte, id uint32) []byte {
	out = append(out, byte(n>>16), byte(n>>8), byte(n), kind, flags)
	return binary.BigEndian.AppendUint32(out, id)
}

func appendWindow(out []byte, n int64) []byte {
	return binary.BigEndian.AppendUint32(appendFrameHead(out, 4, 8, 0, 0), uint32(n))
}

func (h *h2) request(due int64, out []byte) []byte {
	block := h.others
	if h.nextID == 1 {
		block = h.first
	}
	s := h.stream()
	s.due = due
	h.streams[h.nextID] = s
	out = appendFrameHead(out, len(block), frameHeaders, flagEndHeaders|flagEndStream, h.nextID)
	h.nextID += 2
	return append(out, block...)
}

func (h *h2) stream() *h2stream {
	if n := len(h.spare); n > 0 {
		s := h.spare[n-1]
		h.spare = h.spare[:n-1]
		*s = h2stream{block: s.block[:0]}
		return s
	}
	return new(h2stream)
}

func (h *h2) recv(p, out []byte, done func(outcome)) ([]byte, string) {
	if len(h.kept) > 0 {
		h.kept = append(h.kept, p...)
		p = h.kept
	}
	for len(p) >= frameHeadBytes {
		size := int(p[0])<<16 | int(p[1])<<8 | int(p[2])
		if size > framePayloadMax {
			return out, "frame too large"
		}
		if len(p) < frameHeadBytes+size {
			break
		}
		var wrong string
		id := binary.BigEndian.Uint32(p[5:]) &^ (1 << 31)
		out, wrong = h.frame(p[3], p[4], id, p[frameHeadBytes:frameHeadBytes+size], out, done)
		if wrong != "" {
			return out, wrong
		}
		p = p[frameHeadBytes+size:]
	}
	h.kept = append(h.kept[:0], p...)
	return out, ""
}

func (h *h2) frame(kind, flags byte, id uint32, p, out []byte, done func(outcome)) ([]byte, string) {
	switch kind {
	case frameSettings:
		if flags&flagAck == 0 {
			h.sized = true
			out = appendFrameHead(out, 0, frameSettings, flagAck, 0)
		}
	case framePing:
		if flags&flagAck == 0 {
			out = append(appendFrameHead(out, len(p), framePing, flagAck, 0), p...)
		}
	case frameGoAway:
		h.goAway = true
		if len(p) >= 8 && binary.BigEndian.Uint32(p[4:]) != 0 {
			return out, "GOAWAY with an error"
		}
	case frameHeaders, frameContinuation:
		return out, h.headers(kind, flags, id, p, done)
	case frameData:
		if h.received += int64(len(p)); h.received >= windowBack {
			out = appendWindow(out, h.received)
			h.received = 0
		}
		return out, h.data(flags, id, p, done)
	case frameReset:
		return out, "RST_STREAM"
	}
	return out, ""
}

func (h *h2) headers(kind, flags byte, id uint32, p []byte, done func(outcome)) string {
	s := h.streams[id]
	if s == nil {
		return "response without a request"
	}
	if kind == frameHeaders {
		pad := 0
		if flags&flagPadded != 0 && len(p) > 0 {
			pad, p = int(p[0]), p[1:]
		}
		if flags&flagPriority != 0 && len(p) >= 5 {
			p = p[5:]
		}
		if pad > len(p) {
			return "bad padding"
		}
		p = p[:len(p)-pad]
		s.end = flags&flagEndStream != 0
	}
	s.block = append(s.block, p...)
	if flags&flagEndHeaders == 0 {
		return ""
	}
	if s.status < 200 { // else these are trailers
		status, ok := statusOf(s.block)
		if !ok {
			return "bad header block"
		}
		s.status = status
	}
	s.block = s.block[:0]
	if s.end {
		h.complete(id, s, done)
	}
	return ""
}

func (h *h2) data(flags byte, id uint32, p []byte, done func(outcome)) string {
	s := h.streams[id]
	if s == nil || s.status == 0 {
		return "DATA without a head"
	}
	if flags&flagPadded != 0 && len(p) > 0 {
		if int(p[0]) >= len(p) {
			return "bad padding"
		}
		p = p[1 : len(p)-int(p[0])]
	}
	s.bytes += int64(len(p))
	if flags&flagEndStream != 0 {
		h.complete(id, s, done)
	}
	return ""
}

func (h *h2) complete(id uint32, s *h2stream, done func(outcome)) {
	delete(h.streams, id)
	h.spare = append(h.spare, s)
	done(s.outcome)
}

// statusOf reads :status from the start of a header block without keeping a dynamic table: :status must come first
// (RFC 9113 section 8.3), every encoder uses the static table for the statuses in it (200, 204, 206, 304, 400, 404, 500)
// and a literal or a dynamic entry for others. A dynamic entry cannot be read here and comes out as statusUnread: it is
// none of the statuses that mean success, and that is all the bench asks.
func statusOf(block []byte) (int, bool) {
	for len(block) > 0 && block[0]&0xe0 == 0x20 { // dynamic table size update (RFC 7541 section 6.3)
		n := 1
		if block[0]&0x1f == 0x1f {
			for n < len(block) && block[n]&0x80 != 0 {
				n++
			}
			n++
		}
		block = block[min(n, len(block)):]
	}
	if len(block) == 0 {
		return 0, false
	}
	static := [...]int{200, 204, 206, 304, 400, 404, 500}
	b := block[0]
	switch {
	case b >= 0x88 && b <= 0x8e:
		return static[b-0x88], true
	case b&0x80 != 0:
		return statusUnread, true
	case b&0x40 != 0: // a literal that is added to the table has six bits of index, others have four
		b &= 0x3f
	default:
		b &= 0x0f
	}
	if b < 8 || b > 14 || len(block) < 2 {
		return 0, false
	}
	n := int(block[1] & 0x7f)
	if len(block) < 2+n {
		return 0, false
	}
	text := string(block[2 : 2+n])
	if block[1]&0x80 != 0 {
		plain, err := hpack.HuffmanDecodeToString(block[2 : 2+n])
		if err != nil {
			return 0, false
		}
		text = plain
	}
	status, err := strconv.Atoi(text)
	return status, err == nil
}

const statusUnread = 599
