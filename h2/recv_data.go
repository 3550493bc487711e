package h2

// beginData: RFC 9113 section 6.1. The whole payload, padding included, counts against both windows (section 6.9.1); what
// is not wanted is given back to the connection's at once, so that no reset stream can drain it.
func (c *Conn) beginData(ev *Event) *Error {
	in, f := &c.in, &c.in.frame
	length := int32(f.length)
	switch {
	case f.id == 0:
		return errStreamZero
	case f.has(flagPadded) && length == 0:
		return errPayloadSize
	case length > c.flow.recv.left:
		return errConnWindow
	}
	c.flow.recv.left -= length
	in.owed = length
	s := c.streams.find(f.id)
	switch {
	case s == nil && c.idle(f.id):
		return errStreamIdle
	case s == nil && c.streams.recent.knows(f.id) && !c.streams.recent.cutOff(f.id),
		s != nil && s.state == stateClosed && s.end != endByUs:
		return errStreamEnded
	case s == nil || s.state == stateClosed: // cut off by us, or too long ago to know
		c.discard()
		c.skipEmpty()
		return c.charge(abuseIgnored, 1)
	}
	if e := c.dataFault(s, length); e != nil {
		c.discard()
		c.skipEmpty()
		return c.endStream(s, e, ev)
	}
	s.recv.left -= length
	in.stream = s
	if f.has(flagPadded) {
		in.pad = padUnknown
		return nil
	}
	return c.onDataSize(ev)
}

// dataFault is what is wrong with DATA of this length on a stream that is not closed.
func (c *Conn) dataFault(s *Stream, length int32) *Error {
	switch {
	case !s.receiving():
		return errHalfClosed
	case !c.cfg.Server && !s.msgs.has(msgRspHead):
		return errDataBeforeHead
	case length > 0 && length > s.recv.left+c.lenience(): // nothing fits into any window, also into one that SETTINGS made negative
		return errStreamWindow
	}
	return nil
}

// discard lets the rest of the DATA frame under way go by, and gives the connection its window back.
func (c *Conn) discard() {
	n := c.in.owed
	c.in.stream, c.in.owed = nil, 0
	c.credit(n)
}

// skipEmpty finishes a discarded frame that has no payload to wait for.
func (c *Conn) skipEmpty() {
	c.in.frame.kind = frameSkipped
	if c.in.left == 0 {
		c.in.done()
	}
}

// onDataSize is called once for a frame, as soon as it is known how much of it is data. A body that differs from its
// content-length is malformed (RFC 9113 section 8.1.1): found out before any byte of the frame is passed on.
func (c *Conn) onDataSize(ev *Event) *Error {
	in, s := &c.in, c.in.stream
	data, end := int64(in.left)-int64(in.pad), in.frame.has(flagEndStream)
	if s.body.known {
		if data > s.body.left || end && data != s.body.left {
			c.skipEmpty()
			return c.endStream(s, errLengthDiffers, ev)
		}
		s.body.left -= data
	}
	if end {
		return nil
	}
	if data == 0 || int64(in.pad) > 8*data {
		return c.charge(abuseHollow, 1) // CVE-2019-9518
	}
	c.budget.earn(abuseHollow, 1)
	return nil
}

// onPadLength reads the octet in front of padded data.
func (c *Conn) onPadLength(pad byte, ev *Event) *Error {
	in := &c.in
	in.left--
	if uint32(pad) > in.left {
		return errPadding
	}
	in.pad = int16(pad)
	if s := in.stream; s != nil {
		n := 1 + int32(pad)
		in.owed -= n
		c.credit(n)
		c.creditStream(s, n)
		return c.onDataSize(ev)
	}
	return nil
}

// onData passes on what of the data is in b, and lets padding go by.
func (c *Conn) onData(b []byte, ev *Event) (n int, err *Error) {
	in := &c.in
	if in.pad == padUnknown {
		if len(b) == 0 {
			return 0, nil
		}
		if err := c.onPadLength(b[0], ev); err != nil || ev.Kind != EventNone {
			return 1, err
		}
		b, n = b[1:], 1
	}
	data := min(len(b), int(in.left)-int(in.pad))
	if data < 0 { // inside the padding
		data = 0
	}
	s := in.stream
	if s != nil && data > 0 {
		in.owed -= int32(data)
		s.recv.held += int32(data)
		c.flow.recv.held += int32(data)
		ev.Kind, ev.Stream, ev.Data = EventData, s, b[:data]
	}
	in.left -= uint32(len(b))
	if in.left < uint32(in.pad) {
		in.pad = int16(in.left)
	}
	if in.left == 0 {
		end := in.frame.has(flagEndStream)
		in.done()
		if s != nil && end {
			ev.Kind, ev.Stream, ev.End = EventData, s, true
			c.endRemote(s)
		}
	}
	return n + len(b), nil
}
