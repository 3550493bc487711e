package contender

import (
	"net/netip"
	"time"
)

// Front is what clients speak.
type Front string

// The fronts.
const (
	FrontH1  Front = "h1"
	FrontTLS Front = "tls" // HTTP/1.1 over TLS
	FrontH2  Front = "h2"  // over TLS
	FrontH3  Front = "h3"
)

// Back is what the origin is spoken to.
type Back string

// The backs.
const (
	BackH1 Back = "h1"
	BackH2 Back = "h2" // h2c with prior knowledge
)

// Reuse is how eagerly server connections are shared; the words are those of weir and HAProxy.
type Reuse string

// The modes.
const (
	ReuseNever      Reuse = "never"
	ReuseSafe       Reuse = "safe"
	ReuseAggressive Reuse = "aggressive"
	ReuseAlways     Reuse = "always"
)

// Setup is what a scenario needs of a contender's configuration.
type Setup struct {
	Front        Front
	Back         Back
	Reuse        Reuse
	Conns        int           // client connections that must fit
	MaxConn      int           // requests in flight to the server; 0 unlimited
	QueueTimeout time.Duration // how long a request may wait for one of them
	Upgrades     bool          // WebSockets pass
	Splice       bool          // move bodies in the kernel, if the contender can
	Reloads      bool          // the process will be asked to reload
}

// Place is where a contender and its origin are.
type Place struct {
	Listen netip.AddrPort
	Admin  netip.AddrPort
	Origin netip.AddrPort
	Dir    string // for its files; removed afterwards
	Cert   string // PEM, certificate and key apart and in one file
	Key    string
	Both   string
}

// view is what templates see.
type view struct {
	Setup
	Place
}

// ALPN is the protocol offered over TCP.
func (v view) ALPN() string {
	if v.Front == FrontH2 {
		return "h2"
	}
	return "http/1.1"
}

// Files is how many descriptors a proxy needs.
func (v view) Files() int { return 2*v.Conns + 4096 }

// QueueMS is the queue timeout in milliseconds.
func (v view) QueueMS() int64 { return v.QueueTimeout.Milliseconds() }

// TLS says whether clients speak TLS.
func (s Setup) TLS() bool { return s.Front != FrontH1 }
