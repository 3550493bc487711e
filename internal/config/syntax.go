package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// Bounds that keep a hostile or binary file from costing more than it is worth.
const (
	fileBytesMax    = 16 << 20
	syntaxErrorsMax = 20
)

// parseTree reads the whole file. After a syntax error it goes on with the next line that looks like the start of an
// expression, so that one missing quote does not hide what is wrong further down.
//
// lost reports that a table header was among what had to be skipped: then names that later seem undefined may well be
// defined in the part that could not be read.
func (l *loader) parseTree() (root *table, lost bool) {
	p := new(unstable.Parser)
	// A full slice expression: the parser tells offsets by the capacity that is left.
	data := l.src.text[:len(l.src.text):len(l.src.text)]
	t := &tree{p: p, errorf: l.errorf, place: l.place, root: &table{origin: header}}
	t.current = t.root
	for range syntaxErrorsMax {
		p.Reset(data)
		for p.NextExpression() {
			t.expression(p.Expression())
		}
		err := p.Error()
		if err == nil {
			return t.root, lost
		}
		at := l.syntaxError(p, err)
		from, next := l.resume(at.off)
		if t.current != nil {
			t.current.broken = true
		}
		if firstByte(data[from:]) == '[' {
			t.current, lost = nil, true
		}
		if next >= len(data) {
			return t.root, lost
		}
		data = blank(data, next)
	}
	return t.root, true
}

// syntaxError reports a parser error and returns its place.
func (l *loader) syntaxError(p *unstable.Parser, err error) span {
	var pe *unstable.ParserError
	if !errors.As(err, &pe) {
		panic("config: the TOML parser returned an error that has no position: " + err.Error())
	}
	at := span{len(p.Data()), len(p.Data())}
	if len(pe.Highlight) > 0 {
		at = rangeSpan(p.Range(pe.Highlight))
	}
	message, hint := pe.Message, ""
	switch {
	case message == "strings must be quoted", strings.HasSuffix(message, "at start of value") && l.wordAt(at.off):
		message, hint = "strings must be quoted", l.quoteHint(at.off)
	case strings.HasSuffix(message, "cannot have new lines"):
		message = "the closing quote is missing"
	}
	l.problem(Error, at, hint, message)
	return at
}

// wordAt reports whether a letter stands at an offset.
func (l *loader) wordAt(off int) bool {
	return off < len(l.src.text) && isAlnum(l.src.text[off])
}

// quoteHint shows the word at an offset in quotes: timeout = 5s.
func (l *loader) quoteHint(off int) string {
	line, _ := l.src.position(off)
	text := l.src.line(line)
	start := min(off-l.src.lines[line-1], len(text))
	end := start
	isWord := func(c byte) bool {
		return c > ' ' && c != ',' && c != ']' && c != '}' && c != '#' && c != '='
	}
	for start > 0 && isWord(text[start-1]) {
		start--
	}
	for end < len(text) && isWord(text[end]) {
		end++
	}
	return fmt.Sprintf("write %q", text[start:end])
}

// resume returns the start of the line with an error and the offset from which to go on: the next line that begins with
// a key and an equals sign, or with a header. A line of a broken multi-line array looks like neither.
func (l *loader) resume(off int) (from, next int) {
	line, _ := l.src.position(off)
	from = l.src.lines[line-1]
	for n := line + 1; n <= len(l.src.lines); n++ {
		if looksLikeExpression(l.src.line(n)) {
			return from, l.src.lines[n-1]
		}
	}
	return from, len(l.src.text)
}

func looksLikeExpression(line string) bool {
	b := bytes.TrimLeft([]byte(line), " \t")
	if len(b) == 0 {
		return false
	}
	if b[0] == '[' {
		b = bytes.TrimRight(bytes.TrimLeft(b, "[ \t"), " \t")
		n := keyLen(b)
		return n > 0 && (n == len(b) || b[n] == ']') // a header, or one that lacks its bracket
	}
	n := keyLen(b)
	rest := bytes.TrimLeft(b[n:], " \t")
	return n > 0 && len(rest) > 0 && rest[0] == '='
}

// keyLen is the length of the bare or dotted key at the start of b.
func keyLen(b []byte) int {
	for i, c := range b {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '"', c == '\'':
		default:
			return i
		}
	}
	return len(b)
}

func firstByte(b []byte) byte {
	b = bytes.TrimLeft(b, " \t")
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

// blank is a copy of data in which everything before off is spaces and line ends, so that offsets stay what they are.
func blank(data []byte, off int) []byte {
	out := make([]byte, len(data))
	copy(out[off:], data[off:])
	for i := range off {
		if out[i] = ' '; data[i] == '\n' {
			out[i] = '\n'
		}
	}
	return out
}
