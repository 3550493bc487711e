package h3

import "weir/internal/msg"

// Priority is what a client has said about the order of responses.
type Priority = msg.Priority

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
