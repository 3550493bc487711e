package h2

import (
	"encoding/binary"

	"weir/internal/msg"
)

// onPing: RFC 9113 section 6.7.
func (c *Conn) onPing(b []byte, ev *Event) *Error {
	if c.in.frame.has(flagAck) {
		ev.Kind, ev.Data = EventPong, b
		return nil
	}
	if err := c.charge(abusePing, 1); err != nil {
		return err
	}
	c.out.buf = append(appendFrame(c.block(), len(b), framePing, flagAck, 0), b...)
	return c.checkPending()
}

// onReset: RFC 9113 section 6.4. A client that resets what it has just asked for makes work and takes no answer; one that
// does so more often than it lets streams finish is attacking (CVE-2023-44487).
func (c *Conn) onReset(code ErrCode, ev *Event) *Error {
	id := c.in.frame.id
	s := c.streams.find(id)
	switch {
	case s == nil && c.idle(id):
		return errStreamIdle
	case s == nil || s.state == stateClosed:
		return c.charge(abuseIgnored, 1)
	}
	c.cut(s, endByPeer)
	ev.Kind, ev.Stream, ev.Code = EventReset, s, code
	return c.chargeReset(abuseReset)
}

// chargeReset charges a client for a stream that was reset. Servers are not charged: they can reset no more streams than
// we have asked them to serve, and an overloaded one may well refuse many while others go on.
func (c *Conn) chargeReset(a abuse) *Error {
	if c.cfg.Server {
		if err := c.charge(a, 1); err != nil {
			return err
		}
	}
	return c.checkPending()
}

// onGoAway: RFC 9113 section 6.8. What follows the two numbers is for humans at the other end.
func (c *Conn) onGoAway(b []byte, ev *Event) (n int, err *Error) {
	const size = 8
	if len(b) < size {
		return 0, nil
	}
	last := binary.BigEndian.Uint32(b) & MaxStreamID
	if c.away.received && last > c.away.last {
		return size, errGoAwayRaised
	}
	c.away.received, c.away.last = true, last
	ev.Kind, ev.ID, ev.Code = EventGoAway, last, ErrCode(binary.BigEndian.Uint32(b[4:]))
	c.in.frame.kind = frameSkipped
	c.in.take(size)
	return size, c.charge(abuseSettings, 1)
}

// beginPriority: a PRIORITY of the wrong size ends its stream only (RFC 9113 section 6.3).
func (c *Conn) beginPriority(ev *Event) *Error {
	f := &c.in.frame
	if f.id == 0 {
		return errStreamZero
	}
	if err := c.charge(abusePriority, 1); err != nil || f.length == 5 {
		return err
	}
	s := c.streams.find(f.id)
	if s == nil || s.state == stateClosed {
		return errPayloadSize // there is no stream to reset (section 6.4)
	}
	f.kind = frameSkipped
	if f.length == 0 {
		c.in.done()
	}
	return c.endStream(s, errStreamSize, ev)
}

// onPriority: RFC 9113 section 5.3 has done away with the dependency tree, but for checking it.
func (c *Conn) onPriority(dependsOn uint32, ev *Event) *Error {
	id := c.in.frame.id
	if dependsOn != id {
		return nil
	}
	s := c.streams.find(id)
	switch {
	case s == nil && c.idle(id):
		return errIdleDependency
	case s == nil || s.state == stateClosed:
		return nil
	}
	return c.endStream(s, errSelfDependency, ev)
}

// priorityUpdateBytes is the longest PRIORITY_UPDATE that is looked into: there are two members to give, and what a
// longer value adds to them is unknown and to be ignored.
const priorityUpdateBytes = 64

// onPriorityUpdate: RFC 9218 section 7.1.
func (c *Conn) onPriorityUpdate(b []byte) (n int, err *Error) {
	if err := c.charge(abusePriority, 1); err != nil {
		return 0, err
	}
	if c.in.left > priorityUpdateBytes {
		c.in.frame.kind = frameSkipped
		return 0, nil
	}
	if uint32(len(b)) < c.in.left {
		return 0, nil
	}
	c.in.take(len(b))
	id := binary.BigEndian.Uint32(b) & MaxStreamID
	if id&1 == 0 { // 0, or a push
		return len(b), errPriorityUpdate
	}
	p := msg.PriorityDefault.Read(b[4:])
	if s := c.streams.find(id); s != nil {
		c.sched.setPriority(s, p)
	} else if c.idle(id) {
		c.early.put(id, p)
	}
	return len(b), nil
}

// endStream resets a stream for an error of the peer's and tells the caller. A client that makes us reset streams that
// keep a server busy gains what it would by resetting them itself (CVE-2025-8671).
func (c *Conn) endStream(s *Stream, e *Error, ev *Event) *Error {
	c.queueReset(s.ID, e.Code)
	c.cut(s, endByUs)
	*ev = Event{Kind: EventReset, Stream: s, Code: e.Code, Cause: e}
	return c.chargeReset(abuseMadeUs)
}
