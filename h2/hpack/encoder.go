package hpack

import (
	"encoding/binary"

	"weir/internal/msg"
)

// memo is what the encoder remembers to decide in constant time. Both halves are direct-mapped by hash and may forget:
// that costs compression, never correctness, and leaves nothing to flood.
type memo struct {
	seen  [memoSlots]uint16 // the upper hash bits of a literal that was sent once; 0: none
	entry [memoSlots]uint16 // the low bits of the number of the last entry inserted with such a hash
}

const (
	memoSlots = 64
	memoBytes = memoSlots * 4
)

// Encoder turns fields into the field blocks of one direction of one connection. The zero Encoder is ready for use.
//
// A field enters the dynamic table the second time it is sent, so that values that never recur (request identifiers,
// dates of a quiet connection) displace nothing. Fields that hold secrets are never put into a table: the connections to
// servers are shared by clients who must not learn about each other from the length of a block (RFC 7541 section 7.1).
type Encoder struct {
	table  table
	memo   *memo
	floor  int  // lowest limit set since the last block
	update bool // the next block has to say that the limit changed
}

// SetLimit applies the peer's SETTINGS_HEADER_TABLE_SIZE: the table never holds more. The next block says so (RFC 7541
// section 4.2).
func (e *Encoder) SetLimit(n uint32) {
	size := int(min(n, TableBytes))
	if size == e.table.limit() {
		return
	}
	if !e.update || size < e.floor {
		e.floor = size
	}
	e.update = true
	e.table.setLimit(size)
}

// Begin starts a block: it appends the table size updates that are due, the lowest one first (RFC 7541 section 4.2).
func (e *Encoder) Begin(dst []byte) []byte {
	if !e.update {
		return dst
	}
	e.update = false
	if e.floor < e.table.limit() {
		dst = appendInt(dst, 0x20, 5, uint32(e.floor))
	}
	return appendInt(dst, 0x20, 5, uint32(e.table.limit()))
}

// AppendStatus appends :status.
func (e *Encoder) AppendStatus(dst []byte, status uint16) []byte {
	switch status {
	case 200:
		return append(dst, 0x80|staticStatus200)
	case 204:
		return append(dst, 0x80|9)
	case 206:
		return append(dst, 0x80|10)
	case 304:
		return append(dst, 0x80|11)
	case 400:
		return append(dst, 0x80|12)
	case 404:
		return append(dst, 0x80|13)
	case 500:
		return append(dst, 0x80|14)
	}
	return append(dst, staticStatus200, 3, byte('0'+status/100%10), byte('0'+status/10%10), byte('0'+status%10))
}

// AppendMethod appends :method.
func (e *Encoder) AppendMethod(dst []byte, m msg.Method, name []byte) []byte {
	switch m {
	case msg.MethodGet:
		return append(dst, 0x80|staticMethodGet)
	case msg.MethodPost:
		return append(dst, 0x80|staticMethodPost)
	}
	return e.appendRecurring(dst, msg.PseudoMethod, staticMethodGet, name)
}

// AppendScheme appends :scheme.
func (e *Encoder) AppendScheme(dst []byte, tls bool) []byte {
	if tls {
		return append(dst, 0x80|staticSchemeTLS)
	}
	return append(dst, 0x80|staticSchemeHTTP)
}

// AppendAuthority appends :authority.
func (e *Encoder) AppendAuthority(dst, value []byte) []byte {
	return e.appendRecurring(dst, msg.PseudoAuthority, staticAuthority, value)
}

// AppendPath appends :path.
func (e *Encoder) AppendPath(dst, value []byte) []byte {
	switch string(value) {
	case "/":
		return append(dst, 0x80|staticPathRoot)
	case "/index.html":
		return append(dst, 0x80|staticPathIndex)
	}
	return e.appendRecurring(dst, msg.PseudoPath, staticPathRoot, value)
}

// AppendProtocol appends :protocol.
func (e *Encoder) AppendProtocol(dst, value []byte) []byte {
	return e.appendRecurring(dst, msg.PseudoProtocol, 0, value)
}

// AppendField appends a field. name may have upper-case letters and is sent without; id is its identity if it has one.
// sensitive: the sender has forbidden any table (RFC 7541 section 6.2.3).
func (e *Encoder) AppendField(dst []byte, id msg.FieldID, name, value []byte, sensitive bool) []byte {
	switch id {
	case msg.FieldAuthorization, msg.FieldProxyAuthorization, msg.FieldCookie, msg.FieldSetCookie:
		sensitive = true
	case msg.FieldContentLength, msg.FieldXRequestID:
		if !sensitive { // values that hardly ever recur: not worth a hash
			return appendLiteral(dst, 0x00, 4, staticName(id, name), name, value)
		}
	}
	if sensitive {
		return appendLiteral(dst, 0x10, 4, staticName(id, name), name, value)
	}
	h := hash(uint64(id)<<8, value)
	if id == msg.FieldOther {
		h = hash(h, name)
	}
	x := entry{id: id, hash: uint32(h >> 32)}
	if i := e.find(h, &x, name, value); i != 0 {
		return appendInt(dst, 0x80, 7, i)
	}
	return e.appendNew(dst, h, x, staticName(id, name), name, value)
}

// pseudoNames are the names that literals are sent with when the static table has none.
var pseudoNames = [...][]byte{
	msg.PseudoAuthority: []byte(":authority"), msg.PseudoMethod: []byte(":method"), msg.PseudoPath: []byte(":path"),
	msg.PseudoProtocol: []byte(":protocol"),
}

// appendRecurring appends a pseudo-header field, named by a static entry if index is not 0.
func (e *Encoder) appendRecurring(dst []byte, p msg.Pseudo, index uint8, value []byte) []byte {
	h := hash(uint64(p), value)
	x := entry{kind: uint8(p), hash: uint32(h >> 32)}
	if i := e.find(h, &x, nil, value); i != 0 {
		return appendInt(dst, 0x80, 7, i)
	}
	return e.appendNew(dst, h, x, index, pseudoNames[p], value)
}

// find returns the index of the entry like x with this name and value, or 0.
func (e *Encoder) find(h uint64, x *entry, name, value []byte) uint32 {
	if e.memo == nil {
		return 0
	}
	age := uint16(e.table.inserted) - e.memo.entry[h%memoSlots]
	if age == 0 || uint32(age) > e.table.count {
		return 0
	}
	c := e.table.newest(uint32(age) - 1)
	if c.hash != x.hash || c.id != x.id || c.kind != x.kind || !e.table.holds(c, name, value) {
		return 0
	}
	return staticCount + uint32(age)
}

// entryBytesMax is the largest entry worth inserting: larger ones would empty the table for one field.
const entryBytesMax = TableBytes / 4

// appendNew appends a field that the table does not hold, and inserts it if it was met before.
func (e *Encoder) appendNew(dst []byte, h uint64, x entry, index uint8, name, value []byte) []byte {
	if e.memo == nil {
		e.memo = new(memo)
	}
	mark := uint16(h>>16) | 1
	size := len(name) + len(value) + entryOverhead
	if seen := &e.memo.seen[h%memoSlots]; *seen != mark || size > entryBytesMax || size > e.table.limit() {
		*seen = mark
		return appendLiteral(dst, 0x00, 4, index, name, value)
	}
	dst = appendLiteral(dst, 0x40, 6, index, name, value)
	e.memo.entry[h%memoSlots] = uint16(e.table.inserted)
	e.table.insert(x, name, value)
	return dst
}

// appendLiteral appends a literal field whose first octet has the given pattern above a prefix of n bits. index names it
// by a table entry; 0 spells the name out, in lower case.
func appendLiteral(dst []byte, pattern byte, n uint, index uint8, name, value []byte) []byte {
	dst = appendInt(dst, pattern, n, uint32(index))
	if index == 0 {
		dst = appendInt(dst, 0, 7, uint32(len(name)))
		for _, c := range name {
			dst = append(dst, lower[c])
		}
	}
	dst = appendInt(dst, 0, 7, uint32(len(value)))
	return append(dst, value...)
}

// appendInt appends an integer with a prefix of n bits below pattern (RFC 7541 section 5.1).
func appendInt(dst []byte, pattern byte, n uint, v uint32) []byte {
	full := uint32(1)<<n - 1
	if v < full {
		return append(dst, pattern|byte(v))
	}
	dst = append(dst, pattern|byte(full))
	for v -= full; v >= 0x80; v >>= 7 {
		dst = append(dst, byte(v)|0x80)
	}
	return append(dst, byte(v))
}

// hash mixes b into h eight bytes at a time. It needs to be quick, not strong: see memo.
func hash(h uint64, b []byte) uint64 {
	const k = 0x9e3779b97f4a7c15
	h = (h ^ uint64(len(b))) * k
	for len(b) >= 8 {
		h = (h ^ binary.LittleEndian.Uint64(b)) * k
		h ^= h >> 32
		b = b[8:]
	}
	var tail uint64
	for i, c := range b {
		tail |= uint64(c) << (8 * i)
	}
	h = (h ^ tail) * k
	return h ^ h>>29
}
