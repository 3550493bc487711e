package tlsio

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Verify says how far a server's certificate is checked.
type Verify uint8

// The values of Verify.
const (
	VerifyFull Verify = iota // chain and name
	VerifyCA                 // chain only
	VerifyNone               // nothing
)

// ClientOptions is what a ClientConfig is made of.
type ClientOptions struct {
	Verify     Verify
	CAFile     string
	CAPEM      []byte      // of CAFile; nil with no CAFile: the system's roots
	Cert       *CertSource // presented to servers that ask; nil none
	ALPN       []string    // in order of preference; empty: none is offered
	MinVersion uint16      // 0: tls.VersionTLS12
	MaxVersion uint16      // 0: tls.VersionTLS13

	Sessions *SessionStore // nil: every handshake is a full one

	// PostQuantum offers the hybrid key exchange. It makes every hello 1.2 KB longer and costs a key of ML-KEM whether the
	// server can use it or not.
	PostQuantum bool

	Now func() time.Time // nil: time.Now
}

// ClientConfig is how the connections to the servers of a backend are secured. It does not change and is shared by all
// workers.
type ClientConfig struct {
	opts  *ClientOptions
	base  *tls.Config
	roots *x509.CertPool
	now   func() time.Time
	id    [sha256.Size]byte // of everything that a session depends on but the server and its names

	mu    sync.Mutex
	peers map[peerName]*Peer
}

// Peer is a server as TLS sees it: what it is called and how it is verified. It is immutable.
type Peer struct {
	cfg *tls.Config
}

type peerName struct {
	server, sni, name string
	unnamed           bool // any name will do
}

// NewClientConfig loads CAs and certificate. err is everything that is wrong, joined, each with the name of its file.
// With the system's roots it reads them now, since crypto/x509 would read them in the first handshake.
func NewClientConfig(o *ClientOptions) (cfg *ClientConfig, warnings []string, err error) {
	c := &ClientConfig{opts: o, now: o.Now, peers: make(map[peerName]*Peer)}
	if c.now == nil {
		c.now = time.Now
	}
	l := &loader{now: c.now()}
	var ca, own [sha256.Size]byte
	switch {
	case o.CAFile != "" || o.CAPEM != nil:
		c.roots, ca = l.authorities(o.CAFile, o.CAPEM)
	case o.Verify != VerifyNone:
		if c.roots, err = x509.SystemCertPool(); err != nil {
			l.errorf("the system's CA certificates: %w", err)
		}
	}
	c.base = c.template()
	if o.Cert != nil {
		if h := l.certificate(o.Cert, x509.ExtKeyUsageClientAuth); h != nil {
			own = h.id
			// Always this one: crypto/tls would send none to a server whose list of CAs does not name its issuer.
			c.base.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &h.cert, nil }
		}
	}
	if len(l.errs) > 0 {
		return nil, l.warnings, errors.Join(l.errs...)
	}
	c.id = sha256.Sum256(append(append([]byte{byte(o.Verify)}, ca[:]...), own[:]...))
	return c, l.warnings, nil
}

func (c *ClientConfig) template() *tls.Config {
	return &tls.Config{
		Time:                        c.now,
		RootCAs:                     c.roots,
		NextProtos:                  c.opts.ALPN,
		MinVersion:                  max(c.opts.MinVersion, tls.VersionTLS12),
		MaxVersion:                  c.opts.MaxVersion,
		CurvePreferences:            curves(!c.opts.PostQuantum),
		DynamicRecordSizingDisabled: true,
	}
}

// peersMax bounds the peers that are kept ready. With an SNI that follows the request's host, clients choose the names.
const peersMax = 1024

// Peer returns the server that is known as server ("backend/name" or the like: whatever tells servers of one session
// store apart), is asked for by sni ("" sends none) and whose certificate must be good for name, a host or an address;
// "" means sni. With VerifyFull one of the two is needed. Any goroutine may call it.
func (c *ClientConfig) Peer(server, sni, name string) *Peer {
	if name == "" {
		name = sni
	}
	if name == "" && c.opts.Verify == VerifyFull {
		panic("tlsio: a server is to be verified by its name, and none is given")
	}
	return c.peer(peerName{server: server, sni: sni, name: name})
}

// Unnamed is Peer where nobody knows yet by which name the server will be asked for: of its certificate the chain is
// verified, as with VerifyCA. No session is shared with a Peer of a name.
func (c *ClientConfig) Unnamed(server, sni string) *Peer {
	return c.peer(peerName{server: server, sni: sni, unnamed: true})
}

func (c *ClientConfig) peer(k peerName) *Peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.peers[k]
	if !ok {
		if len(c.peers) >= peersMax {
			clear(c.peers)
		}
		p = &Peer{cfg: c.configFor(k)}
		c.peers[k] = p
	}
	return p
}

func (c *ClientConfig) configFor(k peerName) *tls.Config {
	cfg := c.base.Clone()
	cfg.ServerName = k.sni
	if c.opts.Verify != VerifyFull || k.unnamed || k.sni != k.name {
		// crypto/tls verifies by the name that it sends, and by both chain and name. What differs is verified here.
		cfg.InsecureSkipVerify = true
		if c.opts.Verify != VerifyNone {
			v := &verification{config: c}
			if c.opts.Verify == VerifyFull {
				v.name = k.name // none if unnamed
			}
			cfg.VerifyConnection = v.verify
		}
	}
	if c.opts.Sessions != nil {
		cfg.ClientSessionCache = &sessionSlot{c.opts.Sessions, c.sessionKey(k)}
	}
	return cfg
}

// sessionKey hashes all that must agree before a session may be resumed. Every part has its length before it, so that no
// two keys are made of the same bytes.
func (c *ClientConfig) sessionKey(k peerName) sessionKey {
	h := sha256.New()
	named := "named"
	if k.unnamed {
		named = ""
	}
	for _, part := range []string{k.server, k.sni, k.name, named, string(c.id[:])} {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
		h.Write([]byte(part))
	}
	return sessionKey(h.Sum(nil))
}

// verification is VerifyConnection where crypto/tls does not verify.
type verification struct {
	config *ClientConfig
	name   string                  // "" chain only
	last   atomic.Pointer[verdict] // of the last full handshake
}

// verdict is a chain that was found good until the first of its certificates expires.
type verdict struct {
	leaf  *x509.Certificate
	until time.Time
}

var errNoCertificate = errors.New("tlsio: the server has no certificate")

// verify builds the chain of a full handshake. A resumed one is spared that while the verdict on the same certificate
// holds: its session was made under the key of this very Peer, hence with the same CAs, name and demands.
func (v *verification) verify(cs tls.ConnectionState) error {
	certs := cs.PeerCertificates
	if len(certs) == 0 {
		return errNoCertificate
	}
	now := v.config.now()
	if last := v.last.Load(); cs.DidResume && last != nil && now.Before(last.until) && certs[0].Equal(last.leaf) {
		return nil
	}
	opts := x509.VerifyOptions{
		DNSName:       v.name,
		Roots:         v.config.roots,
		CurrentTime:   now,
		Intermediates: x509.NewCertPool(),
	}
	for _, c := range certs[1:] {
		opts.Intermediates.AddCert(c)
	}
	chains, err := certs[0].Verify(opts)
	if err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: certs, Err: err}
	}
	until := certs[0].NotAfter
	for _, c := range chains[0] {
		if c.NotAfter.Before(until) {
			until = c.NotAfter
		}
	}
	v.last.Store(&verdict{certs[0], until})
	return nil
}
