package h2

import "encoding/binary"

// pending is what the protocol makes us send, in the order it came up: acknowledgements, window updates, resets, GOAWAY.
type pending struct{ buf []byte }

// block returns the buffer to append to.
func (c *Conn) block() []byte {
	if c.out.buf == nil {
		c.out.buf = c.slab.getBlock()
	}
	return c.out.buf
}

// Pending reports whether AppendPending has something to append.
func (c *Conn) Pending() bool { return len(c.out.buf) > 0 }

// AppendPending appends what the protocol makes us send. It may be put off while the peer does not read. Everything else
// that appends calls it first, because a peer may hold us to its old settings until it has seen the acknowledgement.
func (c *Conn) AppendPending(dst []byte) []byte {
	if c.out.buf == nil {
		return dst
	}
	dst = append(dst, c.out.buf...)
	c.slab.freeBlock(c.out.buf)
	c.out.buf = nil
	return dst
}

// checkPending ends the connection of a peer that asks for replies and does not read them.
func (c *Conn) checkPending() *Error {
	if len(c.out.buf) > int(c.cfg.Limits.PendingBytes) {
		return errPendingReplies
	}
	return nil
}

// queueReset collects a RST_STREAM.
func (c *Conn) queueReset(id uint32, code ErrCode) {
	c.out.buf = appendFrame32(c.block(), frameReset, id, uint32(code))
}

// queueBadRequest collects the answer to a malformed request: a status that its sender's log will show, before the reset that
// only its HTTP/2 library will see (RFC 9113 section 8.1.1). Other heads that were encoded before it have been appended.
func (c *Conn) queueBadRequest(id uint32) {
	dst := c.block()
	start := len(dst)
	dst = c.enc.AppendStatus(c.enc.Begin(appendFrame(dst, 0, frameHeaders, 0, id)), 400)
	c.out.buf = c.seal(dst, start, id, true)
}

// noGoAway stands for a GOAWAY that was not sent: it refuses nothing.
const noGoAway = 1<<32 - 1

// goAway is what was said about the end of the connection.
type goAway struct {
	sent     uint32 // the last stream that our latest GOAWAY allows; noGoAway: none was sent
	last     uint32 // what the peer's latest one allows
	received bool
}

// AppendGoAway appends GOAWAY (RFC 9113 section 6.8). A graceful end takes two: the first with MaxStreamID refuses nothing
// and tells the client to stop; the second, a round trip later, with LastID. Streams above last are refused from then on.
// A last that is higher than said before is lowered to that.
func (c *Conn) AppendGoAway(dst []byte, last uint32, code ErrCode) []byte {
	if c.failed != nil {
		return dst
	}
	c.away.sent = min(last, c.away.sent)
	return appendGoAway(c.AppendPending(dst), c.away.sent, code)
}

func appendGoAway(dst []byte, last uint32, code ErrCode) []byte {
	dst = appendFrame(dst, 8, frameGoAway, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, last)
	return binary.BigEndian.AppendUint32(dst, uint32(code))
}

// AppendPing appends a PING; EventPong with the same data answers it.
func (c *Conn) AppendPing(dst []byte, data [8]byte) []byte {
	return append(appendFrame(c.AppendPending(dst), len(data), framePing, 0, 0), data[:]...)
}
