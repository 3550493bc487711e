package pool

import "weir/internal/mono"

// Shard is one worker's idle connections to one server. Its methods may be called by that worker only.
//
// Most recently used first: the connections that are needed stay warm, those that are not grow old at the other end and
// are purged. (First in, first out would keep all of them in use, and the pool would never shrink.)
type Shard[C any] struct {
	policy *Policy
	shared *Shared
	worker int

	index          index[C]
	newest, oldest *Node[C] // all of them, by the time they became idle
	length         int
	open           int // connections of this worker that are not private, used ones included
	draining       bool

	purge purge
	warm  warm
	rand  uint64
}

// New makes a worker's shard.
func New[C any](p *Policy, shared *Shared, worker int) *Shard[C] {
	s := &Shard[C]{policy: p, shared: shared, worker: worker, rand: uint64(worker)*0x9e3779b97f4a7c15 + 1}
	s.index.init()
	s.warm.backoff.SetMax(1)
	return s
}

// SetPolicy makes the shard follow another policy. Idle connections beyond a lower pool-max-conn are closed at once.
func (s *Shard[C]) SetPolicy(p *Policy, close func(C, Cause)) {
	s.policy = p
	for s.length > 0 && p.MaxConn >= 0 && s.shared.Idle() > p.MaxConn {
		n := s.oldest
		s.take(n)
		close(n.value, PoolMax)
	}
}

// Len is the number of idle connections.
func (s *Shard[C]) Len() int { return s.length }

// Used is the number of connections of this worker that are neither idle nor private.
func (s *Shard[C]) Used() int { return s.open - s.length }

// Connecting counts a connection whose connect begins. Private ones are not the pool's business and are not counted.
// reserved says that ReserveWarm asked for it.
func (s *Shard[C]) Connecting(n *Node[C], reserved bool) {
	if n.open {
		panic("pool: connection counted twice")
	}
	if n.key.Owner != 0 {
		return
	}
	n.open, n.warming = true, reserved
	if !reserved {
		s.shared.open.Add(1)
		s.open++
	}
	s.purge.use(s.Used())
}

// Established says that the connection stands.
func (s *Shard[C]) Established(n *Node[C]) {
	if n.warming {
		n.warming = false
		s.shared.warming.Add(-1)
		s.warm.backoff.Success()
	}
}

// Adopt counts a connection that another worker's shard of the same server gave.
func (s *Shard[C]) Adopt(n *Node[C]) {
	if n.open {
		panic("pool: connection counted twice")
	}
	n.open = true
	s.open++
	s.purge.use(s.Used())
}

// Leave ends this shard's knowledge of a connection in use that goes to another worker. It stays counted in Shared while it
// is between the workers.
func (s *Shard[C]) Leave(n *Node[C]) {
	if n.in != inUse {
		panic("pool: idle connection leaves without being taken")
	}
	if n.open {
		n.open = false
		s.open--
	}
}

// Private makes a connection in use the private one of owner: it will never be idle for others.
func (s *Shard[C]) Private(n *Node[C], owner uint64) {
	if n.in != inUse {
		panic("pool: idle connection made private")
	}
	s.uncount(n)
	n.key.Owner = owner
}

// Closed ends the pool's knowledge of a connection, wherever it is. It may be called again.
func (s *Shard[C]) Closed(n *Node[C], now mono.Time) {
	s.Remove(n)
	if n.warming {
		n.warming = false
		s.shared.warming.Add(-1)
		s.warm.backoff.Failure(now, s.random())
	}
	s.uncount(n)
}

func (s *Shard[C]) uncount(n *Node[C]) {
	if n.open {
		n.open = false
		s.open--
		s.shared.open.Add(-1)
	}
}

// Take removes and returns the most recently used idle connection of the key that is good for need.
func (s *Shard[C]) Take(key Key, need Need, now mono.Time) (c C, ok bool) {
	n := s.index.newest(&key, need, now)
	if n == nil {
		return c, false
	}
	s.take(n)
	s.purge.use(s.Used())
	return n.value, true
}

// take removes n from the shard and gives its token back.
func (s *Shard[C]) take(n *Node[C]) {
	s.unlink(n)
	s.shared.idle.Release()
}

// unlink removes n from the shard. Its token is the caller's.
func (s *Shard[C]) unlink(n *Node[C]) {
	s.index.remove(n)
	if n.newer == nil {
		s.newest = n.elder
	} else {
		n.newer.elder = n.elder
	}
	if n.elder == nil {
		s.oldest = n.newer
	} else {
		n.elder.newer = n.newer
	}
	n.newer, n.elder, n.in = nil, nil, inUse
	s.resize(-1)
}

func (s *Shard[C]) resize(by int) {
	s.length += by
	s.purge.low = min(s.purge.low, s.length)
	s.shared.perShard[s.worker].idle.Store(int64(s.length))
}

// Put makes n idle. When pool-max-conn connections are idle already, over all workers, the shard's oldest one gives way:
// it is returned as evicted, with a cause, and has to be closed. When ok is false, n itself was refused for that cause and
// has to be closed.
func (s *Shard[C]) Put(n *Node[C], now mono.Time) (evicted C, cause Cause, ok bool) {
	if n.in != inUse || n.key.Owner != 0 {
		panic("pool: connection put that is idle already or private")
	}
	if s.draining {
		return evicted, Drain, false
	}
	n.Recycle.Rest(now)
	if cause, over := n.Recycle.Over(now); over {
		return evicted, cause, false
	}
	if s.policy.MaxConn == 0 {
		return evicted, PoolMax, false
	}
	if !s.shared.idle.TryAcquire() {
		old := s.oldest
		if old == nil {
			return evicted, PoolMax, false
		}
		// n comes before old goes, so that the low-water mark does not see one fewer; old's token is n's now.
		s.insert(n)
		s.unlink(old)
		return old.value, PoolMax, true
	}
	s.insert(n)
	return evicted, 0, true
}

// insert makes n the newest idle connection. Its token is held.
func (s *Shard[C]) insert(n *Node[C]) {
	n.in = inShard
	s.index.push(n)
	n.elder = s.newest
	if s.newest == nil {
		s.oldest = n
	} else {
		s.newest.newer = n
	}
	s.newest = n
	s.resize(+1)
}

// Remove takes n out of the shard, if it is in it: an idle connection has become readable or was hung up.
func (s *Shard[C]) Remove(n *Node[C]) {
	if n.in == inShard {
		s.take(n)
	}
}
