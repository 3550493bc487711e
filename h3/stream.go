package h3

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"weir/internal/msg"
)

// Stream is one request and its response. It is not used again for another, so that a message which comes late finds it
// ended instead of another client's.
//
// The exported fields and methods are the worker's, from OnHead on.
type Stream struct {
	Conn  *Conn
	Head  *msg.Head // of the request, vetted by nobody yet; FreeHead when it was copied
	Fault *Error    // why there will be no more of the request than this: to be answered, not passed on
	Ended bool      // the request has no body
	Early bool      // it came in TLS 0-RTT and may be a replay (RFC 8470)
	User  any

	q     *quic.Stream
	recv  recvSide
	send  sendSide
	freed atomic.Bool // its credit was given to conn.credit
	stop  func() bool // ends Watch; nil: it has not begun. Under send.mu
	cause atomic.Pointer[Cause]
}

// Cause says why a stream or connection has ended before its time.
type Cause struct {
	Err  *Error // not nil: the client's mistake
	Code Code   // otherwise: the code that the client gave, or zero
}

// ID is the stream's identifier.
func (s *Stream) ID() int64 { return int64(s.q.StreamID()) }

// Cause is why the stream ended early; nil: it did not.
func (s *Stream) Cause() *Cause { return s.cause.Load() }

// FreeHead gives the head's memory back.
func (s *Stream) FreeHead() {
	if s.Head != nil {
		freeHead(s.Head)
		s.Head = nil
	}
}

// SetPriority says where the response stands among the others of its connection.
func (s *Stream) SetPriority(p Priority) { s.q.SetPriority(int8(p.Urgency), p.Incremental) }

// Watch has OnReset called as soon as the client does not want the response any more. It is worth its cost for requests
// that take long: the others find out when they send (see the worker's tick).
func (s *Stream) Watch() {
	d := &s.send
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state != sendClosed && s.stop == nil {
		s.stop = context.AfterFunc(s.q.Context(), s.onCancelled)
	}
}

// onCancelled runs when the response cannot be sent any more: the client does not want it, or the connection is gone, of
// which OnGone tells.
func (s *Stream) onCancelled() {
	if code, ok := resetCode(context.Cause(s.q.Context())); ok {
		s.taken(code)
	}
}

// taken is called when the client has taken the request back.
func (s *Stream) taken(code Code) {
	if s.cause.CompareAndSwap(nil, &Cause{Code: code}) {
		if err := s.Conn.budget.charge(abuseReset, time.Now()); err != nil {
			s.Conn.fail(err)
		}
		s.Conn.sink.OnReset(s)
	}
}

// fail ends the stream, or the connection, because of what the client did. told: the worker knows the stream.
func (s *Stream) fail(err *Error, told bool) {
	if err.Conn {
		s.Conn.fail(err)
		return
	}
	s.q.CancelRead(quic.StreamErrorCode(err.Code))
	defer s.release()
	if !s.cause.CompareAndSwap(nil, &Cause{Err: err}) {
		return
	}
	s.q.CancelWrite(quic.StreamErrorCode(err.Code))
	if e := s.Conn.budget.charge(abuseMadeUs, time.Now()); e != nil {
		s.Conn.fail(e)
	}
	if told {
		s.Conn.sink.OnReset(s)
	} else {
		s.Conn.sink.OnMalformed(s)
	}
}

// Reset ends the stream in both directions. What was not sent is lost.
func (s *Stream) Reset(code Code) {
	s.StopReading(code)
	s.cut(code)
}

// unwatch is called before we end the response ourselves. The caller holds send.mu.
func (s *Stream) unwatch() {
	if s.stop != nil {
		s.stop()
	}
}
