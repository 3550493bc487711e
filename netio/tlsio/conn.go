package tlsio

import (
	"crypto/tls"

	"weir/internal/buf"
	"weir/internal/mono"
	"weir/netio"
)

// phase is where a connection stands.
//
//	phaseHello ──► phaseHandshake ──► phaseOpen ──► phaseClosed
//	     │               │                               ▲
//	     └───────────────┴────────► phaseFailed ─────────┘
type phase uint8

const (
	phaseHello     phase = iota // exactly when no coroutine was started: a server until the ClientHello is there
	phaseHandshake              // exactly when the coroutine is parked, or runs
	phaseOpen                   // exactly when the handshake is done; what happens to the stream later is recvEnd's and sendEnd's
	phaseFailed                 // exactly when the handshake failed; its alert may still be in the backlog
	phaseClosed                 // after Close
)

// Conn is TLS over one non-blocking descriptor of a netio.Kernel. It is used by one worker only. The descriptor stays the
// caller's: it is watched, shut down and closed by the caller.
type Conn struct {
	w  *Worker
	tc *tls.Conn
	in innards

	fd      int32
	phase   phase
	client  bool
	failure Failure
	alert   uint8 // the alert we sent in the clear; 0 none
	edge    edge
	bounds  bounds

	// Receiving.
	block   *buf.Block // lent to crypto/tls as raw; nil when nothing waits
	hello   []byte     // received before crypto/tls was started, and not yet read by it
	recvEnd netio.IO   // how the kernel's stream ended; OK while it has not
	readEnd netio.IO   // what Recv returns from now on; OK while there is no end
	cut     bool       // it ended without close_notify

	// Sending.
	out     []byte     // ciphertext that waits
	outFrom *buf.Block // the block that out lies in; nil: its own memory
	sendEnd netio.IO   // what Send and Flush return from now on; OK while there is no end

	err error // the first error of handshake, Recv or Send

	run *handshake // nil once it is over
	facts
}

// edge is what the events said about the descriptor since they were last acted upon. Without events (Ready is never
// called) nothing is assumed and the kernel is asked every time.
type edge struct {
	told    bool // Ready was called at least once
	drained bool // nothing to receive until the next Readable
	full    bool // no room to send until the next Writable
	ending  bool // the peer ended its direction: a short read does not mean that there is no more
}

// Server returns the server's side of TLS on fd. Nothing is read or written, and little is allocated, before Handshake.
func (w *Worker) Server(fd int, cfg *ServerConfig) *Conn {
	c := &Conn{w: w, fd: int32(fd)}
	c.run = &handshake{cfg: cfg.tcp.front}
	return c
}

// Client returns the client's side of TLS on fd, which must be connected before Handshake is called.
func (w *Worker) Client(fd int, p *Peer) *Conn {
	c := &Conn{w: w, fd: int32(fd), client: true}
	c.run = &handshake{cfg: p.cfg}
	return c
}

// Ready tells the connection what an event reported. Who calls it must call it for every event of the descriptor, before
// anything else: in return a read that came back short is taken as "drained" and saves the read that would say so.
func (c *Conn) Ready(r netio.Ready) {
	c.edge.told = true
	if r&(netio.Readable|netio.PeerClosed|netio.HungUp) != 0 {
		c.edge.drained = false
	}
	if r&(netio.Writable|netio.HungUp) != 0 {
		c.edge.full = false
	}
	if r&(netio.PeerClosed|netio.HungUp) != 0 {
		// Data and FIN may be reported by one event, and the FIN makes no other.
		c.edge.ending = true
	}
}

// Err is the first error that ended the handshake, Recv or Send; nil while there is none.
func (c *Conn) Err() error { return c.err }

// Failure says in one word what ended the handshake or the connection; FailNone while nothing has.
func (c *Conn) Failure() Failure { return c.failure }

// Truncated reports whether the peer's stream ended without close_notify, so that what was received may not be all of it
// (RFC 8446 section 6.1).
func (c *Conn) Truncated() bool { return c.cut }

// Idle gives back what a connection without work does not need. What is left is the state of crypto/tls. Part of a
// record that the peer has begun is kept in memory of its size. Calling it at any moment is right.
func (c *Conn) Idle() {
	if c.phase != phaseOpen || !c.in.open() {
		return
	}
	c.in.dropHand()
	c.settle()
	if n := c.in.raw.Len(); n > 0 && c.in.input.Len() == 0 && n <= len(c.block.Data)/2 && len(c.block.Data) > buf.BlockBytesMin {
		c.moveRaw(n)
	}
	c.shrinkBacklog()
}

// Held is how many bytes of the pool's blocks, or of memory in their place, the connection holds.
func (c *Conn) Held() (bytes int) {
	if c.block != nil {
		bytes += len(c.block.Data)
	}
	return bytes + cap(c.out)
}

// Close ends the use of the connection: it stops a handshake that is under way and gives every buffer back, what waits in
// them included. It sends nothing and leaves the descriptor to the caller. Every Conn must be closed, or the coroutine
// of an unfinished handshake stays for ever. Closing twice is allowed.
func (c *Conn) Close() {
	if c.phase == phaseClosed {
		return
	}
	c.phase = phaseClosed
	if c.run != nil {
		c.run.abandon()
		c.run = nil
	}
	c.tc, c.in, c.hello = nil, innards{}, nil
	c.freeRecv()
	c.freeOut()
}

// Detach takes an idle connection away from its worker, for another one to Attach it. It reports false, and changes
// nothing, when the connection is not idle: something waits in it, or it has come to an end (or nobody can know, without access to
// the innards of crypto/tls). In between the connection
// belongs to whatever carries it from one goroutine to the other.
func (c *Conn) Detach() bool {
	if c.phase != phaseOpen || !c.in.open() || c.recvEnd != netio.OK || c.readEnd != netio.OK || c.sendEnd != netio.OK {
		return false
	}
	c.Idle()
	if c.block != nil || c.outFrom != nil || len(c.hello) > 0 {
		return false
	}
	c.w = nil
	return true
}

// Attach makes a detached connection one of w's, on the descriptor fd. What was pending on it must be reported by an
// event, as registering it with the new worker's kernel does.
func (c *Conn) Attach(w *Worker, fd int) {
	if c.w != nil {
		panic("tlsio: Attach of a connection that has a worker")
	}
	c.w, c.fd, c.edge = w, int32(fd), edge{}
}

func (c *Conn) freeRecv() {
	if c.block != nil {
		c.w.blocks.Free(c.block)
		c.block = nil
	}
}

// fail remembers the first error.
func (c *Conn) fail(err error, f Failure) {
	if c.err == nil {
		c.err, c.failure = err, f
	}
}

func (c *Conn) now() mono.Time { return c.w.kernel.Now() }
