package pool

import (
	"time"

	"weir/internal/config"
	"weir/internal/mono"
	"weir/internal/msg"
)

// Policy is how a backend keeps its server connections. It never changes; a reload makes another one.
type Policy struct {
	Methods config.ReuseMethods // which requests may ride on a shared connection
	First   config.ReuseFirst   // which connection the first request of a session may have

	LowConn    int           // a shard gives connections away only while it keeps more idle
	MaxConn    int           // idle connections over all workers; -1 unlimited, 0 none
	PurgeDelay time.Duration // 0: idle connections are not purged
	WarmConn   int           // connections kept open over all workers
	MaxReuse   int           // exchanges per connection; 0 unlimited
	MaxAge     time.Duration // 0 unlimited
	MaxErrors  int           // consecutive errors before backing off; 0: never
}

// PolicyOf is the policy of a backend. The mode of reuse has become Methods and First in the configuration already.
func PolicyOf(b *config.Backend) Policy {
	return Policy{
		Methods: b.ReuseMethods, First: b.ReuseFirst,
		LowConn: b.PoolLowConn, MaxConn: b.PoolMaxConn, PurgeDelay: b.PoolPurgeDelay, WarmConn: b.PoolWarmConn,
		MaxReuse: b.MaxReuse, MaxAge: b.PoolMaxAge, MaxErrors: b.MaxErrors,
	}
}

// Admit decides which connection a request may have, from its method and whether it is the first of its session.
//
//	mode         first request                  later requests
//	never        Never                          Never
//	safe         Never                          Any if the method is safe, else Never
//	aggressive   Proven                         Any
//	always       Any                            Any
//
// The rows are those of the modes; reuse-methods and reuse-first-request replace a column each. A request whose method may
// not ride on a shared connection gets a new one whether it is the first or not.
func (p *Policy) Admit(m msg.Method, first bool) Need {
	if !p.shares(m) {
		return Never
	}
	if !first {
		return Any
	}
	switch p.First {
	case config.ReuseFirstAny:
		return Any
	case config.ReuseFirstProven:
		return Proven
	}
	return Never
}

func (p *Policy) shares(m msg.Method) bool {
	switch p.Methods {
	case config.ReuseMethodsSafe:
		return m.Safe()
	case config.ReuseMethodsIdempotent:
		return m.Idempotent()
	case config.ReuseMethodsAll:
		return true
	}
	return false
}

// NewRecycle is the lifetime of a connection that is opened now. rand makes it differ from its siblings by up to 10 %.
func (p *Policy) NewRecycle(now mono.Time, rand uint64) Recycle {
	r := Recycle{usesMax: usesUnlimited, hintUses: usesUnlimited, hintIdle: -1, expires: mono.Never}
	if p.MaxReuse > 0 {
		r.usesMax = uint32(min(max(jitter(int64(p.MaxReuse), rand), 1), usesUnlimited-1))
	}
	if p.MaxAge > 0 {
		r.expires = now.Add(time.Duration(jitter(int64(p.MaxAge), rand>>32)))
	}
	return r
}

// jitter moves n by up to a tenth in either direction.
func jitter(n int64, rand uint64) int64 {
	const steps = 1 << 16
	r := int64(rand&(2*steps-1)) - steps
	return n + int64(float64(n/10)*float64(r)/steps)
}
