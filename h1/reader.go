package h1

import (
	"weir/internal/msg"
)

// Error is a static value that says what was wrong with the peer's bytes and which status answers it.
type Error = msg.Error

// Kind is what an Event reports.
type Kind uint8

// The kinds, in the order in which a message yields them.
const (
	None Kind = iota // exactly when the bytes at hand complete nothing; some may have been consumed
	Head             // exactly when a head is complete; interim responses come as heads with a status below 200
	Data             // exactly when there are body bytes, never none
	End              // exactly when the message is complete
)

// Event is at most one step of a message. Data aliases the input of the Recv that returned it.
type Event struct {
	Kind Kind
	Data []byte
}

type state uint8

// The states, in order of life.
const (
	stateQuiet     state = iota // responses: no request is waiting for one
	stateHead                   // before or inside a head
	stateEnd                    // everything came, End is due
	stateLength                 // inside a body of known length
	stateClose                  // inside a body that ends with the connection
	stateTunnel                 // bytes that are no message
	stateSize                   // at a chunk size's first digit or later
	stateExtName                // after ';'
	stateExtValue               // after '='
	stateExtToken               // inside an unquoted extension value
	stateExtQuoted              // inside a quoted extension value
	stateExtEscape              // after a backslash in it
	stateExtEnd                 // after its closing quote
	stateSizeLF                 // after the CR of a chunk-size line
	stateChunk                  // inside chunk data
	stateChunkCR                // after it
	stateChunkLF                // after it and its CR
	stateTrailers               // after the last chunk
	stateFailed                 // a fault was found; fault says which
)

// Reader turns the bytes of one connection into events. It keeps no bytes: what it could not use yet, the caller shows
// again with more behind it. It is used again for each message of the connection.
type Reader struct {
	left    int64 // bytes to come of the body, or of the chunk
	headMax uint32
	line    uint32 // stateHead, stateTrailers: start of the first line that was not complete last time
	seen    uint32 // the same: how many bytes were looked at; zero exactly when the head has not begun
	lines   uint16 // the same: field lines before line
	ext     uint16 // bytes of chunk extensions that no data has paid for
	state   state
	fault   msg.Fault
	request bool // the messages are requests
	digits  uint8
	blanks  uint8 // empty lines before a request line
	method  msg.Method
	upgrade bool // the request that is answered asked for Upgrade
}

const (
	blankLinesMax     = 16   // RFC 9112 section 2.2 asks for at least one
	chunkDigitsMax    = 16   // what an int64 can need
	extensionBytesMax = 4096 // beyond the body bytes received: bounds what a body of nothing but extensions costs
)

// InitRequests makes r read requests. headMax bounds a head in bytes, and a trailer section; the caller's buffer must be
// able to hold that much.
func (r *Reader) InitRequests(headMax int) {
	*r = Reader{headMax: uint32(headMax), request: true, state: stateHead}
}

// InitResponses makes r read responses. Each one must be announced with Expect.
func (r *Reader) InitResponses(headMax int) { *r = Reader{headMax: uint32(headMax)} }

// Expect announces the response to a request: its method, and whether it asked for Upgrade. It is called once for each
// request, after End of the response before.
func (r *Reader) Expect(method msg.Method, upgrade bool) {
	if r.request || r.state != stateQuiet {
		panic("h1: Expect inside a message")
	}
	r.state, r.method, r.upgrade = stateHead, method, upgrade
}

// Recv takes the next bytes and returns at most one event and how many bytes it used up; the rest is shown again. With
// None it wants more bytes than it was shown.
//
// At Head, h is the head, and h.Buf aliases the n bytes used (without any empty lines before a request line). At End,
// h.Fields and h.Buf are the trailer section, already vetted, and the rest of h is left alone. In between h is scratch
// space whose fields may change. A body that is known to be over yields its End from an empty b too.
//
// An absolute-form target without a path is completed in place, within the bytes used.
func (r *Reader) Recv(b []byte, h *msg.Head) (ev Event, n int, err *Error) {
	return r.RecvUpTo(b, len(b), h)
}

// RecvUpTo is Recv for a caller who can take only room bytes of a body. What frames the body is read all the same: who
// cuts b to its room instead may cut a chunk's size or a trailer short, and never come to its end. With None it may want
// room instead of more bytes; it comes to the end of a message without any.
func (r *Reader) RecvUpTo(b []byte, room int, h *msg.Head) (ev Event, n int, err *Error) {
	var f msg.Fault
	switch r.state {
	case stateHead:
		ev, n, f = r.recvHead(b, h)
	case stateEnd:
		ev = r.end(h)
	case stateLength:
		ev, n = r.recvLength(b[:min(len(b), room)])
	case stateClose, stateTunnel:
		if n = min(len(b), room); n > 0 {
			ev = Event{Data, b[:n:n]}
		}
	case stateQuiet:
		if len(b) > 0 {
			f = msg.FaultUnsolicited
		}
	case stateFailed:
		f = r.fault
	default:
		ev, n, f = r.recvChunked(b, room, h)
	}
	if f != 0 {
		return Event{}, 0, r.fail(f)
	}
	return ev, n, nil
}

func (r *Reader) fail(f msg.Fault) *Error {
	r.state, r.fault = stateFailed, f
	if r.request {
		return f.InRequest()
	}
	return f.InResponse()
}

func (r *Reader) recvLength(b []byte) (ev Event, n int) {
	n = len(b)
	if n == 0 {
		return
	}
	if int64(n) > r.left {
		n = int(r.left)
	}
	if r.left -= int64(n); r.left == 0 {
		r.state = stateEnd
	}
	return Event{Data, b[:n:n]}, n
}

// end is the end of a message without trailers.
func (r *Reader) end(h *msg.Head) Event {
	h.Fields = h.Fields[:0]
	r.rest()
	return Event{Kind: End}
}

// rest makes the reader ready for the next message.
func (r *Reader) rest() {
	*r = Reader{headMax: r.headMax, request: r.request}
	if r.request {
		r.state = stateHead
	}
}

// Idle reports whether the reader is between messages: a request has not begun, or no response is expected.
func (r *Reader) Idle() bool {
	return r.state == stateQuiet || r.request && r.state == stateHead && r.seen == 0
}

// InHead reports whether part of a head has arrived.
func (r *Reader) InHead() bool { return r.state == stateHead && r.seen > 0 }

// BodyLeft is how many bytes of the body are still to come, without trailers; -1 when that is not known yet.
func (r *Reader) BodyLeft() int64 {
	switch r.state {
	case stateQuiet, stateHead, stateEnd, stateTrailers, stateFailed:
		return 0
	case stateLength:
		return r.left
	}
	return -1
}

// EOF tells the reader that the peer ended its direction after everything that Recv was shown. End: that completed the
// message (a body or tunnel that ends with the connection, or one of which only End was due). None: nothing was begun.
// Else the message is truncated.
func (r *Reader) EOF() (Kind, *Error) {
	switch {
	case r.state == stateEnd, r.state == stateClose, r.state == stateTunnel:
		r.rest()
		return End, nil
	case r.state == stateFailed:
		return None, r.fail(r.fault)
	case r.Idle():
		return None, nil
	}
	return None, r.fail(msg.FaultTruncated)
}
