package sim

import (
	"net/netip"
	"time"

	"weir/netio"
)

// Script is what a client or server of the world does. All is called in virtual time, on the goroutine that runs the world,
// and may call any method of the Peer.
type Script interface {
	// Open: the connection is established.
	Open(p *Peer)
	// Data: bytes arrived. They are the script's to keep.
	Data(p *Peer, b []byte)
	// End: nothing more will arrive: netio.EOF, or the error that ended the connection, or why there never was one. After EOF
	// a reset may still be told.
	End(p *Peer, how netio.IO)
}

// Funcs is a Script made of functions; those that are nil do nothing.
type Funcs struct {
	OnOpen func(*Peer)
	OnData func(*Peer, []byte)
	OnEnd  func(*Peer, netio.IO)
}

// Open calls OnOpen.
func (f Funcs) Open(p *Peer) {
	if f.OnOpen != nil {
		f.OnOpen(p)
	}
}

// Data calls OnData.
func (f Funcs) Data(p *Peer, b []byte) {
	if f.OnData != nil {
		f.OnData(p, b)
	}
}

// End calls OnEnd.
func (f Funcs) End(p *Peer, how netio.IO) {
	if f.OnEnd != nil {
		f.OnEnd(p, how)
	}
}

// Peer is a connection's end that a script holds.
type Peer struct {
	// Received is everything that has arrived.
	Received []byte
	// Ended is how the connection ended: OK while it has not, EOF when the other end has nothing more to say, or its error.
	Ended netio.IO

	net    *Net
	s      *socket
	script Script
	out    []byte // accepted by Send, not by the socket yet
	state  peerState
	paused bool
	shut   bool // ShutdownSend, after out
}

// peerState is where a Peer is in its life.
type peerState uint8

const (
	peerOpening peerState = iota // exactly until Open was called
	peerOpen                     // Open was called
	peerClosed                   // closed by the script: no more calls
)

// Client connects to an address from another host of the world and plays the script.
func (n *Net) Client(to netip.AddrPort, script Script) *Peer {
	return n.ClientFrom(netip.AddrPort{}, to, script)
}

// clientFour and clientSix are where clients come from that do not care.
var (
	clientFour = netip.MustParseAddr("198.51.100.1")
	clientSix  = netip.MustParseAddr("2001:db8:c::1")
)

// ClientFrom is Client with a source address; port 0 picks a free one.
func (n *Net) ClientFrom(source, to netip.AddrPort, script Script) *Peer {
	if !source.Addr().IsValid() {
		ip := clientFour
		if to.Addr().Is6() {
			ip = clientSix
		}
		source = netip.AddrPortFrom(ip, source.Port())
	}
	from, ok := n.sourceFor(source, to)
	if !ok {
		panic("sim: no port is left at a client's address; give it another one")
	}
	s := n.newSocket(from, to)
	p := n.newPeer(s, script)
	s.connect()
	return p
}

func (n *Net) newPeer(s *socket, script Script) *Peer {
	p := &Peer{net: n, s: s, script: script}
	s.onEdge = p.react
	return p
}

// Server is a listener of the world.
type Server struct {
	// Peers are the connections it took, in their order.
	Peers []*Peer

	s    *socket
	make func() Script
}

// Server listens at an address and plays a script of its own on every connection.
func (n *Net) Server(at netip.AddrPort, script func() Script) *Server {
	v := &Server{s: n.addListener(at, backlogDefault), make: script}
	v.s.onEdge = v.accept
	return v
}

// Backlog bounds the connections that wait to be taken while the server is stopped: further ones get no answer.
func (v *Server) Backlog(max int) { v.s.backlog.max = max }

// Stop leaves connections in the queue; Start takes them again. It is a server that hangs.
func (v *Server) Stop() { v.s.onEdge = func() {} }

// Start takes connections again.
func (v *Server) Start() {
	v.s.onEdge = v.accept
	v.accept()
}

// Close ends the listener: connections that wait are reset, further ones refused. Those that were taken go on.
func (v *Server) Close() {
	if v.s.state == stateListening {
		v.s.close(false)
	}
}

func (v *Server) accept() {
	for len(v.s.backlog.ready) > 0 {
		s := v.s.backlog.ready[0]
		v.s.backlog.ready = v.s.backlog.ready[1:]
		p := v.s.net.newPeer(s, v.make())
		v.Peers = append(v.Peers, p)
		p.react()
	}
}

// react does everything that the socket's readiness asks for.
func (p *Peer) react() {
	if p.state == peerOpening {
		switch {
		case p.s.state == stateOpen, p.s.peer != nil:
			p.state = peerOpen
			p.script.Open(p)
		case p.s.err != netio.OK:
			p.end(p.s.takeErr())
			return
		}
	}
	p.flush()
	p.read()
}

// read hands over what has arrived.
func (p *Peer) read() {
	for p.state == peerOpen && !p.paused {
		b := make([]byte, max(1, len(p.s.recv.bytes)))
		n, io := p.s.take(b)
		switch {
		case io == netio.OK:
			p.Received = append(p.Received, b[:n]...)
			p.script.Data(p, b[:n])
			continue
		case io == netio.EOF && p.Ended == netio.OK:
			p.end(netio.EOF)
		case io != netio.EOF && io != netio.Again:
			p.end(io)
		}
		return
	}
}

// end tells the script, once for each way.
func (p *Peer) end(how netio.IO) {
	if p.state == peerClosed || p.Ended == how {
		return
	}
	p.Ended = how
	p.script.End(p, how)
}

// flush gives the socket what waits.
func (p *Peer) flush() {
	for p.state == peerOpen && len(p.out) > 0 {
		n, io := p.s.put(p.out)
		if p.out = p.out[n:]; io == netio.Again {
			return
		}
		if io != netio.OK {
			p.out = nil
			p.end(io)
			return
		}
	}
	if p.state == peerOpen && p.shut {
		p.s.shutdownSend()
	}
}

// Net is the world.
func (p *Peer) Net() *Net { return p.net }

// Local is this end's address.
func (p *Peer) Local() netip.AddrPort { return p.s.local }

// Remote is the other end's.
func (p *Peer) Remote() netip.AddrPort { return p.s.remote }

// Closed reports whether the script has closed the connection.
func (p *Peer) Closed() bool { return p.state == peerClosed }

// Send sends all of s, as the other end takes it. Before Open it waits.
func (p *Peer) Send(s string) {
	if p.state == peerClosed || p.shut {
		return
	}
	p.out = append(p.out, s...)
	p.flush()
}

// Drip sends s in parts of n bytes, the first now, one every d; then calls then, unless it is nil.
func (p *Peer) Drip(s string, n int, d time.Duration, then func()) {
	if p.state == peerClosed {
		return
	}
	m := min(n, len(s))
	p.Send(s[:m])
	switch {
	case m < len(s):
		p.net.After(d, func() { p.Drip(s[m:], n, d, then) })
	case then != nil:
		then()
	}
}

// Waiting is the number of bytes that Send took and the other end has no room for.
func (p *Peer) Waiting() int { return len(p.out) + len(p.s.send.bytes) }

// Pause stops reading: bytes pile up until the other end cannot send more.
func (p *Peer) Pause() { p.paused = true }

// Resume reads again.
func (p *Peer) Resume() {
	p.paused = false
	if p.state == peerOpen {
		p.read()
	}
}

// ShutdownSend ends this direction behind what was sent.
func (p *Peer) ShutdownSend() {
	p.shut = true
	p.flush()
}

// Close closes the connection: a FIN behind what the socket has taken, or a RST when bytes were not read.
func (p *Peer) Close() { p.close(false) }

// Abort closes it with a RST.
func (p *Peer) Abort() { p.close(true) }

func (p *Peer) close(reset bool) {
	if p.state == peerClosed {
		return
	}
	p.state = peerClosed
	p.s.close(reset)
}
