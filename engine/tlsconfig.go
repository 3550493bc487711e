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
		Tickets: e.tickets, TicketFile: t.TicketFile, TicketKeys: t.TicketSecret,
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

// clientTLS is how a backend's servers are spoken to. The session cache outlives reloads: its keys include all that a
// session depends on.
func (e *Engine) clientTLS(b *config.Backend, old *planBackend) (*tlsio.ClientConfig, *tlsio.SessionStore, error) {
	var sessions *tlsio.SessionStore
	if old != nil && old.sessions != nil && old.sessionsMax == b.SessionCache {
		sessions = old.sessions
	} else if b.SessionCache > 0 {
		sessions = tlsio.NewSessionStore(b.SessionCache)
	}
	o := &tlsio.ClientOptions{CAFile: b.TLS.CAFile, CAPEM: b.TLS.CAPEM, Sessions: sessions, ALPN: []string{"http/1.1"}}
	switch b.TLS.Verify {
	case config.VerifyCA:
		o.Verify = tlsio.VerifyCA
	case config.VerifyNone:
		o.Verify = tlsio.VerifyNone
	}
	if b.TLS.Cert != nil {
		o.Cert = certSource(b.TLS.Cert)
	}
	if b.H2 == config.BackendH2ALPN {
		o.ALPN = []string{"h2", "http/1.1"}
	}
	c, warnings, err := tlsio.NewClientConfig(o)
	for _, text := range warnings {
		e.log.Warn("tls", "backend", b.Name, "warning", text)
	}
	return c, sessions, err
}
