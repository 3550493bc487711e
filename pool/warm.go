package pool

import (
	"time"

	"weir/internal/mono"
)

// The time between two looks at whether connections have to be opened to keep a server warm, before jitter.
const (
	warmLook  = time.Second
	warmRetry = 100 * time.Millisecond
)

// warm is one worker's part in keeping pool-warm-conn connections open.
type warm struct {
	at      mono.Time // not before
	backoff Backoff   // from the first failed connect on; the server's own begins later
}

// ReserveWarm decides whether this worker should open one more connection now so that pool-warm-conn stay open over all
// workers, and when to ask again. If ok, one is counted already: dial, and call Connecting with reserved true, or
// UnreserveWarm if that could not even begin. Ask until it says no.
//
// Each worker opens its share of the number only. That spreads the connections, and suffices: when fewer are open than
// wanted, some worker has fewer than its share.
func (s *Shard[C]) ReserveWarm(now mono.Time) (ok bool, next mono.Time) {
	if s.policy.WarmConn <= 0 || s.draining {
		return false, mono.Never
	}
	if s.warm.at.After(now) {
		return false, s.warm.at
	}
	for _, b := range [...]*Backoff{&s.shared.Backoff, &s.warm.backoff} {
		if until := b.Until(); until.After(now) {
			return s.askAgain(until, warmRetry)
		}
	}
	if s.open >= s.warmShare() {
		return s.askAgain(now, warmLook)
	}
	if !s.shared.reserveWarm() {
		return s.askAgain(now, warmRetry)
	}
	s.open++
	return true, now
}

// askAgain sets the next look d after t, spread over half as long again, so that workers do not look all at once.
func (s *Shard[C]) askAgain(t mono.Time, d time.Duration) (bool, mono.Time) {
	s.warm.at = t.Add(d + time.Duration(s.random()%uint64(d/2)))
	return false, s.warm.at
}

// UnreserveWarm takes back what ReserveWarm counted.
func (s *Shard[C]) UnreserveWarm(now mono.Time) {
	s.open--
	s.shared.open.Add(-1)
	s.shared.warming.Add(-1)
	s.warm.backoff.Failure(now, s.random())
}

// warmShare is how many of the warm connections are this worker's to open.
func (s *Shard[C]) warmShare() int {
	workers := len(s.shared.perShard)
	share := s.policy.WarmConn / workers
	if s.worker < s.policy.WarmConn%workers {
		share++
	}
	return share
}

// random is for jitter (splitmix64).
func (s *Shard[C]) random() uint64 {
	s.rand += 0x9e3779b97f4a7c15
	z := s.rand
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
