package h2

import (
	"time"
	"unsafe"

	"weir/h2/hpack"
	"weir/internal/msg"
)

// Config is what the connections of one frontend or backend have in common. It is immutable once a connection uses it.
// Start from DefaultConfig.
type Config struct {
	Server bool // our role

	MaxConcurrentStreams uint32 // streams at once: a client's in the server role, else those that Open gives
	InitialWindow        int32  // bytes a peer may send on a stream before any has left; at least 1
	ConnWindow           int32  // bytes that may be held of all streams together (window.go)
	MaxHeaderList        uint32 // bytes of a field section as RFC 9113 section 6.5.2 counts them
	MaxFrame             uint32 // bytes of a frame's payload that we accept, 16384 to 16777215
	EnableConnect        bool   // server role: offer extended CONNECT (RFC 8441)

	HeadTimeout     time.Duration // for a frame or field block to be finished; 0: none
	SettingsTimeout time.Duration // for our SETTINGS to be acknowledged; 0: none

	Limits Limits
}

// DefaultConfig returns a configuration that suits most peers.
func DefaultConfig(server bool) Config {
	return Config{
		Server:               server,
		MaxConcurrentStreams: 128,
		InitialWindow:        windowInitial,
		ConnWindow:           128 << 10,
		MaxHeaderList:        64 << 10,
		MaxFrame:             frameBytesMin,
		EnableConnect:        server,
		HeadTimeout:          10 * time.Second,
		SettingsTimeout:      10 * time.Second,
		Limits:               DefaultLimits(),
	}
}

// check panics when the configuration cannot be used: whoever made it did not start from DefaultConfig.
func (c *Config) check() {
	switch {
	case c.InitialWindow < 1, c.ConnWindow < connWindowMin:
		panic("h2: window below the least that works")
	case c.MaxFrame < frameBytesMin || c.MaxFrame > frameBytesMax:
		panic("h2: MaxFrame out of range")
	case c.MaxHeaderList < 1<<10:
		panic("h2: MaxHeaderList below what a request needs")
	case c.MaxConcurrentStreams == 0:
		panic("h2: no streams")
	}
	c.Limits.check()
}

// blockBytesMax bounds a compressed field block. No encoder needs more bytes than MaxHeaderList counts for the fields.
func (c *Config) blockBytesMax() uint32 { return c.MaxHeaderList }

// ConnBytesMax is the most memory that one connection can hold: the record, both compression contexts, a record for each
// stream, a field block being gathered, and the replies that wait to be sent. Bodies are the caller's.
func (c *Config) ConnBytesMax() int {
	streams := int(c.MaxConcurrentStreams)
	return int(unsafe.Sizeof(Conn{})) + hpack.MemoryMax + streams*int(unsafe.Sizeof(Stream{})) +
		streams*int(unsafe.Sizeof((*Stream)(nil))) + 2*int(c.blockBytesMax()) + 2*int(c.Limits.PendingBytes)
}

// HeadBytesMax is the most that a Head filled by Recv can hold: its text, twice because cookies are joined, and its
// fields.
func (c *Config) HeadBytesMax() int {
	return 2*int(c.MaxHeaderList) + msg.SectionLinesMax*int(unsafe.Sizeof(msg.Field{}))
}
