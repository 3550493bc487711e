package limit

import (
	"sync/atomic"
	"time"

	"weir/internal/mono"
)

// Attachment is a profile at one place, where its eight axes are counted on their own, over all workers. What they limit
// depends on the level; see the manual. The counters stay the same ones for the Attachment's life, whatever is applied.
type Attachment struct {
	Level Level
	Name  string // of the frontend or backend; "" for the process

	Conn      *Count // max-conn
	SSLConn   *Count // max-ssl-conn
	ConnRate  *Rate  // max-conn-rate
	SessRate  *Rate  // max-sess-rate
	Admission *Rate  // rate-limit-sessions
	SSLRate   *Rate  // max-ssl-rate
	Buffer    *Bound // max-buffer-size
	Retries   *Bound // max-retries
	Places    *Count // queue-depth: the waiters of all queues at this place
	Parting   *Count // no limit: connections that are closed on our side only, whose tokens are about to come back

	queueTimeout atomic.Int64

	// The rest is the control plane's, under the Table's mutex.
	profile  string
	values   Values
	detached bool
	samples  [Axes]sample
}

func newAttachment(level Level, name string) *Attachment {
	return &Attachment{
		Level: level, Name: name,
		// Each counter is an allocation of its own, because that is what keeps it on lines of its own: an object that holds
		// pointers and has more than 512 bytes begins 8 bytes after a line does.
		Conn: new(Count), SSLConn: new(Count), Places: new(Count), Parting: new(Count),
		ConnRate: new(Rate), SessRate: new(Rate), Admission: new(Rate), SSLRate: new(Rate),
		Buffer: new(Bound), Retries: new(Bound),
	}
}

// counter is what all kinds of limits have in common.
type counter interface {
	Max() int64
	Hits() uint64
}

// of returns the counter of an axis.
func (a *Attachment) of(axis Axis) counter {
	switch axis {
	case MaxConn:
		return a.Conn
	case MaxSSLConn:
		return a.SSLConn
	case MaxConnRate, MaxSessRate, RateLimitSessions, MaxSSLRate:
		return a.Rate(axis)
	case MaxBufferSize:
		return a.Buffer
	}
	return a.Retries
}

// Rate is the bucket of one of the four rate axes.
func (a *Attachment) Rate(axis Axis) *Rate {
	switch axis {
	case MaxConnRate:
		return a.ConnRate
	case MaxSessRate:
		return a.SessRate
	case RateLimitSessions:
		return a.Admission
	case MaxSSLRate:
		return a.SSLRate
	}
	panic("limit: " + axis.String() + " is not a rate")
}

// QueueTimeout is the longest wait in a queue at this place; 0 unbounded.
func (a *Attachment) QueueTimeout() time.Duration { return time.Duration(a.queueTimeout.Load()) }

// apply changes the limits in place. Counts, hits and what buckets saved up stay as they are.
func (a *Attachment) apply(profile string, v Values) {
	a.profile, a.values = profile, v
	a.Conn.SetMax(v.Axis[MaxConn])
	a.SSLConn.SetMax(v.Axis[MaxSSLConn])
	for _, axis := range [...]Axis{MaxConnRate, MaxSessRate, RateLimitSessions, MaxSSLRate} {
		a.Rate(axis).SetRate(v.Axis[axis])
	}
	a.Buffer.SetMax(v.Axis[MaxBufferSize])
	a.Retries.SetMax(v.Axis[MaxRetries])
	a.Places.SetMax(v.QueueDepth)
	a.queueTimeout.Store(int64(v.QueueTimeout))
}

// Row is one axis of one attachment as the operator sees it.
type Row struct {
	Level   Level
	Name    string
	Profile string
	Axis    Axis
	// Current is the tokens out; for a rate, what passed per second lately; for a bound, the most that anybody reached.
	Current int64
	Max     int64 // 0: off
	Hits    uint64
}

// sample remembers a rate's count at an instant, to tell how many pass per second.
type sample struct {
	at     mono.Time
	passed uint64
	rate   int64
}

// look returns the events per second between now and the last look that was at least a second ago.
func (s *sample) look(now mono.Time, passed uint64) int64 {
	d := now.Sub(s.at)
	if s.at.IsZero() || d < 0 {
		*s = sample{at: now, passed: passed}
	} else if d >= time.Second {
		*s = sample{at: now, passed: passed, rate: int64(float64(passed-s.passed)/d.Seconds() + 0.5)}
	}
	return s.rate
}

func (a *Attachment) row(axis Axis, now mono.Time) Row {
	c := a.of(axis)
	r := Row{Level: a.Level, Name: a.Name, Profile: a.profile, Axis: axis, Max: c.Max(), Hits: c.Hits()}
	switch c := c.(type) {
	case *Count:
		r.Current = c.Current()
	case *Rate:
		r.Current = a.samples[axis].look(now, c.Passed())
	case *Bound:
		r.Current = c.Peak()
	}
	return r
}
