package h2

// Priority is what a client has said about the order of responses (RFC 9218 section 4).
type Priority struct {
	Urgency     uint8 // 0 to 7, the lowest first
	Incremental bool  // partial responses are of use: share the bandwidth among them
}

const (
	urgencyCount   = 8
	urgencyDefault = 3
)

// priorityDefault is for streams of which nothing was said. RFC 9218 section 4.2 would serve them one after the other;
// clients that say nothing do not know of it, and a stream among theirs that never ends would starve the rest.
var priorityDefault = Priority{Urgency: urgencyDefault, Incremental: true}

// parsePriority reads a Priority field value, a dictionary of structured fields (RFC 8941 section 3.2), into p. Members
// that are unknown, malformed or out of range are ignored (RFC 9218 section 4); a value that cannot be read changes
// nothing it has not come to.
func parsePriority(v []byte, p Priority) Priority {
	for len(v) > 0 {
		var m []byte
		m, v = dictMember(v)
		switch {
		case len(m) >= 3 && m[0] == 'u' && m[1] == '=' && '0' <= m[2] && m[2] <= '7' && memberEnds(m[3:]):
			p.Urgency = m[2] - '0'
		case len(m) >= 1 && m[0] == 'i' && memberEnds(m[1:]):
			p.Incremental = true
		case len(m) >= 4 && string(m[:3]) == "i=?" && (m[3] == '0' || m[3] == '1') && memberEnds(m[4:]):
			p.Incremental = m[3] == '1'
		}
	}
	return p
}

// memberEnds reports whether nothing but parameters follow.
func memberEnds(b []byte) bool { return len(b) == 0 || b[0] == ';' }

// dictMember splits the first member off, without the white space around it. Commas inside strings split too: what comes
// of that is malformed and ignored.
func dictMember(v []byte) (m, rest []byte) {
	for i, c := range v {
		if c == ',' {
			m, rest = v[:i], v[i+1:]
			break
		}
	}
	if rest == nil && m == nil {
		m = v
	}
	for len(m) > 0 && (m[0] == ' ' || m[0] == '\t') {
		m = m[1:]
	}
	for len(m) > 0 && (m[len(m)-1] == ' ' || m[len(m)-1] == '\t') {
		m = m[:len(m)-1]
	}
	return m, rest
}

// priorityFromField is what a Priority field in a request says: where it says nothing, RFC 9218's defaults hold.
func priorityFromField(v []byte) Priority {
	return parsePriority(v, Priority{Urgency: urgencyDefault})
}

// earlyUpdates is how many PRIORITY_UPDATE frames for streams that are not open yet are remembered; RFC 9218 section 7.1
// asks for some.
const earlyUpdates = 4

// early is a ring of them. An identifier of 0 is an empty place.
type early struct {
	ids   [earlyUpdates]uint32
	prios [earlyUpdates]Priority
	at    uint8
}

// put remembers the latest update for a stream.
func (e *early) put(id uint32, p Priority) {
	for i, x := range e.ids {
		if x == id {
			e.prios[i] = p
			return
		}
	}
	e.ids[e.at], e.prios[e.at] = id, p
	e.at = (e.at + 1) % earlyUpdates
}

// take returns and forgets the update for a stream.
func (e *early) take(id uint32) (p Priority, ok bool) {
	for i, x := range e.ids {
		if x == id {
			e.ids[i] = 0
			return e.prios[i], true
		}
	}
	return p, false
}
