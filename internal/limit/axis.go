package limit

import "time"

// Axis is one of the eight numbers of a limit profile.
type Axis uint8

// The axes, in the order of the manual.
const (
	MaxConn Axis = iota
	MaxConnRate
	MaxSessRate
	RateLimitSessions
	MaxSSLConn
	MaxSSLRate
	MaxBufferSize
	MaxRetries
	Axes // how many there are
)

var axisWords = [Axes]string{
	"max-conn", "max-conn-rate", "max-sess-rate", "rate-limit-sessions", "max-ssl-conn", "max-ssl-rate",
	"max-buffer-size", "max-retries",
}

// String is the key in a profile, the label value of metrics and the word of the access log.
func (a Axis) String() string { return axisWords[a] }

// Level is what kind of place a profile is attached to.
type Level uint8

// The levels.
const (
	Global Level = iota
	Frontend
	Backend
)

var levelWords = [...]string{"global", "frontend", "backend"}

// String is the label value.
func (l Level) String() string { return levelWords[l] }

// Values are the numbers of a profile. Zero switches an axis off.
type Values struct {
	Axis         [Axes]int
	QueueDepth   int           // waiters at once; 0 unbounded
	QueueTimeout time.Duration // longest wait; 0 unbounded
}
