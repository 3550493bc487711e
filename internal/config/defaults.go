package config

import (
	"log/slog"
	"net/netip"
	"time"
)

// Bounds of values that have any. Sizes are bytes.
const (
	maxConnMax        = 1_000_000
	maxRateMax        = 10_000_000
	maxBufferSizeMin  = 16 << 10
	maxBufferSizeMax  = 256 << 10
	maxRetriesMax     = 1000
	headSizeMin       = 4 << 10
	headSizeMax       = 128 << 10
	weightMax         = 256
	workersMax        = 1024
	durationMax       = 365 * 24 * time.Hour
	errorPageBytesMax = 1 << 20
)

// DefaultLimits is a profile in which every key was left out.
func DefaultLimits(name string) *Limits {
	return &Limits{
		Name: name, MaxConn: 20000, MaxConnRate: 10000, MaxSessRate: 10000, RateLimitSessions: 5000,
		MaxSSLConn: 5000, MaxSSLRate: 2000, MaxBufferSize: 128 << 10, MaxRetries: 3,
		QueueDepth: 1024, QueueTimeout: 5 * time.Second,
	}
}

// Unlimited is what stands where no profile is attached: buffer size, retries and the queue keep their defaults, so that
// a server's own max-conn still has a bounded queue.
func Unlimited() *Limits {
	return &Limits{MaxBufferSize: 128 << 10, MaxRetries: 3, QueueDepth: 1024, QueueTimeout: 5 * time.Second}
}

// DefaultTimeouts is a profile in which every key was left out.
func DefaultTimeouts(name string) *Timeouts {
	return &Timeouts{
		Name: name, HTTPRequest: 10 * time.Second, HTTPKeepAlive: 60 * time.Second, Client: 30 * time.Second,
		ClientFin: 5 * time.Second, ServerFin: 5 * time.Second, Connect: 3 * time.Second,
		Server: 30 * time.Second, Tunnel: time.Hour,
		TCPKeepAlive: KeepAlive{Idle: 60 * time.Second, Interval: 10 * time.Second, Count: 6},
	}
}

// DefaultGlobal is an empty [global] table.
func DefaultGlobal() Global {
	return Global{
		PinCPUs: true, Limits: Unlimited(), RuntimeSocket: "/run/weir/weir.sock",
		Admin:         netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 9911),
		HardStopAfter: 30 * time.Second, AccessLog: AccessLogOff, LogLevel: slog.LevelInfo,
	}
}

// DefaultFrontend is an empty [frontend.NAME] table: it listens nowhere and has no backend yet.
func DefaultFrontend(name string) *Frontend {
	return &Frontend{
		Name: name, Limits: Unlimited(), Timeouts: DefaultTimeouts(""), H2MaxConcurrentStreams: 128,
		MaxHeadSize: 64 << 10, Forwarded: ForwardedX, Via: "weir", RequestID: true, RetryAfter: time.Second,
	}
}

// DefaultBackend is an empty [backend.NAME] table: it has no servers yet.
func DefaultBackend(name string) *Backend {
	return &Backend{
		Name: name, Balance: BalanceRoundRobin, Reuse: ReuseSafe, ReuseMethods: ReuseMethodsSafe,
		ReuseFirst: ReuseFirstNever, Multiplex: true, ForwardClose: true, PoolMaxConn: -1, PoolPurgeDelay: 5 * time.Second,
		PoolMaxAge: time.Hour, MaxErrors: 3, SessionCache: 1000, Resolve: 10 * time.Second,
		Health: Health{Interval: 2 * time.Second, Rise: 2, Fall: 3},
		Limits: Unlimited(), Timeouts: DefaultTimeouts(""),
	}
}
