package config

import (
	"bytes"
	"sort"
	"strings"
	"unicode/utf8"
)

// span is a range of bytes of the file.
type span struct{ off, end int }

// source is the text of a file with an index of its lines.
type source struct {
	name  string
	text  []byte
	lines []int // offset of the first byte of each line
}

func newSource(name string, text []byte) *source {
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // editors leave it there; it is no part of the document
	s := &source{name: name, text: text, lines: []int{0}}
	for i, c := range text {
		if c == '\n' {
			s.lines = append(s.lines, i+1)
		}
	}
	return s
}

// position returns the line and column of an offset, both from 1. Columns count characters, not bytes.
func (s *source) position(off int) (line, col int) {
	off = min(off, len(s.text))
	line = sort.SearchInts(s.lines, off+1)
	return line, utf8.RuneCount(s.text[s.lines[line-1]:off]) + 1
}

// line returns the text of a line (from 1), without its end.
func (s *source) line(n int) string {
	rest := s.text[s.lines[n-1]:]
	if i := bytes.IndexByte(rest, '\n'); i >= 0 {
		rest = rest[:i]
	}
	return printable(strings.TrimSuffix(string(rest), "\r"))
}

// printable replaces what would disturb a terminal or a log, character by character, so that columns stay what they are.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f || 0x80 <= r && r < 0xa0 {
			return utf8.RuneError
		}
		return r
	}, s) // Map turns each byte that is not UTF-8 into RuneError, as position counts it
}

// width is the number of characters of a span on its first line; at least 1, so that a caret is always seen.
func (s *source) width(at span) int {
	at.off, at.end = min(at.off, len(s.text)), min(at.end, len(s.text))
	if at.end <= at.off {
		return 1
	}
	b := s.text[at.off:at.end]
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		b = b[:i]
	}
	return max(1, utf8.RuneCount(b))
}
