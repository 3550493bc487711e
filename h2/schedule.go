package h2

import (
	"math/bits"

	"weir/internal/mono"
)

// queueLinks chain a stream into the ring of its urgency.
type queueLinks struct {
	prev, next *Stream
	wants      bool // the caller has bytes to send; in a ring exactly when the stream's window is worth while too
}

// scheduler says whose turn it is among the streams that have bytes to send and room in their window (RFC 9218 section
// 10): by urgency; within one, those that are not incremental first, one after the other in the order of their
// identifiers; then the incremental ones in turns.
type scheduler struct {
	rings [urgencyCount]*Stream // the stream that comes next
	mask  uint8                 // bit u: rings[u] is not empty
	least int32                 // window that a frame is worth while, see silly.go
}

func (q *scheduler) insert(s *Stream) {
	if s.queue.next != nil {
		return
	}
	u := s.prio.Urgency
	head := q.rings[u]
	if head == nil {
		s.queue.prev, s.queue.next = s, s
		q.rings[u] = s
		q.mask |= 1 << u
		return
	}
	at := head // s goes before it; before the head of the ring is behind its tail
	if !s.prio.Incremental {
		for !at.prio.Incremental && at.ID < s.ID {
			if at = at.queue.next; at == head {
				break
			}
		}
		if at == head && (head.prio.Incremental || head.ID > s.ID) {
			q.rings[u] = s
		}
	}
	s.queue.prev, s.queue.next = at.queue.prev, at
	at.queue.prev.queue.next = s
	at.queue.prev = s
}

// unlink takes the stream out of its ring; it may still want to send.
func (q *scheduler) unlink(s *Stream) {
	if s.queue.next == nil {
		return
	}
	u := s.prio.Urgency
	switch {
	case s.queue.next == s:
		q.rings[u] = nil
		q.mask &^= 1 << u
	case q.rings[u] == s:
		q.rings[u] = s.queue.next
	}
	s.queue.prev.queue.next, s.queue.next.queue.prev = s.queue.next, s.queue.prev
	s.queue.prev, s.queue.next = nil, nil
}

func (q *scheduler) remove(s *Stream) {
	q.unlink(s)
	s.queue.wants = false
}

// refresh puts a stream whose window changed where it belongs. It reports whether the stream has become ready.
func (q *scheduler) refresh(s *Stream) bool {
	if !s.queue.wants || s.send < q.need(s) {
		q.unlink(s)
		return false
	}
	if s.queue.next != nil {
		return false
	}
	q.insert(s)
	return true
}

// setPriority changes the priority of a stream, in its ring or not.
func (q *scheduler) setPriority(s *Stream, p Priority) {
	ready := s.queue.next != nil
	q.unlink(s)
	s.prio = p
	if ready {
		q.insert(s)
	}
}

// take removes and returns the stream that comes next, or nil.
func (q *scheduler) take() *Stream {
	if q.mask == 0 {
		return nil
	}
	s := q.rings[bits.TrailingZeros8(q.mask)]
	q.remove(s)
	return s
}

// Want says that the caller has body bytes for s which it could not append: for want of room in the windows, or because
// its own buffer was full. NextWritable returns s when its turn comes. It may be said again.
func (c *Conn) Want(s *Stream, now mono.Time) {
	c.now = now
	c.want(s)
}

func (c *Conn) want(s *Stream) {
	if !s.sendable() {
		return
	}
	s.queue.wants = true
	c.sched.refresh(s)
	c.awaitWindow(s)
}

// writable reports whether the stream whose turn it is may send.
func (c *Conn) writable() bool {
	q := &c.sched
	return q.mask != 0 && c.flow.send >= q.need(q.rings[bits.TrailingZeros8(q.mask)])
}

// NextWritable returns the stream whose turn it is to send, and takes it off the list: who has still bytes left after
// AppendData is on it again. It returns nil when no stream that wants to send may.
func (c *Conn) NextWritable() *Stream {
	if !c.writable() {
		return nil
	}
	return c.sched.take()
}
