package h3

import (
	"context"
	"crypto/tls"
	"net/netip"
	"time"

	"github.com/quic-go/quic-go"
)

// Config is what the connections of an address have in common. It is immutable; Endpoint.Update replaces it for the
// connections that begin afterwards. Start from DefaultConfig.
type Config struct {
	TLS *tls.Config // of QUIC: TLS 1.3, ALPN "h3", certificates chosen by its GetConfigForClient if it has one

	MaxStreams      int // requests that a client may have open at once
	MaxFieldSection int // bytes of a head or of trailers as RFC 9114 section 4.2.2 counts them
	BufferBytes     int // of bodies, each way, that a connection may hold (see ConnBytesMax)

	HandshakeTimeout time.Duration // without a packet from the client
	IdleTimeout      time.Duration // without a packet from the client, afterwards
	HeadTimeout      time.Duration // from a request's first byte to the end of its head; 0: none

	// Admit is asked before anything is kept of a new connection. Without a Guest the client is told CONNECTION_REFUSED. Any
	// goroutine may call it; it must not block.
	Admit func(worker int, client netip.AddrPort) Guest

	// Unverified is how many connections of a worker may be in their handshake before new clients have to prove that
	// their address is theirs (RFC 9000 section 8.1.2), which costs them a round trip. Negative: all have to.
	Unverified int
}

// Guest is a new connection that may have to wait for its admission.
type Guest interface {
	// Wait is called when the client's hello is there, and returns when the handshake may begin; false: it may not, which the
	// client is told by an alert. The connection does nothing else meanwhile, it does not even hear its client leave.
	Wait(context.Context) bool
	// Leave is called once when the connection has ended, however far it came. It may be while Wait waits.
	Leave()
}

// DefaultConfig returns a configuration that suits most clients.
func DefaultConfig(t *tls.Config) Config {
	return Config{
		TLS:              t,
		MaxStreams:       128,
		MaxFieldSection:  64 << 10,
		BufferBytes:      128 << 10,
		HandshakeTimeout: 5 * time.Second,
		IdleTimeout:      60 * time.Second,
		HeadTimeout:      10 * time.Second,
		Unverified:       128,
	}
}

// check panics when the configuration cannot be used: whoever made it did not start from DefaultConfig.
func (c *Config) check() {
	switch {
	case c.TLS == nil:
		panic("h3: no TLS")
	case c.MaxStreams < 1:
		panic("h3: no streams")
	case c.MaxFieldSection < 1<<10:
		panic("h3: MaxFieldSection below what a request needs")
	case c.BufferBytes < bufferBytesMin:
		panic("h3: BufferBytes below the least that works")
	case c.IdleTimeout <= 0 || c.HandshakeTimeout <= 0:
		panic("h3: connections that never end")
	}
}

const (
	// bufferBytesMin is the least that max-buffer-size can be.
	bufferBytesMin = 16 << 10
	// directBytesMax is how much of a response may be handed to QUIC at once, before it says that it has sent any. QUIC
	// counts a stream until all of it was acknowledged, so no more than MaxStreams of them can wait at a time.
	directBytesMax = 4 << 10
	// sendBytesFloor is what a stream may hold for sending even if others have used up what the connection may hold, so
	// that one that is not read stops no other.
	sendBytesFloor = 4 << 10
	// uniStreamsMax is how many unidirectional streams a client may open: three, and some to grease with.
	uniStreamsMax = 16
)

// sendBytesMax is how much a stream may hold for sending.
func (c *Config) sendBytesMax() int { return max(c.BufferBytes/4, 2*sendBytesFloor) }

// recvBytesMax is how much of a request's body may be on its way to the worker.
func (c *Config) recvBytesMax() int { return max(c.BufferBytes/4, sendBytesFloor) }

// quic is the configuration of the transport. The windows are what bounds a client that sends faster than its requests
// are taken; they open as bytes are read, and a connection's grows to twice its size for a client whose bytes are taken
// at once. A stream's is half the connection's, so that one upload that stalls leaves room for other requests.
func (c *Config) quic() *quic.Config {
	return &quic.Config{
		HandshakeIdleTimeout:           c.HandshakeTimeout,
		MaxIdleTimeout:                 c.IdleTimeout,
		InitialStreamReceiveWindow:     uint64(c.BufferBytes / 2),
		MaxStreamReceiveWindow:         uint64(c.BufferBytes),
		InitialConnectionReceiveWindow: uint64(c.BufferBytes),
		MaxConnectionReceiveWindow:     uint64(2 * c.BufferBytes),
		MaxIncomingStreams:             int64(c.MaxStreams),
		MaxIncomingUniStreams:          uniStreamsMax,
		RequireStreamCreditRelease:     true, // see credit.go
		Allow0RTT:                      true,
	}
}

// ConnBytesMax is the most memory that one connection can hold in bodies and heads, both ways. What QUIC has sent and was
// not acknowledged comes on top; its congestion window bounds that.
func (c *Config) ConnBytesMax() int {
	requests := 2*c.BufferBytes + c.MaxStreams*c.recvBytesMax() // windows; on their way to the worker
	responses := c.BufferBytes + c.MaxStreams*(sendBytesFloor+directBytesMax)
	return requests + responses + c.MaxStreams*2*c.MaxFieldSection
}
