package hpack

import "weir/internal/msg"

// TableBytes is the size that dynamic tables have in both directions, as RFC 7541 section 4.1 counts it. It is the
// protocol's initial value (RFC 9113 section 6.5.2), so nothing has to be negotiated before the first request.
const TableBytes = 4096

// entryOverhead is what an entry counts beyond its text (RFC 7541 section 4.1).
const entryOverhead = 32

// Worst-case memory of a Decoder and an Encoder together: both rings of both tables, and the encoder's memo. A table of
// TableBytes has at most TableBytes/32 entries, and text only in what they leave over.
const (
	entriesMax = TableBytes / entryOverhead
	MemoryMax  = 2*(TableBytes+entriesMax*12) + memoBytes
)

// The sizes that the rings start with; they double when they must.
const (
	textBytesMin = 512
	entriesMin   = 8
)

// entry is one field of the dynamic table. Its text is in the table's ring, name first, and may wrap.
type entry struct {
	off         uint16 // of the name in the ring
	name, value uint16 // bytes
	id          msg.FieldID
	kind        uint8  // the Pseudo identity and the verdict flags
	hash        uint32 // encoder: of name and value
}

func (e entry) size() int { return int(e.name) + int(e.value) + entryOverhead }

// table is a dynamic table (RFC 7541 section 2.3.2): first in, first out, bounded by limit. Its memory is nothing until
// the first insertion. Positions count up for ever and are taken modulo the power of two that a ring's length is.
type table struct {
	entries  []entry
	text     []byte
	inserted uint32 // entries ever inserted; the newest is inserted-1
	count    uint32 // live entries, the newest ones
	textEnd  uint32 // position behind the newest entry's text
	textLen  uint32 // bytes of live text
	size     int    // as RFC 7541 section 4.1 counts it
	shrunk   int    // how far the limit of size is below TableBytes, so that a zero table has the protocol's initial one
}

// at returns live entry number n of those ever inserted.
func (t *table) at(n uint32) *entry { return &t.entries[n&uint32(len(t.entries)-1)] }

// newest returns the entry that is i places behind the newest one, or nil.
func (t *table) newest(i uint32) *entry {
	if i >= t.count {
		return nil
	}
	return t.at(t.inserted - 1 - i)
}

// limit is what size may not exceed.
func (t *table) limit() int { return TableBytes - t.shrunk }

// setLimit changes the limit to at most TableBytes and evicts what exceeds it (RFC 7541 section 4.3).
func (t *table) setLimit(n int) {
	t.shrunk = TableBytes - n
	t.evict(0)
}

// evict makes room for an entry of the given size (RFC 7541 section 4.4).
func (t *table) evict(size int) {
	for t.count > 0 && t.size+size > t.limit() {
		e := t.at(t.inserted - t.count)
		t.size -= e.size()
		t.textLen -= uint32(e.name) + uint32(e.value)
		t.count--
	}
}

// insert adds e with the given text. An entry larger than the table empties it and is not an error (RFC 7541 section
// 4.4). name and value must not be parts of the table's own text; callers copy an entry out before they refer to it, which
// also settles the case that RFC 7541 section 4.4 warns of: a name taken from an entry that the insertion evicts.
func (t *table) insert(e entry, name, value []byte) bool {
	size := len(name) + len(value) + entryOverhead
	t.evict(size)
	if size > t.limit() {
		return false
	}
	t.reserve(uint32(len(name) + len(value)))
	e.off = uint16(t.textEnd & uint32(len(t.text)-1))
	e.name, e.value = uint16(len(name)), uint16(len(value))
	t.write(name)
	t.write(value)
	t.textLen += uint32(len(name) + len(value))
	t.size += size
	t.inserted++
	t.count++
	*t.at(t.inserted - 1) = e
	return true
}

// reserve grows the rings so that one more entry with n bytes of text fits.
func (t *table) reserve(n uint32) {
	if int(t.count) == len(t.entries) {
		t.growEntries(max(entriesMin, 2*len(t.entries)))
	}
	if need := int(t.textLen + n); need > len(t.text) || t.text == nil {
		size := max(textBytesMin, 2*len(t.text))
		for size < need {
			size *= 2
		}
		t.growText(size)
	}
}

func (t *table) growEntries(n int) {
	old := *t
	t.entries = make([]entry, n)
	for i := t.inserted - t.count; i != t.inserted; i++ {
		*t.at(i) = *old.at(i)
	}
}

// growText moves the live text to the front of a larger ring, oldest entry first.
func (t *table) growText(n int) {
	text := make([]byte, 0, n)
	for i := t.inserted - t.count; i != t.inserted; i++ {
		e := t.at(i)
		off := uint16(len(text))
		text = t.appendText(text, uint32(e.off), uint32(e.name)+uint32(e.value))
		e.off = off
	}
	t.textEnd = uint32(len(text))
	t.text = text[:n]
}

// write puts b behind the newest text.
func (t *table) write(b []byte) {
	at := t.textEnd & uint32(len(t.text)-1)
	if n := copy(t.text[at:], b); n < len(b) {
		copy(t.text, b[n:])
	}
	t.textEnd += uint32(len(b))
}

// appendText appends n bytes of the ring from off on.
func (t *table) appendText(dst []byte, off, n uint32) []byte {
	if n == 0 {
		return dst
	}
	off &= uint32(len(t.text) - 1)
	if end := off + n; end > uint32(len(t.text)) {
		dst = append(dst, t.text[off:]...)
		return append(dst, t.text[:end-uint32(len(t.text))]...)
	}
	return append(dst, t.text[off:off+n]...)
}

func (t *table) appendName(dst []byte, e *entry) []byte {
	return t.appendText(dst, uint32(e.off), uint32(e.name))
}

func (t *table) appendValue(dst []byte, e *entry) []byte {
	return t.appendText(dst, uint32(e.off)+uint32(e.name), uint32(e.value))
}

// holds reports whether entry e has this value, and this name without regard to case: the encoder keeps names as it was
// given them, and sends them in lower case. Entries with an identity are told apart by it.
func (t *table) holds(e *entry, name, value []byte) bool {
	if int(e.value) != len(value) || !t.equal(uint32(e.off)+uint32(e.name), value) {
		return false
	}
	if e.id != msg.FieldOther || e.kind != 0 {
		return true
	}
	if int(e.name) != len(name) {
		return false
	}
	for i, c := range name {
		if lower[t.text[(uint32(e.off)+uint32(i))&uint32(len(t.text)-1)]] != lower[c] {
			return false
		}
	}
	return true
}

// equal reports whether the ring holds b from off on.
func (t *table) equal(off uint32, b []byte) bool {
	off &= uint32(len(t.text) - 1)
	first := min(len(b), len(t.text)-int(off))
	return string(t.text[off:int(off)+first]) == string(b[:first]) && string(t.text[:len(b)-first]) == string(b[first:])
}
