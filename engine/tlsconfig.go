package engine

import (
	"weir/internal/config"
	"weir/netio/tlsio"
)

func certSource(c *config.Certificate) *tlsio.CertSource {
	return &tlsio.CertSource{
		CertFile: c.CertFile, KeyFile: c.KeyFile, OCSPFile: c.OCSPFile, CertPEM: c.CertPEM, KeyPEM: c.KeyPEM, OCSP: c.OCSP,
	}
}

// serverTLS is what a listener presents and demands. Ticket keys live in the engine's store, so that a reload which
// changed nothing of a site does not cost its clients their sessions.
func (e *Engine) serverTLS(b *config.Bind) (*tlsio.ServerConfig, error) {
	t := b.TLS
	o := &tlsio.ServerOptions{
		MinVersion: t.MinVersion, ALPN: b.ALPN, ClientCAFile: t.ClientCAFile, ClientCAPEM: t.ClientCAPEM,
		Tickets: e.tickets, TicketKeys: t.TicketKeys,
	}
	switch t.ClientAuth {
	case config.ClientAuthRequest:
		o.ClientAuth = tlsio.ClientAuthRequest
	case config.ClientAuthRequire:
		o.ClientAuth = tlsio.ClientAuthRequire
	}
	for i := range t.Certificates {
		o.Certificates = append(o.Certificates, *certSource(&t.Certificates[i]))
	}
	sc, warnings, err := tlsio.NewServerConfig(o)
	for _, text := range warnings {
		e.log.Warn("tls", "name", t.Name, "warning", text)
	}
	return sc, err
}

// sessionsOf is the cache of TLS sessions towards a backend's servers. It outlives reloads: its keys include all that a
// session depends on. nil: none is wanted.
func sessionsOf(b *config.Backend, old *planBackend) *tlsio.SessionStore {
	switch {
	case b.SessionCache <= 0:
		return nil
	case old != nil && old.sessions != nil && old.sessionsMax == b.SessionCache:
		return old.sessions
	}
	return tlsio.NewSessionStore(b.SessionCache)
}

// clientTLS is how a backend's servers are spoken to.
func (e *Engine) clientTLS(b *config.Backend, sessions *tlsio.SessionStore, alpn ...string) (*tlsio.ClientConfig, error) {
	o := &tlsio.ClientOptions{CAFile: b.TLS.CAFile, CAPEM: b.TLS.CAPEM, Sessions: sessions, ALPN: alpn}
	switch b.TLS.Verify {
	case config.VerifyCA:
		o.Verify = tlsio.VerifyCA
	case config.VerifyNone:
		o.Verify = tlsio.VerifyNone
	}
	if b.TLS.Cert != nil {
		o.Cert = certSource(b.TLS.Cert)
	}
	c, warnings, err := tlsio.NewClientConfig(o)
	for _, text := range warnings {
		e.log.Warn("tls", "backend", b.Name, "warning", text)
	}
	return c, err
}
