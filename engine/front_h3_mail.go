package engine

import (
	"net/netip"

	"weir/h3"
)

// h3Sink is where the connections of one address report that belong to one worker: it posts what they say. The records of
// h3 are themselves the messages, under other types, so that posting allocates nothing.
type h3Sink struct {
	w    *worker // only its mail may be used
	addr netip.AddrPort
}

func (k *h3Sink) OnConn(c *h3.Conn)                { k.w.mail.Post((*h3ConnMail)(c)) }
func (k *h3Sink) OnHead(s *h3.Stream)              { k.w.mail.Post((*h3HeadMail)(s)) }
func (k *h3Sink) OnData(_ *h3.Stream, p *h3.Piece) { k.w.mail.Post((*h3DataMail)(p)) }
func (k *h3Sink) OnReset(s *h3.Stream)             { k.w.mail.Post((*h3ResetMail)(s)) }
func (k *h3Sink) OnMalformed(s *h3.Stream)         { k.w.mail.Post((*h3MalformedMail)(s)) }
func (k *h3Sink) OnRoom(s *h3.Stream)              { k.w.mail.Post((*h3RoomMail)(s)) }
func (k *h3Sink) OnGone(c *h3.Conn)                { k.w.mail.Post((*h3GoneMail)(c)) }

func (k *h3Sink) OnPriority(c *h3.Conn, stream int64, p h3.Priority) {
	k.w.mail.Post(&h3PriorityMail{c, stream, p})
}

type (
	h3ConnMail      h3.Conn
	h3GoneMail      h3.Conn
	h3HeadMail      h3.Stream
	h3ResetMail     h3.Stream
	h3MalformedMail h3.Stream
	h3RoomMail      h3.Stream
	h3DataMail      h3.Piece
	h3PriorityMail  struct {
		conn     *h3.Conn
		stream   int64
		priority h3.Priority
	}
)

// h3Session is the session of a connection; nil when there is none any more.
func h3Session(c *h3.Conn) *frontH3 {
	f, _ := c.User.(*frontH3)
	return f
}

// h3Exchange is the exchange's side of a stream; nil when there is none any more.
func h3Exchange(s *h3.Stream) *h3Front {
	t, _ := s.User.(*h3Front)
	return t
}

func (m *h3ConnMail) deliver(w *worker) { w.openH3((*h3.Conn)(m)) }

func (m *h3GoneMail) deliver(*worker) {
	if f := h3Session((*h3.Conn)(m)); f != nil {
		f.onGone()
	}
}

func (m *h3HeadMail) deliver(*worker) {
	s := (*h3.Stream)(m)
	if f := h3Session(s.Conn); f != nil {
		f.onHead(s)
		return
	}
	s.FreeHead()
	s.Reset(h3.RequestRejected)
}

func (m *h3ResetMail) deliver(*worker) {
	s := (*h3.Stream)(m)
	if t := h3Exchange(s); t != nil {
		why := causeClientClosed
		if c := s.Cause(); c.Err != nil {
			why = causeBadRequest
			t.f.refused(s)
		}
		t.leave(why)
	}
}

func (m *h3MalformedMail) deliver(*worker) {
	s := (*h3.Stream)(m)
	if f := h3Session(s.Conn); f != nil {
		f.refused(s)
	}
}

func (m *h3RoomMail) deliver(*worker) {
	if t := h3Exchange((*h3.Stream)(m)); t != nil {
		t.onRoom()
	}
}

func (m *h3DataMail) deliver(*worker) {
	p := (*h3.Piece)(m)
	if t := h3Exchange(p.Stream); t != nil {
		t.onData(p)
		return
	}
	p.Free()
}

func (m *h3PriorityMail) deliver(*worker) {
	f := h3Session(m.conn)
	if f == nil {
		return
	}
	for t := f.first; t != nil; t = t.next {
		if t.stream.ID() == m.stream {
			t.stream.SetPriority(m.priority)
			return
		}
	}
}
