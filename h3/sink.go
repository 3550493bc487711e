package h3

import "weir/internal/msg"

// Sink is where a worker's connections report. Every method is called from one of this package's goroutines and must not
// block: it is for posting a message to the worker, who then calls the methods of Conn, Stream and Piece that are its.
//
// For one stream OnHead comes first, then OnData in order; OnReset and OnRoom come whenever they come, OnReset also
// before OnHead. For one connection OnConn comes before everything else. Nothing comes after OnGone but what was already
// on its way.
type Sink interface {
	OnConn(c *Conn)                               // the client may send requests
	OnHead(s *Stream)                             // a request: Stream.Head, Fault, Ended
	OnData(s *Stream, p *Piece)                   // more of its body; it is the receiver's to Free
	OnReset(s *Stream)                            // the client has taken the request back, or it was malformed: Stream.Cause
	OnMalformed(s *Stream)                        // a request that was ended before OnHead: to be counted, Stream.Cause
	OnRoom(s *Stream)                             // Stream.Room has come back
	OnPriority(c *Conn, stream int64, p Priority) // for a request that OnHead has told of, or is about to
	OnGone(c *Conn)                               // nothing goes through the connection any more: Conn.Cause
}

// Piece is a part of a request's body.
type Piece struct {
	Stream   *Stream
	Data     []byte
	End      bool      // the request is whole
	Trailers *msg.Head // with End; nil: none
	buf      *block
}

// Free gives the piece's memory back. The caller must not use it any more.
func (p *Piece) Free() {
	if p.buf != nil {
		p.buf.free()
	}
	if p.Trailers != nil {
		freeHead(p.Trailers)
	}
	*p = Piece{}
	pieces.Put(p)
}
