package sim

import (
	"net/netip"

	"weir/internal/mono"
	"weir/netio"
)

// state is where a socket is in its life.
//
//	listening ──────────────────────────────┐
//	connecting ──► open ──► dead            │ Close
//	     └──────────────────►▲ ◄────────────┘
type state uint8

const (
	stateListening  state = iota // exactly while it takes connections
	stateConnecting              // from the SYN until the other end's answer
	stateOpen                    // both directions may carry bytes, or the end of either is known
	stateDead                    // reset, refused, or closed with nothing left to say
)

// socket is one end of a connection, or a listener.
type socket struct {
	net           *Net
	fd            int // -1: a script's, or not accepted yet, or closed
	local, remote netip.AddrPort
	state         state
	err           netio.IO // what the next call will be told, once; OK: nothing
	orphan        bool     // closed by its owner; what was sent still goes out

	peer    *socket // the other end, once it answered
	recv    recvSide
	send    sendSide
	watch   watched
	backlog backlog
	onEdge  func() // a script's, instead of an event
}

// recvSide is what has arrived.
type recvSide struct {
	bytes []byte
	max   int
	fin   bool // the peer ended its direction, after the bytes
}

// sendSide is what is leaving.
type sendSide struct {
	bytes   []byte // not on the wire yet: the other end has no room
	max     int
	flight  int       // on the wire, not arrived
	unacked int       // on the wire or arrived, not acknowledged
	last    mono.Time // when the last thing on the wire arrives: nothing overtakes it
	full    bool      // a send was short: tell when there is room (SOCK_NOSPACE)
	shut    bool      // our direction is ended, after the bytes
	finSent bool
}

// watched is a socket's registration with a kernel.
type watched struct {
	by     *Kernel
	token  netio.Token
	index  int  // in by.watched
	queued bool // in by.ready
}

// backlog is what a listener has to give.
type backlog struct {
	ready   []*socket
	pending int // handshakes that will end here
	max     int
}

func (n *Net) newSocket(local, remote netip.AddrPort) *socket {
	return &socket{net: n, fd: -1, local: local, remote: remote, state: stateConnecting,
		recv: recvSide{max: n.RecvBytes}, send: sendSide{max: n.SendBytes}}
}

// edge is a change that epoll reports, or that a script reacts to.
func (s *socket) edge() {
	if s.onEdge != nil {
		s.onEdge()
		return
	}
	if k := s.watch.by; k != nil && !s.watch.queued {
		s.watch.queued = true
		k.ready = append(k.ready, s)
	}
}

// room is how many bytes a send may take.
func (s *socket) room() int { return max(0, s.send.max-len(s.send.bytes)-s.send.unacked) }

// writable reports whether a third of the send buffer is free, which is when Linux says so.
func (s *socket) writable() bool { return 3*s.room() >= s.send.max }

// poll is the readiness, as tcp_poll computes it.
func (s *socket) poll() (r netio.Ready) {
	switch s.state {
	case stateListening:
		if len(s.backlog.ready) > 0 {
			return netio.Readable
		}
		return 0
	case stateConnecting:
		return 0
	}
	dead := s.state == stateDead
	if len(s.recv.bytes) > 0 {
		r |= netio.Readable
	}
	if s.recv.fin || dead {
		r |= netio.Readable | netio.PeerClosed
	}
	if s.send.shut || dead || s.writable() {
		r |= netio.Writable
	} else {
		s.send.full = true // asking for writability is enough to be told of it
	}
	if dead || s.recv.fin && s.send.shut || s.err != netio.OK {
		r |= netio.HungUp
	}
	return r
}

// take is recv(2), with Linux's order of answers: bytes that had arrived before a reset are still read, an end of the
// stream hides a later reset, an error is told once.
func (s *socket) take(p []byte) (int, netio.IO) {
	if len(s.recv.bytes) > 0 {
		n := copy(p, s.recv.bytes)
		s.recv.bytes = s.recv.bytes[n:]
		if len(s.recv.bytes) == 0 {
			s.recv.bytes = nil
		}
		s.windowOpened()
		return n, netio.OK
	}
	switch {
	case s.recv.fin:
		return 0, netio.EOF
	case s.err != netio.OK:
		return 0, s.takeErr()
	case s.state == stateDead:
		return 0, netio.EOF
	}
	return 0, netio.Again
}

// takeErr is the pending error, which is told once.
func (s *socket) takeErr() netio.IO {
	err := s.err
	s.err = netio.OK
	return err
}

// put is send(2) of several pieces.
func (s *socket) put(pieces ...[]byte) (n int, io netio.IO) {
	switch {
	case s.err != netio.OK:
		return 0, s.takeErr()
	case s.send.shut || s.state == stateDead:
		return 0, netio.Reset
	case s.state == stateConnecting:
		return 0, netio.Again
	}
	total := 0
	for _, p := range pieces {
		total += len(p)
	}
	if total == 0 {
		return 0, netio.OK
	}
	limit := s.room()
	if s.net.happens(s.net.Faults.ShortSend) {
		limit = s.shorten(min(limit, total))
	}
	for _, p := range pieces {
		m := min(len(p), limit-n)
		s.send.bytes = append(s.send.bytes, p[:m]...)
		n += m
	}
	if n < total {
		s.send.full = true
	}
	if n == 0 {
		return 0, netio.Again
	}
	s.pump()
	return n, netio.OK
}

// shorten is the fault of a socket that is full before its time, and has room a moment later.
func (s *socket) shorten(n int) int {
	n = s.net.rnd.IntN(n + 1)
	s.net.After(s.net.delay(s.remote), s.tellRoom)
	return n
}

// tellRoom reports that there is room again, if anyone wants to know.
func (s *socket) tellRoom() {
	if s.state == stateOpen && s.send.full && s.writable() {
		s.send.full = false
		s.edge()
	}
}

// shutdownSend is shutdown(2) of our direction.
func (s *socket) shutdownSend() {
	if s.state != stateOpen || s.send.shut {
		return
	}
	s.send.shut = true
	s.pump()
	s.edge()
}

// close is close(2). A RST tells the peer when bytes were not read, or when reset asks for it.
func (s *socket) close(reset bool) {
	s.orphan, s.onEdge = true, nil
	delete(s.net.flows, flow{s.local, s.remote})
	switch {
	case s.state == stateListening:
		s.closeListener()
	case s.state != stateOpen:
		s.state = stateDead
	case reset || len(s.recv.bytes) > 0:
		s.reset()
	default:
		s.send.shut = true
		s.pump()
	}
}

func (s *socket) closeListener() {
	s.state = stateDead
	n := s.net
	ls := n.listeners[s.local]
	for i, l := range ls {
		if l == s {
			ls = append(ls[:i:i], ls[i+1:]...)
			break
		}
	}
	if n.listeners[s.local] = ls; len(ls) == 0 {
		delete(n.listeners, s.local)
	}
	for _, c := range s.backlog.ready {
		c.reset()
	}
	s.backlog.ready = nil
}
