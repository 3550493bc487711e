package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// table renders rows under a header, columns aligned, numbers to the right. Cells never hold white space and are never
// empty, so that awk and sort see as many fields in every line as in the header; only a last column of prose may.
type table struct {
	header []string
	rows   [][]string
	words  int  // how many of the first columns are words, aligned to the left
	prose  bool // the last column is a sentence
}

func newTable(words int, header ...string) *table { return &table{header: header, words: words} }

// add appends a row of values as fmt prints them.
func (t *table) add(values ...any) {
	if len(values) != len(t.header) {
		panic(fmt.Sprintf("admin: row of %d cells under a header of %d", len(values), len(t.header)))
	}
	row := make([]string, len(values))
	for i, v := range values {
		row[i] = cell(fmt.Sprint(v), t.prose && i == len(values)-1)
	}
	t.rows = append(t.rows, row)
}

// cell makes text safe for a terminal and for field-splitting: some of it (a path, a name) is not ours.
func cell(s string, prose bool) string {
	if s == "" {
		return "-"
	}
	return strings.Map(func(r rune) rune {
		if r == ' ' && prose {
			return r
		}
		if r <= ' ' || r == 0x7f || r == utf8.RuneError || r >= 0x80 && r < 0xa0 {
			return '_'
		}
		return r
	}, s)
}

// String is the table with a line feed after every line.
func (t *table) String() string {
	width := make([]int, len(t.header))
	for _, row := range append([][]string{t.header}, t.rows...) {
		for i, c := range row {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	var b strings.Builder
	t.line(&b, t.header, width)
	for _, row := range t.rows {
		t.line(&b, row, width)
	}
	return b.String()
}

func (t *table) line(b *strings.Builder, row []string, width []int) {
	for i, c := range row {
		pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c))
		switch {
		case i >= t.words:
			b.WriteString(pad + c)
		case i < len(row)-1:
			b.WriteString(c + pad)
		default:
			b.WriteString(c) // no blanks at the end of a line
		}
		if i < len(row)-1 {
			b.WriteString("  ")
		}
	}
	b.WriteByte('\n')
}

// object is a JSON object that keeps its order: the order of the columns.
type object []member

type member struct {
	key   string
	value any
}

// MarshalJSON writes the members in order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := json.Marshal(m.key)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
