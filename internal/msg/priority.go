package msg

// Priority is what a client has said about the order of responses (RFC 9218 section 4).
type Priority struct {
	Urgency     uint8 // 0 to 7, the lowest first
	Incremental bool  // partial responses are of use: share the bandwidth among them
}

// PriorityDefault is where a Priority field starts from that leaves something out (RFC 9218 section 4).
var PriorityDefault = Priority{Urgency: 3}

// PriorityUnsaid is for requests of which nothing was said. RFC 9218 section 4.2 would serve them one after the other;
// clients that say nothing do not know of it, and a response among theirs that never ends would starve the rest.
var PriorityUnsaid = Priority{Urgency: 3, Incremental: true}

// Read reads a Priority field value, a dictionary of structured fields (RFC 8941 section 3.2): p with what the value
// changes. Members that are unknown, malformed or out of range are ignored (RFC 9218 section 4). A comma inside a string
// splits too: what comes of that is malformed.
func (p Priority) Read(v []byte) Priority {
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
