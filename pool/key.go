package pool

import "net/netip"

// Key is all that makes two connections to one server different for those who may use them. Keys are compared whole; a
// hash only finds where to compare. The zero Key is that of a backend without TLS names, addresses or private owners, and
// the cheapest.
type Key struct {
	SNI, ALPN string         // as in the TLS hello
	Source    netip.Addr     // local address, where it is configured
	ProxyFrom netip.AddrPort // what the PROXY header says, where one was sent
	ProxyTo   netip.AddrPort
	Owner     uint64 // the session whose private connection it is; 0: shared
}

// Need says which idle connections may carry an exchange.
type Need uint8

// The needs, from the least to the most.
const (
	Any    Need = iota // any connection of the key
	Proven             // one that has carried a complete exchange
	Never              // none: a new connection has to be opened
)

var needWords = [...]string{"any", "proven", "never"}

// String is for tests and logs.
func (n Need) String() string { return needWords[n] }
