package h2

// state is where a stream is in its life (RFC 9113 section 5.1). There is no reserved state: nothing is pushed.
//
//	              head                     END_STREAM sent
//	idle ─────────────────────► open ─────────────────────────► halfLocal
//	  │                          │ │                                │
//	  │ head with END_STREAM     │ └──── reset, either side ────┐   │ END_STREAM received,
//	  │                          │ END_STREAM received          │   │ or reset
//	  └──► halfLocal, halfRemote ▼                              ▼   ▼
//	                         halfRemote ─────────────────────► closed
//	                                      END_STREAM sent, or reset
type state uint8

const (
	stateIdle       state = iota // exactly when it is opened by Open and no head was sent
	stateOpen                    // exactly when neither side has ended its direction
	stateHalfLocal               // exactly when only we have ended ours
	stateHalfRemote              // exactly when only the peer has ended its direction
	stateClosed                  // exactly when both have, or either has reset it
)

// stateNext says which edges there are.
var stateNext = [...]uint8{
	stateIdle:       1<<stateOpen | 1<<stateHalfLocal | 1<<stateHalfRemote | 1<<stateClosed,
	stateOpen:       1<<stateHalfLocal | 1<<stateHalfRemote | 1<<stateClosed,
	stateHalfLocal:  1 << stateClosed,
	stateHalfRemote: 1 << stateClosed,
}

// end is why a stream is closed. A closed stream keeps it, because it decides what frames that arrive late mean.
type end uint8

const (
	endNone   end = iota // exactly when the stream is not closed
	endWhole             // exactly when both sides sent END_STREAM
	endByPeer            // exactly when the peer reset it
	endByUs              // exactly when we reset it, by the caller's will or for the peer's error
)

// Stream is one stream. The caller that has it from EventHead, EventRefused excepted, or from Open may use it until
// Forget. Everything but ID and User is the connection's.
type Stream struct {
	ID   uint32 // 0 until a stream from Open has sent its head
	User any    // the caller's

	state state
	end   end
	msgs  messages
	send  int32 // what the peer's window for the stream has left; may be negative (RFC 9113 section 6.9.2)
	recv  recvWindow
	body  bodyLength
	rest  int64 // of the body that we send, as far as it is known
	prio  Priority
	queue queueLinks
	live  liveLinks
}

// messages is what has to be remembered about the two messages of a stream.
type messages uint8

const (
	msgRspHead messages = 1 << iota // the final response's head was sent or received
	msgHead                         // the request's method is HEAD: the response has no body whatever its fields say
	msgConnect                      // the request's method is CONNECT
	msgTunnel                       // there are no messages any more, only bytes both ways
)

func (m messages) has(f messages) bool { return m&f != 0 }

// bodyLength is what content-length promised and DATA has not yet brought (RFC 9113 section 8.1.1).
type bodyLength struct {
	left  int64
	known bool
}

// sendable reports whether DATA may be sent on the stream.
func (s *Stream) sendable() bool { return s.state == stateOpen || s.state == stateHalfRemote }

// receiving reports whether the peer may send a message or more of it.
func (s *Stream) receiving() bool { return s.state == stateOpen || s.state == stateHalfLocal }

// Closed reports whether the stream is at its end: both messages were carried, or it was reset.
func (s *Stream) Closed() bool { return s.state == stateClosed }

// Whole reports whether the stream is closed and was not reset.
func (s *Stream) Whole() bool { return s.end == endWhole }

// setState moves the stream, and with it the number of those that count against SETTINGS_MAX_CONCURRENT_STREAMS.
func (c *Conn) setState(s *Stream, to state) {
	if s.state >= stateClosed || stateNext[s.state]&(1<<to) == 0 {
		panic("h2: stream state goes where there is no way")
	}
	s.state = to
	if to == stateClosed {
		c.streams.active--
		c.sched.remove(s)
	}
}

// endRemote moves the stream when the peer's END_STREAM arrived.
func (c *Conn) endRemote(s *Stream) {
	if s.state == stateHalfLocal {
		c.finish(s)
		return
	}
	c.setState(s, stateHalfRemote)
}

// endLocal moves the stream when our END_STREAM was appended.
func (c *Conn) endLocal(s *Stream) {
	c.sched.remove(s)
	if s.state == stateHalfRemote {
		c.finish(s)
		return
	}
	c.setState(s, stateHalfLocal)
}

func (c *Conn) finish(s *Stream) {
	c.setState(s, stateClosed)
	s.end = endWhole
	c.budget.onStreamDone()
}

// cut closes the stream by reset. DATA of it that is under way goes by.
func (c *Conn) cut(s *Stream, why end) {
	if c.in.stream == s {
		c.discard()
	}
	if why == endByUs && s.receiving() {
		c.streams.recent.markCut(s.ID)
	}
	c.setState(s, stateClosed)
	s.end = why
}
