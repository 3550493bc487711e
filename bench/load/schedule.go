package load

import (
	"math/rand/v2"
	"time"
)

// schedule is an open loop's arrivals: exponentially distributed gaps, as of many independent clients. The same seed
// gives the same arrivals to every contender.
type schedule struct {
	rng  *rand.Rand
	gap  float64 // mean, ns
	next float64 // when the next request is due, epoll.Now
}

func newSchedule(rate float64, seed uint64, now int64) *schedule {
	s := &schedule{rng: rand.New(rand.NewPCG(seed, 0x5EED)), gap: float64(time.Second) / rate, next: float64(now)}
	s.advance()
	return s
}

func (s *schedule) advance() { s.next += s.rng.ExpFloat64() * s.gap }

// pause puts all that is still to come off by d nanoseconds: for that long nothing could be sent because we were asked to wait.
func (s *schedule) pause(d int64) { s.next += float64(d) }

// due returns when the next request is due, if that is not after now, and moves on.
func (s *schedule) due(now int64) (int64, bool) {
	at := int64(s.next)
	if at > now {
		return 0, false
	}
	s.advance()
	return at, true
}
