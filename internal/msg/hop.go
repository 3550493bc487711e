package msg

// connectionOptionsMax bounds the members of Connection: each unknown one is searched among all fields.
const connectionOptionsMax = 32

// The connection options that weir acts on. optionOther: there are others, which may name fields.
const (
	optionClose = 1 << iota
	optionKeepAlive
	optionUpgrade
	optionOther
)

// hop is what one pass over the fields of a head finds out about the connection that it came by.
type hop struct {
	options uint8
	members uint8 // of all Connection fields together, empty ones included
	keys    uint8 // Sec-WebSocket-Key fields with a well-formed key
	badKey  bool  // there is a Sec-WebSocket-Key or -Version that no client sends
	version uint8 // Sec-WebSocket-Version fields
	upgrade Span  // "websocket" in Upgrade, as it was sent
	length  bool  // responses: Content-Length other than zero, or a transfer coding
}

// connection reads the value of one Connection field (RFC 9110 section 7.6.1).
func (p *hop) connection(v []byte) Fault {
	for len(v) > 0 {
		var m []byte
		m, v = nextMember(v)
		if p.members++; p.members > connectionOptionsMax {
			return FaultConnection
		}
		switch {
		case len(m) == 0: // RFC 9110 section 5.6.1.2: empty members are to be ignored
		case EqualLower(m, "keep-alive"):
			p.options |= optionKeepAlive
		case EqualLower(m, "close"):
			p.options |= optionClose
		case EqualLower(m, "upgrade"):
			p.options |= optionUpgrade
		case !ValidToken(m):
			return FaultConnection
		default:
			p.options |= optionOther
		}
	}
	return 0
}

// nextMember splits the first member off a comma-separated list that has no quoted strings.
func nextMember(v []byte) (member, rest []byte) {
	for i, c := range v {
		if c == ',' {
			return trimSpace(v[:i]), v[i+1:]
		}
	}
	return trimSpace(v), nil
}

// hasMember reports whether a comma-separated list has this lower-case member.
func hasMember(v []byte, member string) bool {
	for len(v) > 0 {
		var m []byte
		if m, v = nextMember(v); EqualLower(m, member) {
			return true
		}
	}
	return false
}

// dropNamed drops the fields that Connection names. RFC 9110 section 7.6.1 leaves no choice for any field: a name like
// Authorization goes too, which fails closed. Host and framing fields are re-made from Authority and Framing, so naming
// them has no effect; that is why they cannot be stripped by a client.
func (p *hop) dropNamed(h *Head) {
	if p.options&optionOther == 0 {
		return
	}
	for i := range h.Fields {
		if h.Fields[i].ID != FieldConnection {
			continue
		}
		for v := h.Bytes(h.Fields[i].Value); len(v) > 0; {
			var m []byte
			m, v = nextMember(v)
			dropName(h, m)
		}
	}
}

func dropName(h *Head, name []byte) {
	if len(name) == 0 {
		return
	}
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.Name.Len() == len(name) && EqualFold(h.Bytes(f.Name), name) {
			f.Drop = true
		}
	}
}

// persist sets what Connection says about the connection's life (RFC 9112 section 9.3). h2 and h3 connections persist
// by nature.
func (p *hop) persist(h *Head) {
	if p.options&optionClose != 0 {
		h.Flags |= FlagCloseSaid
		return
	}
	if h.Version >= HTTP11 || p.options&optionKeepAlive != 0 {
		h.Flags |= FlagKeepAlive
	}
}

// websocket returns the span of the token "websocket" in an Upgrade field's value; empty if it is not among them.
func websocket(h *Head, value Span) Span {
	for v, off := h.Bytes(value), value.Off; len(v) > 0; {
		m, rest := nextMember(v)
		if EqualLower(m, "websocket") {
			for h.Buf[off]|0x20 != 'w' {
				off++
			}
			return Span{off, off + uint32(len(m))}
		}
		off += uint32(len(v) - len(rest))
		v = rest
	}
	return Span{}
}

// bindsConnection reports whether credentials or challenges are of a scheme that authenticates the connection instead of
// the request (RFC 4559 section 6; NTLM): such a connection is private. The scheme is looked for at the start of every
// comma-separated part; a quoted string that looks like one costs reuse, not safety.
func bindsConnection(v []byte) bool {
	for len(v) > 0 {
		var m []byte
		m, v = nextMember(v)
		n := 0
		for n < len(m) && IsToken(m[n]) {
			n++
		}
		if EqualLower(m[:n], "ntlm") || EqualLower(m[:n], "negotiate") {
			return true
		}
	}
	return false
}
