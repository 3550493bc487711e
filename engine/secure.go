package engine

import (
	"weir/internal/config"
	"weir/internal/limit"
	"weir/internal/msg"
	"weir/internal/stats"
	"weir/netio"
	"weir/netio/tlsio"
)

// secureFacts is what a finished handshake left to remember.
type secureFacts struct {
	version string // as in the access log: "TLSv1.3"
	resumed bool
}

func tlsVersionWord(v uint16) string {
	switch v {
	case config.VersionTLS12:
		return "TLSv1.2"
	case config.VersionTLS13:
		return "TLSv1.3"
	}
	return ""
}

// recvTLS reads plaintext. A record may already be here with no event to come, so only Again means that there is nothing.
func (c *conn) recvTLS(p []byte) (int, netio.IO) {
	n, io := c.tls.Recv(p)
	if io != netio.OK {
		c.clear(canRead)
	}
	if c.tls.Backlog() > 0 { // the answer to a KeyUpdate, an alert
		c.markDirty()
	}
	return n, io
}

// heedBacklog takes note that the kernel had no room for all that TLS has sealed. TLS may have accepted everything it was
// given all the same, and the next event is then the only thing that sends the rest.
func (c *conn) heedBacklog() {
	if c.tls.Backlog() > 0 {
		c.clear(canWrite)
	}
}

// flushTLS sends ciphertext that waits. It reports false when the connection turned out to be broken.
func (c *conn) flushTLS() bool {
	switch io := c.tls.Flush(); io {
	case netio.OK:
		return true
	case netio.Again:
		c.clear(canWrite)
		return true
	default:
		return c.sent(0, io)
	}
}

// startTLS begins the handshake of a session that the limits have let in.
func (s *session) startTLS() {
	s.stage = stageHandshake
	s.tls = s.w.tls.Server(int(s.fd), s.fe.secure[s.bind.Address])
	s.tls.SetBufferMax(s.fe.bufferMax)
	if s.has(peerClosed | hungUp) {
		s.tls.Ready(netio.PeerClosed)
	}
	s.shakeHands()
}

// shakeHands goes on with the handshake and reports whether the session serves now.
func (s *session) shakeHands() bool {
	if !s.mayShake() {
		return false
	}
	done, io, err := s.tls.Handshake()
	s.shook()
	if !done {
		if err == nil && io == netio.Again {
			s.heedBacklog()
			return false
		}
		s.fe.cells.HandshakeFailures[s.proto]++
		s.w.failHandshake(s, err)
		if s.tls.Failure() == tlsio.FailPlainHTTP {
			s.answerInClear()
			return false
		}
		s.hangUp(false)
		return false
	}
	st := s.tls.State()
	s.secure = &secureFacts{version: tlsVersionWord(st.Version), resumed: st.Resumed}
	proto := stats.H1
	if st.ALPN == "h2" {
		proto = stats.H2
	}
	resumed := 0
	if st.Resumed {
		resumed = 1
	}
	s.fe.cells.Handshakes[proto][resumed]++
	s.set(canRead)
	s.markDirty()
	s.begin(proto)
	return s.stage == stageServing
}

// answerInClear says 400 to a client that has sent HTTP without TLS. It would not understand an alert, and silence tells its user
// nothing.
func (s *session) answerInClear() {
	s.tls.Close()
	s.tls = nil
	s.stage = stageServing
	s.h1.reader.InitRequests(s.fe.cfg.MaxHeadSize)
	s.h1.since = s.accepted
	s.h1.refuse(s, causeBadRequest)
}

// refuseTLS ends a connection whose handshake may not begin, with an alert in the clear (RFC 8446 section 6.2).
func (s *session) refuseTLS(c *cause, axis limit.Axis) {
	s.noteRefusal(c, axis, msg.HTTP11)
	s.tls = s.w.tls.Server(int(s.fd), s.fe.secure[s.bind.Address])
	s.tls.Refuse()
	s.hangUp(false)
}

// noteRefusal counts and logs a client that may not begin its handshake. Nothing was asked, so it counts as no request.
func (s *session) noteRefusal(c *cause, axis limit.Axis, version msg.Version) {
	w := s.w
	w.stats.Answers[c.index]++
	s.fe.cells.HandshakeFailures[s.proto]++
	w.stats.Fail(stats.Failure{UnixNano: w.wall, Frontend: s.fe.cfg.Name, Client: s.peer, Reason: c.word})
	x := w.begin(s, goneFront{}, s.accepted)
	x.req.head.Version, x.cut = version, c
	x.limited(axis)
	w.line.write(x)
	x.internal = true
	x.end(c)
}

// hangUp ends a session whose transport is of no use any more. When it is TLS that failed, the client gets the alert and the
// time to read it: closing a socket with unread bytes makes a RST that may take the alert away before it is read, and a
// client that has spoken on would learn nothing but that (RFC 8446 section 6.2 wants alerts to arrive). Otherwise the
// connection is closed, abort as in close.
func (s *session) hangUp(abort bool) {
	if s.tls == nil || !s.tls.Reproachful() {
		s.close(abort)
		return
	}
	s.out.Reset() // plaintext: nothing can be sealed any more
	s.tls.Flush()
	s.out.Append(s.tls.Unsent())
	s.tls.Close()
	s.tls = nil
	s.linger() // what the client still says is thrown away as it comes
}

// failHandshake remembers a failed handshake for `weir show errors`.
func (w *worker) failHandshake(s *session, err error) {
	f := stats.Failure{UnixNano: w.wall, Frontend: s.fe.cfg.Name, Client: s.peer, Reason: "tls-handshake-failed"}
	if err != nil {
		f.Detail = s.tls.Failure().String()
	}
	w.stats.Fail(f)
}

// beginHandshake starts TLS towards a server.
func (c *backConn) beginHandshake() {
	c.stage = backHandshake
	c.tls = c.w.tls.Client(int(c.fd), c.peer())
	c.tls.SetBufferMax(c.srv.be.bufferMax)
	c.shakeHands()
}

// sni is the name that the server is asked for; "" sends none.
func (c *backConn) sni() string {
	t := &c.srv.be.cfg.TLS
	switch {
	case t.SNI == config.SNIFixed:
		return t.SNIName
	case c.unnamed():
		return c.srv.guess()
	case t.SNI == config.SNIHost:
		return c.node.Key().SNI
	}
	return ""
}

// peer is the server as TLS sees it: sessions are remembered by its address; where no SNI is sent, its certificate is
// verified by the address.
func (c *backConn) peer() *tlsio.Peer {
	secure := c.srv.be.secure
	if c.onlyH1 {
		secure = c.srv.be.secureH1
	}
	sni, name := c.sni(), ""
	if c.unnamed() {
		return secure.Unnamed(c.srv.cfg.Address, sni)
	}
	if sni == "" {
		name = c.srv.cfg.Host
	}
	return secure.Peer(c.srv.cfg.Address, sni, name)
}

// shakeHands goes on with the handshake and reports whether the connection stands.
func (c *backConn) shakeHands() bool {
	if !c.mayShake() {
		return false
	}
	done, io, err := c.tls.Handshake()
	c.shook()
	if !done {
		if err == nil && io == netio.Again {
			c.heedBacklog()
			return false
		}
		c.tls.Flush()
		c.failConnect(causeTLSFailed, stats.CauseProtocolError)
		return false
	}
	proto := stats.H1
	if c.tls.State().ALPN == "h2" {
		proto = stats.H2
	}
	c.set(canRead)
	c.markDirty()
	c.open(proto)
	return c.stage == backOpen
}
