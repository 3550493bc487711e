package h2

import (
	"weir/h2/hpack"
	"weir/internal/msg"
)

const (
	// fieldLinesMax bounds the field lines of a section, cookie crumbs included. msg.FieldsMax holds after they are joined.
	fieldLinesMax = 1024
	// listBombFactor is how many times larger than the limit a section may decode to. Up to there it is decoded for the sake
	// of the compression context and answered; beyond, the peer is making work on purpose.
	listBombFactor = 16
)

// section is one field section being decoded: the head of a request or response, or trailers.
type section struct {
	head  *msg.Head
	fate  fate
	limit uint32
	size  uint32 // as RFC 9113 section 6.5.2 counts it
	large bool   // beyond the limit: nothing more is kept
	fault *Error // the first thing wrong with it

	pseudos  uint8 // bit p: pseudo-header field p was seen
	regular  bool  // a regular field was seen: pseudo-header fields must not follow
	host     int   // index of the host field, from 1; 0: none
	cookies  int
	scheme   msg.Span
	body     bodyLength
	priority Priority
	msgs     messages
}

func (sec *section) has(p hpack.Pseudo) bool { return sec.pseudos&(1<<p) != 0 }

// decode runs a block through the compression context and fills the section's head with what is wanted.
func (c *Conn) decode(block []byte, sec *section) *Error {
	sec.priority = msg.PriorityUnsaid
	block, err := c.dec.Begin(block)
	if err != nil {
		return errCompression
	}
	var f hpack.Field
	h := sec.head
	for len(block) > 0 {
		mark := len(h.Buf)
		if block, h.Buf, err = c.dec.Next(&f, block, h.Buf); err != nil {
			return errCompression
		}
		if sec.size += uint32(f.Size()); sec.size > sec.limit {
			sec.large = true
			if sec.size > listBombFactor*sec.limit {
				return errListBomb // CVE-2016-6581
			}
		}
		if sec.fate <= fateFaulty || sec.large || sec.fault != nil {
			h.Buf = h.Buf[:mark]
			continue
		}
		sec.fault = sec.add(&f)
	}
	return nil
}

// add judges one field and keeps it.
func (sec *section) add(f *hpack.Field) *Error {
	switch {
	case f.Pseudo != hpack.PseudoNone:
		return sec.addPseudo(f)
	case f.BadName:
		return errFieldName
	case f.BadValue:
		return errFieldValue
	}
	sec.regular = true
	h := sec.head
	if f.ID != msg.FieldOther {
		if e := sec.known(f, h.Buf[f.Value.Off:f.Value.End]); e != nil {
			return e
		}
	}
	if len(h.Fields) == fieldLinesMax {
		sec.large = true
		return nil
	}
	h.Fields = append(h.Fields, msg.Field{Name: f.Name, Value: f.Value, ID: f.ID, Sensitive: f.Sensitive})
	return nil
}

// known judges a field whose name means something to the framing of messages.
func (sec *section) known(f *hpack.Field, v []byte) *Error {
	switch f.ID {
	case msg.FieldConnection, msg.FieldKeepAlive, msg.FieldProxyConnection, msg.FieldTransferEncoding, msg.FieldUpgrade:
		return errHopField // RFC 9113 section 8.2.2
	case msg.FieldTE:
		if sec.fate != fateRequest || !msg.EqualFold(v, []byte("trailers")) {
			return errHopField
		}
	case msg.FieldContentLength:
		return sec.length(v)
	case msg.FieldHost:
		if sec.host != 0 {
			return errHost
		}
		sec.host = len(sec.head.Fields) + 1
	case msg.FieldCookie:
		sec.cookies++
	case msg.FieldPriority:
		if sec.fate == fateRequest {
			sec.priority = msg.PriorityDefault.Read(v)
		}
	}
	return nil
}

// length: one content-length, digits only (RFC 9110 section 8.6); in trailers it could only mislead.
func (sec *section) length(v []byte) *Error {
	n, ok := msg.ParseLength(v)
	if !ok || sec.body.known || sec.fate == fateTrailers {
		return errLength
	}
	sec.body = bodyLength{left: n, known: true}
	return nil
}

// addPseudo: RFC 9113 section 8.3. Each one once, before all regular fields, and none in trailers.
func (sec *section) addPseudo(f *hpack.Field) *Error {
	switch {
	case sec.fate == fateTrailers:
		return errTrailersPseudo
	case sec.regular:
		return errPseudoOrder
	case f.Pseudo == hpack.PseudoUnknown, (f.Pseudo == hpack.PseudoStatus) != (sec.fate == fateResponse):
		return errPseudoUnknown
	case sec.has(f.Pseudo):
		return errPseudoTwice
	case f.BadValue:
		return errFieldValue
	}
	sec.pseudos |= 1 << f.Pseudo
	h := sec.head
	switch f.Pseudo {
	case hpack.PseudoMethod:
		h.Name = f.Value
	case hpack.PseudoScheme:
		sec.scheme = f.Value
	case hpack.PseudoAuthority:
		h.Authority = f.Value
	case hpack.PseudoPath:
		h.Target = f.Value
	case hpack.PseudoProtocol:
		h.Protocol = f.Value
	case hpack.PseudoStatus:
		return sec.status(h.Bytes(f.Value))
	}
	return nil
}

// finish judges the section as a whole and completes its head.
func (sec *section) finish(c *Conn, s *Stream, end bool) *Error {
	switch {
	case sec.fate <= fateFaulty:
		return nil
	case sec.fault != nil:
		return sec.fault
	case sec.large:
		if sec.fate == fateRequest {
			sec.body = bodyLength{} // the caller answers without looking at the body
			sec.head.Framing = msg.BodyStream
			if end {
				sec.head.Framing = msg.BodyNone
			}
			return nil
		}
		return errListSize
	}
	switch sec.fate {
	case fateRequest:
		return sec.finishRequest(c.cfg.EnableConnect, end)
	case fateResponse:
		return sec.finishResponse(s.msgs, end)
	}
	return sec.finishTrailers(s)
}

// finishTrailers: they end a body, which must have been all that was promised.
func (sec *section) finishTrailers(s *Stream) *Error {
	if s.body.known && s.body.left != 0 {
		return errLengthDiffers
	}
	return nil
}

// joinCookies makes one field of several (RFC 9113 section 8.2.3), in the place of the first.
func (sec *section) joinCookies() {
	if sec.cookies < 2 {
		return
	}
	h := sec.head
	off, first, kept := len(h.Buf), -1, 0
	for i := range h.Fields {
		f := h.Fields[i]
		if f.ID != msg.FieldCookie {
			h.Fields[kept] = f
			kept++
			continue
		}
		if first < 0 {
			first = kept
			h.Fields[kept] = f
			kept++
		} else {
			h.Buf = append(h.Buf, "; "...)
			h.Fields[first].Sensitive = h.Fields[first].Sensitive || f.Sensitive
		}
		h.Buf = append(h.Buf, h.Buf[f.Value.Off:f.Value.End]...)
	}
	h.Fields = h.Fields[:kept]
	h.Fields[first].Value = msg.Span{Off: uint32(off), End: uint32(len(h.Buf))}
}
