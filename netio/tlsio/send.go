package tlsio

import (
	"math/bits"

	"weir/netio"
)

// recordOverheadMax is what a record adds to its plaintext at most: header, IV, MAC and padding of a CBC suite, which a
// server of TLS 1.2 may choose. The AEAD suites add 22 (TLS 1.3) or 29.
const recordOverheadMax = 5 + 16 + 32 + 16

// pieceBytesMin: rather than cut the plaintext into records of less than this, Send waits for room.
const pieceBytesMin = 4 << 10

// Send encrypts p and sends it. It accepts all of p while the backlog has room for it, else a part, else nothing: Again.
// What was accepted and could not be sent waits in the backlog for Flush.
func (c *Conn) Send(p []byte) (n int, io netio.IO) {
	if c.phase != phaseOpen {
		panic("tlsio: Send before the handshake is done, or after Close")
	}
	for n < len(p) && c.sendEnd == netio.OK {
		m := c.plaintextRoom(len(p) - n)
		if m == 0 {
			break
		}
		c.seal(p[n : n+m])
		n += m
	}
	return c.sent(n, len(p))
}

// SendV is Send for pieces that are gathered into as few records as possible. n counts over all of them.
func (c *Conn) SendV(pieces [][]byte) (n int, io netio.IO) {
	if c.phase != phaseOpen {
		panic("tlsio: SendV before the handshake is done, or after Close")
	}
	rest := 0
	for _, p := range pieces {
		rest += len(p)
	}
	i, off := 0, 0
	for rest > 0 && c.sendEnd == netio.OK {
		m := c.plaintextRoom(rest)
		if m == 0 {
			break
		}
		var record []byte
		record, i, off = c.take(pieces, i, off, m)
		c.seal(record)
		n, rest = n+m, rest-m
	}
	return c.sent(n, n+rest)
}

// take returns the next m bytes of the pieces from pieces[i][off:] on, and where it stopped. Bytes that lie in one piece
// are not copied.
func (c *Conn) take(pieces [][]byte, i, off, m int) ([]byte, int, int) {
	for off == len(pieces[i]) {
		i, off = i+1, 0
	}
	if p := pieces[i]; len(p)-off >= m {
		return p[off : off+m], i, off + m
	}
	g := c.w.gather[:0]
	for len(g) < m {
		if off == len(pieces[i]) {
			i, off = i+1, 0
			continue
		}
		k := min(m-len(g), len(pieces[i])-off)
		g = append(g, pieces[i][off:off+k]...)
		off += k
	}
	return g, i, off
}

// plaintextRoom is how many of the next want bytes one record may carry now; 0 when the backlog is full.
func (c *Conn) plaintextRoom(want int) int {
	want = min(want, plaintextBytesMax)
	for {
		room := min(want, c.bounds.backlog()-recordOverheadMax-len(c.out))
		if room == want || room >= pieceBytesMin {
			return room
		}
		waiting := len(c.out)
		if c.Flush(); len(c.out) == waiting || c.sendEnd != netio.OK {
			return 0
		}
	}
}

// seal turns plaintext into one record of the backlog.
func (c *Conn) seal(p []byte) {
	if _, err := c.tc.Write(p); err != nil {
		c.sendEnd = netio.Failed
		c.fail(err, c.diagnose(err))
	}
}

// sent sends what was sealed and says what Send returns when n bytes of want were accepted.
func (c *Conn) sent(n, want int) (int, netio.IO) {
	c.Flush()
	switch {
	case c.sendEnd != netio.OK:
		return 0, c.sendEnd
	case n == 0 && want > 0:
		return 0, netio.Again
	}
	return n, netio.OK
}

// Flush sends what waits in the backlog. OK: nothing is left; Again: the socket is full, the next Writable event is the
// time to go on; else the connection is lost.
func (c *Conn) Flush() netio.IO {
	for len(c.out) > 0 {
		if c.edge.full {
			return netio.Again
		}
		n, io := c.w.kernel.Send(int(c.fd), c.out)
		switch io {
		case netio.OK:
			c.edge.full = n < len(c.out) && c.edge.told
			c.out = c.out[n:]
		case netio.Again:
			c.edge.full = c.edge.told
			return io
		default:
			c.sendEnd = io
			c.fail(errKernel, FailConnection)
			c.freeOut()
			return io
		}
	}
	c.freeOut()
	if c.sendEnd == netio.Failed {
		return netio.OK // TLS has ended, and all it had to say is said
	}
	return c.sendEnd
}

// Backlog is the ciphertext in bytes that waits for Flush.
func (c *Conn) Backlog() int { return len(c.out) }

// CloseNotify says that we send no more (RFC 8446 section 6.1). It goes through the backlog: Flush sends it. Send fails
// afterwards, Recv does not. Before the handshake is done there is nothing to say.
func (c *Conn) CloseNotify() {
	if c.phase != phaseOpen || c.sendEnd != netio.OK {
		return
	}
	c.sendEnd = netio.Failed
	if err := c.tc.CloseWrite(); err != nil {
		c.fail(err, c.diagnose(err))
	}
}

// bounds is how much a connection may hold in blocks; 0 means BufferBytesDefault.
type bounds int32

// recv is the size of the block to receive into. A record must fit in, so this is never less than recvBytesMin.
func (b bounds) recv() int {
	if b == 0 || b >= BufferBytesDefault {
		return recvBytes
	}
	return recvBytesMin
}

// backlog is how much ciphertext may wait: a whole block that is no more than half of the bound.
func (b bounds) backlog() int {
	if b == 0 {
		return backlogBytes
	}
	return 1 << (bits.Len(uint(b)/2) - 1)
}

// The bounds of SetBufferMax.
const (
	bufferBytesMin = 16 << 10
	bufferBytesMax = 256 << 10
)

// SetBufferMax bounds the memory that the connection holds in blocks to n bytes, 16 to 256 KiB, half of it for the backlog.
// What is received needs 32 KiB while a record is incomplete, however small the bound.
func (c *Conn) SetBufferMax(n int) { c.bounds = bounds(min(max(n, bufferBytesMin), bufferBytesMax)) }

// append adds a record to the backlog, however full it is.
func (c *Conn) append(p []byte) {
	if c.sendEnd != netio.OK && c.sendEnd != netio.Failed {
		return // the kernel lost the connection
	}
	if len(c.out)+len(p) > cap(c.out) {
		c.growOut(len(p))
	}
	c.out = append(c.out, p...)
}

// growOut makes room for n bytes behind out: at the front of its block, or else in a larger one. The bound of Send keeps
// application data within the backlog's; a handshake's certificates and answers of TLS may go beyond.
func (c *Conn) growOut(n int) {
	need := len(c.out) + n
	if c.outFrom != nil && need <= len(c.outFrom.Data) {
		c.out = c.outFrom.Data[:copy(c.outFrom.Data, c.out)]
		return
	}
	size := max(need, smallBytes)
	if c.phase == phaseOpen {
		size = max(need, c.bounds.backlog())
	}
	c.moveOut(size)
}

// moveOut moves the backlog to a block of at least size bytes.
func (c *Conn) moveOut(size int) {
	b := c.w.blocks.Get(size)
	out := b.Data[:copy(b.Data, c.out)]
	c.freeOut()
	c.out, c.outFrom = out, b
}

func (c *Conn) freeOut() {
	c.out = nil
	if c.outFrom != nil {
		c.w.blocks.Free(c.outFrom)
		c.outFrom = nil
	}
}

// shrinkBacklog moves what waits to the smallest block that holds it.
func (c *Conn) shrinkBacklog() {
	if n := len(c.out); n > 0 && n <= len(c.outFrom.Data)/2 {
		c.moveOut(n)
	}
}
