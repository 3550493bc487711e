package h3

// Priority is what a client has said about the order of responses (RFC 9218 section 4).
type Priority struct {
	Urgency     uint8 // 0 to 7, the lowest first
	Incremental bool  // partial responses are of use: share the bandwidth among them
}

// urgencyDefault: RFC 9218 section 4.1.
const urgencyDefault = 3

// priorityDefault is for requests of which nothing was said. RFC 9218 section 4.2 would serve them one after the other;
// clients that say nothing do not know of it, and a response among theirs that never ends would starve the rest.
var priorityDefault = Priority{Urgency: urgencyDefault, Incremental: true}

// parsePriority reads a Priority field value, a dictionary of structured fields (RFC 8941 section 3.2), into p. Members
// that are unknown, malformed or out of range are ignored (RFC 9218 section 4).
func parsePriority(v []byte, p Priority) Priority {
	for len(v) > 0 {
		var m []byte
		m, v = nextMember(v)
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

// nextMember splits the first member off, without the white space around it. A comma inside a string splits too: what
// comes of that is malformed, and ignored.
func nextMember(v []byte) (m, rest []byte) {
	m = v
	for i, c := range v {
		if c == ',' {
			m, rest = v[:i], v[i+1:]
			break
		}
	}
	for len(m) > 0 && (m[0] == ' ' || m[0] == '\t') {
		m = m[1:]
	}
	for len(m) > 0 && (m[len(m)-1] == ' ' || m[len(m)-1] == '\t') {
		m = m[:len(m)-1]
	}
	return m, rest
}

// earlyUpdates is how many PRIORITY_UPDATE frames for requests that have not come yet are remembered. They travel on
// another stream than the request and may overtake it (RFC 9218 section 7.2).
const earlyUpdates = 8

// early is a ring of them.
type early struct {
	ids   [earlyUpdates]int64 // a request's stream + 1; 0: empty
	prios [earlyUpdates]Priority
	at    uint8
}

// put remembers the latest update for a stream.
func (e *early) put(id int64, p Priority) {
	for i, x := range e.ids {
		if x == id+1 {
			e.prios[i] = p
			return
		}
	}
	e.ids[e.at], e.prios[e.at] = id+1, p
	e.at = (e.at + 1) % earlyUpdates
}

// take returns and forgets the update for a stream.
func (e *early) take(id int64) (p Priority, ok bool) {
	for i, x := range e.ids {
		if x == id+1 {
			e.ids[i] = 0
			return e.prios[i], true
		}
	}
	return p, false
}
