package h3

import "weir/internal/msg"

// fieldOverhead is what a field counts for besides its text (RFC 9114 section 4.2.2).
const fieldOverhead = 32

// section is a field section being decoded: a request's head, or its trailers.
type section struct {
	fields msg.Section
	max    int // bytes, as RFC 9114 section 4.2.2 counts them
	size   int
	large  bool // beyond max or msg.SectionLinesMax: nothing more was kept
}

// read decodes block and fills the head, which has its own bytes. A section that is too large is not read to its end.
func (sec *section) read(block []byte) *Error {
	rest, ok := beginBlock(block)
	if !ok {
		return errBlock
	}
	for l := (line{}); len(rest) > 0; {
		if rest, ok = l.read(rest, sec.fields.Head); !ok {
			return errBlock
		}
		sec.size += l.name.Len() + l.value.Len() + fieldOverhead
		if sec.size > sec.max || sec.fields.Full() {
			sec.large = true
			return nil
		}
		if fault := sec.add(&l); fault != 0 {
			return malformed[fault]
		}
	}
	return nil
}

// add judges one field and keeps it. What comes from the static table needs no judging but for where it stands.
func (sec *section) add(l *line) msg.Fault {
	f := msg.Field{Name: l.name, Value: l.value, Sensitive: l.sensitive}
	switch {
	case l.static == nil:
		return sec.fields.AddText(f)
	case !l.whole && !msg.ValidFieldValue(sec.fields.Head.Bytes(l.value)):
		return msg.FaultFieldValue
	case l.static.pseudo != msg.PseudoNone:
		return sec.fields.AddPseudo(l.static.pseudo, l.value)
	}
	f.ID = l.static.id
	return sec.fields.Add(f)
}

// finish judges the request as a whole. ended: the stream has ended behind it, so there is no content.
func (sec *section) finish(ended bool) *Error {
	return malformed[sec.fields.FinishRequest(true, ended)] // RFC 9220: extended CONNECT is always offered
}
