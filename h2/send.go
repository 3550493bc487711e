package h2

import (
	"strconv"

	"weir/internal/msg"
)

// DataFrameMax is the largest payload of DATA that we send: what every peer takes. Larger frames would only hold up the
// other streams.
const DataFrameMax = frameBytesMin

// AppendHead appends a request (client role) or a response, interim ones included (server role). end: nothing follows.
// Fields marked Drop and those that HTTP/2 forbids are left out; content-length is made from Framing.
//
// A scheme other than https goes out as http. A request with a Protocol goes out as extended CONNECT, whatever its method was (RFC 8441): the caller has looked at
// PeerConnect. The answer 101 to one goes out as 200.
//
// On a stream that was reset nothing is appended, here and in AppendData and AppendTrailers: the caller learns of it by
// an event that may still be on its way.
func (c *Conn) AppendHead(dst []byte, s *Stream, h *msg.Head, end bool) []byte {
	if c.mute(s) {
		return dst
	}
	dst = c.AppendPending(dst)
	if !c.cfg.Server {
		c.beginRequest(s, h)
	}
	start := len(dst)
	dst = c.enc.Begin(appendFrame(dst, 0, frameHeaders, 0, s.ID))
	if c.cfg.Server {
		dst = c.enc.AppendStatus(dst, c.beginResponse(s, h, end))
	} else {
		dst = c.appendRequestLine(dst, s, h)
	}
	s.rest = restUnknown
	if h.Framing == msg.BodyLength && !s.msgs.has(msgConnect) {
		s.rest = h.Length
	}
	dst = c.appendFields(dst, s, h)
	dst = c.seal(dst, start, s.ID, end)
	if end {
		c.endLocal(s)
	}
	if !c.cfg.Server && c.lend(s) {
		dst = c.appendUpdate(dst, s)
	}
	return dst
}

// mute reports whether nothing may be sent on the stream any more through no fault of the caller.
func (c *Conn) mute(s *Stream) bool {
	return c.failed != nil || s.state == stateClosed && s.end != endWhole
}

// beginRequest gives a stream its identifier and opens it. Identifiers have to go up on the wire (RFC 9113 section 5.1.1),
// so they are given when the head goes out.
func (c *Conn) beginRequest(s *Stream, h *msg.Head) {
	if s.state != stateIdle {
		panic("h2: second head on a request")
	}
	t := &c.streams
	s.ID, t.nextID = t.nextID, t.nextID+2
	t.unsent--
	t.recent.open(s.ID)
	t.index(s)
	s.send = c.peer.window
	s.recv.open(c.own.window)
	c.setState(s, stateOpen)
	switch {
	case h.Protocol.Len() > 0 || h.Method == msg.MethodConnect:
		s.msgs |= msgConnect
	case h.Method == msg.MethodHead:
		s.msgs |= msgHead
	}
}

// beginResponse returns the status to send.
func (c *Conn) beginResponse(s *Stream, h *msg.Head, end bool) uint16 {
	if !s.sendable() || s.msgs.has(msgRspHead) {
		panic("h2: head behind the final response's head")
	}
	status := h.Status
	if status == 101 && s.msgs.has(msgConnect) {
		status = 200 // RFC 8441 section 5
	}
	switch {
	case status < 100 || status > 999 || status == 101 || status < 200 && end:
		panic("h2: status that cannot be sent")
	case status >= 200:
		s.msgs |= msgRspHead
		if v := h.Get(msg.FieldPriority); v != nil { // RFC 9218 section 8: what the server says changes what the client said
			c.sched.setPriority(s, s.prio.Read(v))
		}
	}
	return status
}

// appendRequestLine appends the pseudo-header fields of a request.
func (c *Conn) appendRequestLine(dst []byte, s *Stream, h *msg.Head) []byte {
	e := &c.enc
	if s.msgs.has(msgConnect) {
		dst = e.AppendMethod(dst, msg.MethodConnect, methodConnect)
	} else {
		dst = e.AppendMethod(dst, h.Method, h.Bytes(h.Name))
	}
	if !s.msgs.has(msgConnect) || h.Protocol.Len() > 0 {
		dst = e.AppendScheme(dst, h.Scheme == msg.SchemeHTTPS)
		dst = e.AppendPath(dst, h.Bytes(h.Target))
	}
	if h.Authority.Len() > 0 {
		dst = e.AppendAuthority(dst, h.Bytes(h.Authority))
	}
	if h.Protocol.Len() > 0 {
		dst = e.AppendProtocol(dst, h.Bytes(h.Protocol))
	}
	return dst
}

var (
	methodConnect = []byte("CONNECT")
	nameLength    = []byte("content-length")
	nameTE        = []byte("te")
	valueTrailers = []byte("trailers")
)

// appendFields appends the regular fields.
func (c *Conn) appendFields(dst []byte, s *Stream, h *msg.Head) []byte {
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.Drop || f.ID != msg.FieldOther && !c.passes(s, h, f.ID) {
			continue
		}
		dst = c.enc.AppendField(dst, f.ID, h.Bytes(f.Name), h.Bytes(f.Value), f.Sensitive)
	}
	if h.Framing == msg.BodyLength && !s.msgs.has(msgConnect) {
		var digits [20]byte
		v := strconv.AppendInt(digits[:0], h.Length, 10)
		dst = c.enc.AppendField(dst, msg.FieldContentLength, nameLength, v, false)
	}
	if !c.cfg.Server && h.Flags.Has(msg.FlagTETrailers) {
		dst = c.enc.AppendField(dst, msg.FieldTE, nameTE, valueTrailers, false)
	}
	return dst
}

// connectionSpecific reports whether a field may never stand in HTTP/2 (RFC 9113 section 8.2.2).
func connectionSpecific(id msg.FieldID) bool {
	switch id {
	case msg.FieldConnection, msg.FieldKeepAlive, msg.FieldProxyConnection, msg.FieldTransferEncoding, msg.FieldUpgrade,
		msg.FieldHTTP2Settings, msg.FieldTE:
		return true
	}
	return false
}

// passes reports whether a field with an identity goes out: not what is forbidden, nor what is said by other means.
func (c *Conn) passes(s *Stream, h *msg.Head, id msg.FieldID) bool {
	if connectionSpecific(id) {
		return false
	}
	switch id {
	case msg.FieldHost:
		return h.Authority.Len() == 0
	case msg.FieldContentLength: // responses to HEAD and 304 describe a body that is not sent (RFC 9110 section 8.6)
		return c.cfg.Server && h.Framing == msg.BodyNone && !s.msgs.has(msgConnect)
	case msg.FieldSecWebSocketKey, msg.FieldSecWebSocketAccept:
		return !s.msgs.has(msgConnect) // RFC 8441 section 5
	}
	return true
}

// seal completes the HEADERS frame that begins at start, and splits it when it is larger than the peer takes.
func (c *Conn) seal(dst []byte, start int, id uint32, end bool) []byte {
	flags, most := uint8(0), int(c.peer.maxFrame)
	if end {
		flags = flagEndStream
	}
	size := len(dst) - start - frameHeaderBytes
	if size <= most {
		putFrame(dst[start:], size, frameHeaders, flags|flagEndHeaders, id)
		return dst
	}
	more := (size - 1) / most // CONTINUATION frames
	for range more {
		dst = appendFrame(dst, 0, frameContinuation, 0, id)
	}
	putFrame(dst[start:], most, frameHeaders, flags, id)
	// From the last fragment to the first, so that none is overwritten before it has moved.
	for i := more; i > 0; i-- {
		from := start + frameHeaderBytes + i*most
		n, flags := min(most, size-i*most), uint8(0)
		if i == more {
			flags = flagEndHeaders
		}
		to := from + i*frameHeaderBytes
		copy(dst[to:to+n], dst[from:from+n])
		putFrame(dst[to-frameHeaderBytes:], n, frameContinuation, flags, id)
	}
	return dst
}

// AppendData appends DATA frames with as much of p as the windows permit, and returns how much that was. end: p ends the
// message; END_STREAM goes out with its last byte, also when p is empty. What was left over makes s want to send.
func (c *Conn) AppendData(dst []byte, s *Stream, p []byte, end bool) (out []byte, n int) {
	if c.mute(s) {
		return dst, len(p)
	}
	room := min(len(p), c.SendRoom(s))
	for left := room; left > 0; { // frames of one size: none is the small remainder of the others
		frames := (left + DataFrameMax - 1) / DataFrameMax
		size := (left + frames - 1) / frames
		dst = c.AppendDataHeader(dst, s, size, end && n+size == len(p))
		dst = append(dst, p[n:n+size]...)
		left, n = left-size, n+size
	}
	switch {
	case n < len(p):
		c.want(s)
	case n == 0 && end:
		dst = c.AppendDataHeader(dst, s, 0, true)
	}
	return dst, n
}

// AppendDataHeader appends the header of a DATA frame, for callers that send its n bytes of payload from where they lie.
// n is at most what the windows permit, and DataFrameMax. end: the message ends with it.
func (c *Conn) AppendDataHeader(dst []byte, s *Stream, n int, end bool) []byte {
	if c.mute(s) {
		panic("h2: DATA header on a stream that was reset")
	}
	if !s.sendable() || int32(n) > max(0, min(s.send, c.flow.send, DataFrameMax)) || c.cfg.Server && !s.msgs.has(msgRspHead) {
		panic("h2: DATA that may not be sent")
	}
	flags := uint8(0)
	if end {
		flags = flagEndStream
	}
	dst = appendFrame(c.AppendPending(dst), n, frameData, flags, s.ID)
	if n > 0 {
		s.send -= int32(n)
		c.flow.send -= int32(n)
		c.budget.onDataSent(n, s.send <= 0 || c.flow.send <= 0)
		s.rest -= min(int64(n), s.rest)
		if s.send < c.sched.least {
			c.sched.refresh(s)
		}
	}
	if end {
		c.endLocal(s)
	}
	return dst
}

// AppendTrailers appends a trailer section, which ends the message. With no field to send it is an empty DATA frame.
func (c *Conn) AppendTrailers(dst []byte, s *Stream, h *msg.Head) []byte {
	if c.mute(s) {
		return dst
	}
	kept := 0
	if h != nil {
		for i := range h.Fields {
			if f := &h.Fields[i]; !f.Drop && !connectionSpecific(f.ID) {
				kept++
			}
		}
	}
	if kept == 0 {
		return c.AppendDataHeader(dst, s, 0, true)
	}
	if !s.sendable() || c.cfg.Server && !s.msgs.has(msgRspHead) {
		panic("h2: trailers that may not be sent")
	}
	dst = c.AppendPending(dst)
	start := len(dst)
	dst = c.enc.Begin(appendFrame(dst, 0, frameHeaders, 0, s.ID))
	for i := range h.Fields {
		if f := &h.Fields[i]; !f.Drop && !connectionSpecific(f.ID) {
			dst = c.enc.AppendField(dst, f.ID, h.Bytes(f.Name), h.Bytes(f.Value), f.Sensitive)
		}
	}
	dst = c.seal(dst, start, s.ID, true)
	c.endLocal(s)
	return dst
}

// AppendReset appends RST_STREAM, unless the stream is closed already or was never sent.
func (c *Conn) AppendReset(dst []byte, s *Stream, code ErrCode) []byte {
	if c.failed != nil || s.state == stateClosed || s.state == stateIdle {
		return dst
	}
	c.cut(s, endByUs)
	return appendFrame32(c.AppendPending(dst), frameReset, s.ID, uint32(code))
}

// resetStream collects RST_STREAM for a stream that the caller gives up.
func (c *Conn) resetStream(s *Stream, code ErrCode) {
	c.cut(s, endByUs)
	if c.failed == nil {
		c.queueReset(s.ID, code)
	}
}

// Fits reports whether the peer is known to take a head of this size (SETTINGS_MAX_HEADER_LIST_SIZE).
func (c *Conn) Fits(h *msg.Head) bool {
	const overhead, pseudoNames = 32, 32 + 5*32 // an upper bound for what the pseudo-header fields are called
	if c.peer.maxHeaderList == 1<<32-1 {
		return true
	}
	size := pseudoNames + h.Name.Len() + h.Target.Len() + h.Authority.Len() + h.Protocol.Len()
	for i := range h.Fields {
		if f := &h.Fields[i]; !f.Drop {
			size += f.Name.Len() + f.Value.Len() + overhead
		}
	}
	return size <= int(c.peer.maxHeaderList)
}
