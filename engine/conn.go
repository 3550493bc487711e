package engine

import (
	"weir/internal/buf"
	"weir/internal/mono"
	"weir/netio"
	"weir/netio/tlsio"
)

// scratchBytes is how much one read takes at the most. It is one block per worker, not per connection: input that is
// parsed and passed on in the same turn never needs a block of its own. It is what one segment of TCP can be behind its headers,
// with segmentation offload or over loopback: of a piece of 64 KiB the last 53 bytes and more go as a segment of their own, with
// all that this costs both ends. Bodies of 1 MiB took 0.40 s of CPU a GiB at 64 KiB, 0.24 at 60 (docs/performance.md).
const scratchBytes = 60 << 10

// writeThroughMin is the size from which a piece of body is offered to the kernel at once instead of being copied behind
// the output that waits for the end of the turn. Below it the copy costs less than the system call.
const writeThroughMin = 8 << 10

// readsPerTurn bounds how long one busy connection keeps the others of its worker waiting: 16 reads are at most 1 MiB.
const readsPerTurn = 16

type connFlags uint16

const (
	canRead      connFlags = 1 << iota // the kernel reported input (or an end) that was not read dry since
	canWrite                           // the last write was not cut short
	peerClosed                         // the peer shut its sending half: the next short read is not the last
	hungUp                             // both halves are gone
	opening                            // the TCP connect is under way: the first room to write tells how it went
	inReady                            // stands in worker.ready
	inDirty                            // stands in worker.dirty
	finishing                          // our direction ends when out is empty
	finished                           // our direction has ended
	starved                            // somebody was told that there is no room for output: tell when there is
	unsent                             // the kernel has taken nothing since a request was written
	buried                             // closed; the record is used again after this turn
	inHandshakes                       // stands in worker.handshakes
)

// connOwner is who a connection's events are for. All methods run on the worker's thread, from the top of its turn.
type connOwner interface {
	onReadable()  // there may be input, or the peer's end
	onRoom()      // output that had piled up has left
	onTimeout()   // the deadline armed last has passed
	onBroken()    // the connection failed while sending
	onFull(n int) // n bytes of output wait, the most there may: nothing further is taken until onRoom
}

// conn is one descriptor's transport, plain or TLS: what waits to be sent, and what was received but not yet parsed.
// An idle one holds no block.
type conn struct {
	w     *worker
	owner connOwner
	tls   *tlsio.Conn
	timer netio.Timer
	out   buf.Queue
	in    buf.Queue // unparsed input
	token netio.Token
	fd    int32
	flags connFlags
}

func (c *conn) has(f connFlags) bool { return c.flags&f != 0 }
func (c *conn) set(f connFlags)      { c.flags |= f }
func (c *conn) clear(f connFlags)    { c.flags &^= f }

// pending is the input that was received and not yet parsed, as one piece. It is valid until the next fill.
func (c *conn) pending() []byte { return c.in.Flatten(0) }

// fill reads once, at most limit bytes, and returns all unparsed input including what was pending. The bytes are valid until
// the next fill of any connection of this worker; who does not parse all of them hands the tail to keep.
func (c *conn) fill(limit int) ([]byte, netio.IO) {
	if c.in.Len() == 0 {
		p := c.w.scratch[:min(limit, scratchBytes)]
		n, io := c.recv(p)
		return p[:n], io
	}
	room := min(max(c.in.Len(), buf.BlockBytesMin), buf.BlockBytesMax-c.in.Len())
	if room <= 0 {
		return c.pending(), netio.Failed
	}
	c.in.Flatten(room)
	p := c.in.Room(room)
	n, io := c.recv(p[:min(limit, len(p))])
	c.in.Commit(n)
	return c.in.Bytes(), io
}

// keep holds rest, a tail of what fill or pending returned, for the next call.
func (c *conn) keep(rest []byte) {
	if c.in.Len() > 0 {
		c.in.Consume(c.in.Len() - len(rest))
		return
	}
	c.in.Append(rest)
}

// recv reads once into p. After a short read the socket is known to be dry, which saves the read that would say EAGAIN,
// unless an end is pending behind the bytes (epoll(7), edge-triggered).
func (c *conn) recv(p []byte) (int, netio.IO) {
	if c.tls != nil {
		return c.recvTLS(p)
	}
	n, io := c.w.k.Recv(int(c.fd), p)
	if io != netio.OK || (n < len(p) && !c.has(peerClosed|hungUp)) {
		c.clear(canRead)
	}
	return n, io
}

// write sends p after all that was written before. A small p waits for the end of the turn; a large one goes to the kernel
// at once with what waits before it, and only what the kernel does not take is copied.
func (c *conn) write(p []byte) {
	if len(p) < writeThroughMin || !c.has(canWrite) {
		c.out.Append(p)
		c.markDirty()
		return
	}
	waiting := c.out.Len()
	pieces := append(c.out.Pieces(c.w.pieces[:0]), p)
	n, io := c.sendPieces(pieces)
	if !c.sent(min(n, waiting), io) {
		return
	}
	if n < waiting {
		n = waiting
	}
	if rest := p[n-waiting:]; len(rest) > 0 {
		c.clear(canWrite)
		c.out.Append(rest)
	}
}

// flush sends what waits. It runs once a turn for every connection that was written to.
func (c *conn) flush() {
	if c.has(buried | finished) {
		return
	}
	for c.out.Len() > 0 && c.has(canWrite) {
		waiting := c.out.Len()
		n, io := c.sendPieces(c.out.Pieces(c.w.pieces[:0]))
		if !c.sent(n, io) {
			return
		}
		if n < waiting && c.tls == nil {
			c.clear(canWrite)
		}
	}
	if c.tls != nil {
		if c.out.Len() == 0 && c.has(finishing) {
			c.tls.CloseNotify() // behind all that was written: nothing can be sent after it
		}
		if !c.flushTLS() {
			return
		}
	}
	if c.out.Len() == 0 && c.has(finishing) && c.backlog() == 0 {
		c.clear(finishing)
		c.set(finished)
		c.w.k.ShutdownSend(int(c.fd))
	}
}

// sent takes n sent bytes off the queue. It reports false when the connection turned out to be broken.
func (c *conn) sent(n int, io netio.IO) bool {
	c.clear(unsent)
	c.out.Consume(n)
	switch io {
	case netio.OK:
		return true
	case netio.Again:
		c.clear(canWrite)
		return true
	}
	c.out.Reset()
	c.clear(canWrite)
	c.set(hungUp)
	c.w.broken = append(c.w.broken, c)
	return false
}

func (c *conn) sendPieces(pieces [][]byte) (int, netio.IO) {
	if c.tls != nil {
		n, io := c.tls.SendV(pieces)
		c.heedBacklog()
		return n, io
	}
	if len(pieces) == 1 {
		return c.w.k.Send(int(c.fd), pieces[0])
	}
	return c.w.k.SendV(int(c.fd), pieces)
}

// room is how many more bytes of output the connection takes where bound may wait. Who gets none is told when there is some.
func (c *conn) room(bound int) int {
	if n := bound - c.backlog(); n > 0 {
		return n
	}
	c.starve(bound) // framing may have made the backlog more than was asked for
	return 0
}

// starve notes that there is no room where n bytes may wait.
func (c *conn) starve(n int) {
	if !c.has(starved) {
		c.set(starved)
		c.owner.onFull(n)
	}
}

// relieved reports whether somebody has to be told that there is room again. The kernel may take everything that was too much
// without ever having been full, and then there is no event to tell it.
func (c *conn) relieved() bool {
	if !c.has(starved) || c.backlog() > 0 {
		return false
	}
	c.clear(starved)
	return true
}

// backlog is the number of bytes accepted for sending that the kernel has not taken.
func (c *conn) backlog() int {
	n := c.out.Len()
	if c.tls != nil {
		n += c.tls.Backlog()
	}
	return n
}

// finish ends our direction after what was written so far.
func (c *conn) finish() {
	c.set(finishing)
	c.markDirty()
}

func (c *conn) markDirty() {
	if !c.has(inDirty | buried) {
		c.set(inDirty)
		c.w.dirty = append(c.w.dirty, c)
	}
}

// wake has the owner's onReadable called once more in this turn or the next, because a reason not to read is gone.
func (c *conn) wake() {
	if !c.has(inReady | buried) {
		c.set(inReady)
		c.w.ready = append(c.w.ready, c)
	}
}

// arm sets the connection's only deadline; mono.Never takes it away. The timer stays linked then: it is armed again with the
// next request, which costs two stores as long as it is.
func (c *conn) arm(deadline mono.Time) { c.w.wheel.Arm(&c.timer, deadline) }

// abandon gives the record back and leaves the descriptor to somebody else. Nothing may be waiting on it.
func (c *conn) abandon() {
	c.set(buried)
	c.w.wheel.Disarm(&c.timer)
	c.in.Reset()
	c.out.Reset()
	c.w.bury(c)
}

// close gives everything back. With abort the peer gets a RST, so that a body cut short does not look complete. The record
// itself stays valid until the end of the turn.
func (c *conn) close(abort bool) {
	if c.has(buried) {
		return
	}
	c.set(buried)
	c.w.wheel.Disarm(&c.timer)
	if c.tls != nil {
		if !abort && c.out.Len() == 0 {
			c.tls.CloseNotify() // without it the peer cannot tell a stream that is whole from a cut one
			c.tls.Flush()
		}
		c.tls.Close()
		c.tls = nil
	}
	c.out.Reset()
	c.in.Reset()
	if abort {
		c.w.k.Abort(int(c.fd))
	} else {
		c.w.k.Close(int(c.fd))
	}
	c.w.bury(c)
}
