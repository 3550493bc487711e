package config

import (
	"log/slog"
	"net/netip"
	"time"
)

// Config is one configuration generation. It is complete (every default filled in, every reference resolved) and never
// changes after the loader returned it, so any goroutine may read it.
type Config struct {
	File   string // as named on the command line; empty for the built-in demo
	Global Global

	Limits   map[string]*Limits
	Timeouts map[string]*Timeouts
	TLS      map[string]*TLS

	Frontends []*Frontend // in the order of the file
	Backends  []*Backend  // in the order of the file
}

// AccessLogOff is the access-log of who wants none.
const AccessLogOff = "off"

// Global is the [global] table: what belongs to the process.
type Global struct {
	Workers       int  // 0: one per CPU of the affinity mask
	PinCPUs       bool // each worker's thread is pinned to one CPU
	Limits        *Limits
	RuntimeSocket string         // path of the runtime socket; "" none
	Admin         netip.AddrPort // the zero value: no admin listener
	HardStopAfter time.Duration  // what is left of a drain after this is cut; 0 never
	AccessLog     string         // AccessLogOff, "stdout", "stderr" or a path
	LogLevel      slog.Level
}

// Limits is a limit profile: the eight axes and the queue that holds what exceeds them. Zero switches an axis off,
// except for MaxRetries, where it means that nothing is retried. Each attachment of a profile counts on its own.
type Limits struct {
	Name string // "" for the profile that stands where none is attached (see Unlimited)

	MaxConn           int // connections open at once
	MaxConnRate       int // connections per second
	MaxSessRate       int // sessions with a first request, per second
	RateLimitSessions int // admissions from the accept queue, per second
	MaxSSLConn        int // TLS connections open at once
	MaxSSLRate        int // TLS handshakes per second
	MaxBufferSize     int // bytes one connection may hold
	MaxRetries        int // connect retries of one exchange

	QueueDepth   int           // waiters at once; 0 unbounded
	QueueTimeout time.Duration // longest wait; 0 unbounded
}

// Timeouts is a timeout profile. Zero switches a timeout off.
type Timeouts struct {
	Name string // "" for the defaults that stand where no profile is attached

	HTTPRequest   time.Duration // whole request head
	HTTPKeepAlive time.Duration // idle between requests of a session
	Client        time.Duration // client inactivity during an exchange
	ClientFin     time.Duration // client connection half-closed
	ServerFin     time.Duration // server connection half-closed
	Connect       time.Duration // TCP and TLS connect to a server
	Queue         time.Duration // of meaning only if QueueSet
	QueueSet      bool          // Queue replaces the limit profile's QueueTimeout
	Server        time.Duration // server inactivity
	Tunnel        time.Duration // both directions silent
	TCPKeepAlive  KeepAlive
}

// KeepAlive is the TCP keep-alive setting of tcp(7), of both sides. Idle zero leaves it off.
type KeepAlive struct {
	Idle, Interval time.Duration // whole seconds
	Count          int
}

// TLS is a [tls.NAME] table: what a TLS listener presents and demands.
type TLS struct {
	Name         string
	Certificates []Certificate // at least one
	MinVersion   uint16        // VersionTLS12 or VersionTLS13, the values of crypto/tls
	ClientAuth   ClientAuth
	ClientCAFile string
	ClientCAPEM  []byte // the file's content; nil when there is none
	TicketFile   string
	TicketKeys   [][]byte // the secrets in the file, newest first; nil: keys are kept and rotated in memory
}

// The TLS protocol versions, as on the wire and in crypto/tls.
const (
	VersionTLS12 uint16 = 0x0303
	VersionTLS13 uint16 = 0x0304
)

// Certificate is a certificate chain with its key, read and checked when the configuration was loaded: the key belongs
// to the leaf. The PEM is what the files held then; a reload reads them again.
type Certificate struct {
	CertFile, KeyFile, OCSPFile string

	CertPEM, KeyPEM []byte
	OCSP            []byte // DER of the stapled response; nil when there is none

	Names    []string  // DNS names and addresses of the leaf, in lower case
	NotAfter time.Time // of the leaf
}

// Frontend is a [frontend.NAME] table.
type Frontend struct {
	Name    string
	Binds   []*Bind
	Routes  []Route  // the first that matches wins
	Backend *Backend // for what no route takes; nil: such requests are answered 503 no-server

	Limits   *Limits   // never nil
	Timeouts *Timeouts // never nil

	H2MaxConcurrentStreams int // at least 1
	MaxHeadSize            int // bytes of a request head or trailer section; 431 beyond
	Forwarded              Forwarded
	TrustedProxies         []netip.Prefix // peers whose forwarding fields are believed and extended
	AcceptProxy            bool           // every connection starts with a PROXY header (TCP listeners)
	ErrorPages             map[int]ErrorPage
	Via                    string        // the pseudonym in Via (RFC 9110 section 7.6.3); "" adds no Via
	RequestID              bool          // X-Request-ID is added where a request has none
	RetryAfter             time.Duration // in the 503s that weir makes itself; whole seconds, at least 1 s
}

// Bind is one listening address of a frontend. The same address never occurs twice in a Config.
type Bind struct {
	Address netip.AddrPort
	TLS     *TLS     // nil: cleartext
	ALPN    []string // "h2", "http/1.1", in order of preference; on cleartext h2 means prior knowledge (RFC 9113 3.3)
	H3      bool     // also HTTP/3 on the UDP port of this number; only with TLS
}

// Route sends a request to a backend if both conditions hold.
type Route struct {
	Host       string // lower case, without port; "*.example.com" is any name below example.com; "" any host
	PathPrefix string // starts with "/"; "" any path; compared byte by byte
	Backend    *Backend
}

// ErrorPage replaces the body of an answer that weir makes itself.
type ErrorPage struct {
	File        string
	ContentType string
	Body        []byte
}

// Backend is a [backend.NAME] table. Where a key made another inert, the effective value stands here.
type Backend struct {
	Name          string
	Servers       []*Server
	Balance       Balance
	BalanceHeader string // field name in lower case, with BalanceHashHeader

	Reuse        Reuse
	ReuseMethods ReuseMethods // effective: the mode's, unless overridden
	ReuseFirst   ReuseFirst   // effective: the mode's, unless overridden
	Multiplex    bool
	ForwardClose bool // without Multiplex: a server's Connection: close is passed on
	Persistence  Persistence

	PoolLowConn    int
	PoolMaxConn    int // -1 unlimited, 0 none kept
	PoolPurgeDelay time.Duration
	PoolWarmConn   int
	MaxReuse       int           // 0 unlimited
	PoolMaxAge     time.Duration // 0 unlimited
	IdlePing       time.Duration // 0 off
	MaxErrors      int           // 0: never backed off
	SlowStart      time.Duration // 0 off
	SessionCache   int           // TLS sessions; 0 none
	Resolve        time.Duration // 0: only at start

	H2         BackendH2
	TLS        ServerTLS
	Source     Source
	SourceAddr netip.Addr // with SourceAddress
	SendProxy  SendProxy
	Health     Health
	EarlyHints []string // Link values (RFC 8297)

	Limits   *Limits   // never nil
	Timeouts *Timeouts // never nil
}

// Server is one address of a backend.
type Server struct {
	Name    string
	Address string         // host:port as written
	Addr    netip.AddrPort // valid when the host is numeric; otherwise the name is resolved by the engine
	Host    string         // host part of Address: a name, or the address without brackets
	Port    uint16
	Weight  int // 0: only persisted sessions
	MaxConn int // requests in flight; 0 unlimited
}

// ServerTLS is how server connections are secured.
type ServerTLS struct {
	Enabled bool
	SNI     SNI
	SNIName string // with SNIFixed
	Verify  Verify
	CAFile  string
	CAPEM   []byte       // the file's content; nil: the system's roots
	Cert    *Certificate // presented to the server; nil none
}

// Persistence ties a client to a server.
type Persistence struct {
	Type PersistenceType
	Name string // of the cookie, or of the field in lower case
}

// Health is the active check of each server: GET Path, or only a connect (and TLS handshake) where Path is empty and TCP
// is set. With neither there is none.
type Health struct {
	Path       string
	TCP        bool
	Interval   time.Duration
	Rise, Fall int
}

// Active reports whether servers are checked.
func (h *Health) Active() bool { return h.Path != "" || h.TCP }

// QueueTimeout is the longest wait of an exchange at this backend; 0 unbounded.
func (b *Backend) QueueTimeout() time.Duration { return queueTimeout(b.Timeouts, b.Limits) }

// QueueTimeout is the longest wait of a client connection or request at this frontend; 0 unbounded.
func (f *Frontend) QueueTimeout() time.Duration { return queueTimeout(f.Timeouts, f.Limits) }

func queueTimeout(t *Timeouts, l *Limits) time.Duration {
	if t.QueueSet {
		return t.Queue
	}
	return l.QueueTimeout
}

// Frontend returns the frontend of that name, or nil.
func (c *Config) Frontend(name string) *Frontend {
	for _, f := range c.Frontends {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// Backend returns the backend of that name, or nil.
func (c *Config) Backend(name string) *Backend {
	for _, b := range c.Backends {
		if b.Name == name {
			return b
		}
	}
	return nil
}

// Server returns the server of that name, or nil.
func (b *Backend) Server(name string) *Server {
	for _, s := range b.Servers {
		if s.Name == name {
			return s
		}
	}
	return nil
}
