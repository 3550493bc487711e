package config

// ClientAuth says whether a TLS listener asks clients for a certificate.
type ClientAuth uint8

// The values of client-auth.
const (
	ClientAuthNone    ClientAuth = iota
	ClientAuthRequest            // asked for; one that is given must verify
	ClientAuthRequire            // a client without a valid one is refused
)

var clientAuthWords = []string{"none", "request", "require"}

// Forwarded says which fields tell a server about the client.
type Forwarded uint8

// The values of forwarded.
const (
	ForwardedOff  Forwarded = iota
	ForwardedX              // X-Forwarded-For, -Proto, -Host, -Port
	ForwardedRFC            // Forwarded (RFC 7239)
	ForwardedBoth           // all of them
)

var forwardedWords = []string{"off", "x-forwarded-for", "forwarded", "both"}

// Balance is how a server is chosen.
type Balance uint8

// The values of balance.
const (
	BalanceRoundRobin Balance = iota
	BalanceLeastConn
	BalanceRandom2
	BalanceHashSource
	BalanceHashHeader // by the field in Backend.BalanceHeader
)

var balanceWords = []string{"round-robin", "least-conn", "random-2", "hash-source", "hash-header"}

// Reuse is the mode by which server connections are shared.
type Reuse uint8

// The values of reuse.
const (
	ReuseNever Reuse = iota
	ReuseSafe
	ReuseAggressive
	ReuseAlways
)

var reuseWords = []string{"never", "safe", "aggressive", "always"}

// ReuseMethods says which requests may ride on a shared connection.
type ReuseMethods uint8

// The effective values of reuse-methods. ReuseMethodsNone goes with ReuseNever only.
const (
	ReuseMethodsNone ReuseMethods = iota
	ReuseMethodsSafe
	ReuseMethodsIdempotent
	ReuseMethodsAll
)

var reuseMethodsWords = []string{"none", "safe", "idempotent", "all"}

// ReuseFirst says which connection may carry the first request of a session.
type ReuseFirst uint8

// The effective values of reuse-first-request.
const (
	ReuseFirstNever  ReuseFirst = iota // a new one
	ReuseFirstProven                   // an idle one that has carried a complete exchange, else a new one
	ReuseFirstAny                      // any
)

var reuseFirstWords = []string{"never", "proven", "any"}

// PersistenceType is what ties a client to a server.
type PersistenceType uint8

// The values of persistence.type.
const (
	PersistenceNone PersistenceType = iota
	PersistenceCookie
	PersistenceSourceIP
	PersistenceHeader
)

var persistenceWords = []string{"none", "cookie", "source-ip", "header"}

// BackendH2 says whether servers are spoken to in HTTP/2.
type BackendH2 uint8

// The effective values of a backend's h2.
const (
	BackendH2Off  BackendH2 = iota
	BackendH2ALPN           // over TLS: offered first, HTTP/1.1 second
	BackendH2C              // over cleartext, with prior knowledge
)

var backendH2Words = []string{"false", "true", "h2c"}

// SNI says which name a server connection asks for in its TLS hello.
type SNI uint8

// The values of a backend's tls.sni.
const (
	SNIHost  SNI = iota // the host of the request that opens the connection
	SNIFixed            // Backend.TLS.SNIName
	SNINone             // none is sent; the certificate is verified against the server's address
)

// Verify says how far a server's certificate is checked.
type Verify uint8

// The values of a backend's tls.verify.
const (
	VerifyFull Verify = iota // chain and name
	VerifyCA                 // chain only
	VerifyNone               // nothing
)

var verifyWords = []string{"full", "ca", "none"}

// Source is the local address of server connections.
type Source uint8

// The values of source.
const (
	SourceKernel  Source = iota // the kernel chooses
	SourceAddress               // Backend.SourceAddr
	SourceClient                // the client's own, transparently (IP_TRANSPARENT)
)

// SendProxy says whether server connections start with a PROXY header.
type SendProxy uint8

// The values of send-proxy.
const (
	SendProxyOff SendProxy = iota
	SendProxyV1
	SendProxyV2
)

var sendProxyWords = []string{"off", "v1", "v2"}

// The configuration's own words.

func (v ClientAuth) String() string      { return clientAuthWords[v] }
func (v Forwarded) String() string       { return forwardedWords[v] }
func (v Balance) String() string         { return balanceWords[v] }
func (v Reuse) String() string           { return reuseWords[v] }
func (v ReuseMethods) String() string    { return reuseMethodsWords[v] }
func (v ReuseFirst) String() string      { return reuseFirstWords[v] }
func (v PersistenceType) String() string { return persistenceWords[v] }
func (v BackendH2) String() string       { return backendH2Words[v] }
func (v Verify) String() string          { return verifyWords[v] }
func (v SendProxy) String() string       { return sendProxyWords[v] }

// Shared reports whether connections of this backend may be shared between sessions at all.
func (v Reuse) Shared() bool { return v != ReuseNever }
