package tlsio

import (
	"crypto/tls"
	"time"
)

// State is what a handshake settled. It is valid as soon as Handshake reports done.
type State struct {
	Version    uint16 // tls.VersionTLS12 or tls.VersionTLS13
	Cipher     uint16 // tls.CipherSuiteName tells its name
	Curve      tls.CurveID
	Resumed    bool   // by a ticket or PSK: no certificate was exchanged and nothing was signed
	ALPN       string // "" none was negotiated
	ServerName string // SNI; "" none was sent

	PeerVerified bool   // a chain was built from the peer's certificate to a CA, now or by the session that was resumed
	PeerSubject  string // the subject of the peer's certificate (RFC 2253 form); "" it has none

	HandshakeBytesIn  int           // ciphertext received and sent until the handshake was done
	HandshakeBytesOut int           //
	HandshakeTime     time.Duration // from the first call of Handshake until it was done
}

// facts are what is known of a connection after its handshake.
type facts struct {
	state State
	cert  *hostCert // servers: the certificate that was presented, now or in the session that was resumed
}

func (f *facts) learn(cs tls.ConnectionState, took time.Duration) {
	s := &f.state
	s.Version, s.Cipher, s.Curve = cs.Version, cs.CipherSuite, cs.CurveID
	s.Resumed, s.ALPN, s.ServerName = cs.DidResume, cs.NegotiatedProtocol, cs.ServerName
	s.PeerVerified = len(cs.VerifiedChains) > 0
	if len(cs.PeerCertificates) > 0 {
		s.PeerSubject = cs.PeerCertificates[0].Subject.String()
	}
	s.HandshakeTime = took
}

// State is what the handshake settled.
func (c *Conn) State() *State { return &c.facts.state }
