package msg

// VetRequest decides what of a request may cross to a server: it marks the fields that end here, sets the flags, and
// refuses what no server should have to make sense of. Every request of every version passes it exactly once, after its
// codec and before routing.
//
// Heads have been checked while they were parsed, those of HTTP/2 and HTTP/3 by a Section, and their framing and authority
// are known. Max-Forwards is decremented in place, in Buf.
func VetRequest(h *Head) *Error {
	if h.Version >= HTTP2 {
		if f := vetStreamRequest(h); f != 0 {
			return f.InRequest()
		}
	}
	var p hop
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.ID == FieldOther {
			continue
		}
		if fault := p.requestField(h, f); fault != 0 {
			return fault.InRequest()
		}
	}
	p.dropNamed(h)
	p.persist(h)
	p.upgradeRequest(h)
	return p.method(h).InRequest()
}

// requestField acts on one field with a known name.
func (p *hop) requestField(h *Head, f *Field) Fault {
	switch f.ID {
	case FieldConnection:
		f.Drop = true
		return p.connection(h.Bytes(f.Value))
	case FieldHost, FieldContentLength, FieldTransferEncoding, FieldKeepAlive, FieldProxyConnection, FieldHTTP2Settings:
		f.Drop = true
	case FieldTE:
		f.Drop = true
		if hasMember(h.Bytes(f.Value), "trailers") {
			h.Flags |= FlagTETrailers
		}
	case FieldUpgrade:
		f.Drop = true
		if s := websocket(h, f.Value); s.Len() > 0 {
			p.upgrade = s
		}
	case FieldExpect:
		return expect(h, f)
	case FieldMaxForwards:
		if h.Method == MethodTrace || h.Method == MethodOptions {
			return p.maxForwards(h, f)
		}
	case FieldAuthorization, FieldProxyAuthorization:
		if bindsConnection(h.Bytes(f.Value)) {
			h.Flags |= FlagNTLM
		}
	case FieldSecWebSocketKey:
		p.keys++
		p.badKey = p.badKey || !validWebSocketKey(h.Bytes(f.Value))
	case FieldSecWebSocketVersion:
		p.version++
		p.badKey = p.badKey || !all(h.Bytes(f.Value), octetDigit)
	}
	return 0
}

// expect: RFC 9110 section 10.1.1. HTTP/1.0 did not know it; without content there is nothing to wait for, and a server
// that waited all the same would stall the connection, so both end here.
func expect(h *Head, f *Field) Fault {
	if !EqualLower(h.Bytes(f.Value), "100-continue") {
		return FaultExpect
	}
	if h.Version == HTTP10 || h.Framing == BodyNone || h.Framing == BodyLength && h.Length == 0 || h.Flags.Has(FlagExpect100) {
		f.Drop = true
		return 0
	}
	h.Flags |= FlagExpect100
	return 0
}

// maxForwardsDigitsMax is more than any path is long.
const maxForwardsDigitsMax = 9

// maxForwards takes one off the value in place (RFC 9110 section 7.6.2); zero ends here. A borrow may leave a leading
// zero, which the grammar allows.
func (p *hop) maxForwards(h *Head, f *Field) Fault {
	v := h.Bytes(f.Value)
	if h.Flags.Has(FlagMaxForwards) || len(v) == 0 || len(v) > maxForwardsDigitsMax || !all(v, octetDigit) {
		return FaultMaxForwards
	}
	h.Flags |= FlagMaxForwards
	i := len(v) - 1
	for i > 0 && v[i] == '0' {
		i--
	}
	if v[i] == '0' {
		if h.Method == MethodTrace {
			return FaultTraceEnd
		}
		return FaultOptionsEnd
	}
	for v[i]--; i+1 < len(v); i++ {
		v[i+1] = '9'
	}
	return 0
}

// upgradeRequest keeps an Upgrade to websocket that can lead to a tunnel (RFC 6455 section 4.1). Anything else is sent on
// as the ordinary request that it is for a server that does not upgrade. An unknown version passes: the server answers
// 426 with the versions it knows, and only a 101 makes a tunnel.
func (p *hop) upgradeRequest(h *Head) {
	if h.Version >= HTTP2 {
		if h.Protocol.Len() > 0 {
			h.Flags |= FlagUpgrade // RFC 8441 section 5: no key; vetStreamRequest has checked the protocol
		}
		return
	}
	noBody := h.Framing == BodyNone || h.Framing == BodyLength && h.Length == 0
	if p.upgrade.Len() == 0 || p.options&optionUpgrade == 0 || h.Version != HTTP11 || h.Method != MethodGet || !noBody ||
		p.keys != 1 || p.version != 1 || p.badKey {
		return
	}
	h.Flags |= FlagUpgrade
	h.Protocol = p.upgrade
}

// validWebSocketKey: 16 bytes in base64 (RFC 6455 section 4.1).
func validWebSocketKey(b []byte) bool {
	if len(b) != 24 || b[22] != '=' || b[23] != '=' {
		return false
	}
	for _, c := range b[:22] {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '+' || c == '/') {
			return false
		}
	}
	return true
}

// method refuses the two methods that a reverse proxy must not pass as they are.
func (p *hop) method(h *Head) Fault {
	switch {
	case h.Method == MethodConnect && h.Protocol.Len() == 0:
		return FaultConnect // a tunnel to a place of the client's choice (RFC 9110 section 9.3.6)
	case h.Method == MethodTrace && !mayBeEmpty(h):
		return FaultTraceBody // RFC 9110 section 9.3.8
	}
	return 0
}

// mayBeEmpty reports whether the message may have no content. Whether a stream has any shows only at its end.
func mayBeEmpty(h *Head) bool {
	switch h.Framing {
	case BodyNone:
		return true
	case BodyLength:
		return h.Length == 0
	}
	return h.Framing == BodyStream && h.Version >= HTTP2
}

// VetResponse is VetRequest for what a server sends, interim responses included. The codec has set Framing knowing the
// request: BodyNone where HEAD or the status says that no body follows.
func VetResponse(h *Head) *Error {
	if h.Version >= HTTP2 {
		if f := vetStreamFields(h); f != 0 {
			return f.InResponse()
		}
	}
	var p hop
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.ID == FieldOther {
			continue
		}
		if fault := p.responseField(h, f); fault != 0 {
			return fault.InResponse()
		}
	}
	p.dropNamed(h)
	return p.finishResponse(h).InResponse()
}

func (p *hop) responseField(h *Head, f *Field) Fault {
	switch f.ID {
	case FieldConnection:
		f.Drop = true
		return p.connection(h.Bytes(f.Value))
	case FieldKeepAlive, FieldProxyConnection, FieldHTTP2Settings, FieldTE:
		f.Drop = true
	case FieldTransferEncoding:
		f.Drop = true
		p.length = true
	case FieldContentLength:
		p.contentLength(h, f)
	case FieldUpgrade:
		f.Drop = true
		if s := websocket(h, f.Value); s.Len() > 0 {
			p.upgrade = s
		}
	case FieldWWWAuthenticate, FieldProxyAuthenticate:
		if bindsConnection(h.Bytes(f.Value)) {
			h.Flags |= FlagNTLM
		}
	}
	return 0
}

// contentLength keeps the field where it describes a body that is not sent: responses to HEAD, and 304 (RFC 9110 section
// 8.6). Elsewhere the sender makes it from Framing, and in 1xx and 204 it must not stand.
func (p *hop) contentLength(h *Head, f *Field) {
	for _, c := range h.Bytes(f.Value) {
		if c != '0' {
			p.length = true
		}
	}
	f.Drop = h.Framing != BodyNone || h.Status < 200 || h.Status == 204
}

func (p *hop) finishResponse(h *Head) Fault {
	switch {
	case h.Status == 101:
		if p.upgrade.Len() == 0 || p.options&optionUpgrade == 0 {
			return FaultSwitch
		}
		h.Protocol = p.upgrade
		h.Flags |= FlagUpgrade
		return 0
	case h.Status < 200 && p.length:
		return FaultInterim // the next head, or a body to somebody who believes the field?
	case h.Status == 426:
		h.Protocol = p.upgrade // RFC 9110 section 15.5.22: Upgrade must be in it
	}
	if p.options&optionClose != 0 || h.Framing != BodyClose && h.Framing != BodyTunnel {
		p.persist(h)
	}
	if h.Status == 204 && p.length {
		h.Flags &^= FlagKeepAlive // a server that says so may well send it
	}
	return 0
}
