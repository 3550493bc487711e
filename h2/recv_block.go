package h2

import (
	"encoding/binary"

	"weir/internal/msg"
)

// fate is what a field block will be when it is complete. Every block is decoded, wanted or not, because it changes the
// compression context (RFC 9113 section 4.3).
type fate uint8

const (
	fateIgnored  fate = iota // for a stream that we have cut off
	fateRefused              // a new stream that may not be; cause says why
	fateFaulty               // ends its stream; cause says why
	fateRequest              // opens a stream
	fateResponse             // interim or final
	fateTrailers
)

// fieldBlock is a HEADERS frame and its CONTINUATIONs.
type fieldBlock struct {
	id     uint32 // 0: none is open
	fate   fate
	end    bool   // END_STREAM
	frames int32  // so far
	size   uint32 // so far
	buf    []byte // what was gathered; nil while one frame may still hold all of it
	cause  *Error
}

// beginHeaders: RFC 9113 section 6.2.
func (c *Conn) beginHeaders() *Error {
	in, f := &c.in, &c.in.frame
	prefix := uint32(0)
	if f.has(flagPadded) {
		prefix++
	}
	if f.has(flagPriority) {
		prefix += 5
	}
	switch {
	case f.id == 0:
		return errStreamZero
	case f.length < prefix:
		return errPayloadSize
	}
	in.prefix = prefix > 0
	in.block = fieldBlock{id: f.id, end: f.has(flagEndStream), frames: 1}
	if c.cfg.Server {
		return c.fateInServer()
	}
	return c.fateInClient()
}

// fateInServer: RFC 9113 section 5.1.
func (c *Conn) fateInServer() *Error {
	blk, id := &c.in.block, c.in.block.id
	if s := c.streams.find(id); s != nil {
		return c.fateOnStream(s)
	}
	r := &c.streams.recent
	switch {
	case id&1 == 0:
		return errStreamParity
	case id > r.top:
		r.open(id)
		blk.fate = fateRequest
		if id > c.away.sent {
			blk.fate, blk.cause = fateRefused, errDraining
		} else if c.streams.live >= int(c.cfg.MaxConcurrentStreams) {
			blk.fate, blk.cause = fateRefused, errTooManyStreams // section 5.1.2
		}
	case r.skipped(id):
		return errStreamOrder // section 5.1.1
	case r.cutOff(id):
		return c.charge(abuseIgnored, 1)
	default:
		return errStreamEnded
	}
	return nil
}

// fateInClient: a response, or trailers, on a stream that we have opened.
func (c *Conn) fateInClient() *Error {
	id := c.in.block.id
	s := c.streams.find(id)
	switch {
	case s != nil:
		return c.fateOnStream(s)
	case c.idle(id):
		return errStreamIdle
	case c.streams.recent.cutOff(id):
		return c.charge(abuseIgnored, 1)
	}
	return errStreamEnded
}

func (c *Conn) fateOnStream(s *Stream) *Error {
	blk := &c.in.block
	switch {
	case s.state == stateClosed && s.end != endByUs:
		return errStreamEnded
	case s.state == stateClosed:
		return c.charge(abuseIgnored, 1)
	case !s.receiving():
		blk.fate, blk.cause = fateFaulty, errHalfClosed
	case s.msgs.has(msgTunnel):
		blk.fate, blk.cause = fateFaulty, errTunnelTrailers // section 8.5
	case !c.cfg.Server && !s.msgs.has(msgRspHead):
		blk.fate = fateResponse
	case !blk.end:
		blk.fate, blk.cause = fateFaulty, errTrailersOpen // section 8.1
	default:
		blk.fate = fateTrailers
	}
	return nil
}

// beginContinuation: RFC 9113 section 6.10. The number of frames is bounded because each may be empty (CVE-2024-27316).
func (c *Conn) beginContinuation() *Error {
	blk := &c.in.block
	if blk.id == 0 {
		return errBlockNone
	}
	if blk.frames++; blk.frames > c.cfg.Limits.BlockFrames {
		return errBlockFrames
	}
	return nil
}

// onFragment takes what of the block is in b: whole from where it lies if that is possible, else piece by piece.
func (c *Conn) onFragment(b []byte, h *msg.Head, ev *Event) (n int, err *Error) {
	in, blk := &c.in, &c.in.block
	if in.prefix {
		if n, err = c.onPrefix(b); in.prefix || err != nil {
			return n, err
		}
		b = b[n:]
	}
	last := in.frame.has(flagEndHeaders)
	fragment := b[:min(len(b), int(in.left)-int(in.pad))]
	if blk.size+in.left-uint32(in.pad) > c.cfg.blockBytesMax() {
		return n, errBlockSize
	}
	n += len(b)
	if last && blk.buf == nil && uint32(len(b)) == in.left {
		in.take(len(b))
		return n, c.onBlock(fragment, h, ev)
	}
	if blk.buf == nil {
		blk.buf = c.slab.getBlock()
	}
	blk.buf = append(blk.buf, fragment...)
	blk.size += uint32(len(fragment))
	in.left -= uint32(len(b))
	in.pad = min(in.pad, int16(min(in.left, 255)))
	if in.left > 0 {
		return n, nil
	}
	if in.done(); last {
		buf := blk.buf
		err = c.onBlock(buf, h, ev)
		c.slab.freeBlock(buf)
	}
	return n, err
}

// onPrefix reads what stands in front of the fragment in HEADERS.
func (c *Conn) onPrefix(b []byte) (n int, err *Error) {
	in, f := &c.in, &c.in.frame
	padded, pad := f.has(flagPadded), byte(0)
	if padded {
		n++
	}
	if f.has(flagPriority) {
		n += 5
	}
	if len(b) < n {
		return 0, nil
	}
	if padded {
		pad, b = b[0], b[1:]
	}
	if f.has(flagPriority) && binary.BigEndian.Uint32(b)&MaxStreamID == f.id && in.block.cause == nil {
		in.block.cause = errSelfDependency
	}
	in.left -= uint32(n)
	if uint32(pad) > in.left {
		return n, errPadding
	}
	in.prefix, in.pad = false, int16(pad)
	return n, nil
}

// onBlock is called with a complete block. The caller may have forgotten its stream while it came.
func (c *Conn) onBlock(block []byte, h *msg.Head, ev *Event) *Error {
	blk := c.in.block
	c.in.block = fieldBlock{}
	h.Reset()
	h.Version = msg.HTTP2
	sec := newSection(h, blk.fate, c.cfg.MaxHeaderList)
	s := c.streams.find(blk.id)
	if blk.fate >= fateFaulty && blk.fate != fateRequest && (s == nil || s.state == stateClosed) {
		sec.fate = fateIgnored
	}
	if err := c.decode(block, &sec); err != nil {
		return err
	}
	if blk.cause == nil {
		blk.cause = sec.finish(c, s, blk.end)
	}
	switch sec.fate {
	case fateIgnored:
		return nil
	case fateRefused:
		return c.refuse(blk.id, blk.cause, ev)
	case fateRequest:
		if blk.cause != nil {
			c.queueBadRequest(blk.id)
			return c.refuse(blk.id, blk.cause, ev)
		}
		return c.onRequest(&blk, &sec, ev)
	}
	if blk.cause != nil {
		return c.endStream(s, blk.cause, ev)
	}
	if sec.fate == fateResponse {
		return c.onResponse(s, &blk, &sec, ev)
	}
	return c.onTrailers(s, ev)
}

// refuse resets a stream before it is the caller's.
func (c *Conn) refuse(id uint32, e *Error, ev *Event) *Error {
	c.queueReset(id, e.Code)
	c.streams.recent.markCut(id)
	*ev = Event{Kind: EventRefused, ID: id, Code: e.Code, Cause: e}
	a := abuseMadeUs
	if e.Code == RefusedStream {
		a = abuseRefused
	}
	return c.chargeReset(a)
}

// onRequest makes a stream of a vetted request.
func (c *Conn) onRequest(blk *fieldBlock, sec *section, ev *Event) *Error {
	s := c.slab.getStream()
	s.ID, s.send = blk.id, c.peer.window
	s.recv.open(c.own.window)
	s.prio = sec.priority
	if p, ok := c.early.take(blk.id); ok {
		s.prio = p
	}
	s.body = sec.body()
	s.msgs = sec.msgs
	c.streams.add(s)
	c.streams.index(s)
	c.setState(s, stateOpen)
	*ev = Event{Kind: EventHead, Stream: s, End: blk.end, TooLarge: sec.large}
	if blk.end {
		c.endRemote(s)
	} else if c.lend(s) {
		c.out.buf = c.appendUpdate(c.block(), s)
	}
	c.budget.onHeadDone()
	if sec.large {
		return c.charge(abuseMadeUs, 1)
	}
	return nil
}

// onResponse passes on a response's head.
func (c *Conn) onResponse(s *Stream, blk *fieldBlock, sec *section, ev *Event) *Error {
	*ev = Event{Kind: EventHead, Stream: s, End: blk.end}
	if sec.fields.Head.Status < 200 {
		return c.charge(abuseInterim, 1)
	}
	s.msgs |= msgRspHead | sec.msgs
	s.body = sec.body()
	if blk.end {
		c.endRemote(s)
	}
	c.budget.onHeadDone()
	return nil
}

func (c *Conn) onTrailers(s *Stream, ev *Event) *Error {
	*ev = Event{Kind: EventTrailers, Stream: s, End: true}
	c.endRemote(s)
	return nil
}
