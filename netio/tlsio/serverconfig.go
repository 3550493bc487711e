package tlsio

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"time"
)

// ClientAuth says whether clients are asked for a certificate.
type ClientAuth uint8

// The values of ClientAuth.
const (
	ClientAuthNone    ClientAuth = iota
	ClientAuthRequest            // asked for; one that is given must verify, if there is a CA to verify it with
	ClientAuthRequire            // a client without a valid one is refused
)

// ServerOptions is what a ServerConfig is made of. File names are for messages when the content is given too.
type ServerOptions struct {
	Certificates []CertSource // at least one; the first is for clients that name no host, or none of ours
	MinVersion   uint16       // tls.VersionTLS12 (also 0) or tls.VersionTLS13
	MaxVersion   uint16       // 0: tls.VersionTLS13
	ALPN         []string     // in order of preference; empty: none is negotiated

	ClientAuth   ClientAuth
	ClientCAFile string
	ClientCAPEM  []byte

	// Tickets is where the keys of session tickets live from one configuration to the next; nil: no tickets. With
	// TicketKeys, secrets that other machines have too, the keys are made of those instead: of the first for new tickets,
	// of all of them to open old ones.
	Tickets    *TicketStore
	TicketKeys [][]byte

	// ClassicOnly leaves the hybrid post-quantum key exchange out. Clients that offer it cost more (BenchmarkKeyExchange).
	ClassicOnly bool

	Now func() time.Time // nil: time.Now
}

// ServerConfig is what a TLS listener presents and demands. It does not change and is shared by all workers; a reload
// makes another one.
type ServerConfig struct {
	certs []*hostCert
	index nameIndex
	opts  *ServerOptions
	cas   *x509.CertPool
	now   func() time.Time
	keys  ticketSource
	// policy identifies what is demanded of clients. Tickets are good for one certificate and one policy.
	policy [sha256.Size]byte
	tcp    *serverSide
}

// NewServerConfig loads certificates and CAs. err is everything that is wrong, joined, each with the name of
// its file; warnings are what an operator should know although it works.
func NewServerConfig(o *ServerOptions) (cfg *ServerConfig, warnings []string, err error) {
	s := &ServerConfig{opts: o, now: o.Now}
	if s.now == nil {
		s.now = time.Now
	}
	l := &loader{now: s.now()}
	if len(o.Certificates) == 0 {
		l.errorf("at least one certificate is needed")
	}
	for i := range o.Certificates {
		if c := l.certificate(&o.Certificates[i], x509.ExtKeyUsageServerAuth); c != nil {
			s.certs = append(s.certs, c)
		}
	}
	s.loadPolicy(l)
	switch {
	case len(o.TicketKeys) > 0:
		s.keys = &fixedKeys{secrets: o.TicketKeys}
	case o.Tickets != nil:
		s.keys = o.Tickets
	}
	if len(l.errs) > 0 {
		return nil, l.warnings, errors.Join(l.errs...)
	}
	s.index = indexOf(s.certs)
	s.tcp = s.side(o.ALPN, max(o.MinVersion, tls.VersionTLS12), "tcp")
	return s, l.warnings, nil
}

func (s *ServerConfig) loadPolicy(l *loader) {
	o := s.opts
	var ca [sha256.Size]byte
	switch {
	case o.ClientCAFile != "" || o.ClientCAPEM != nil:
		s.cas, ca = l.authorities(o.ClientCAFile, o.ClientCAPEM)
		if o.ClientAuth == ClientAuthNone {
			l.warnf("%s: a CA for clients is of no use when they are asked for no certificate", o.ClientCAFile)
		}
	case o.ClientAuth == ClientAuthRequire:
		l.errorf("clients need a certificate, but there is no CA to verify it with")
	}
	s.policy = sha256.Sum256(append([]byte{byte(o.ClientAuth)}, ca[:]...))
}

// serverSide is a ServerConfig made ready for one transport: a crypto/tls configuration for each certificate, and the
// one in front of them that chooses.
type serverSide struct {
	*ServerConfig
	front *tls.Config
	each  map[*hostCert]*certSide
}

// certSide is the crypto/tls configurations of one certificate, with and without its OCSP staple. They share the keys of
// their tickets.
type certSide struct {
	stapled, bare *tls.Config
}

func (s *ServerConfig) side(alpn []string, minVersion uint16, transport string) *serverSide {
	side := &serverSide{ServerConfig: s, each: make(map[*hostCert]*certSide)}
	for _, c := range s.certs {
		bare := s.template(alpn, minVersion)
		bare.Certificates = []tls.Certificate{c.cert}
		if s.keys == nil {
			bare.SessionTicketsDisabled = true
		} else {
			t := &ticketKeys{source: s.keys, now: s.now, use: ticketUse(c, s.policy, transport)}
			bare.WrapSession, bare.UnwrapSession = t.wrap, t.unwrap
		}
		cs := &certSide{bare: bare, stapled: bare}
		if c.staple != nil {
			cs.stapled = bare.Clone()
			stapled := c.cert
			stapled.OCSPStaple = c.staple
			cs.stapled.Certificates = []tls.Certificate{stapled}
		}
		side.each[c] = cs
	}
	side.front = s.template(alpn, minVersion)
	side.front.GetConfigForClient = side.choose
	return side
}

// template is what all configurations have alike. The one in front needs it too: it decides what a client supports.
func (s *ServerConfig) template(alpn []string, minVersion uint16) *tls.Config {
	cfg := &tls.Config{
		Time:             s.now,
		NextProtos:       alpn,
		MinVersion:       minVersion,
		MaxVersion:       s.opts.MaxVersion,
		CipherSuites:     cipherSuites,
		CurvePreferences: curves(s.opts.ClassicOnly),
		ClientCAs:        s.cas,

		// One record for one write: the small first records of crypto/tls cost more than they gain (BenchmarkRecordSizing).
		DynamicRecordSizingDisabled: true,
	}
	switch {
	case s.opts.ClientAuth == ClientAuthRequire:
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
	case s.opts.ClientAuth == ClientAuthRequest && s.cas != nil:
		cfg.ClientAuth = tls.VerifyClientCertIfGiven
	case s.opts.ClientAuth == ClientAuthRequest:
		cfg.ClientAuth = tls.RequestClientCert
	}
	return cfg
}

// choose is crypto/tls's GetConfigForClient: it picks the certificate before anything else happens, so that everything
// that follows, the keys that a ticket is opened with first of all, belongs to that certificate alone. It runs inside
// the handshake and must not block.
func (s *serverSide) choose(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	c := s.pick(hello)
	if w, ok := hello.Conn.(*wire); ok {
		(*Conn)(w).cert = c
	}
	cs := s.each[c]
	if c.staple != nil && !c.stapleUntil.IsZero() && s.now().After(c.stapleUntil) {
		return cs.bare, nil
	}
	return cs.stapled, nil
}

func (s *serverSide) pick(hello *tls.ClientHelloInfo) *hostCert {
	match, fallback := s.index.lookup(hello.ServerName)
	if len(match) == 1 && len(fallback) == 0 {
		return match[0]
	}
	abilities := *hello
	abilities.ServerName = "" // the name is looked up already, and is not to be held against the default certificate
	for _, list := range [2][]*hostCert{match, fallback} {
		for _, c := range list {
			if abilities.SupportsCertificate(&c.cert) == nil {
				return c
			}
		}
	}
	return match[0]
}

// QUIC returns the configuration for HTTP/3: the same certificates and policy, TLS 1.3 only, and tickets that are not
// good over TCP.
func (s *ServerConfig) QUIC(alpn []string) *tls.Config {
	return s.side(alpn, tls.VersionTLS13, "quic").front
}

// Covers reports whether every certificate that a connection with this SNI may have been shown is good for host. It is
// for connections that have no Conn, those of HTTP/3; see Conn.CoversHost.
func (s *ServerConfig) Covers(serverName, host string) bool {
	match, fallback := s.index.lookup(serverName)
	for _, list := range [2][]*hostCert{match, fallback} {
		for _, c := range list {
			if !c.names.covers([]byte(host)) {
				return false
			}
		}
	}
	return true
}

// CoversHost reports whether the certificate that this client was shown, now or when its session began, is good for host:
// a name or an address without port. A request for another host is misdirected (RFC 9110 section 15.5.20).
func (c *Conn) CoversHost(host string) bool { return c.CoversAuthority([]byte(host)) }

// CoversAuthority is CoversHost for host[:port], without an allocation. It is false on a client's connection.
func (c *Conn) CoversAuthority(authority []byte) bool {
	return c.cert != nil && c.cert.names.covers(hostOf(authority))
}

// cipherSuites are the suites of TLS 1.2 that we accept as a server: forward secret and AEAD. crypto/tls orders them
// itself, AES-GCM first where the processor has it. TLS 1.3 has its own, which are not configurable.
var cipherSuites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// curves are the key exchanges that we take part in. crypto/tls orders them itself: the hybrid, then what the client sent
// a share of, then X25519 before P-256, although P-256 costs a third less (BenchmarkKeyExchange).
// Leaving X25519 out would cost most clients a round trip. P-521 is left out: it is slow and no client needs it.
func curves(classicOnly bool) []tls.CurveID {
	classic := []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384}
	if classicOnly {
		return classic
	}
	return append([]tls.CurveID{tls.X25519MLKEM768}, classic...)
}
