package h2

import "weir/internal/msg"

// Priority is what a client has said about the order of responses.
type Priority = msg.Priority

// urgencyCount is how many urgencies there are (RFC 9218 section 4.1).
const urgencyCount = 8

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
