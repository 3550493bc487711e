package h2

import (
	"weir/h2/hpack"
	"weir/internal/msg"
)

// listBombFactor is how many times larger than the limit a section may decode to. Up to there it is decoded for the sake
// of the compression context and answered; beyond, the peer is making work on purpose.
const listBombFactor = 16

// section is one field section being decoded: the head of a request or response, or trailers.
type section struct {
	fields msg.Section
	fate   fate
	limit  uint32
	size   uint32 // as RFC 9113 section 6.5.2 counts it
	large  bool   // beyond the limit: nothing more is kept
	fault  msg.Fault

	priority Priority
	msgs     messages
}

// sectionKinds say what is judged as what.
var sectionKinds = [...]msg.SectionKind{fateRequest: msg.RequestSection, fateResponse: msg.ResponseSection,
	fateTrailers: msg.TrailerSection}

func newSection(h *msg.Head, f fate, limit uint32) section {
	return section{fields: msg.NewSection(h, sectionKinds[f]), fate: f, limit: limit, priority: msg.PriorityUnsaid}
}

// decode runs a block through the compression context and fills the section's head with what is wanted.
func (c *Conn) decode(block []byte, sec *section) *Error {
	block, err := c.dec.Begin(block)
	if err != nil {
		return errCompression
	}
	var f hpack.Field
	h := sec.fields.Head
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
		if sec.fate <= fateFaulty || sec.large || sec.fault != 0 {
			h.Buf = h.Buf[:mark]
			continue
		}
		sec.fault = sec.add(&f)
	}
	return nil
}

// add judges one field and keeps it.
func (sec *section) add(f *hpack.Field) msg.Fault {
	switch {
	case f.BadName:
		return msg.FaultFieldName
	case f.BadValue:
		return msg.FaultFieldValue
	case f.Pseudo != msg.PseudoNone:
		return sec.fields.AddPseudo(f.Pseudo, f.Value)
	case sec.fields.Full():
		sec.large = true
		return 0
	case f.ID == msg.FieldPriority && sec.fate == fateRequest:
		sec.priority = msg.PriorityDefault.Read(sec.fields.Head.Bytes(f.Value))
	}
	return sec.fields.Add(msg.Field{Name: f.Name, Value: f.Value, ID: f.ID, Sensitive: f.Sensitive})
}

// finish judges the section as a whole and completes its head.
func (sec *section) finish(c *Conn, s *Stream, end bool) *Error {
	switch {
	case sec.fate <= fateFaulty:
		return nil
	case sec.fault != 0:
		return malformed[sec.fault]
	case sec.large && sec.fate == fateRequest:
		sec.fields.Length = msg.LengthUnsaid // the caller answers without looking at the body
		if !end {
			sec.fields.Head.Framing = msg.BodyStream
		}
		return nil
	case sec.large:
		return errListSize
	}
	switch sec.fate {
	case fateRequest:
		return malformed[sec.finishRequest(c.cfg.EnableConnect, end)]
	case fateResponse:
		return malformed[sec.finishResponse(s.msgs, end)]
	}
	if s.body.known && s.body.left != 0 { // trailers end a body, which must have been all that was promised
		return errLengthDiffers
	}
	return nil
}

func (sec *section) finishRequest(connectEnabled, end bool) msg.Fault {
	f := sec.fields.FinishRequest(connectEnabled, end)
	if sec.fields.Head.Method == msg.MethodConnect {
		sec.msgs |= msgConnect | msgTunnel
	}
	return f
}

func (sec *section) finishResponse(req messages, end bool) msg.Fault {
	to := msg.MethodOther
	switch {
	case req.has(msgConnect):
		to = msg.MethodConnect
	case req.has(msgHead):
		to = msg.MethodHead
	}
	f := sec.fields.FinishResponse(to, end)
	if status := sec.fields.Head.Status; to == msg.MethodConnect && status >= 200 && status < 300 {
		sec.msgs |= msgTunnel
	}
	return f
}

// body is what the section promised.
func (sec *section) body() bodyLength {
	return bodyLength{left: max(sec.fields.Length, 0), known: sec.fields.Length != msg.LengthUnsaid}
}
