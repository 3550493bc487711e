package pool

import (
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"weir/internal/mono"
)

func idleConn(s *Shard[*conn], p *Policy, key Key, proven bool, now mono.Time) *conn {
	c := &conn{key: key, proven: proven}
	c.node.Init(c, key)
	c.node.Recycle = p.NewRecycle(now, 1<<16|1<<48)
	s.Connecting(&c.node, false)
	s.Established(&c.node)
	if proven {
		c.node.Prove()
	}
	if _, cause, ok := s.Put(&c.node, now); !ok {
		panic("refused for " + cause.String())
	}
	return c
}

// TestKeysDoNotMix: keys that differ in one part only are different, and only the same key finds the connection again.
func TestKeysDoNotMix(t *testing.T) {
	addr, port := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddrPort("192.0.2.1:80")
	keys := []Key{
		{}, {SNI: "a"}, {SNI: "b"}, {ALPN: "a"}, {SNI: "a", ALPN: "h2"}, {Source: addr}, {ProxyFrom: port}, {ProxyTo: port},
		{Source: netip.MustParseAddr("::ffff:192.0.2.1")}, {SNI: "a", Source: addr},
	}
	p := &Policy{MaxConn: -1}
	s := New[*conn](p, NewShared(p, 1), 0)
	for i, put := range keys {
		c := idleConn(s, p, put, true, 1)
		for j, take := range keys {
			got, ok := s.Take(take, Any, 2)
			if ok != (i == j) || ok && got != c {
				t.Errorf("put with %+v, took with %+v: %v", put, take, ok)
			}
			if ok {
				s.Put(&c.node, 2)
			}
		}
		s.Take(put, Any, 2)
	}
}

// TestPoolGoesToNothing: without traffic, every period closes half, and the last one too; the warm ones stay.
func TestPoolGoesToNothing(t *testing.T) {
	for _, warm := range []int{0, 3} {
		p := &Policy{MaxConn: -1, PurgeDelay: 5 * time.Second, WarmConn: warm}
		s, now := New[*conn](p, NewShared(p, 1), 0), mono.Time(time.Hour)
		for range 10 {
			idleConn(s, p, Key{}, true, now)
		}
		var lens []int
		for range 7 {
			s.Tick(now, func(c *conn, cause Cause) { s.Closed(&c.node, now) })
			lens = append(lens, s.Len())
			now = now.Add(5 * time.Second)
		}
		want := map[int][]int{0: {10, 5, 2, 1, 0, 0, 0}, 3: {10, 5, 3, 3, 3, 3, 3}}[warm]
		for i := range want {
			if lens[i] != want[i] {
				t.Fatalf("warm %d: %v idle, want %v", warm, lens, want)
			}
		}
	}
}

// TestNeededStay: of ten connections, those that each period uses are not purged, whichever they are.
func TestNeededStay(t *testing.T) {
	p := &Policy{MaxConn: -1, PurgeDelay: 5 * time.Second}
	s, now := New[*conn](p, NewShared(p, 1), 0), mono.Time(time.Hour)
	for range 10 {
		idleConn(s, p, Key{}, true, now)
	}
	for range 10 {
		s.Tick(now, func(c *conn, cause Cause) { s.Closed(&c.node, now) })
		var used []*conn
		for range 4 {
			if c, ok := s.Take(Key{}, Any, now); ok {
				used = append(used, c)
			}
		}
		for _, c := range used {
			s.Put(&c.node, now)
		}
		now = now.Add(5 * time.Second)
	}
	if s.Len() != 4 || s.Need() != 4 {
		t.Errorf("%d idle, estimate %d; want the 4 that were used", s.Len(), s.Need())
	}
}

// TestEvictionIsNoNeed: a connection that replaces another one does not count as if fewer had been idle.
func TestEvictionIsNoNeed(t *testing.T) {
	p := &Policy{MaxConn: 3, PurgeDelay: time.Second}
	s, now := New[*conn](p, NewShared(p, 1), 0), mono.Time(time.Hour)
	closed := func(c *conn, _ Cause) { s.Closed(&c.node, now) }
	for range 3 {
		idleConn(s, p, Key{}, true, now)
	}
	s.Tick(now, closed)
	idleConn(s, p, Key{}, true, now)
	if s.Tick(now.Add(time.Second), closed); s.Len() != 1 {
		t.Errorf("%d idle after a period with 3 unneeded, want 1", s.Len())
	}
}

// TestEvictLike: only what is too much of a key goes, the oldest of it, fresh or proven; other keys are left alone.
func TestEvictLike(t *testing.T) {
	p := &Policy{MaxConn: -1}
	s, now := New[*conn](p, NewShared(p, 1), 0), mono.Time(time.Hour)
	a, b := Key{SNI: "a"}, Key{SNI: "b"}
	idleConn(s, p, b, true, now)
	idleConn(s, p, a, true, now)
	oldest := s.newest.value
	idleConn(s, p, a, false, now)
	younger := s.newest.value
	for _, most := range []int{1, 3, 9} {
		if _, ok := s.EvictLike(Key{SNI: "c"}, most); ok {
			t.Error("evicted of a key that has none")
		}
	}
	if _, ok := s.EvictLike(a, 3); ok {
		t.Error("evicted although there are fewer of the key")
	}
	for _, want := range []*conn{oldest, younger} {
		if c, ok := s.EvictLike(a, 1); !ok || c != want {
			t.Errorf("evicted %p, %v; want %p", c, ok, want)
		}
	}
	if _, ok := s.EvictLike(a, 0); ok || s.Len() != 1 {
		t.Errorf("%d idle of other keys left, want 1", s.Len())
	}
}

// TestGive: a shard gives while it keeps more than pool-low-conn, whatever the asker thought, and what is known of the
// connection goes with it.
func TestGive(t *testing.T) {
	p := &Policy{MaxConn: -1, LowConn: 2, MaxReuse: 9}
	shared, now := NewShared(p, 2), mono.Time(time.Hour)
	giver, taker := New[*conn](p, shared, 0), New[*conn](p, shared, 1)
	for range 2 {
		idleConn(giver, p, Key{}, true, now)
	}
	if _, ok := giver.Give(Key{}, Any, now); ok {
		t.Error("gave with pool-low-conn idle")
	}
	idleConn(giver, p, Key{}, false, now)
	if _, ok := giver.Give(Key{SNI: "a"}, Any, now); ok {
		t.Error("gave a connection of another key")
	}
	giver.oldest.Recycle.uses = 4
	c, ok := giver.Give(Key{}, Proven, now)
	if !ok || giver.Len() != 2 || giver.Used() != 0 || shared.Open() != 3 {
		t.Fatalf("given: %v; %d idle, %d used, %d open; want 2, 0 and 3", ok, giver.Len(), giver.Used(), shared.Open())
	}
	got := &conn{}
	got.node.Inherit(got, &c.node)
	taker.Adopt(&got.node)
	if !got.node.Proven() || got.node.Recycle.Uses() != 4 || taker.Used() != 1 || shared.Open() != 3 {
		t.Errorf("adopted: proven %v after %d exchanges, %d used, %d open", got.node.Proven(), got.node.Recycle.Uses(), taker.Used(), shared.Open())
	}
	mustPanic(t, "adopted twice", func() { taker.Adopt(&got.node) })
	idleConn(giver, p, Key{}, true, now)
	giver.Give(Key{}, Any, now)
	if shared.Lost(); shared.Open() != 3 {
		t.Errorf("%d open after one was lost on the way, want 3", shared.Open())
	}
}

func mustPanic(t *testing.T, why string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: did not panic", why)
		}
	}()
	f()
}

// TestOwnFaults: what would give a connection two owners stops the process.
func TestOwnFaults(t *testing.T) {
	p := &Policy{MaxConn: -1}
	s, m := New[*conn](p, NewShared(p, 1), 0), NewStreams[*conn]()
	c := idleConn(s, p, Key{}, true, 1)
	mustPanic(t, "put twice", func() { s.Put(&c.node, 1) })
	mustPanic(t, "idle connection prepared anew", func() { c.node.Init(c, Key{}) })
	mustPanic(t, "idle connection made private", func() { s.Private(&c.node, 1) })
	mustPanic(t, "idle connection given streams", func() { m.Set(&c.node, 1) })
	s.Remove(&c.node)
	m.Set(&c.node, 1)
	mustPanic(t, "connection with free streams put", func() { s.Put(&c.node, 1) })
	m.Remove(&c.node)
	s.Private(&c.node, 1)
	mustPanic(t, "private connection put", func() { s.Put(&c.node, 1) })
}

// TestNeedFallsSlowly: the estimate follows a rise at once and a fall by halves.
func TestNeedFallsSlowly(t *testing.T) {
	p := &Policy{MaxConn: -1, PurgeDelay: time.Second, WarmConn: 100}
	s, now := New[*conn](p, NewShared(p, 1), 0), mono.Time(time.Hour)
	for range 16 {
		idleConn(s, p, Key{}, true, now)
	}
	var used []*conn
	for range 16 {
		c, _ := s.Take(Key{}, Any, now)
		used = append(used, c)
	}
	if s.Need() != 16 {
		t.Fatalf("estimate %d while 16 are used", s.Need())
	}
	for _, c := range used {
		s.Put(&c.node, now)
	}
	for i, want := range []int{16, 8, 4, 2, 1} {
		s.Tick(now, func(*conn, Cause) {})
		now = now.Add(time.Second)
		if i > 0 && s.Need() != want {
			t.Errorf("estimate %d after %d quiet periods, want %d", s.Need(), i, want)
		}
	}
}

// TestEmptyKeysAreForgotten: a name that many clients make up does not stay.
func TestEmptyKeysAreForgotten(t *testing.T) {
	p := &Policy{MaxConn: -1, PurgeDelay: time.Second}
	s, now := New[*conn](p, NewShared(p, 1), 0), mono.Time(time.Hour)
	for i := range 1000 {
		c := idleConn(s, p, Key{SNI: strconv.Itoa(i)}, true, now)
		s.Closed(&c.node, now)
	}
	for i := range 4 {
		if i == 2 && len(s.index.groups) != 1000 {
			t.Errorf("%d keys after one period: a key that is used now and then is made anew each time", len(s.index.groups))
		}
		s.Tick(now, func(*conn, Cause) {})
		now = now.Add(time.Second)
	}
	if n := len(s.index.groups); n != 0 {
		t.Errorf("%d keys are kept", n)
	}
	for range 5 { // used once in each period, and empty at its end
		c := idleConn(s, p, Key{}, true, now)
		made := s.index.last
		s.Closed(&c.node, now)
		s.Tick(now, func(*conn, Cause) {})
		if now = now.Add(time.Second); s.index.groups[Key{}] != made {
			t.Fatal("a key in use was forgotten")
		}
	}
}

// warmer is workers that keep one server warm.
type warmer struct {
	t       *testing.T
	shared  *Shared
	shards  []*Shard[*conn]
	now     mono.Time
	pending []*conn
}

func newWarmer(t *testing.T, workers, warm int) *warmer {
	p := &Policy{MaxConn: -1, WarmConn: warm}
	r := &warmer{t: t, shared: NewShared(p, workers), now: mono.Time(time.Hour)}
	for w := range workers {
		r.shards = append(r.shards, New[*conn](p, r.shared, w))
	}
	return r
}

// round lets every worker begin as many connects as it may, and returns how many those are.
func (r *warmer) round() (begun int) {
	for w, s := range r.shards {
		for {
			ok, next := s.ReserveWarm(r.now)
			if !ok {
				if !next.After(r.now) {
					r.t.Fatal("asked to ask again at once")
				}
				break
			}
			begun++
			c := &conn{worker: w}
			c.node.Init(c, Key{})
			s.Connecting(&c.node, true)
			r.pending = append(r.pending, c)
		}
	}
	r.now = r.now.Add(2 * time.Second)
	return begun
}

// established ends the connects under way well.
func (r *warmer) established() (cs []*conn) {
	for _, c := range r.pending {
		r.shards[c.worker].Established(&c.node)
	}
	cs, r.pending = r.pending, nil
	return cs
}

// TestWarm: the workers together open what is missing, a few at a time, each its share.
func TestWarm(t *testing.T) {
	r := newWarmer(t, 3, 10)
	var perWorker [3]int
	for i, want := range []int{4, 4, 2, 0} {
		if begun := r.round(); begun != want {
			t.Fatalf("round %d: %d connects begun, want %d", i, begun, want)
		}
		if again := r.round(); again != 0 {
			t.Fatalf("round %d: %d more begun while those are under way", i, again)
		}
		for _, c := range r.established() {
			perWorker[c.worker]++
		}
	}
	if perWorker != [3]int{4, 3, 3} {
		t.Errorf("opened %v, want their shares", perWorker)
	}
}

// TestWarmRestored: a loss is made good, but not at once after a connect has failed.
func TestWarmRestored(t *testing.T) {
	r := newWarmer(t, 1, 3)
	r.round()
	lost, s := r.established()[0], r.shards[0]
	s.Closed(&lost.node, r.now)
	if r.round() != 1 || r.shared.Open() != 3 {
		t.Fatalf("a loss was not made good: %d open", r.shared.Open())
	}
	s.Closed(&r.pending[0].node, r.now) // the connect failed
	if ok, _ := s.ReserveWarm(r.now); ok {
		t.Error("tried again at once after a failure")
	}
	if n := r.shared.warming.Load(); n != 0 {
		t.Errorf("%d under way, want none", n)
	}
	if ok, _ := s.ReserveWarm(r.now.Add(time.Minute)); !ok {
		t.Error("not tried again after the delay")
	}
	s.UnreserveWarm(r.now)
	if r.shared.Open() != 2 || r.shared.warming.Load() != 0 {
		t.Errorf("%d open and %d under way after taking it back", r.shared.Open(), r.shared.warming.Load())
	}
	r.shared.Backoff.SetMax(1)
	later := r.now.Add(time.Hour)
	r.shared.Backoff.Failure(later, 0)
	if ok, next := s.ReserveWarm(later); ok || !next.After(r.shared.Backoff.Until()) {
		t.Error("tried although the server is backed off")
	}
}

// TestSharedIsExact has workers put, take and reserve at once: never more idle than pool-max-conn, never more opened to
// warm than are wanted.
func TestSharedIsExact(t *testing.T) {
	const workers, most, warm, rounds = 4, 5, 9, 4000
	p := &Policy{MaxConn: most, WarmConn: warm}
	shared := NewShared(p, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			s, now := New[*conn](p, shared, w), mono.Time(time.Hour)
			var held []*conn
			for i := range rounds {
				now = now.Add(2 * time.Second)
				if ok, _ := s.ReserveWarm(now); ok {
					c := &conn{}
					c.node.Init(c, Key{})
					c.node.Recycle = p.NewRecycle(now, 0)
					s.Connecting(&c.node, true)
					s.Established(&c.node)
					held = append(held, c)
				}
				if n := shared.Open(); n > warm {
					t.Errorf("%d open, opened to keep %d warm", n, warm)
				}
				if len(held) > 0 && i%3 != 0 {
					c := held[len(held)-1]
					held = held[:len(held)-1]
					evicted, _, ok := s.Put(&c.node, now)
					if evicted != nil {
						s.Closed(&evicted.node, now)
					}
					if !ok {
						s.Closed(&c.node, now)
					}
				}
				if n := shared.Idle(); n > most {
					t.Errorf("%d idle of at most %d", n, most)
				}
				if i%5 == 0 {
					if c, ok := s.Take(Key{}, Any, now); ok {
						held = append(held, c)
					}
				}
				runtime.Gosched()
			}
			for _, c := range held {
				s.Closed(&c.node, now)
			}
			s.Drain(func(c *conn, _ Cause) { s.Closed(&c.node, now) })
		})
	}
	wg.Wait()
	if shared.Idle() != 0 || shared.Open() != 0 || shared.warming.Load() != 0 {
		t.Errorf("%d idle, %d open, %d warming at the end", shared.Idle(), shared.Open(), shared.warming.Load())
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	p := &Policy{MaxConn: -1, PurgeDelay: time.Hour, MaxReuse: 0}
	s, m, now := New[*conn](p, NewShared(p, 2), 0), NewStreams[*conn](), mono.Time(time.Hour)
	keys := []Key{{}, {SNI: "a.example"}, {SNI: "b.example"}}
	for _, k := range keys {
		idleConn(s, p, k, true, now)
		c := &conn{}
		c.node.Init(c, k)
		c.node.Recycle = p.NewRecycle(now, 0)
		m.Set(&c.node, 100)
	}
	if n := testing.AllocsPerRun(1000, func() {
		now++
		for _, k := range keys {
			c, ok := s.Take(k, Any, now)
			if !ok {
				t.Fatal("nothing to take")
			}
			c.node.Recycle.Use()
			s.Put(&c.node, now)
			d, ok := m.Pick(k, Any, now)
			if !ok {
				t.Fatal("nothing to pick")
			}
			m.Set(&d.node, 100)
		}
		s.Tick(now, func(*conn, Cause) {})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTakePut(b *testing.B) {
	for name, keys := range map[string][]Key{
		"OneKey": {{}}, "OneName": {{SNI: "a.example"}},
		"ManyNames": {{SNI: "a.example"}, {SNI: "b.example"}, {SNI: "c.example"}, {SNI: "d.example"}},
	} {
		b.Run(name, func(b *testing.B) {
			p := &Policy{MaxConn: -1}
			s, now := New[*conn](p, NewShared(p, 2), 0), mono.Time(time.Hour)
			for _, k := range keys {
				for range 10 {
					idleConn(s, p, k, true, now)
				}
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				c, _ := s.Take(keys[i%len(keys)], Any, now)
				c.node.Recycle.Use()
				s.Put(&c.node, now)
			}
		})
	}
}

func BenchmarkPick(b *testing.B) {
	m, p := NewStreams[*conn](), &Policy{}
	for range 4 {
		c := &conn{}
		c.node.Init(c, Key{})
		c.node.Recycle = p.NewRecycle(1, 0)
		m.Set(&c.node, 100)
	}
	b.ReportAllocs()
	for b.Loop() {
		c, _ := m.Pick(Key{}, Any, 2)
		m.Set(&c.node, 100)
	}
}
