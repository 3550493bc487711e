package sim

import (
	"net/netip"
	"slices"
	"time"

	"weir/netio"
)

// synTries and synTimeout are Linux's: a SYN without answer is repeated after 1, 2, 4 … seconds, six times.
const (
	synTries   = 6
	synTimeout = time.Second
)

// transmit has something happen at the other end, behind everything sent before it.
func (s *socket) transmit(what string, arrive func(peer *socket)) {
	n, peer := s.net, s.peer
	if what != "" {
		n.trace("%v → %v: %s", s.local, s.remote, what)
	}
	at := max(n.now.Add(n.delay(s.remote)), s.send.last)
	s.send.last = at
	n.at(at, func() { arrive(peer) })
}

// connect sends the SYN.
func (s *socket) connect() {
	s.net.flows[flow{s.local, s.remote}] = struct{}{}
	s.net.After(s.net.delay(s.remote), func() { s.syn(0) })
}

// syn arrives where the connection is to go.
func (s *socket) syn(try int) {
	n := s.net
	if s.state != stateConnecting {
		return // given up meanwhile
	}
	route := n.routes[s.remote.Addr()]
	ls := n.listenersAt(s.remote)
	switch {
	case route.Unreachable:
		n.After(n.delay(s.remote), func() { s.die(netio.Unreachable) })
		return
	case route.Blackhole:
		s.synAgain(try)
		return
	case len(ls) == 0:
		n.trace("%v → %v: SYN, refused", s.local, s.remote)
		n.After(n.delay(s.remote), func() { s.die(netio.Refused) })
		return
	}
	l := ls[n.rnd.IntN(len(ls))]
	if len(l.backlog.ready)+l.backlog.pending >= l.backlog.max {
		n.trace("%v → %v: SYN, dropped: the listener's queue is full", s.local, s.remote)
		s.synAgain(try)
		return
	}
	n.trace("%v → %v: SYN", s.local, s.remote)
	l.backlog.pending++
	answer := n.newSocket(s.remote, s.local)
	n.After(n.delay(s.remote), func() { s.established(l, answer) })
}

func (s *socket) synAgain(try int) {
	wait := synTimeout << try
	if try == synTries {
		s.net.After(wait, func() { s.die(netio.TimedOut) })
		return
	}
	s.net.After(wait, func() { s.syn(try + 1) })
}

// established: the SYN was answered. The listener gets the connection when our acknowledgement arrives.
func (s *socket) established(l, answer *socket) {
	if s.state != stateConnecting {
		l.backlog.pending--
		return
	}
	s.state, s.peer = stateOpen, answer
	answer.state, answer.peer = stateOpen, s
	s.transmit("ACK", func(*socket) {
		l.backlog.pending--
		if l.state != stateListening {
			answer.reset()
			return
		}
		if answer.state == stateDead {
			return
		}
		l.backlog.ready = append(l.backlog.ready, answer)
		l.edge()
	})
	s.edge()
}

// pump puts on the wire what the other end has room for, and the end of the stream behind the last byte.
func (s *socket) pump() {
	for len(s.send.bytes) > 0 {
		window := s.peer.recv.max - len(s.peer.recv.bytes) - s.send.flight
		if window <= 0 {
			return
		}
		m := min(len(s.send.bytes), window)
		if s.net.happens(s.net.Faults.Fragment) {
			m = 1 + s.net.rnd.IntN(m)
		}
		b := slices.Clone(s.send.bytes[:m])
		if s.send.bytes = s.send.bytes[m:]; len(s.send.bytes) == 0 {
			s.send.bytes = nil
		}
		s.send.flight += m
		s.send.unacked += m
		s.segment(b)
	}
	if s.send.shut && !s.send.finSent {
		s.send.finSent = true
		s.transmit("FIN", (*socket).finArrives)
	}
}

func (s *socket) segment(b []byte) {
	n := s.net
	if n.happens(n.Faults.Reset) {
		n.trace("%v → %v: %d bytes lost, both ends reset", s.local, s.remote, len(b))
		s.transmit("", func(peer *socket) {
			peer.die(netio.Reset)
			s.die(netio.Reset)
		})
		return
	}
	if n.Trace != nil {
		n.trace("%v → %v: %d bytes %.60q", s.local, s.remote, len(b), b)
	}
	s.transmit("", func(peer *socket) { peer.arrives(s, b) })
}

// arrives: bytes from the other end.
func (s *socket) arrives(from *socket, b []byte) {
	from.send.flight -= len(b)
	switch {
	case s.state == stateDead:
		return // our RST is on its way, or theirs has come
	case s.orphan:
		s.reset() // nobody will ever read this
		return
	}
	s.recv.bytes = append(s.recv.bytes, b...)
	n := s.net
	n.After(n.delay(from.local), func() { from.acked(len(b)) })
	s.edge()
}

// acked: the other end acknowledged so many bytes.
func (s *socket) acked(m int) {
	s.send.unacked -= m
	if s.state != stateOpen {
		return
	}
	s.pump()
	s.tellRoom()
}

// windowOpened: bytes were read, and the other end, which may wait for room here, learns of it.
func (s *socket) windowOpened() {
	p := s.peer
	if p == nil || p.state != stateOpen || len(p.send.bytes) == 0 && !p.send.shut {
		return
	}
	s.net.After(s.net.delay(p.local), func() {
		if p.state == stateOpen {
			p.pump()
		}
	})
}

func (s *socket) finArrives() {
	if s.state != stateOpen {
		return
	}
	s.recv.fin = true
	s.edge()
}

// reset kills the connection and tells the peer.
func (s *socket) reset() {
	s.transmit("RST", func(peer *socket) { peer.die(netio.Reset) })
	s.state = stateDead
	s.send.bytes = nil
	s.recv.bytes = nil
}

// die ends a socket from outside: reset, refused, timed out. What had arrived stays readable.
func (s *socket) die(err netio.IO) {
	if s.state == stateDead || s.state == stateListening {
		return
	}
	s.state, s.err = stateDead, err
	s.send.bytes = nil
	s.edge()
}

// addListener opens a listener.
func (n *Net) addListener(at netip.AddrPort, max int) *socket {
	s := n.newSocket(at, netip.AddrPort{})
	s.state = stateListening
	s.backlog.max = max
	n.listeners[at] = append(n.listeners[at], s)
	return s
}
