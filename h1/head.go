package h1

import (
	"bytes"

	"weir/internal/msg"
)

// recvHead waits for a whole head. While it is incomplete nothing is consumed; each complete line is checked once when
// it arrives, and the head is parsed into h once it is all there, so that a head which drips in costs two passes in all
// and a head which comes at once costs one.
func (r *Reader) recvHead(b []byte, h *msg.Head) (ev Event, n int, f msg.Fault) {
	blank := 0
	if r.seen == 0 {
		if blank, f = r.skipBlank(b); f != 0 {
			return
		}
		b = b[blank:]
	}
	if len(b) == 0 || r.seen == 0 && len(b) == 1 && b[0] == '\r' {
		return ev, blank, 0
	}
	head, f := r.section(b, h)
	if f != 0 || head == 0 {
		return ev, blank, f
	}
	if f = r.finishHead(h); f != 0 {
		return
	}
	return Event{Kind: Head}, blank + head, 0
}

// skipBlank counts the bytes of empty lines before a request line (RFC 9112 section 2.2), and refuses at its first byte
// what cannot become a head, such as a TLS handshake on a cleartext port.
func (r *Reader) skipBlank(b []byte) (n int, f msg.Fault) {
	if !r.request {
		if len(b) > 0 && b[0] != 'H' {
			return 0, msg.FaultStatusLine
		}
		return 0, 0
	}
	for n+1 < len(b) && b[n] == '\r' && b[n+1] == '\n' {
		if r.blanks++; r.blanks > blankLinesMax {
			return 0, msg.FaultRequestLine
		}
		n += 2
	}
	if n < len(b) && !msg.IsToken(b[n]) && (b[n] != '\r' || n+1 < len(b)) {
		return 0, msg.FaultRequestLine
	}
	return n, 0
}

// section reads a head, or a trailer section, from the start of b. n is its length, or 0 while it is incomplete.
//
// A faulty line is refused when its end has arrived or the limit is reached, not before, so that the outcome does not
// depend on how the bytes were cut.
func (r *Reader) section(b []byte, h *msg.Head) (n int, f msg.Fault) {
	full := len(b) >= int(r.headMax)
	if full {
		b = b[:r.headMax]
	}
	if r.seen > 0 && !full {
		if int(r.seen) >= len(b) {
			return 0, 0 // nothing new, or less than last time because the caller has less room for the body
		}
		if bytes.IndexByte(b[r.seen:], '\n') < 0 {
			r.seen = uint32(len(b))
			return 0, 0
		}
	}
	s := scanner{b: b, at: int(r.line), lines: int(r.lines), h: h, fields: h.Fields[:0]}
	done, f := s.scan(r)
	if done && r.line > 0 {
		s = scanner{b: b, h: h, fields: s.fields[:0]}
		done, f = s.scan(r)
	}
	h.Fields = s.fields
	if done {
		r.line, r.seen, r.lines = 0, 0, 0
		h.Buf = b[:s.at:s.at]
		return s.at, 0
	}
	if full || f != 0 && bytes.IndexByte(b[s.at:], '\n') >= 0 {
		if f == 0 {
			f = r.tooLarge(s.at)
		}
		return 0, f
	}
	r.line, r.seen, r.lines = uint32(s.at), uint32(len(b)), uint16(s.lines)
	return 0, 0
}

// tooLarge says what was too large when the limit came before the end of the line at at.
func (r *Reader) tooLarge(at int) msg.Fault {
	if at == 0 && r.request && r.state == stateHead {
		return msg.FaultTargetSize
	}
	return msg.FaultHeadSize
}

// scanner is one pass over the lines of a section.
type scanner struct {
	b      []byte
	at     int // start of the first line that is not scanned yet
	lines  int // field lines before it
	h      *msg.Head
	fields []msg.Field
}

// scan reads lines until the empty one, the end of b, or a fault in the line at s.at.
func (s *scanner) scan(r *Reader) (done bool, f msg.Fault) {
	if s.at == 0 && r.state == stateHead {
		if r.request {
			f = s.requestLine()
		} else {
			f = s.statusLine()
		}
		if f != 0 || s.at == 0 {
			return false, f
		}
	}
	return s.fieldLines()
}

// fieldLines reads field lines (RFC 9112 section 5) and the empty line after them.
func (s *scanner) fieldLines() (done bool, f msg.Fault) {
	b := s.b
	for {
		at := s.at
		i := at
		for i < len(b) && msg.IsToken(b[i]) {
			i++
		}
		if i == len(b) {
			return false, 0
		}
		if b[i] != ':' || i == at {
			return s.notField(i)
		}
		v := i + 1
		for v < len(b) && (b[v] == ' ' || b[v] == '\t') {
			v++
		}
		end := msg.ScanValue(b, v)
		if end+1 >= len(b) {
			if end < len(b) && b[end] != '\r' {
				return false, valueFault(b[end])
			}
			return false, 0
		}
		if b[end] != '\r' || b[end+1] != '\n' {
			return false, valueFault(b[end])
		}
		if s.lines++; s.lines > msg.FieldsMax {
			return false, msg.FaultFieldCount
		}
		s.at = end + 2
		line := v == i+2 && b[i+1] == ' '
		for end > v && (b[end-1] == ' ' || b[end-1] == '\t') {
			end--
			line = false
		}
		f := s.field()
		f.Name = msg.Span{Off: uint32(at), End: uint32(i)}
		f.Value = msg.Span{Off: uint32(v), End: uint32(end)}
		f.ID = msg.LookupField(b[at:i])
		f.Drop = false
		f.Line = line
	}
}

// field makes room for one more field, whose old content shows. Appending a composite literal would build it on the stack
// first and copy it, which costs a tenth of a small request (BenchmarkParseSmallRequest).
func (s *scanner) field() *msg.Field {
	n := len(s.fields)
	if n < cap(s.fields) {
		s.fields = s.fields[:n+1]
	} else {
		s.fields = append(s.fields, msg.Field{})
	}
	return &s.fields[n]
}

// notField says what the line at s.at is whose name ends at i: the empty line, incomplete, or faulty.
func (s *scanner) notField(i int) (done bool, f msg.Fault) {
	b, c := s.b, s.b[i]
	switch {
	case c == '\r' && i+1 == len(b):
		return false, 0
	case c == '\r' && b[i+1] == '\n':
		if i > s.at {
			return false, msg.FaultColon
		}
		s.at += 2
		return true, 0
	case c == '\r', c == '\n':
		return false, msg.FaultLineEnd
	case c == ' ' || c == '\t':
		if i == s.at {
			return false, msg.FaultFold // RFC 9112 sections 2.2 and 5.2
		}
		return false, msg.FaultSpaceColon // RFC 9112 section 5.1
	}
	return false, msg.FaultFieldName
}

func valueFault(c byte) msg.Fault {
	if c == '\r' || c == '\n' {
		return msg.FaultLineEnd
	}
	return msg.FaultFieldValue
}
