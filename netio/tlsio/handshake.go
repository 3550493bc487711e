package tlsio

import (
	"crypto/tls"
	"errors"
	"io"
	"iter"

	"weir/internal/mono"
	"weir/netio"
)

// handshake is the part of a connection that lives until its handshake is over.
//
// crypto/tls cannot go on with a handshake after a read that would block, so the handshake runs as a coroutine, on the
// worker's own thread: it is parked in wire.Read and resumed by events. No other goroutine ever runs it.
//
// Two things were tried and left out, since neither gained anything clear of the noise: handing the signature alone to
// another goroutine, for the latency of established traffic, and keeping coroutines with their grown stacks for the next
// handshake.
type handshake struct {
	cfg   *tls.Config
	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool
	err   error
	began mono.Time
}

// abandon makes a parked handshake return.
func (h *handshake) abandon() {
	if h.stop != nil {
		h.stop()
	}
}

// Begun reports whether anything was computed for the handshake yet. Until a client's hello is complete its handshake
// costs next to nothing; then the next call of Handshake does most of a server's work at once: a key exchange and a
// signature (BenchmarkKeyExchange, BenchmarkSign). Who bounds the handshakes of a turn counts the calls after which this turns true.
func (c *Conn) Begun() bool { return c.phase != phaseHello }

// contentHandshake is the record type of a ClientHello (RFC 8446 section 5.1).
const contentHandshake = 22

// Handshake goes on with the handshake as far as it can without blocking. It is called once at the start (a client
// speaks first) and then on every event, until done. While it is not done, io is Again and err is nil, or the handshake
// failed, err says why and io how: EOF, Reset and so on when the connection ended, Failed when TLS did. Then what is left
// to do is Flush, for the alert, and Close.
//
// When it is done, bytes of the peer may already be here without another event: Recv comes next.
func (c *Conn) Handshake() (done bool, io netio.IO, err error) {
	switch c.phase {
	case phaseOpen:
		return true, netio.OK, nil
	case phaseFailed:
		return false, c.readEnd, c.err
	case phaseClosed:
		panic("tlsio: Handshake after Close")
	case phaseHello:
		if io := c.awaitHello(); io == netio.Again {
			return false, io, nil
		} else if io != netio.OK {
			return false, io, c.failHandshake(c.readError(io))
		}
		c.start()
	}
	_, parked := c.run.next()
	if !parked {
		return c.finish()
	}
	if io := c.Flush(); io != netio.OK && io != netio.Again {
		return false, io, c.failHandshake(errKernel)
	}
	return false, netio.Again, nil
}

// awaitHello collects the first record of a client, so that who connects and says nothing, or says it byte by byte, costs
// no coroutine. What is not a handshake is left to crypto/tls to refuse.
func (c *Conn) awaitHello() netio.IO {
	if c.run.began.IsZero() {
		c.run.began = c.now()
	}
	if c.client {
		return netio.OK
	}
	for {
		n := recordIn(c.hello)
		if len(c.hello) > 0 && c.hello[0] != contentHandshake || n > 0 && len(c.hello) >= n {
			return netio.OK
		}
		if c.block == nil || n > len(c.block.Data) {
			c.moveHello(max(n, smallBytes))
		}
		got, io := c.recvKernel(c.hello[len(c.hello):cap(c.hello)])
		if io != netio.OK {
			if len(c.hello) == 0 {
				c.hello = nil
				c.freeRecv()
			}
			return io
		}
		c.hello = c.hello[:len(c.hello)+got]
	}
}

// moveHello moves what is there of the ClientHello to a block of at least size bytes.
func (c *Conn) moveHello(size int) {
	b := c.w.blocks.Get(size)
	n := copy(b.Data, c.hello)
	c.freeRecv()
	c.block, c.hello = b, b.Data[:n]
}

// clientFlightBytes is the memory for a server's first flight: mostly its certificates.
const clientFlightBytes = 8 << 10

// start makes the coroutine. It does not run before its first next.
func (c *Conn) start() {
	if c.client {
		c.tc = tls.Client((*wire)(c), c.run.cfg)
	} else {
		c.tc = tls.Server((*wire)(c), c.run.cfg)
	}
	c.in = innardsOf(c.tc)
	if c.in.open() {
		if c.block == nil {
			c.block = c.w.blocks.Get(clientFlightBytes)
			c.hello = c.block.Data[:0]
		}
		c.in.set(c.hello)
		c.hello = nil
	}
	h := c.run
	h.next, h.stop = iter.Pull(func(yield func(struct{}) bool) {
		h.yield = yield
		h.err = c.tc.Handshake()
	})
	c.phase = phaseHandshake
}

// finish takes the result of a handshake that has returned.
func (c *Conn) finish() (done bool, io netio.IO, err error) {
	if c.run.err != nil {
		io := netio.Failed
		if c.recvEnd != netio.OK {
			io = c.recvEnd
		}
		return false, io, c.failHandshake(c.run.err)
	}
	c.phase = phaseOpen
	c.learn(c.tc.ConnectionState(), c.now().Sub(c.run.began))
	c.run = nil
	if c.in.open() {
		c.in.dropHand()
		if !c.client {
			c.in.dropCerts()
		}
		c.settle()
	} else if len(c.hello) == 0 {
		c.hello = nil
		c.freeRecv()
	}
	c.Flush() // its failure is Recv's and Send's to tell
	return true, netio.OK, nil
}

// failHandshake ends the handshake with err and sends the alert that crypto/tls may have made of it.
func (c *Conn) failHandshake(err error) error {
	c.phase = phaseFailed
	c.run.abandon()
	if header, ok := errors.AsType[tls.RecordHeaderError](err); ok && plainHTTP(header.RecordHeader) {
		err = ErrPlainHTTP
	} else if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errEndedEarly
	}
	c.fail(err, c.diagnose(err))
	c.readEnd = netio.Failed
	if c.recvEnd != netio.OK {
		c.readEnd = c.recvEnd
	}
	c.run = nil
	c.in = innards{}
	c.hello = nil
	c.freeRecv()
	c.Flush()
	return err
}
