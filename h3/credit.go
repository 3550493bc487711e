package h3

import (
	"sync"

	"github.com/quic-go/quic-go"
)

// credit is the streams of a connection that are over but whose place was not given back to the client yet.
//
// QUIC would give it back as soon as the client has acknowledged the end of the response: in a packet of its own, which the
// client acknowledges in turn. Given back when a later response is sent, it goes along with that one. So the last few are
// held, which a client with MaxStreams places does not miss.
type credit struct {
	most int // how many are held

	mu   sync.Mutex
	held [creditsHeldMax]*quic.Stream // a ring: the oldest is at next
	next int
}

// creditsHeldMax is how many places are held at most, and with them what QUIC has of those streams.
const creditsHeldMax = 4

// put holds a stream's place and returns one that has been held long enough; nil: none.
func (c *credit) put(q *quic.Stream) (old *quic.Stream) {
	if c.most == 0 {
		return q
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	old, c.held[c.next] = c.held[c.next], q
	c.next = (c.next + 1) % c.most
	return old
}

// release is called when everything was said on a stream. Its place goes back to the client once all of it has arrived too.
func (s *Stream) release() {
	if s.freed.Swap(true) {
		return
	}
	if old := s.Conn.credit.put(s.q); old != nil {
		old.ReleaseStreamCredit()
	}
}
