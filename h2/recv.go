package h2

import (
	"encoding/binary"

	"weir/internal/mono"
	"weir/internal/msg"
)

// phase is where in the stream of bytes the reader is.
type phase uint8

const (
	phasePreface phase = iota // exactly when the client's preface has not come
	phaseFrame                // exactly when a frame header comes next
	phasePayload              // exactly when frame is under way
)

// frameSkipped stands in reader.frame.kind for a payload that is not wanted. Unknown types are skipped too.
const frameSkipped frameKind = 0xff

// padUnknown: the octet that says how much padding there is has not come.
const padUnknown = -1

// reader is the frame under way. DATA and field blocks are taken in whatever pieces they come.
type reader struct {
	frame  frame
	left   uint32 // payload bytes that were not taken, padding included
	pad    int16  // of them, padding
	phase  phase
	begun  bool      // the first frame has come
	prefix bool      // HEADERS: padding length and priority come next
	stream *Stream   // DATA: whose; nil: it is discarded
	owed   int32     // DATA: bytes neither held nor credited yet
	by     mono.Time // when what is under way has to be finished; 0: nothing is
	block  fieldBlock
}

// RecvBytesMin is the most bytes that Recv ever needs to see at once to go on.
const RecvBytesMin = frameHeaderBytes + priorityUpdateBytes

// Recv takes n bytes from the front of b, and reports at most one event. The bytes not taken are to be given again. When
// the event is EventNone, more bytes than b holds are needed; otherwise call again, also with an empty rest.
//
// h is filled for EventHead and EventTrailers, and may be changed by any call; its Buf does not alias b. err ends the
// connection, and is reported again by every later call; the package comment says what to do then.
func (c *Conn) Recv(b []byte, h *msg.Head, now mono.Time) (ev Event, n int, err *Error) {
	if c.failed != nil {
		return ev, 0, c.failed
	}
	c.now = now
	c.regulate()
	for ev.Kind == EventNone {
		m, err := c.step(b[n:], h, &ev)
		n += m
		if err != nil {
			return Event{}, n, c.fail(err)
		}
		if m == 0 && ev.Kind == EventNone {
			break
		}
	}
	c.watch(ev.Kind == EventNone && n < len(b))
	return ev, n, nil
}

// watch sets the deadline of what is under way. partial: bytes were left over that are too few to act on. Bodies have no
// deadline here: only the caller knows whether they are waited for.
func (c *Conn) watch(partial bool) {
	in := &c.in
	body := in.phase == phasePayload && in.frame.kind == frameData
	if body || in.phase == phaseFrame && in.block.id == 0 && !partial {
		in.by = 0
		return
	}
	if in.by == 0 && c.cfg.HeadTimeout > 0 {
		in.by = c.now.Add(c.cfg.HeadTimeout)
	}
}

// step takes the next piece that can be acted on: 0 means that there is none.
func (c *Conn) step(b []byte, h *msg.Head, ev *Event) (n int, err *Error) {
	switch c.in.phase {
	case phasePreface:
		return c.onPreface(b)
	case phaseFrame:
		if len(b) < frameHeaderBytes {
			return 0, nil
		}
		if err := c.begin(parseFrame(b), ev); err != nil {
			return frameHeaderBytes, err
		}
		if n = frameHeaderBytes; ev.Kind != EventNone {
			return n, nil
		}
	}
	m, err := c.payload(b[n:], h, ev)
	return n + m, err
}

// onPreface: RFC 9113 section 3.4. A peer that speaks something else is found out at its first byte.
func (c *Conn) onPreface(b []byte) (n int, err *Error) {
	n = min(len(b), len(Preface))
	if string(b[:n]) != Preface[:n] {
		return 0, errPreface
	}
	if n < len(Preface) {
		return 0, nil
	}
	c.in.phase = phaseFrame
	return n, nil
}

// begin checks what a frame's header alone says, and gets ready for its payload.
func (c *Conn) begin(f frame, ev *Event) *Error {
	in := &c.in
	switch {
	case f.length > c.cfg.MaxFrame:
		return errFrameSize
	case !in.begun && (f.kind != frameSettings || f.has(flagAck)):
		return errFirstFrame
	case in.block.id != 0 && (f.kind != frameContinuation || f.id != in.block.id):
		return errBlockOpen // RFC 9113 section 4.3: nothing may come between the frames of a block
	}
	in.begun = true
	in.frame, in.left, in.phase, in.pad = f, f.length, phasePayload, 0
	switch f.kind {
	case frameData:
		return c.beginData(ev)
	case frameHeaders:
		return c.beginHeaders()
	case frameContinuation:
		return c.beginContinuation()
	case framePush:
		return errPush // RFC 9113 section 8.4: servers get none, and we have switched it off
	case framePriority:
		return c.beginPriority(ev)
	case frameSettings, framePing, frameGoAway, framePriorityUpdate, frameReset, frameWindow:
		return c.beginControl()
	}
	in.frame.kind = frameSkipped
	return c.charge(abuseIgnored, 1) // RFC 9113 section 5.5
}

// beginControl checks size and stream of the frames that have a rule about them.
func (c *Conn) beginControl() *Error {
	f := &c.in.frame
	onStream, size := false, f.length
	switch f.kind {
	case frameReset:
		onStream, size = true, 4
	case frameWindow:
		onStream, size = f.id != 0, 4
	case framePing:
		size = 8
	case frameGoAway:
		size = max(size, 8)
	case framePriorityUpdate:
		if !c.cfg.Server {
			return errPriorityUpdate // RFC 9218 section 7.1
		}
		size = max(size, 4)
	case frameSettings:
		if size -= size % settingBytes; f.has(flagAck) {
			size = 0
		}
	}
	switch {
	case onStream && f.id == 0:
		return errStreamZero
	case !onStream && f.id != 0:
		return errStreamNotZero
	case f.length != size:
		return errPayloadSize
	}
	return nil
}

// payload acts on the part of the payload that is in b.
func (c *Conn) payload(b []byte, h *msg.Head, ev *Event) (n int, err *Error) {
	in := &c.in
	if uint32(len(b)) > in.left {
		b = b[:in.left]
	}
	switch in.frame.kind {
	case frameData:
		return c.onData(b, ev)
	case frameHeaders, frameContinuation:
		return c.onFragment(b, h, ev)
	case frameSettings:
		return c.onSettings(b, ev)
	case frameGoAway:
		return c.onGoAway(b, ev)
	case framePriorityUpdate:
		return c.onPriorityUpdate(b)
	case frameSkipped:
		in.take(len(b))
		return len(b), nil
	}
	if uint32(len(b)) < in.left { // the small ones are taken whole
		return 0, nil
	}
	in.take(len(b))
	switch in.frame.kind {
	case framePing:
		err = c.onPing(b, ev)
	case frameReset:
		err = c.onReset(ErrCode(binary.BigEndian.Uint32(b)), ev)
	case frameWindow:
		err = c.onWindow(binary.BigEndian.Uint32(b)&windowMax, ev)
	case framePriority:
		err = c.onPriority(binary.BigEndian.Uint32(b)&MaxStreamID, ev)
	}
	return len(b), err
}

// take counts payload bytes as dealt with; after the last one a frame header comes next.
func (in *reader) take(n int) {
	if in.left -= uint32(n); in.left == 0 {
		in.done()
	}
}

func (in *reader) done() {
	in.phase = phaseFrame
	in.stream = nil
}

// idle reports whether the stream was never opened (RFC 9113 section 5.1).
func (c *Conn) idle(id uint32) bool {
	return id&1 == 0 || id > c.streams.recent.top
}
