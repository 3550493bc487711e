package h2

// connFlow is the connection's two flow-control windows (RFC 9113 section 5.2).
type connFlow struct {
	send int32 // what the peer's window has left
	recv connWindow
	lull lull
}

// Consumed says that n bytes of EventData of s have left for good. The windows that they occupied open again: the peer is
// told when half of a window has been freed, so that it is told rarely and does not stall.
func (c *Conn) Consumed(s *Stream, n int) {
	if n < 0 || int32(n) > s.recv.held {
		panic("h2: more consumed than held")
	}
	s.recv.held -= int32(n)
	c.release(int32(n))
	c.creditStream(s, int32(n))
}

// SendRoom is how many bytes AppendData would take for s now.
func (c *Conn) SendRoom(s *Stream) int {
	if !s.sendable() || c.failed != nil {
		return 0
	}
	n := min(s.send, c.flow.send)
	if n < c.sched.need(s) {
		return 0
	}
	return int(max(0, n))
}

// onWindow is WINDOW_UPDATE (RFC 9113 section 6.9).
func (c *Conn) onWindow(n uint32, ev *Event) *Error {
	cost := int32(1)
	if n < tinyIncrement {
		cost = tinyCost
	}
	if err := c.charge(abuseWindow, cost); err != nil {
		return err
	}
	id := c.in.frame.id
	if id == 0 {
		return c.onConnWindow(n, ev)
	}
	s := c.streams.find(id)
	switch {
	case s == nil && c.idle(id):
		return errStreamIdle
	case s == nil || s.state == stateClosed:
		return c.charge(abuseIgnored, 1) // RFC 9113 section 5.1: it may have been under way
	case n == 0:
		return c.endStream(s, errStreamNothing, ev)
	case int64(s.send)+int64(n) > windowMax:
		return c.endStream(s, errStreamOverflow, ev)
	}
	waits := s.queue.next != nil
	s.send += int32(n)
	c.patient(s.send)
	c.sched.refresh(s)
	if !waits && s.queue.next != nil && c.writable() {
		ev.Kind = EventWindow
	}
	c.awaitWindow(s)
	return nil
}

func (c *Conn) onConnWindow(n uint32, ev *Event) *Error {
	switch {
	case n == 0:
		return errWindowNothing
	case int64(c.flow.send)+int64(n) > windowMax:
		return errWindowOverflow
	}
	shut := !c.writable()
	c.flow.send += int32(n)
	c.patient(c.flow.send)
	switch {
	case !c.writable():
		c.awaitConn()
	case shut:
		ev.Kind = EventWindow
	}
	return nil
}
