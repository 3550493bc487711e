package pool

import (
	"net/netip"
	"time"

	"weir/internal/mono"
)

type Key struct {
	SNI, ALPN string
	Source    netip.Addr
	Owner     uint64
}
type Need uint8

const (
	Any Need = iota
	Proven
)

type Cause uint8
type Policy struct {
	LowConn, MaxConn, WarmConn, MaxReuse int
	PurgeDelay, MaxAge                   time.Duration
}

func (p *Policy) NewRecycle(now mono.Time, r uint64) Recycle { return Recycle{} }

type Recycle struct{}

func (r *Recycle) Deadline(now mono.Time) mono.Time                { return mono.Never }
func (r *Recycle) Over(exchanges uint32, now mono.Time) (Cause, bool) { return 0, false }
func (r *Recycle) Hint(v []byte)                                   {}

type Node[C any] struct {
	V   C
	Key Key
	in  bool
}

func (n *Node[C]) Init(c C, k Key) { n.V, n.Key = c, k }

type Shared struct{}

func NewShared(n int) *Shared { return &Shared{} }

type Shard[C comparable] struct{ list []*Node[C] }

func New[C comparable](p *Policy, s *Shared, w int) *Shard[C] { return &Shard[C]{} }
func (s *Shard[C]) SetPolicy(p *Policy)                       {}
func (s *Shard[C]) Len() int                                  { return len(s.list) }
func (s *Shard[C]) Take(k Key, need Need, now mono.Time) (c C, ok bool) {
	for i := len(s.list) - 1; i >= 0; i-- {
		if n := s.list[i]; n.Key == k {
			s.list = append(s.list[:i], s.list[i+1:]...)
			n.in = false
			return n.V, true
		}
	}
	return c, false
}
func (s *Shard[C]) Put(n *Node[C], now mono.Time) (ev C, cause Cause, ok bool) {
	s.list = append(s.list, n)
	n.in = true
	return ev, 0, true
}
func (s *Shard[C]) Remove(n *Node[C]) {
	if !n.in {
		return
	}
	for i, m := range s.list {
		if m == n {
			s.list = append(s.list[:i], s.list[i+1:]...)
			n.in = false
			return
		}
	}
}
func (s *Shard[C]) Evict() (c C, ok bool) { return c, false }

type Streams[C comparable] struct{ list []C }

func NewStreams[C comparable](p *Policy) *Streams[C]             { return &Streams[C]{} }
func (s *Streams[C]) SetPolicy(p *Policy)                        {}
func (s *Streams[C]) Free() int                                  { return 0 }
func (s *Streams[C]) Pick(k Key, need Need) (c C, ok bool)       { return c, false }
func (s *Streams[C]) Add(c C, k Key)                             {}
func (s *Streams[C]) Remove(c C)                                 {}

type Backoff struct{}

func NewBackoff(max int) Backoff                            { return Backoff{} }
func (b *Backoff) Allowed(now mono.Time) bool               { return true }
func (b *Backoff) Success()                                 {}
func (b *Backoff) Failure(now mono.Time, r interface{})          {}

func (s *Shard[C]) Need() int { return 0 }
