package msg

// SectionKind is what a field section of HTTP/2 or HTTP/3 is.
type SectionKind uint8

// The kinds.
const (
	RequestSection SectionKind = iota
	ResponseSection
	TrailerSection
)

// SectionLinesMax bounds the field lines of a section, cookie crumbs included. FieldsMax holds after they are joined.
const SectionLinesMax = 1024

// LengthUnsaid is a Section's Length without content-length.
const LengthUnsaid = -1

// Section is a head or a trailer section that comes field by field, as HTTP/2 and HTTP/3 carry it. It judges each one and the
// whole by the rules that both versions share, and keeps what passes in Head (RFC 9113 sections 8.1 to 8.3, RFC 9114
// sections 4.1 to 4.3, RFC 8441 and RFC 9220). A section with a Fault is of no further use.
//
// The texts lie in Head.Buf before a field is added. A codec with tables keeps there what ValidFieldName and ValidFieldValue
// say of a text, and calls Add and AddPseudo.
type Section struct {
	Head   *Head
	Kind   SectionKind
	Length int64 // what content-length says about the content; LengthUnsaid: nothing

	seen    pseudos
	regular bool // a regular field was seen: no pseudo-header field may follow
	host    int  // index of the host field, from 1; 0: none
	cookies int
	scheme  Span
}

// NewSection returns the section of kind k that is kept in h, which is empty but for its Version.
func NewSection(h *Head, k SectionKind) Section {
	return Section{Head: h, Kind: k, Length: LengthUnsaid}
}

// ValidFieldName reports whether b is a lower-case token (RFC 9113 section 8.2.1, RFC 9114 section 4.2).
func ValidFieldName(b []byte) bool {
	for _, c := range b {
		if octets[c]&(octetToken|octetUpper) != octetToken {
			return false
		}
	}
	return len(b) > 0
}

// ValidFieldValue reports whether b has no control byte but a tab, and no white space at an end (RFC 9113 section 8.2.1,
// RFC 9110 section 5.5).
func ValidFieldValue(b []byte) bool {
	if n := len(b); n > 0 && (b[0] == ' ' || b[0] == '\t' || b[n-1] == ' ' || b[n-1] == '\t') {
		return false
	}
	return ScanValue(b, 0) == len(b)
}

// Full reports whether the section has as many lines as it may.
func (s *Section) Full() bool { return len(s.Head.Fields) >= SectionLinesMax }

// AddText judges a field by its text alone, which nothing has judged before, and keeps it.
func (s *Section) AddText(f Field) Fault {
	name := s.Head.Bytes(f.Name)
	p := LookupPseudo(name)
	switch {
	case p == PseudoNone && !ValidFieldName(name):
		return FaultFieldName
	case !ValidFieldValue(s.Head.Bytes(f.Value)):
		return FaultFieldValue
	case p != PseudoNone:
		return s.AddPseudo(p, f.Value)
	}
	f.ID = LookupField(name)
	return s.Add(f)
}

// Add judges a regular field, whose name and value are valid and whose ID is known, and keeps it.
func (s *Section) Add(f Field) Fault {
	s.regular = true
	if f.ID != FieldOther {
		if fault := s.known(f.ID, s.Head.Bytes(f.Value)); fault != 0 {
			return fault
		}
	}
	s.Head.Fields = append(s.Head.Fields, f)
	return 0
}

// known judges a field whose name means something to the framing of messages.
func (s *Section) known(id FieldID, v []byte) Fault {
	switch id {
	case FieldConnection, FieldKeepAlive, FieldProxyConnection, FieldTransferEncoding, FieldUpgrade:
		return FaultHopField // RFC 9113 section 8.2.2, RFC 9114 section 4.2
	case FieldTE:
		if s.Kind != RequestSection || !EqualLower(v, "trailers") {
			return FaultHopField
		}
	case FieldContentLength:
		return s.length(v)
	case FieldHost:
		if s.host != 0 {
			return FaultHostTwice
		}
		s.host = len(s.Head.Fields) + 1
	case FieldCookie:
		s.cookies++
	}
	return 0
}

// length: one content-length, digits only (RFC 9110 section 8.6); in trailers it could only mislead.
func (s *Section) length(v []byte) Fault {
	n, ok := ParseLength(v)
	switch {
	case !ok, s.Kind == TrailerSection:
		return FaultLength
	case s.Length != LengthUnsaid:
		return FaultLengthTwice
	}
	s.Length = n
	return 0
}

// AddPseudo judges a pseudo-header field, whose value is valid, and keeps it: each one once, before all regular fields, and none in trailers.
func (s *Section) AddPseudo(p Pseudo, value Span) Fault {
	switch {
	case s.Kind == TrailerSection:
		return FaultPseudoTrailers
	case s.regular:
		return FaultPseudoOrder
	case p == PseudoUnknown, (p == PseudoStatus) != (s.Kind == ResponseSection):
		return FaultPseudoUnknown
	case s.seen.has(p):
		return FaultPseudoTwice
	}
	s.seen |= 1 << p
	h := s.Head
	switch p {
	case PseudoMethod:
		h.Name = value
	case PseudoScheme:
		s.scheme = value
	case PseudoAuthority:
		h.Authority = value
	case PseudoPath:
		h.Target = value
	case PseudoProtocol:
		h.Protocol = value
	case PseudoStatus:
		return s.status(h.Bytes(value))
	}
	return 0
}

// status reads :status: three digits (RFC 9113 section 8.3.2), and not 101, which neither version has a use for (section 8.6).
func (s *Section) status(v []byte) Fault {
	if len(v) != 3 {
		return FaultStatus
	}
	n := uint16(0)
	for _, c := range v {
		if c < '0' || c > '9' {
			return FaultStatus
		}
		n = n*10 + uint16(c-'0')
	}
	if n < 100 || n > 599 || n == 101 {
		return FaultStatus
	}
	s.Head.Status = n
	return 0
}

// joinCookies makes one field of several (RFC 9113 section 8.2.3, RFC 9114 section 4.2.1), in the place of the first.
func (s *Section) joinCookies() {
	if s.cookies < 2 {
		return
	}
	h := s.Head
	off, first, kept := len(h.Buf), -1, 0
	for i := range h.Fields {
		f := h.Fields[i]
		if f.ID != FieldCookie {
			h.Fields[kept] = f
			kept++
			continue
		}
		if first < 0 {
			first = kept
			h.Fields[kept] = f
			kept++
		}
		if f.Value.Len() > 0 && len(h.Buf) > off {
			h.Buf = append(h.Buf, "; "...) // none at an end, where an empty crumb would leave one
		}
		h.Fields[first].Sensitive = h.Fields[first].Sensitive || f.Sensitive
		h.Buf = append(h.Buf, h.Bytes(f.Value)...)
	}
	h.Fields = h.Fields[:kept]
	h.Fields[first].Value = Span{Off: uint32(off), End: uint32(len(h.Buf))}
}
