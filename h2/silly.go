package h2

import (
	"time"

	"weir/internal/mono"
)

// A peer that gives back each DATA frame as soon as it has it gets the remainder of its window as a frame of its own, gives
// that back, and so on: in the end many frames are small, which costs both sides (RFC 1122 section 4.2.3.4 tells of it for
// TCP). So a frame waits until the window takes a fair part, or all that is left of the message. But a peer may as well wait
// until its window is used up before it opens it again: after a lull we use what there is.

const (
	worthWhile = 2 << 10                // window that is always enough
	lullMax    = 100 * time.Millisecond // how long a small window may stay unused
	lullsMax   = 3                      // a peer that lets so many pass in turn waits for us to use its windows up

	restUnknown = 1<<63 - 1
)

// lull is a time in which a stream that wants to send finds its window small.
type lull struct {
	until  mono.Time // 0: there is none
	passed uint8
	hurry  bool // small windows are used
}

// need is the window that the stream waits for.
func (q *scheduler) need(s *Stream) int32 { return int32(max(1, min(int64(q.least), s.rest))) }

// leastNow: a peer whose windows are small is not made to wait for large ones.
func (c *Conn) leastNow() int32 {
	if c.flow.lull.hurry {
		return 1
	}
	return max(1, min(worthWhile, c.peer.window/4))
}

// awaitWindow begins a lull if nothing but a small window keeps the stream from sending.
func (c *Conn) awaitWindow(s *Stream) {
	if s.queue.wants && (s.queue.next == nil && s.send > 0 || s.queue.next != nil && c.flow.send > 0 && !c.writable()) {
		c.beginLull()
	}
}

// awaitConn is the same when the connection's window is small.
func (c *Conn) awaitConn() {
	if c.sched.mask != 0 {
		c.beginLull()
	}
}

func (c *Conn) beginLull() {
	if l := &c.flow.lull; l.until == 0 && !l.hurry {
		l.until = c.now.Add(lullMax)
	}
}

// endLull is called when a lull is over: small windows will do from now on, if there are any.
func (c *Conn) endLull() {
	l := &c.flow.lull
	l.until = 0
	for s := c.streams.first; s != nil; s = s.live.next {
		c.awaitWindow(s)
	}
	if l.until == 0 {
		return
	}
	l.until, l.hurry = 0, true
	l.passed = min(l.passed+1, lullsMax)
	c.relist()
}

// patient is called when a window was opened to that size. A lull in which that happens was worth it; after lullsMax in
// turn that were not there are no more.
func (c *Conn) patient(window int32) {
	l := &c.flow.lull
	if window < min(worthWhile, max(1, c.peer.window/4)) {
		return
	}
	if l.until != 0 {
		l.passed = 0
	}
	if l.hurry && l.passed < lullsMax {
		l.hurry = false
		c.relist()
	}
}

// relist puts every stream that wants to send where it belongs after the least window has changed.
func (c *Conn) relist() {
	c.sched.least = c.leastNow()
	for s := c.streams.first; s != nil; s = s.live.next {
		if s.queue.wants {
			c.sched.refresh(s)
			c.awaitWindow(s)
		}
	}
}
