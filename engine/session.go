package engine

import (
	"net/netip"
	"time"

	"weir/internal/config"
	"weir/internal/limit"
	"weir/internal/mono"
	"weir/internal/msg"
	"weir/internal/stats"
	"weir/netio"
)

// session is one client connection: its transport, what is known of the client, and the mux of the protocol that it speaks.
// It is one worker's for its whole life. One over QUIC begins where it serves, and has no descriptor (front_h3.go).
//
//	accepted ──► admission ──► proxyHeader ──► handshake ──► (h1 | h2) ──► linger ──► closed
//	        └────────┴──────────────┴────── what the listener does not ask for is skipped
type session struct {
	conn
	stage sessionStage
	proto stats.Protocol
	bind  *config.Bind
	fe    *frontend

	id       uint64         // unique in the process; owner of private server connections
	peer     netip.AddrPort // the client, after the PROXY header if there is one
	accepted mono.Time
	requests uint32 // exchanges begun
	replays  int32  // bytes of requests held for a retry
	bytesIn  uint64 // of bodies, by exchanges that have ended
	bytesOut uint64
	ended    mono.Time // of the last exchange

	h1 frontH1
	h2 *frontH2
	h3 *frontH3

	gates  gates
	hold   sessionHold
	secure *secureFacts // nil on cleartext
	rare   *sessionRare // nil: nothing of it was needed
}

// sessionRare is what few sessions need, apart so that an idle one stays small (TestIdleSessionIsSmall).
type sessionRare struct {
	local  netip.AddrPort   // where the client connected to
	routed []*stats.Backend // further backends that have counted this session
}

// rarely returns the rare part for writing.
func (s *session) rarely() *sessionRare {
	if s.rare == nil {
		s.rare = &sessionRare{}
	}
	return s.rare
}

// sessionStage is how far a client connection has come.
type sessionStage uint8

const (
	stageAdmission sessionStage = iota // exactly when a limit has not let it in yet
	stageProxy                         // exactly when the PROXY header is not complete
	stageHandshake                     // exactly when the TLS handshake is under way
	stageServing                       // exactly when a mux reads requests
	stageLinger                        // exactly when we have sent our last and read only to let the client read it
	stageClosed                        // exactly when the descriptor is closed
)

// sessionHold is what ties a session to servers: its private connections, and the server that it must stay with.
type sessionHold struct {
	private *backConn      // the first of the connections that only this session may use, linked by sibling
	server  *server        // multiplex = false: where its exchanges go
	routed  *stats.Backend // the backend that has counted this session; further ones are in rare
	ntlm    bool           // connections are tied to an identity from here on
}

// onReadable implements connOwner.
func (s *session) onReadable() {
	if s.stage == stageProxy {
		if s.readProxyHeader() {
			s.admit()
		}
		return
	}
	if s.stage == stageHandshake && !s.shakeHands() {
		return
	}
	switch {
	case s.stage == stageAdmission:
		if s.has(peerClosed | hungUp) {
			s.close(true)
		}
	case s.stage == stageLinger:
		s.discard()
	case s.stage != stageServing:
	case s.h2 != nil:
		s.h2.onReadable()
	default:
		s.h1.onReadable(s)
	}
}

// onFull implements connOwner.
func (s *session) onFull(n int) { noteFull(n, s.fe.buffers...) }

// onRoom implements connOwner.
func (s *session) onRoom() {
	switch {
	case s.stage == stageHandshake:
		s.onReadable()
	case s.stage == stageLinger:
		s.lingered()
	case s.stage != stageServing:
	case s.h2 != nil:
		s.h2.onRoom()
	default:
		s.h1.onRoom(s)
	}
}

// onTimeout implements connOwner.
func (s *session) onTimeout() {
	switch {
	case s.stage == stageAdmission:
		s.onAdmissionTimeout()
	case s.stage != stageServing:
		s.close(false)
	case s.h2 != nil:
		s.h2.onTimeout()
	case s.h3 != nil:
		s.h3.onTimeout()
	default:
		s.h1.onTimeout(s)
	}
}

// onBroken implements connOwner: a write found the client gone.
func (s *session) onBroken() {
	if s.stage == stageServing && s.h2 != nil {
		s.h2.onGone()
		return
	}
	if s.stage == stageServing {
		s.h1.onGone(s, causeClientClosed)
		return
	}
	s.close(false)
}

// begin starts serving: the transport is ready and the protocol is known.
func (s *session) begin(proto stats.Protocol) {
	s.stage = stageServing
	if proto != s.proto {
		s.fe.cells.Conns[s.proto]--
		s.fe.cells.ConnsTotal[s.proto]--
		s.fe.cells.Conns[proto]++
		s.fe.cells.ConnsTotal[proto]++
		s.proto = proto
	}
	if proto == stats.H2 {
		s.h2 = newFrontH2(s)
		return
	}
	s.h1.begin(s)
}

// linger sends what is left, ends our direction and reads on for a while, so that the kernel does not answer what the
// client is still sending with a RST that would take our last response from it (RFC 9112 section 9.6).
func (s *session) linger() {
	s.stage = stageLinger
	s.in.Reset()
	s.finish()
	s.arm(s.w.now.Add(max(s.fe.cfg.Timeouts.ClientFin, time.Second)))
	s.wake()
}

// part sends what is left and closes, when neither side has anything more to say.
func (s *session) part() {
	s.flush()
	if s.backlog() > 0 || s.has(hungUp) {
		s.linger()
		return
	}
	s.close(false)
}

// lingerReads bounds what a lingering session reads in one turn; its deadline bounds the rest.
const lingerReads = 4

// discard throws input away until the client ends its direction.
func (s *session) discard() {
	for range lingerReads {
		if !s.has(canRead) {
			return
		}
		if _, io := s.recv(s.w.scratch); io != netio.OK && io != netio.Again {
			s.set(peerClosed)
			s.lingered()
			return
		}
	}
	s.wake()
}

// lingered closes the session when both sides have said their last.
func (s *session) lingered() {
	if s.has(hungUp) || s.has(finished) && s.has(peerClosed) {
		s.close(false)
	}
}

// close ends the session: private server connections go with it.
func (s *session) close(abort bool) {
	if s.stage == stageClosed {
		return
	}
	s.stage = stageClosed
	if s.h3 != nil {
		s.h3.closeTransport()
	} else {
		s.conn.close(abort)
	}
	s.fe.cells.Conns[s.proto]--
	for c := s.hold.private; c != nil; c = s.hold.private {
		s.dropPrivate(c)
		c.sessionEnded()
	}
	s.gates.release(s.w)
}

// localAddr is the address that the client connected to.
func (s *session) localAddr() netip.AddrPort {
	if r := s.rarely(); !r.local.IsValid() {
		r.local = s.w.k.LocalAddr(int(s.fd))
	}
	return s.rare.local
}

// advertisesH3 reports whether the client should be told that the frontend also speaks HTTP/3 on this port.
func (s *session) advertisesH3() bool { return s.bind.H3 }

// idle is called when the session waits for its client's next request.
func (s *session) idle() {
	if s.tls != nil {
		s.tls.Idle()
	}
}

// row describes the session for an operator.
func (s *session) row() stats.Session {
	r := stats.Session{
		ID: s.id, Worker: s.w.id, Generation: s.w.view.generation, Frontend: s.fe.cfg.Name, Client: s.peer.String(),
		Protocol: s.proto.String(), State: s.stateWord(), Age: s.w.now.Sub(s.accepted), Requests: uint64(s.requests),
	}
	if s.secure != nil {
		r.TLS = s.secure.version
	}
	if x := s.h1.x; x != nil {
		r.InFlight = 1
		if x.way.backend != nil {
			r.Backend = x.way.backend.cfg.Name
		}
		if x.way.server != nil {
			r.Server = x.way.server.cfg.Name
		}
	}
	if s.h2 != nil {
		r.InFlight = int64(s.h2.live)
	}
	if s.h3 != nil {
		r.InFlight = int64(s.h3.live)
	}
	r.BytesIn, r.BytesOut = s.bytesIn, s.bytesOut
	if r.InFlight == 0 {
		r.Idle = s.w.now.Sub(max(s.accepted, s.ended))
	}
	return r
}

// stateWord is what the session is about, in one word.
func (s *session) stateWord() string {
	switch {
	case s.stage == stageAdmission:
		return "queued"
	case s.stage == stageProxy || s.stage == stageHandshake:
		return "handshake"
	case s.stage == stageLinger:
		return "draining"
	case s.h2 != nil && s.h2.live > 0, s.h3 != nil && s.h3.live > 0:
		return "request"
	case s.h2 != nil || s.h3 != nil:
		return "idle"
	}
	return s.h1.stateWord()
}

// scheme is the scheme of the URIs that the client asks for.
func (s *session) scheme() msg.Scheme {
	if s.secure != nil {
		return msg.SchemeHTTPS
	}
	return msg.SchemeHTTP
}

// acceptsPerTurn bounds the connections that one listener may bring in one turn.
const acceptsPerTurn = 64

// acceptFrom takes connections off a listener's queue.
func (w *worker) acceptFrom(l *listener) {
	for range acceptsPerTurn {
		if !w.admits(l) {
			return
		}
		fd, peer, io := w.k.Accept(l.fd)
		switch io {
		case netio.OK:
			w.openSession(l, fd, peer)
		case netio.Again:
			l.waiting = false
			return
		case netio.NoFiles:
			w.stats.Loop.AcceptErrors++
			w.relieve()
			l.retryAt(w)
			return
		}
	}
	w.comeBack(l)
}

// openSession makes an accepted descriptor a session.
func (w *worker) openSession(l *listener, fd int, peer netip.AddrPort) {
	s := w.sessionRecord()
	s.bind, s.fe, s.peer, s.accepted, s.id = l.bind, l.fe, peer, w.now, w.shared.owners.next()
	if !w.adopt(&s.conn, fd, s) {
		return
	}
	l.fe.cells.Conns[s.proto]++
	l.fe.cells.ConnsTotal[s.proto]++
	if !w.shared.fds.Client.TryAcquire() {
		s.refuseAdmission(causeNoFiles, limit.MaxConn)
		return
	}
	s.gates.take(w.shared.fds.Client)
	s.admit()
}
