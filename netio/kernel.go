package netio

import (
	"net/netip"

	"weir/internal/mono"
)

// IO is the outcome of a non-blocking call. errno is read in this package only; the rest of weir sees these words.
type IO uint8

// The outcomes.
const (
	OK          IO = iota // n bytes were moved (n may be short), or the call succeeded
	Again                 // would block: nothing to read, no room to write, connect in progress
	EOF                   // the peer ended its direction
	Reset                 // ECONNRESET, EPIPE: the connection is gone
	Refused               // ECONNREFUSED
	TimedOut              // ETIMEDOUT (keep-alive, user timeout, SYN retries)
	Unreachable           // EHOSTUNREACH, ENETUNREACH, EADDRNOTAVAIL (no local port left)
	NoFiles               // EMFILE, ENFILE, ENOBUFS, ENOMEM
	Failed                // anything else
)

// Token names the owner of a descriptor in an event: slab index below, generation above, so that an event of a closed
// descriptor that was queued before its close is recognised as stale.
type Token uint64

// NewToken packs an index and a generation.
func NewToken(index, generation uint32) Token { return Token(generation)<<32 | Token(index) }

// Index is the slab index.
func (t Token) Index() uint32 { return uint32(t) }

// Generation is the slab entry's generation.
func (t Token) Generation() uint32 { return uint32(t >> 32) }

// Ready says what an event reports (epoll_ctl(2)).
type Ready uint8

// The bits of Ready.
const (
	Readable Ready = 1 << iota
	Writable
	PeerClosed // EPOLLRDHUP: the peer shut down its writing half
	HungUp     // EPOLLHUP or EPOLLERR: both halves are gone or an error is pending
)

// String is the bits in words.
func (r Ready) String() string {
	if r == 0 {
		return "nothing"
	}
	var s string
	for i, word := range [...]string{"readable", "writable", "peer closed", "hung up"} {
		if r>>i&1 != 0 {
			s += ", " + word
		}
	}
	return s[2:]
}

// Event is one report of Wait.
type Event struct {
	Token Token
	Ready Ready
}

// ConnectOptions is how a server connection is opened. It is immutable and shared by the connections of a server.
type ConnectOptions struct {
	Addr        netip.AddrPort
	Source      netip.AddrPort // local address; the zero value lets the kernel choose
	Transparent bool           // IP_TRANSPARENT: Source is not ours (source = "client")
	KeepAlive   KeepAlive
}

// ListenOptions is how a listening socket is opened.
type ListenOptions struct {
	Addr      netip.AddrPort
	Backlog   int
	KeepAlive KeepAlive // inherited by accepted sockets
}

// KeepAlive is the TCP keep-alive setting in seconds (tcp(7)); the zero value leaves it off.
type KeepAlive struct{ Idle, Interval, Count int }

// Kernel is everything that a worker asks of the operating system and the clock. There is one per worker; only Wake may
// be called from another goroutine. The real one is Linux in this package, the simulated one is in internal/sim.
//
// Every descriptor is non-blocking. Watch registers edge-triggered for reading, writing and hang-up once and for all.
type Kernel interface {
	// Now reads the monotonic clock.
	Now() mono.Time
	// Wait sleeps until an event, Wake, or the deadline (mono.Never: no deadline; a past one polls) and fills ev. It may
	// return early with nothing. What does not fit into ev is reported by the next Wait.
	Wait(ev []Event, deadline mono.Time) int
	// Wake makes the current or next Wait return. Any goroutine may call it.
	Wake()

	Listen(o *ListenOptions) (fd int, err error)
	// Accept takes one connection off a listener. Again: the queue is empty. NoFiles: the connection stays queued, and no
	// event will tell when there are descriptors again.
	Accept(fd int) (conn int, peer netip.AddrPort, io IO)
	// Connect starts a connection: OK when it is established at once, Again when a Writable event will tell. With any other
	// outcome there is no descriptor, and fd is -1.
	Connect(o *ConnectOptions) (fd int, io IO)
	// Connected tells how a connect that returned Again went (SO_ERROR). It is asked after a Writable or HungUp event, once.
	Connected(fd int) IO

	// Watch registers fd; what is ready already makes an event. All ones is no token.
	Watch(fd int, t Token) IO
	// Unwatch takes fd out, for a connection that moves to another worker. Close and Abort do it by themselves.
	Unwatch(fd int)

	// Recv reads into p, which must not be empty. n is short only when the socket was drained.
	Recv(fd int, p []byte) (n int, io IO)
	// Send writes p. n is short only when the socket is full: a Writable event follows.
	Send(fd int, p []byte) (n int, io IO)
	// SendV sends the pieces in order as one call, 64 of them at most: n is short when there are more.
	SendV(fd int, pieces [][]byte) (n int, io IO)
	// ShutdownSend ends our direction with a FIN after what was sent.
	ShutdownSend(fd int)
	// Close closes fd; what was sent still goes out, unless received bytes were not read: then the peer gets a RST.
	Close(fd int)
	// Abort closes with a RST, so that the peer sees truncation for what it is (SO_LINGER 0).
	Abort(fd int)
	// LocalAddr is the address a connection was accepted on or opened from.
	LocalAddr(fd int) netip.AddrPort
}
