package h2

import (
	"weir/h2/hpack"
	"weir/internal/mono"
	"weir/internal/msg"
)

// Conn is the codec of one connection, used by one worker. An idle one without streams is its own size and what its two
// compression tables have learned; Config.ConnBytesMax is the most it can become.
type Conn struct {
	cfg  *Config
	slab *Slab

	in      reader // the frame under way, and the field block
	dec     hpack.Decoder
	enc     hpack.Encoder
	peer    peerSettings // what the peer has set
	own     ownSettings  // what we have set, as far as the peer knows it
	flow    connFlow     // the connection's two windows
	streams store
	sched   scheduler
	early   early
	out     pending
	away    goAway
	budget  budget
	now     mono.Time // of the call under way
	failed  *Error    // set exactly when the connection is over
}

// New returns the codec of a new connection. cfg is shared and not changed; slab is the worker's.
func New(cfg *Config, slab *Slab) *Conn {
	cfg.check()
	c := &Conn{cfg: cfg, slab: slab, peer: initialPeer(), budget: newBudget(&cfg.Limits)}
	c.flow = connFlow{send: windowInitial, recv: newConnWindow(cfg)}
	c.own.window = windowInitial
	c.sched.least = c.leastNow()
	c.away.sent = noGoAway
	if cfg.Server {
		c.in.phase = phasePreface
	} else {
		c.in.phase = phaseFrame
		c.streams.nextID = 1
	}
	return c
}

// Close gives everything back to the slab, the streams included; neither c nor they may be used any more.
func (c *Conn) Close() {
	for c.streams.first != nil {
		s := c.streams.first
		c.streams.remove(s)
		c.slab.freeStream(s)
	}
	c.slab.freeBlock(c.in.block.buf)
	c.slab.freeBlock(c.out.buf)
	*c = Conn{failed: errClosed}
}

// fail ends the connection: a GOAWAY collects, and nothing is received or sent after it (RFC 9113 section 5.4.1).
func (c *Conn) fail(e *Error) *Error {
	c.failed = e
	c.away.sent = min(c.away.sent, c.lastID())
	c.out.buf = appendGoAway(c.block(), c.away.sent, e.Code)
	return e
}

// Err is what ended the connection, or nil.
func (c *Conn) Err() *Error { return c.failed }

// Streams is how many streams were not forgotten.
func (c *Conn) Streams() int { return c.streams.live }

// FreeStreams is how many streams Open would give now.
func (c *Conn) FreeStreams() int {
	if c.failed != nil || c.cfg.Server || c.Draining() {
		return 0
	}
	ids := int64(MaxStreamID-c.streams.nextID)/2 + 1 - int64(c.streams.unsent)
	most := min(c.peer.maxStreams, c.cfg.MaxConcurrentStreams)
	return int(max(0, min(int64(most)-int64(c.streams.active), ids)))
}

// Draining reports whether either side has said GOAWAY: streams under way finish, new ones belong elsewhere. A client role
// whose identifiers are used up drains too.
func (c *Conn) Draining() bool {
	return c.away.sent != noGoAway || c.away.received || !c.cfg.Server && c.streams.nextID > MaxStreamID
}

// LastID is the highest stream of the peer that may have been acted on: what the final GOAWAY says.
func (c *Conn) LastID() uint32 { return c.lastID() }

func (c *Conn) lastID() uint32 {
	if c.cfg.Server {
		return c.streams.recent.top
	}
	return 0 // servers open no streams here: push is off
}

// Walk calls f for every stream in the order they came. f may forget the stream it is given, and no other.
func (c *Conn) Walk(f func(*Stream)) {
	for s := c.streams.first; s != nil; {
		next := s.live.next
		f(s)
		s = next
	}
}

// Find returns the stream with this identifier unless it was forgotten, or nil.
func (c *Conn) Find(id uint32) *Stream { return c.streams.find(id) }

// Open takes a stream for a request; it gets its identifier with its head. It reports false when the peer's limit, a
// GOAWAY or the identifiers do not allow another one.
func (c *Conn) Open(user any) (*Stream, bool) {
	if c.FreeStreams() == 0 {
		return nil, false
	}
	s := c.slab.getStream()
	s.User = user
	s.prio = msg.PriorityUnsaid
	c.streams.add(s)
	c.streams.unsent++
	return s, true
}

// Forget ends the caller's use of a stream, whatever its state: one that is not closed is reset, with CANCEL, or NO_ERROR
// when the response is whole and the rest of the request is not wanted (RFC 9113 section 8.1). What the caller still
// holds of its body counts as consumed.
func (c *Conn) Forget(s *Stream) {
	switch s.state {
	case stateIdle:
		c.streams.unsent--
		c.setState(s, stateClosed)
	case stateHalfLocal:
		if c.cfg.Server {
			c.resetStream(s, NoError)
			break
		}
		c.resetStream(s, Cancel)
	case stateOpen, stateHalfRemote:
		c.resetStream(s, Cancel)
	}
	c.release(s.recv.held)
	c.streams.remove(s)
	c.slab.freeStream(s)
}

// Deadline is when Expire has something to say; mono.Never if nothing is waited for.
func (c *Conn) Deadline() mono.Time {
	t := mono.Never
	if c.failed != nil {
		return t
	}
	if c.in.by != 0 {
		t = c.in.by
	}
	if c.own.ackBy != 0 {
		t = min(t, c.own.ackBy)
	}
	if c.flow.lull.until != 0 {
		t = min(t, c.flow.lull.until)
	}
	return t
}

// Expire ends the connection if the peer has let a deadline pass. Like Recv's, its error comes with a GOAWAY collected. A
// caller whose connection goes on asks NextWritable.
func (c *Conn) Expire(now mono.Time) *Error {
	switch {
	case c.failed != nil:
		return c.failed
	case c.in.by != 0 && !now.Before(c.in.by):
		return c.fail(errHeadTimeout)
	case c.own.ackBy != 0 && !now.Before(c.own.ackBy):
		return c.fail(errSettingsTimeout)
	case c.flow.lull.until != 0 && !now.Before(c.flow.lull.until):
		c.endLull()
	}
	return nil
}
