package pool

import (
	"sync/atomic"

	"weir/internal/limit"
)

// Shared is what the workers know of each other's connections to one server: counters only. Its methods may be called
// from any goroutine.
type Shared struct {
	Backoff Backoff

	idle     *limit.Count // idle over all workers; its maximum is pool-max-conn
	perShard []shardCount

	_       [128]byte
	open    atomic.Int64 // not private, from the connect's begin to the close
	warming atomic.Int64 // opened to be kept warm, not established yet
	_       [128 - 16]byte
	warm    atomic.Int64 // pool-warm-conn
	_       [128 - 8]byte
}

// shardCount is written by one worker and read by those who look for a shard to take from.
type shardCount struct {
	idle atomic.Int64
	_    [128 - 8]byte
}

// NewShared makes the counters of one server for workers 0 to workers-1.
func NewShared(p *Policy, workers int) *Shared {
	s := &Shared{idle: limit.NewCount(0), perShard: make([]shardCount, workers)}
	s.Apply(p)
	return s
}

// Apply makes the counters follow a policy; the shards need a SetPolicy each as well.
func (s *Shared) Apply(p *Policy) {
	s.idle.SetMax(p.MaxConn)
	s.warm.Store(int64(p.WarmConn))
	s.Backoff.SetMax(p.MaxErrors)
}

// Idle is the number of idle connections over all workers.
func (s *Shared) Idle() int { return int(s.idle.Current()) }

// IdleOf is the number of idle connections of one worker.
func (s *Shared) IdleOf(worker int) int { return int(s.perShard[worker].idle.Load()) }

// Open is the number of connections that are not private, from the begin of the connect on.
func (s *Shared) Open() int { return int(s.open.Load()) }

// Richest is the worker with the most idle connections, if that is more than low; exclude is the one who asks.
func (s *Shared) Richest(exclude, low int) (worker int, ok bool) {
	most := int64(low)
	for i := range s.perShard {
		if n := s.perShard[i].idle.Load(); n > most && i != exclude {
			worker, ok, most = i, true, n
		}
	}
	return worker, ok
}

// Lost says that a connection that one worker gave has not reached another.
func (s *Shared) Lost() { s.open.Add(-1) }

// retire takes one connection out of the number of open ones, unless that would leave fewer than are kept warm.
func (s *Shared) retire() bool {
	for {
		n := s.open.Load()
		if n <= s.warm.Load() {
			return false
		}
		if s.open.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// warmingMax is how many connects may be under way to warm a server, over all workers: a server that comes back must not
// be met by all of them at once.
const warmingMax = 4

// reserveWarm counts one more connection as open and warming if one is missing.
func (s *Shared) reserveWarm() bool {
	for {
		n := s.open.Load()
		if n >= s.warm.Load() {
			return false
		}
		if s.open.CompareAndSwap(n, n+1) {
			break
		}
	}
	for {
		n := s.warming.Load()
		if n >= warmingMax {
			s.open.Add(-1)
			return false
		}
		if s.warming.CompareAndSwap(n, n+1) {
			return true
		}
	}
}
