package h3

import (
	"github.com/quic-go/qpack"

	"weir/internal/msg"
)

// Field lines of QPACK (RFC 9204 section 4.5) without a dynamic table. The static table is quic-go/qpack's, which is also
// the oracle of the tests; why its decoder and encoder are not used is in docs/decisions/h3.md.

// staticSize is the number of entries of the static table (RFC 9204 appendix A).
const staticSize = 99

// staticField is an entry of the static table.
type staticField struct {
	name, value string
	id          msg.FieldID
	pseudo      msg.Pseudo
}

var (
	staticTable [staticSize]staticField
	// staticNames is the first entry that has a name.
	staticNames = map[string]uint8{}
	// staticStatus is the entry of a :status; 0, which is another field's, where there is none.
	staticStatus [600]uint8
)

const staticStatusName = 24 // an entry whose name is :status

func init() {
	for i := range staticTable {
		f, err := qpack.NewDecoder().Decode(appendInt([]byte{0, 0}, 0xc0, 6, uint64(i)))()
		if err != nil {
			panic("h3: the static table ends early")
		}
		staticTable[i] = staticField{f.Name, f.Value, msg.LookupField([]byte(f.Name)), msg.LookupPseudo([]byte(f.Name))}
		if _, ok := staticNames[f.Name]; !ok {
			staticNames[f.Name] = uint8(i)
		}
		if f.Name == ":status" {
			staticStatus[statusOf(f.Value)] = uint8(i)
		}
	}
}

func statusOf(s string) (n int) {
	for _, c := range s {
		n = n*10 + int(c-'0')
	}
	return n
}

// readInt reads an integer with a prefix of so many bits (RFC 7541 section 5.1). used is 0 when b ends before it does, or
// when it is larger than anything that we count.
func readInt(b []byte, prefix uint) (v uint64, used int) {
	if len(b) == 0 {
		return 0, 0
	}
	most := uint64(1)<<prefix - 1
	if v = uint64(b[0]) & most; v < most {
		return v, 1
	}
	for i, shift := 1, uint(0); i < len(b) && shift <= 28; i, shift = i+1, shift+7 {
		v += uint64(b[i]&0x7f) << shift
		if b[i]&0x80 == 0 {
			return v, i + 1
		}
	}
	return 0, 0
}

// appendInt appends an integer behind the bits of first.
func appendInt(dst []byte, first byte, prefix uint, v uint64) []byte {
	most := uint64(1)<<prefix - 1
	if v < most {
		return append(dst, first|byte(v))
	}
	dst = append(dst, first|byte(most))
	for v -= most; v >= 0x80; v >>= 7 {
		dst = append(dst, byte(v)|0x80)
	}
	return append(dst, byte(v))
}

// line is a decoded field line. Its text is in the head's Buf.
type line struct {
	name, value msg.Span
	static      *staticField // whose name it has; nil: a name of its own
	whole       bool         // the value is the static table's too
	sensitive   bool         // its sender forbade putting it into a table
}

// beginBlock reads a block's prefix. Without references to the dynamic table any base will do (RFC 9204 section 4.5.1.2).
func beginBlock(b []byte) (rest []byte, ok bool) {
	inserts, n := readInt(b, 8)
	if n == 0 || inserts != 0 {
		return nil, false
	}
	_, m := readInt(b[n:], 7)
	return b[n+m:], m > 0
}

// read decodes the line that b begins with and appends its text to h.Buf.
func (l *line) read(b []byte, h *msg.Head) (rest []byte, ok bool) {
	*l = line{}
	switch c := b[0]; {
	case c&0xc0 == 0xc0: // indexed, static
		if b, ok = l.reference(b, 6, h); ok {
			l.value, l.whole = h.PutString(l.static.value), true
		}
		return b, ok
	case c&0xd0 == 0x50: // literal value, name from the static table
		l.sensitive = c&0x20 != 0
		if b, ok = l.reference(b, 4, h); !ok {
			return nil, false
		}
	case c&0xe0 == 0x20: // literal name and value
		l.sensitive = c&0x10 != 0
		if l.name, b, ok = readString(b, 3, h); !ok {
			return nil, false
		}
	default: // everything else is of the dynamic table
		return nil, false
	}
	l.value, b, ok = readString(b, 7, h)
	return b, ok
}

// reference takes the name of an entry of the static table.
func (l *line) reference(b []byte, prefix uint, h *msg.Head) (rest []byte, ok bool) {
	i, n := readInt(b, prefix)
	if n == 0 || i >= staticSize {
		return nil, false
	}
	l.static = &staticTable[i]
	l.name = h.PutString(l.static.name)
	return b[n:], true
}

// readString reads a string whose length has a prefix of so many bits, with the bit that says Huffman before them.
func readString(b []byte, prefix uint, h *msg.Head) (s msg.Span, rest []byte, ok bool) {
	size, n := readInt(b, prefix)
	if n == 0 || size > uint64(len(b)-n) {
		return s, nil, false
	}
	coded := b[0]&(1<<prefix) != 0
	text, rest := b[n:n+int(size)], b[n+int(size):]
	if !coded {
		return h.Put(text), rest, true
	}
	off := len(h.Buf)
	h.Buf, ok = appendHuffman(h.Buf, text)
	return msg.Span{Off: uint32(off), End: uint32(len(h.Buf))}, rest, ok
}

// appendString appends a string, encoded if that is shorter. first holds the bits before the one that says Huffman.
func appendString(dst []byte, first byte, prefix uint, s []byte) []byte {
	if n := huffmanBytes(s); n < len(s) {
		return encodeHuffman(appendInt(dst, first|1<<prefix, prefix, uint64(n)), s)
	}
	return append(appendInt(dst, first, prefix, uint64(len(s))), s...)
}
