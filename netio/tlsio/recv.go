package tlsio

import (
	"errors"
	"io"

	"weir/internal/buf"
	"weir/netio"
)

// Recv reads plaintext into p, which must not be empty. With OK n is at least 1, and more may be there however large p
// was: only Again means that there is nothing before the next event. EOF is the end of the peer's stream, by close_notify
// or without one (Truncated); Reset and its like come from the kernel; Failed is an error of TLS, see Err. An end is
// reported again by every later call.
//
// What TLS itself has to answer (KeyUpdate, alerts) is sent or, if there is no room, in the backlog when Recv returns.
func (c *Conn) Recv(p []byte) (n int, io netio.IO) {
	if c.phase != phaseOpen || len(p) == 0 {
		panic("tlsio: Recv before the handshake is done, after Close, or into nothing")
	}
	if c.readEnd != netio.OK {
		return 0, c.readEnd
	}
	waiting := len(c.out)
	if c.in.open() {
		n, io = c.recvLent(p)
	} else {
		n, io = c.recvThrough(p)
	}
	if len(c.out) != waiting {
		c.answer()
	}
	return n, io
}

// recvLent reads with raw on a block. crypto/tls is entered only when a whole record is there, which spares it the
// allocation it makes for reading, and as long as p has room and there are records.
func (c *Conn) recvLent(p []byte) (n int, io netio.IO) {
	for n < len(p) {
		if c.in.input.Len() == 0 && !c.in.complete() && c.recvEnd == netio.OK {
			if n > 0 {
				break
			}
			switch c.fill() {
			case netio.OK:
				continue
			case netio.Again:
				c.settle()
				return 0, netio.Again
			}
		}
		m, err := c.tc.Read(p[n:])
		n += m
		if err != nil && err != errWouldBlock {
			c.endRecv(err)
			break
		}
	}
	if c.readEnd != netio.OK {
		c.in.drop() // what came behind the end is never read
	}
	c.settle()
	if n == 0 {
		return 0, c.readEnd
	}
	return n, netio.OK
}

// recvThrough reads without knowing the innards: crypto/tls asks wire.Read, which asks the kernel.
func (c *Conn) recvThrough(p []byte) (n int, io netio.IO) {
	n, err := c.tc.Read(p)
	if len(c.hello) == 0 && c.block != nil {
		c.hello = nil
		c.freeRecv()
	}
	if err != nil && err != errWouldBlock {
		c.endRecv(err)
	}
	switch {
	case n > 0:
		return n, netio.OK
	case c.readEnd != netio.OK:
		return 0, c.readEnd
	}
	return 0, netio.Again
}

// endRecv remembers how the peer's stream ended.
func (c *Conn) endRecv(err error) {
	switch {
	case errors.Is(err, io.EOF) && c.recvEnd == netio.OK:
		c.readEnd = netio.EOF // close_notify
	case c.recvEnd == netio.EOF && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)):
		c.readEnd, c.cut = netio.EOF, true
		c.fail(errTruncated, FailTruncated)
	case c.recvEnd != netio.OK && errors.Is(err, errKernel):
		c.readEnd = c.recvEnd
		c.fail(err, FailConnection)
	default:
		c.readEnd = netio.Failed
		c.fail(err, c.diagnose(err))
	}
}

// fill receives once from the kernel into raw. OK: something came. Anything else but Again is the end, which crypto/tls
// learns from wire.Read when it has used what is there.
func (c *Conn) fill() netio.IO {
	room := c.room()
	n, io := c.recvKernel(room)
	if io == netio.OK {
		b := c.in.raw.Bytes()
		c.in.set(b[:len(b)+n])
	}
	return io
}

// recvKernel is the only place that receives.
func (c *Conn) recvKernel(p []byte) (n int, io netio.IO) {
	switch {
	case c.recvEnd != netio.OK:
		return 0, c.recvEnd
	case c.edge.drained:
		return 0, netio.Again
	}
	n, io = c.w.kernel.Recv(int(c.fd), p)
	switch io {
	case netio.OK:
		if c.phase != phaseOpen {
			c.state.HandshakeBytesIn += n
		}
		c.edge.drained = n < len(p) && c.edge.told && !c.edge.ending
	case netio.Again:
		c.edge.drained = c.edge.told
	default:
		c.recvEnd = io
	}
	return n, io
}

// room is memory for the kernel to write to, right behind what waits in raw: the rest of any record fits in.
func (c *Conn) room() []byte {
	b := c.in.raw.Bytes()
	if c.block == nil || len(c.block.Data) < recvBytesMin {
		c.moveRaw(c.bounds.recv())
	} else if cap(b)-len(b) < len(c.block.Data)/2 {
		// No allocation inside crypto/tls either: with at most one incomplete record of 18 KiB in a buffer of 64 KiB,
		// bytes.Buffer always finds its room by moving the bytes down.
		c.in.set(c.block.Data[:copy(c.block.Data, b)])
	}
	b = c.in.raw.Bytes()
	return b[len(b):cap(b)]
}

// moveRaw moves what waits in raw to a block of at least size bytes. No plaintext may wait: it lies in the old block.
func (c *Conn) moveRaw(size int) {
	b := c.w.blocks.Get(size)
	n := copy(b.Data, c.in.raw.Bytes())
	c.in.set(b.Data[:n])
	c.in.input.Reset(nil)
	c.freeRecv()
	c.block = b
}

// settle gives the block back when nothing waits in it, and takes a small one in its place when little does.
func (c *Conn) settle() {
	if c.in.spent() {
		c.in.drop()
		c.freeRecv()
		return
	}
	if c.in.input.Len() > 0 {
		return
	}
	n := c.in.raw.Len()
	if n <= buf.BlockBytesMin && (c.block == nil || len(c.block.Data) > buf.BlockBytesMin) && !c.in.complete() {
		c.moveRaw(n)
	}
}

// answersBytesMax is how much TLS may have to say on its own behalf beyond a full backlog: some 1200 answers to
// KeyUpdate. A peer that asks for more and reads none of it is cut off (RFC 8446 section 4.6.3 sets no limit).
const answersBytesMax = 32 << 10

// answer sends what crypto/tls had to say while reading.
func (c *Conn) answer() {
	c.Flush()
	if len(c.out) > c.bounds.backlog()+answersBytesMax {
		c.readEnd, c.sendEnd = netio.Failed, netio.Failed
		c.fail(errUnread, FailUnread)
	}
}
