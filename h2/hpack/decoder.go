package hpack

import (
	"errors"

	"weir/internal/msg"
)

// What can be wrong with a block. Each one is a connection error of type COMPRESSION_ERROR (RFC 9113 section 4.3): the
// tables of the two sides differ from then on.
var (
	errTruncated = errors.New("field block ends inside a field")
	errInteger   = errors.New("integer too large")
	errIndex     = errors.New("index points nowhere")
	errHuffman   = errors.New("malformed Huffman code")
	errUpdate    = errors.New("table size update out of place")
	errLimit     = errors.New("table size above the limit")
)

// Field is one decoded field. Its spans lie in the buffer that Next appended to.
type Field struct {
	Name, Value msg.Span
	ID          msg.FieldID
	Pseudo      msg.Pseudo
	BadName     bool // not a lower-case token (RFC 9113 section 8.2.1); never set for pseudo-header fields
	BadValue    bool // a control byte, or white space at an end
	Sensitive   bool // never to be put into a table (RFC 7541 section 6.2.3)
}

// Size is what the field counts towards SETTINGS_MAX_HEADER_LIST_SIZE (RFC 9113 section 6.5.2).
func (f *Field) Size() int { return f.Name.Len() + f.Value.Len() + entryOverhead }

// An entry's kind: the Pseudo identity below the verdict.
const (
	kindPseudo   = 1<<4 - 1
	kindBadName  = 1 << 4
	kindBadValue = 1 << 5
)

func (f *Field) kind() (k uint8) {
	k = uint8(f.Pseudo)
	if f.BadName {
		k |= kindBadName
	}
	if f.BadValue {
		k |= kindBadValue
	}
	return k
}

func (f *Field) setKind(k uint8) {
	f.Pseudo, f.BadName, f.BadValue = msg.Pseudo(k&kindPseudo), k&kindBadName != 0, k&kindBadValue != 0
}

// Decoder turns the field blocks of one direction of one connection into fields. The zero Decoder is ready for use.
type Decoder struct{ table table }

// Begin starts a block: it applies the table size updates that may stand there and nowhere else (RFC 7541 section 4.2),
// and returns what follows them.
func (d *Decoder) Begin(block []byte) ([]byte, error) {
	for len(block) > 0 && block[0]>>5 == 1 {
		n, rest, err := readInt(block, 5)
		if err != nil {
			return nil, err
		}
		if n > TableBytes {
			return nil, errLimit
		}
		d.table.setLimit(int(n))
		block = rest
	}
	return block, nil
}

// Next decodes the first field of the block, which must not be empty: it appends name and value to buf and describes them
// in f. It returns what is left of the block, and buf. After an error the Decoder is of no more use.
func (d *Decoder) Next(f *Field, block, buf []byte) (rest, _ []byte, err error) {
	switch b := block[0]; {
	case b&0x80 != 0: // RFC 7541 section 6.1
		return d.indexed(f, block, buf)
	case b&0x40 != 0: // section 6.2.1
		return d.literal(f, block, buf, 6)
	case b&0x20 != 0:
		return nil, buf, errUpdate
	default: // sections 6.2.2 and 6.2.3
		rest, buf, err = d.literal(f, block, buf, 4)
		f.Sensitive = b&0x10 != 0
		return rest, buf, err
	}
}

func (d *Decoder) indexed(f *Field, block, buf []byte) (rest, _ []byte, err error) {
	n, rest, err := readInt(block, 7)
	if err != nil {
		return nil, buf, err
	}
	buf, err = d.name(f, n, buf)
	if err != nil {
		return nil, buf, err
	}
	off := len(buf)
	if n <= staticCount {
		buf = append(buf, staticTable[n].value...)
	} else {
		e := d.table.newest(n - staticCount - 1)
		buf = d.table.appendValue(buf, e)
		f.BadValue = e.kind&kindBadValue != 0
	}
	f.Value = msg.Span{Off: uint32(off), End: uint32(len(buf))}
	return rest, buf, nil
}

// literal decodes a field with a literal value; prefix is 6 when it enters the table, else 4.
func (d *Decoder) literal(f *Field, block, buf []byte, prefix uint) (rest, _ []byte, err error) {
	n, rest, err := readInt(block, prefix)
	if err != nil {
		return nil, buf, err
	}
	if n != 0 {
		buf, err = d.name(f, n, buf)
	} else {
		rest, buf, err = literalName(f, rest, buf)
	}
	if err != nil {
		return nil, buf, err
	}
	rest, buf, err = literalValue(f, rest, buf)
	if err == nil && prefix == 6 {
		d.table.insert(entry{id: f.ID, kind: f.kind()}, buf[f.Name.Off:f.Name.End], buf[f.Value.Off:f.Value.End])
	}
	return rest, buf, err
}

// name appends the name of table entry n and makes f a field of that name.
func (d *Decoder) name(f *Field, n uint32, buf []byte) ([]byte, error) {
	*f = Field{}
	off := len(buf)
	switch {
	case n == 0:
		return buf, errIndex
	case n <= staticCount:
		e := &staticTable[n]
		buf = append(buf, e.name...)
		f.ID, f.Pseudo = e.id, e.pseudo
	default:
		e := d.table.newest(n - staticCount - 1)
		if e == nil {
			return buf, errIndex
		}
		buf = d.table.appendName(buf, e)
		f.ID = e.id
		f.setKind(e.kind &^ kindBadValue)
	}
	f.Name = msg.Span{Off: uint32(off), End: uint32(len(buf))}
	return buf, nil
}

// literalName decodes a name and finds out what it is.
func literalName(f *Field, block, buf []byte) (rest, _ []byte, err error) {
	*f = Field{}
	f.Name, rest, buf, err = readString(block, buf)
	if err != nil {
		return nil, buf, err
	}
	name := buf[f.Name.Off:f.Name.End]
	switch {
	case len(name) > 0 && name[0] == ':':
		f.Pseudo = msg.LookupPseudo(name)
	case !msg.ValidFieldName(name):
		f.BadName = true
	default:
		f.ID = msg.LookupField(name)
	}
	return rest, buf, nil
}

func literalValue(f *Field, block, buf []byte) (rest, _ []byte, err error) {
	f.Value, rest, buf, err = readString(block, buf)
	if err != nil {
		return nil, buf, err
	}
	f.BadValue = !msg.ValidFieldValue(buf[f.Value.Off:f.Value.End])
	return rest, buf, nil
}

// readString appends a string literal to buf (RFC 7541 section 5.2).
func readString(block, buf []byte) (s msg.Span, rest, _ []byte, err error) {
	if len(block) == 0 {
		return s, nil, buf, errTruncated
	}
	coded := block[0]&0x80 != 0
	n, rest, err := readInt(block, 7)
	if err != nil {
		return s, nil, buf, err
	}
	if uint64(n) > uint64(len(rest)) {
		return s, nil, buf, errTruncated
	}
	s.Off = uint32(len(buf))
	if coded {
		var ok bool
		if buf, ok = appendHuffman(buf, rest[:n]); !ok {
			return s, nil, buf, errHuffman
		}
	} else {
		buf = append(buf, rest[:n]...)
	}
	s.End = uint32(len(buf))
	return s, rest[n:], buf, nil
}

// intBytesMax bounds the octets of an integer behind its prefix: four carry 28 bits, more than any length or index here.
// A longer one is malformed even if it is zeros (RFC 7541 section 5.1 lets a decoder set such limits).
const intBytesMax = 4

// readInt decodes an integer with a prefix of n bits (RFC 7541 section 5.1). b is not empty.
func readInt(b []byte, n uint) (v uint32, rest []byte, err error) {
	full := uint32(1)<<n - 1
	if v = uint32(b[0]) & full; v < full {
		return v, b[1:], nil
	}
	for i := 1; i <= intBytesMax; i++ {
		if i >= len(b) {
			return 0, nil, errTruncated
		}
		v += uint32(b[i]&0x7f) << (7 * (i - 1))
		if b[i] < 0x80 {
			return v, b[i+1:], nil
		}
	}
	return 0, nil, errInteger
}
