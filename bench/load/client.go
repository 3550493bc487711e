package load

import (
	"golang.org/x/sys/unix"

	"weir/bench/epoll"
)

// life is where a client's connection stands, in order.
type life uint8

const (
	idleLife   life = iota // exactly when there is no connection
	connecting             // exactly when connect has not been reported
	shaking                // exactly when the TLS handshake runs
	greeting               // exactly when the protocol waits for the server's hello
	open                   // exactly when requests may be sent
)

// client is one connection of the generator, reopened when it ends. Its loop owns it.
type client struct {
	slot  uint32
	gen   uint32
	life  life
	proto protocol
	fd    int
	wire  wire
	tls   *tlsWire // wire, when it is TLS

	out    []byte // to be written
	body   int64  // request body bytes to be written after out
	starts dues   // requests accepted while the connection is not open yet
	queued bool   // stands in the loop's ring of free clients
}

func (c *client) word() uint64 { return uint64(c.gen)<<32 | uint64(c.slot) }

// load is the number of requests the client has in hand.
func (c *client) load() int { return c.proto.pending() + c.starts.len() }

// start takes a request. It is written when the connection stands, and when that is about to close, on the next one.
func (l *loop) start(c *client, due int64) {
	if c.life == open && c.proto.closing() && c.proto.pending() == 0 {
		l.drop(c)
	}
	if c.life == open && !c.proto.closing() {
		l.send(c, due)
		return
	}
	c.starts.push(due)
	if c.life == idleLife {
		l.dial(c)
	}
}

func (l *loop) send(c *client, due int64) {
	c.out = c.proto.request(due, c.out)
	if l.job.Protocol == H1 {
		c.body = l.job.Body
	}
}

func (l *loop) dial(c *client) {
	var err error
	c.fd, err = epoll.Dial(l.job.Addr, l.source())
	c.gen++
	if err != nil {
		l.fail(c, "connect: "+errnoName(err))
		return
	}
	c.life = connecting
	if l.counting {
		l.result.Opened++
	}
	if err := l.poll.Add(c.fd, c.word()); err != nil {
		epoll.Close(c.fd)
		c.life = idleLife
		l.fail(c, "watch: "+errnoName(err))
	}
}

func errnoName(err error) string {
	if e, ok := err.(unix.Errno); ok {
		return unix.ErrnoName(e)
	}
	return err.Error()
}

// onEvent goes through the stages of a connection as far as the event carries.
func (l *loop) onEvent(c *client, ready uint32) {
	if c.life == connecting && !l.connected(c, ready) {
		return
	}
	if c.life == shaking && !l.shake(c) {
		return
	}
	if ready&epoll.Out != 0 {
		l.flush(c)
	}
	if c.life >= greeting && ready&(epoll.In|epoll.RdHup|epoll.Gone) != 0 {
		l.read(c, ready&(epoll.RdHup|epoll.Gone) != 0)
	}
}

// connected moves on from connecting; false: not yet, or not at all.
func (l *loop) connected(c *client, ready uint32) bool {
	if ready&(epoll.Out|epoll.Gone) == 0 {
		return false
	}
	if e := epoll.Failure(c.fd); e != 0 {
		epoll.Close(c.fd)
		c.life = idleLife
		l.fail(c, "connect: "+unix.ErrnoName(e))
		return false
	}
	if l.job.TLS == Clear {
		c.wire, c.tls = plainWire{c.fd}, nil
		l.greet(c)
		return true
	}
	c.tls = newTLSWire(c.fd, l.config)
	c.wire, c.life = c.tls, shaking
	return true
}

// shake moves on from shaking; false: not yet, or not at all.
func (l *loop) shake(c *client) bool {
	if e := c.tls.flush(); e != 0 && e != epoll.Again {
		l.lose(c, "handshake: "+unix.ErrnoName(e))
		return false
	}
	done, err := c.tls.shake()
	if err != nil {
		l.lose(c, "handshake: "+err.Error())
		return false
	}
	if done {
		l.noteTLS(c.tls.conn.ConnectionState())
		l.greet(c)
	}
	return done
}

// greet sends the protocol's hello, and the requests that waited if nothing has to be awaited.
func (l *loop) greet(c *client) {
	c.life = greeting
	c.proto.reset()
	c.out = c.proto.hello(c.out[:0])
	l.opened(c)
	l.flush(c)
}

// opened sends the requests that waited for the connection, once it stands.
func (l *loop) opened(c *client) {
	if c.life != greeting || !c.proto.ready() {
		return
	}
	c.life = open
	for c.starts.len() > 0 {
		l.send(c, c.starts.pop())
	}
}

// read reads until the socket is drained; a short read means that, unless toEnd.
func (l *loop) read(c *client, toEnd bool) {
	gen := c.gen
	for {
		n, full, e := l.readSome(c)
		if e == epoll.Again {
			break
		}
		if e != 0 {
			l.lose(c, unix.ErrnoName(e))
			return
		}
		if n == 0 {
			l.ended(c)
			return
		}
		if l.counting {
			l.result.Moved += int64(n)
		}
		if c.gen != gen || c.life < greeting {
			return
		}
		if !full && !toEnd && c.tls == nil {
			break
		}
	}
	l.flush(c)
}

const (
	readBytes = 64 << 10
	skipBytes = 1 << 20
)

func (l *loop) readSome(c *client) (n int, full bool, e unix.Errno) {
	if skip := c.proto.skippable(); skip > readBytes && c.tls == nil {
		if n, e = epoll.Discard(c.fd, int(min(skip, skipBytes))); n > 0 {
			l.current = c
			c.proto.skipped(int64(n), l.onDone)
		}
		return n, true, e
	}
	n, e = c.wire.read(l.in)
	if n == 0 || e != 0 {
		return n, false, e
	}
	l.current = c
	gen, why := c.gen, ""
	l.control, why = c.proto.recv(l.in[:n], l.control[:0], l.onDone)
	if c.gen != gen || c.life < greeting {
		return n, false, 0 // Completing a response ended the connection.
	}
	if why != "" {
		l.lose(c, why)
		return n, false, 0
	}
	c.out = append(c.out, l.control...) // Not in recv, whose responses have put requests into out meanwhile.
	l.opened(c)
	return n, n == len(l.in), 0
}

// flush writes out, then the body, as far as the socket takes them.
func (l *loop) flush(c *client) {
	for c.life >= greeting {
		p := c.out
		if len(p) == 0 {
			p = bodyPattern[:min(c.body, int64(len(bodyPattern)))]
		}
		if len(p) == 0 {
			if c.tls != nil && c.tls.flush() != 0 {
				return // An error shows at the next read.
			}
			return
		}
		n, e := c.wire.write(p)
		if e == epoll.Again {
			return
		}
		if e != 0 {
			l.lose(c, unix.ErrnoName(e))
			return
		}
		if l.counting {
			l.result.Moved += int64(n)
		}
		if len(c.out) > 0 {
			c.out = c.out[:copy(c.out, c.out[n:])]
		} else {
			c.body -= int64(n)
		}
		if n < len(p) {
			return
		}
	}
}

var bodyPattern = make([]byte, 256<<10)

// ended is called at the end of the stream: between requests a server may close, during one it may not.
func (l *loop) ended(c *client) {
	if c.load() > 0 {
		l.lose(c, "closed without an answer")
		return
	}
	if l.counting {
		l.result.Closed++
	}
	l.drop(c)
}

// lose ends a connection for a fault; every request it had in hand fails.
func (l *loop) lose(c *client, why string) {
	if c.life == idleLife {
		return
	}
	l.drop(c)
	l.fail(c, why)
}

// drop closes the connection.
func (l *loop) drop(c *client) {
	if c.wire != nil {
		c.wire.close()
	} else if c.life != idleLife {
		epoll.Close(c.fd)
	}
	c.gen++
	c.life, c.wire, c.tls, c.body = idleLife, nil, nil, 0
	c.out = c.out[:0]
}
