package hpack

// verify panics when the table's books do not balance. Tests call it after every step.
func (t *table) verify() {
	size, text := 0, uint32(0)
	end := uint32(0)
	for i := t.inserted - t.count; i != t.inserted; i++ {
		e := t.at(i)
		if text > 0 && uint32(e.off) != end&uint32(len(t.text)-1) {
			panic("hpack: entry's text is not behind its predecessor's")
		}
		end = uint32(e.off) + uint32(e.name) + uint32(e.value)
		size += e.size()
		text += uint32(e.name) + uint32(e.value)
	}
	if size != t.size || text != t.textLen || size > t.limit() || int(t.count) > len(t.entries) || int(text) > len(t.text) {
		panic("hpack: table size differs from the sum of its entries")
	}
	if len(t.text) > TableBytes || len(t.entries) > entriesMax {
		panic("hpack: table memory above its bound")
	}
}
