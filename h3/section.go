package h3

import "weir/internal/msg"

// sectionLinesMax bounds the field lines of a section, cookie crumbs included. msg.FieldsMax holds after they are joined.
const sectionLinesMax = 1024

// fieldOverhead is what a field counts for besides its text (RFC 9114 section 4.2.2).
const fieldOverhead = 32

// pseudo is a set of pseudo-header fields.
type pseudo uint8

const (
	pseudoMethod pseudo = 1 << iota
	pseudoScheme
	pseudoAuthority
	pseudoPath
	pseudoProtocol
	pseudoStatus // of responses

	pseudoRequest = pseudoMethod | pseudoScheme | pseudoPath
	pseudoConnect = pseudoMethod | pseudoAuthority
	pseudoAll     = pseudoRequest | pseudoConnect | pseudoProtocol
)

func pseudoOf(name string) pseudo {
	switch name {
	case ":method":
		return pseudoMethod
	case ":scheme":
		return pseudoScheme
	case ":authority":
		return pseudoAuthority
	case ":path":
		return pseudoPath
	case ":protocol":
		return pseudoProtocol
	case ":status":
		return pseudoStatus
	}
	return 0
}

// section is a field section being judged: a request's head, or its trailers.
type section struct {
	head     *msg.Head
	trailers bool
	max      int // bytes, as RFC 9114 section 4.2.2 counts them
	size     int
	large    bool // beyond max or sectionLinesMax: nothing more was kept

	seen    pseudo
	regular bool // a regular field was seen: no pseudo-header field may follow
	host    int  // index of the host field, from 1; 0: none
	cookies int
	scheme  msg.Span
	length  int64 // what content-length says; -1: nothing
}

// read decodes block and fills the head, which has its own bytes. A section that is too large is not read to its end.
func (sec *section) read(block []byte) *Error {
	sec.length = -1
	rest, ok := beginBlock(block)
	if !ok {
		return errBlock
	}
	for l := (line{}); len(rest) > 0; {
		if rest, ok = l.read(rest, sec.head); !ok {
			return errBlock
		}
		sec.size += l.name.Len() + l.value.Len() + fieldOverhead
		if sec.size > sec.max || len(sec.head.Fields) == sectionLinesMax {
			sec.large = true
			return nil
		}
		if err := sec.add(&l); err != nil {
			return err
		}
	}
	return nil
}

// add judges one field and keeps it. What comes from the static table needs no judging but for where it stands.
func (sec *section) add(l *line) *Error {
	h := sec.head
	name, value := h.Bytes(l.name), h.Bytes(l.value)
	id := msg.FieldOther
	switch {
	case l.static != nil && l.static.pseudo != 0:
		return sec.addPseudo(l.static.pseudo, l)
	case l.static != nil:
		id = l.static.id
	case len(name) > 0 && name[0] == ':':
		return sec.addPseudo(pseudoOf(string(name)), l)
	case !validName(name):
		return errFieldName
	default:
		id = msg.LookupField(name)
	}
	sec.regular = true
	if !l.whole && !validValue(value) {
		return errFieldValue
	}
	if id != msg.FieldOther {
		if err := sec.known(id, value); err != nil {
			return err
		}
	}
	h.Fields = append(h.Fields, msg.Field{Name: l.name, Value: l.value, ID: id, Sensitive: l.sensitive})
	return nil
}

// validName: RFC 9114 section 4.2, a token without upper-case letters.
func validName(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	for _, c := range b {
		if !msg.IsToken(c) || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return true
}

// validValue: RFC 9114 section 10.3 and RFC 9110 section 5.5.
func validValue(b []byte) bool {
	if n := len(b); n > 0 && (b[0] == ' ' || b[0] == '\t' || b[n-1] == ' ' || b[n-1] == '\t') {
		return false
	}
	return msg.ScanValue(b, 0) == len(b)
}

// known judges a field whose name means something to the framing of messages.
func (sec *section) known(id msg.FieldID, v []byte) *Error {
	switch id {
	case msg.FieldConnection, msg.FieldKeepAlive, msg.FieldProxyConnection, msg.FieldTransferEncoding, msg.FieldUpgrade:
		return errHopField // RFC 9114 section 4.2
	case msg.FieldTE:
		if sec.trailers || !msg.EqualFold(v, []byte("trailers")) {
			return errHopField
		}
	case msg.FieldContentLength:
		n, ok := msg.ParseLength(v)
		if !ok || sec.length >= 0 || sec.trailers {
			return errLength
		}
		sec.length = n
	case msg.FieldHost:
		if sec.host != 0 {
			return errHost
		}
		sec.host = len(sec.head.Fields) + 1
	case msg.FieldCookie:
		sec.cookies++
	}
	return nil
}

// addPseudo: RFC 9114 section 4.3. Each one once, before all regular fields, and none in trailers.
func (sec *section) addPseudo(p pseudo, l *line) *Error {
	switch {
	case sec.trailers:
		return errPseudoTrailers
	case sec.regular:
		return errPseudoOrder
	case p == 0, p == pseudoStatus:
		return errPseudoUnknown
	case sec.seen&p != 0:
		return errPseudoTwice
	}
	sec.seen |= p
	h := sec.head
	if !l.whole && !validValue(h.Bytes(l.value)) {
		return errFieldValue
	}
	switch p {
	case pseudoMethod:
		h.Name = l.value
	case pseudoScheme:
		sec.scheme = l.value
	case pseudoAuthority:
		h.Authority = l.value
	case pseudoPath:
		h.Target = l.value
	case pseudoProtocol:
		h.Protocol = l.value
	}
	return nil
}

// finish judges the request as a whole. ended: the stream has ended behind it, so there is no content.
func (sec *section) finish(ended bool) *Error {
	h := sec.head
	h.Version = msg.HTTP3
	if err := sec.method(); err != nil {
		return err
	}
	if err := sec.target(); err != nil {
		return err
	}
	if err := sec.authority(); err != nil {
		return err
	}
	sec.joinCookies()
	switch {
	case h.Method == msg.MethodConnect:
		if sec.length >= 0 {
			return errLength // a tunnel has no content (RFC 9110 section 9.3.6)
		}
		h.Framing = msg.BodyTunnel
		if ended {
			h.Framing = msg.BodyNone
		}
	case ended:
		if sec.length > 0 {
			return errBodyShort
		}
	case sec.length >= 0:
		h.Framing, h.Length = msg.BodyLength, sec.length
	default:
		h.Framing = msg.BodyStream
	}
	return nil
}

// method checks :method, and which other pseudo-header fields go with it (RFC 9114 sections 4.3.1 and 4.4, RFC 9220).
func (sec *section) method() *Error {
	h := sec.head
	name := h.Bytes(h.Name)
	switch h.Method = msg.LookupMethod(name); {
	case sec.seen&pseudoMethod == 0:
		return errPseudoMissing
	case !msg.ValidToken(name):
		return errMethod
	case sec.seen&pseudoProtocol != 0:
		if h.Method != msg.MethodConnect || !msg.ValidToken(h.Bytes(h.Protocol)) {
			return errPseudoSurplus
		}
		if sec.seen != pseudoAll {
			return errPseudoMissing
		}
	case h.Method == msg.MethodConnect:
		if sec.seen&^pseudoConnect != 0 {
			return errPseudoSurplus
		}
		if sec.seen != pseudoConnect {
			return errPseudoMissing
		}
	case sec.seen&pseudoRequest != pseudoRequest:
		return errPseudoMissing
	}
	return nil
}

// target checks :scheme and :path. Only the schemes that a reverse proxy serves are taken; "http" is one of them, for
// clients that came by an alternative service of a cleartext origin.
func (sec *section) target() *Error {
	h := sec.head
	if sec.seen&pseudoPath == 0 {
		return nil // CONNECT
	}
	switch scheme := h.Bytes(sec.scheme); {
	case msg.EqualFold(scheme, []byte("https")):
		h.Scheme = msg.SchemeHTTPS
	case msg.EqualFold(scheme, []byte("http")):
		h.Scheme = msg.SchemeHTTP
	default:
		return errScheme
	}
	if !msg.ValidTarget(h.Method, h.Bytes(h.Target)) {
		return errPath
	}
	return nil
}

// authority: :authority or host; where both are given they must agree (RFC 9114 section 4.3.1).
func (sec *section) authority() *Error {
	h := sec.head
	if sec.host != 0 {
		host := h.Fields[sec.host-1].Value
		if sec.seen&pseudoAuthority == 0 {
			h.Authority = host
		} else if !msg.EqualFold(h.Bytes(host), h.Bytes(h.Authority)) {
			return errHost
		}
	}
	if !msg.ValidAuthority(h.Bytes(h.Authority)) {
		return errAuthority
	}
	return nil
}

// joinCookies makes one field of several (RFC 9114 section 4.2.1), in the place of the first.
func (sec *section) joinCookies() {
	if sec.cookies < 2 {
		return
	}
	h := sec.head
	off, first, kept := len(h.Buf), -1, 0
	for _, f := range h.Fields {
		switch {
		case f.ID != msg.FieldCookie:
			h.Fields[kept] = f
			kept++
			continue
		case first < 0:
			first = kept
			h.Fields[kept] = f
			kept++
		default:
			h.Buf = append(h.Buf, "; "...)
		}
		h.Buf = append(h.Buf, h.Bytes(f.Value)...)
	}
	h.Fields = h.Fields[:kept]
	h.Fields[first].Value = msg.Span{Off: uint32(off), End: uint32(len(h.Buf))}
}
