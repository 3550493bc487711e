package engine

import "weir/netio"

// connTable finds a connection by the token of its events. An entry's generation changes with every use, so that an event
// queued for a descriptor before it was closed finds nothing.
type connTable struct {
	entries []connEntry
	free    []uint32
}

type connEntry struct {
	c          *conn
	generation uint32
}

// add gives c a token.
func (t *connTable) add(c *conn) {
	if len(t.free) == 0 {
		t.free = append(t.free, uint32(len(t.entries)))
		t.entries = append(t.entries, connEntry{generation: 1})
	}
	i := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	t.entries[i].c = c
	c.token = netio.NewToken(i, t.entries[i].generation)
}

// get returns the connection of a token, or nil if it is gone.
func (t *connTable) get(tok netio.Token) *conn {
	i := tok.Index()
	if int(i) >= len(t.entries) || t.entries[i].generation != tok.Generation() {
		return nil
	}
	return t.entries[i].c
}

// remove takes c's token back.
func (t *connTable) remove(c *conn) {
	e := &t.entries[c.token.Index()]
	if e.c != c {
		panic("engine: connection removed twice")
	}
	e.c = nil
	if e.generation++; e.generation&generationMask == 0 {
		e.generation = 1
	}
	t.free = append(t.free, c.token.Index())
}

// generationMask leaves the top bit of a token to listeners.
const generationMask = 1<<31 - 1

// each calls f for every connection of the table. f may close connections.
func (t *connTable) each(f func(*conn)) {
	for i := range t.entries {
		if c := t.entries[i].c; c != nil {
			f(c)
		}
	}
}
