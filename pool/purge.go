package pool

import "weir/internal/mono"

// purge is what a shard knows about how many connections it needs.
type purge struct {
	at       mono.Time // end of the period
	low      int       // the least number of idle connections during the period: so many were not needed
	peak     int       // the largest number of used ones during the period
	estimate int       // of how many will be used: quick to rise, and halfway down to the peak each period
}

func (p *purge) use(used int) { p.peak = max(p.peak, used) }

func (p *purge) begin(at mono.Time, idle, used int) {
	if p.peak >= p.estimate {
		p.estimate = p.peak
	} else {
		p.estimate = (p.estimate + p.peak + 1) / 2
	}
	p.at, p.low, p.peak = at, idle, used
}

// Need is an estimate of how many connections this worker uses at once.
func (s *Shard[C]) Need() int { return max(s.purge.estimate, s.purge.peak) }

// Tick closes what has been idle too long, by calling close after taking it out, and returns when to call it again. At the
// end of each period of pool-purge-delay, half of the idle connections that were not needed during the period go, the
// oldest first; rounded up, so that the last one goes too. As many as pool-warm-conn stay open, over all workers. close may
// call Closed for the connection that it was given, but change no other one.
func (s *Shard[C]) Tick(now mono.Time, close func(C, Cause)) (next mono.Time) {
	s.closeOver(now, close)
	delay := s.policy.PurgeDelay
	if delay <= 0 {
		s.purge.at = 0
		return mono.Never
	}
	switch {
	case s.purge.at.IsZero(), s.purge.at.After(now.Add(delay)): // the first time, or the delay became shorter
		s.purge.begin(now.Add(delay), s.length, s.Used())
	case !s.purge.at.After(now):
		s.closeUnneeded(close)
		s.purge.begin(now.Add(delay), s.length, s.Used())
		s.index.sweep()
	}
	return s.purge.at
}

func (s *Shard[C]) closeUnneeded(close func(C, Cause)) {
	for half := (s.purge.low + 1) / 2; half > 0 && s.oldest != nil && s.shared.retire(); half-- {
		n := s.oldest
		n.open = false // retire has counted it
		s.open--
		s.take(n)
		close(n.value, IdlePurge)
	}
}

// closeOver closes the idle connections whose age or hint is over.
func (s *Shard[C]) closeOver(now mono.Time, close func(C, Cause)) {
	for n := s.oldest; n != nil; {
		newer := n.newer
		if cause, over := n.Recycle.Over(now); over {
			s.take(n)
			close(n.value, cause)
		}
		n = newer
	}
}

// Give takes a connection that the key and need fit out of the shard, for another worker. It refuses when the shard keeps
// no more than pool-low-conn.
//
// The oldest goes: it is the one that this worker would need last and would purge first, so giving it costs this worker
// nothing, where giving the newest would make its own next requests dig out colder ones. That the taker gets a colder
// connection costs it a little; one that is near its end is not given.
func (s *Shard[C]) Give(key Key, need Need, now mono.Time) (c C, ok bool) {
	if s.length <= s.policy.LowConn {
		return c, false
	}
	n := s.index.eldest(&key, need, now)
	if n == nil {
		return c, false
	}
	s.take(n)
	s.Leave(n)
	return n.value, true
}

// Evict takes out the oldest idle connection because its descriptor or its token is needed for something else.
func (s *Shard[C]) Evict() (c C, ok bool) {
	n := s.oldest
	if n == nil {
		return c, false
	}
	s.take(n)
	return n.value, true
}

// EvictLike takes out the oldest idle connection of a key if at least as many as most are idle of that key: there are
// enough of its kind, whatever is kept of others.
func (s *Shard[C]) EvictLike(key Key, most int) (c C, ok bool) {
	g := s.index.find(&key)
	if g == nil || g.length == 0 || g.length < most {
		return c, false
	}
	n := g.last()
	s.take(n)
	return n.value, true
}

// Drain takes all connections out, the oldest first, and refuses new ones from then on.
func (s *Shard[C]) Drain(close func(C, Cause)) {
	s.draining = true
	for s.oldest != nil {
		n := s.oldest
		s.take(n)
		close(n.value, Drain)
	}
}
