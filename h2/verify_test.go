package h2

// verify panics when the books of the connection do not balance. Tests call it after every step.
func (c *Conn) verify() {
	c.verifyWindows()
	c.verifyStore()
	c.verifySchedule()
	if len(c.in.block.buf) > int(c.cfg.blockBytesMax()) {
		panic("h2: field block above its bound")
	}
}

// verifyWindows: no byte of a window that we have given is lost. What the peer may still send, what the caller holds, what
// waits to be given back and what is under way add up to the window.
func (c *Conn) verifyWindows() {
	w := &c.flow.recv
	sum, held, lent := w.left+w.credit+c.in.owed, int32(0), int32(0)
	for s := c.streams.first; s != nil; s = s.live.next {
		held += s.recv.held
		if s.recv.held < 0 {
			panic("h2: negative bytes held")
		}
		if !s.receiving() {
			continue
		}
		own := s.recv.left + s.recv.credit + s.recv.held
		if c.in.stream == s {
			own += c.in.owed
		}
		lent += max(0, s.recv.left+s.recv.credit)
		if own != s.recv.size {
			panic("h2: a stream's window leaks")
		}
	}
	if sum+held != w.size || held != w.held {
		panic("h2: the connection's window leaks")
	}
	if w.left+w.held+c.in.owed > max(c.cfg.ConnWindow, windowInitial) {
		panic("h2: the peer may make us hold more than there is")
	}
	fits := c.cfg.share()*int32(c.cfg.MaxConcurrentStreams) <= c.cfg.ConnWindow/4 && c.cfg.openWindow() >= windowInitial
	if w.mode == modeTight && w.left+w.credit+c.in.owed < lent && fits && c.failed == nil {
		panic("h2: a stream's window is open and the connection's is not")
	}
}

// verifyStore: every live stream is found by its identifier, and the counts are right.
func (c *Conn) verifyStore() {
	live, active, unsent := 0, 0, 0
	var prev *Stream
	for s := c.streams.first; s != nil; s = s.live.next {
		live++
		if s.state != stateClosed {
			active++
		}
		if s.state == stateIdle {
			unsent++
		}
		if (s.state == stateClosed) != (s.end != endNone) && s.ID != 0 {
			panic("h2: closed without a cause, or the other way round")
		}
		if s.ID != 0 && c.streams.find(s.ID) != s || s.live.prev != prev {
			panic("h2: stream not where it should be")
		}
		prev = s
	}
	if live != c.streams.live || active != c.streams.active || unsent != c.streams.unsent || c.streams.last != prev {
		panic("h2: stream counts are wrong")
	}
	if c.cfg.Server && live > int(c.cfg.MaxConcurrentStreams) {
		panic("h2: more streams than the limit")
	}
}

// verifySchedule: a stream is in a ring exactly when it wants to send and its window is open.
func (c *Conn) verifySchedule() {
	ready := 0
	for s := c.streams.first; s != nil; s = s.live.next {
		in := s.queue.next != nil
		if in && (!s.queue.wants || !s.sendable() || s.send < c.sched.need(s)) {
			panic("h2: a stream waits for its turn to send that has nothing to send")
		}
		if s.queue.wants && s.send >= c.sched.need(s) && !in {
			panic("h2: a stream that wants to send would never be asked")
		}
		if in {
			ready++
		}
	}
	for u, head := range c.sched.rings {
		if (head != nil) != (c.sched.mask&(1<<u) != 0) {
			panic("h2: urgency mask differs from the rings")
		}
		for s := head; s != nil; {
			if ready--; int(s.prio.Urgency) != u || s.queue.next.queue.prev != s {
				panic("h2: ring out of order")
			}
			if s = s.queue.next; s == head {
				break
			}
		}
	}
	if ready != 0 {
		panic("h2: a ring holds a stream that is gone")
	}
}
