package pool

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/internal/mono"
)

// conn stands for a server connection: what the engine's record would be.
type conn struct {
	id     int
	node   Node[*conn]
	worker int
	key    Key
	proven bool
	state  connState
	idleAt int // orders the idle ones by last use
}

type connState uint8

const (
	connUsed connState = iota
	connIdle
	connClosed
)

// shardModel is the pool of one server on several workers, and the plain facts to compare it with.
type shardModel struct {
	policy *Policy
	shared *Shared
	shards []*Shard[*conn]
	conns  []*conn
	now    mono.Time
	clock  int
	causes map[Cause]int

	periods [modelWorkers]modelPeriod
}

// modelPeriod is a worker's period of pool-purge-delay, kept apart from what the shard thinks of it.
type modelPeriod struct {
	end mono.Time // 0: none has begun
	low int       // the fewest idle connections seen since it began
}

const modelWorkers = 3

var modelKeys = []Key{{}, {SNI: "a.example"}, {SNI: "a.example", ALPN: "h2"}}

func newShardModel(p Policy) *shardModel {
	m := &shardModel{policy: &p, now: mono.Time(time.Hour), causes: map[Cause]int{}}
	m.shared = NewShared(m.policy, modelWorkers)
	for w := range modelWorkers {
		m.shards = append(m.shards, New[*conn](m.policy, m.shared, w))
	}
	return m
}

func (m *shardModel) with(state connState) (cs []*conn) {
	for _, c := range m.conns {
		if c.state == state {
			cs = append(cs, c)
		}
	}
	return cs
}

// idle lists a worker's idle connections, the oldest first.
func (m *shardModel) idle(worker int) (cs []*conn) {
	for _, c := range m.with(connIdle) {
		if c.worker == worker {
			cs = append(cs, c)
		}
	}
	slices.SortFunc(cs, func(a, b *conn) int { return a.idleAt - b.idleAt })
	return cs
}

// fitting returns those that need and key allow and that have not done enough.
func (m *shardModel) fitting(cs []*conn, key Key, need Need) (fit []*conn) {
	for _, c := range cs {
		if _, over := c.node.Recycle.Over(m.now); c.key == key && !over && need != Never && (need == Any || c.proven) {
			fit = append(fit, c)
		}
	}
	return fit
}

func (m *shardModel) open(worker int, key Key, reserved bool, rand uint64) *conn {
	c := &conn{id: len(m.conns), worker: worker, key: key}
	c.node.Init(c, key)
	c.node.Recycle = m.policy.NewRecycle(m.now, rand)
	c.node.Recycle.Use()
	m.shards[worker].Connecting(&c.node, reserved)
	m.shards[worker].Established(&c.node)
	m.conns = append(m.conns, c)
	return c
}

// closed is what the engine does with a connection that the pool gave up.
func (m *shardModel) closed(c *conn, cause Cause) {
	if c.state == connClosed {
		panic(fmt.Sprintf("connection %d closed twice", c.id))
	}
	m.causes[cause]++
	c.state = connClosed
	m.shards[c.worker].Closed(&c.node, m.now)
	m.shards[c.worker].Closed(&c.node, m.now)
}

func (m *shardModel) put(c *conn) error {
	c.node.Recycle.Rest(m.now)
	_, over := c.node.Recycle.Over(m.now)
	idle, total := m.idle(c.worker), len(m.with(connIdle))
	evicted, cause, ok := m.shards[c.worker].Put(&c.node, m.now)
	limit := m.policy.MaxConn
	full := limit >= 0 && total >= limit
	switch {
	case over || limit == 0 || full && len(idle) == 0:
		if ok || evicted != nil {
			return fmt.Errorf("connection %d was accepted with %d idle of %d, over: %v", c.id, total, limit, over)
		}
		m.closed(c, cause)
		return nil
	case !ok:
		return fmt.Errorf("connection %d was refused (%s) with %d idle of %d", c.id, cause, total, limit)
	case full && (evicted != idle[0] || cause != PoolMax):
		return fmt.Errorf("not the oldest was evicted, or for %s", cause)
	case !full && evicted != nil:
		return fmt.Errorf("connection %d was evicted with %d idle of %d", evicted.id, total, limit)
	}
	if evicted != nil {
		m.closed(evicted, cause)
	}
	m.clock++
	c.state, c.idleAt = connIdle, m.clock
	return nil
}

func (m *shardModel) take(worker int, key Key, need Need) error {
	fit := m.fitting(m.idle(worker), key, need)
	c, ok := m.shards[worker].Take(key, need, m.now)
	if ok != (len(fit) > 0) {
		return fmt.Errorf("take of %v: %v, with %d that fit", need, ok, len(fit))
	}
	if !ok {
		return nil
	}
	if want := fit[len(fit)-1]; c != want {
		return fmt.Errorf("took connection %d, want the most recently used, %d", c.id, want.id)
	}
	c.state = connUsed
	c.node.Recycle.Use()
	return nil
}

// takeover moves an idle connection from the richest worker to another.
func (m *shardModel) takeover(to int, key Key, need Need) error {
	low := m.policy.LowConn
	from, ok := m.shared.Richest(to, low)
	most := 0
	for w := range modelWorkers {
		if n := len(m.idle(w)); w != to && n > low {
			most = max(most, n)
		}
	}
	if ok != (most > 0) || ok && len(m.idle(from)) != most {
		return fmt.Errorf("richest is %d, %v; some worker has %d above %d", from, ok, most, low)
	}
	if !ok {
		return nil
	}
	fit := slices.DeleteFunc(m.fitting(m.idle(from), key, need), func(c *conn) bool { return c.node.Stays })
	c, ok := m.shards[from].Give(key, need, m.now)
	if ok != (len(fit) > 0) {
		return fmt.Errorf("given: %v, with %d that fit", ok, len(fit))
	}
	if !ok {
		return nil
	}
	if c != fit[0] {
		return fmt.Errorf("gave connection %d, want the oldest, %d", c.id, fit[0].id)
	}
	taken := &conn{id: len(m.conns), worker: to, key: c.key, proven: c.proven}
	taken.node.Inherit(taken, &c.node)
	taken.node.Recycle.Use()
	m.shards[to].Adopt(&taken.node)
	c.state = connClosed // the record; the connection goes on in the other one
	m.shards[from].Closed(&c.node, m.now)
	m.conns = append(m.conns, taken)
	return nil
}

func (m *shardModel) tick(worker int) error {
	s, p := m.shards[worker], &m.periods[worker]
	var over, rest []*conn
	for _, c := range m.idle(worker) {
		if _, o := c.node.Recycle.Over(m.now); o {
			over = append(over, c)
		} else {
			rest = append(rest, c)
		}
	}
	delay := m.policy.PurgeDelay
	ends := delay > 0 && !p.end.IsZero() && p.end <= m.now
	purged := 0
	if ends {
		spare := max(m.shared.Open()-len(over)-m.policy.WarmConn, 0)
		purged = min((min(p.low, len(rest))+1)/2, spare)
	}
	want := slices.Concat(over, rest[:purged])
	var gone []*conn
	next := s.Tick(m.now, func(c *conn, cause Cause) {
		gone = append(gone, c)
		m.closed(c, cause)
		if slices.Contains(over, c) == (cause == IdlePurge) {
			panic(fmt.Sprintf("connection %d closed for %s", c.id, cause))
		}
	})
	if !slices.Equal(gone, want) {
		return fmt.Errorf("tick closed %d, want the %d over and the oldest half, %d, of %d unneeded", len(gone), len(over), purged, p.low)
	}
	switch {
	case delay == 0:
		p.end = 0
	case ends, p.end.IsZero(), p.end > m.now.Add(delay):
		*p = modelPeriod{m.now.Add(delay), len(m.idle(worker))}
	}
	if want := p.end; delay > 0 && next != want || delay == 0 && next != mono.Never {
		return fmt.Errorf("next tick in %v, want %v", next.Sub(m.now), want.Sub(m.now))
	}
	return nil
}

// verify compares every count with the facts.
func (m *shardModel) verify() error {
	total, open := 0, 0
	for w, s := range m.shards {
		idle := m.idle(w)
		m.periods[w].low = min(m.periods[w].low, len(idle))
		used := 0
		for _, c := range m.with(connUsed) {
			if c.worker == w && c.key.Owner == 0 {
				used++
			}
		}
		if s.Len() != len(idle) || m.shared.IdleOf(w) != len(idle) || s.Used() != used {
			return fmt.Errorf("worker %d: %d idle, %d published, %d used; want %d idle and %d used", w, s.Len(), m.shared.IdleOf(w), s.Used(), len(idle), used)
		}
		if s.Need() < used {
			return fmt.Errorf("worker %d: an estimate of %d with %d used", w, s.Need(), used)
		}
		var got []*conn
		for n := s.oldest; n != nil; n = n.newer {
			got = append(got, n.value)
		}
		if !slices.Equal(got, idle) {
			return fmt.Errorf("worker %d: the order of age is wrong", w)
		}
		total, open = total+len(idle), open+len(idle)+used
	}
	if m.shared.Idle() != total || m.shared.Open() != open || m.shared.warming.Load() != 0 {
		return fmt.Errorf("%d idle and %d open counted, %d warming; want %d and %d", m.shared.Idle(), m.shared.Open(), m.shared.warming.Load(), total, open)
	}
	if limit := m.policy.MaxConn; limit >= 0 && total > limit {
		return fmt.Errorf("%d idle of at most %d", total, limit)
	}
	return nil
}

func drawPolicy(t *rapid.T) Policy {
	return Policy{
		LowConn: rapid.IntRange(0, 2).Draw(t, "low"), MaxConn: rapid.SampledFrom([]int{-1, -1, 0, 1, 2, 6}).Draw(t, "max"),
		PurgeDelay: rapid.SampledFrom([]time.Duration{0, time.Second, 2 * time.Second}).Draw(t, "purge"),
		WarmConn:   rapid.IntRange(0, 5).Draw(t, "warm"), MaxReuse: rapid.SampledFrom([]int{0, 3}).Draw(t, "reuse"),
		MaxAge: rapid.SampledFrom([]time.Duration{0, 20 * time.Second}).Draw(t, "age"),
	}
}

// modelRun draws what happens to a shardModel.
type modelRun struct {
	*shardModel
	t *rapid.T
}

func (m modelRun) check(err error) {
	if err == nil {
		err = m.verify()
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m modelRun) drawWorker() int { return rapid.IntRange(0, modelWorkers-1).Draw(m.t, "worker") }
func (m modelRun) drawKey() Key    { return rapid.SampledFrom(modelKeys).Draw(m.t, "key") }

func (m modelRun) drawNeed() Need {
	return rapid.SampledFrom([]Need{Any, Any, Proven, Never}).Draw(m.t, "need")
}

func (m modelRun) pick(state connState) *conn {
	cs := m.with(state)
	if len(cs) == 0 {
		m.t.Skip("none")
	}
	return rapid.SampledFrom(cs).Draw(m.t, "conn")
}

func (m modelRun) drawPut(t *rapid.T) {
	c := m.pick(connUsed)
	if c.key.Owner != 0 {
		t.Skip("private")
	}
	if rapid.Bool().Draw(t, "complete") && !c.proven {
		c.proven = true
		c.node.Prove()
	}
	m.check(m.put(c))
}

// connActions are what happens to single connections.
func (m modelRun) connActions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"open": func(t *rapid.T) {
			c := m.open(m.drawWorker(), m.drawKey(), false, rapid.Uint64().Draw(t, "rand"))
			c.node.Stays = rapid.IntRange(0, 4).Draw(t, "stays") == 0
			m.check(nil)
		},
		"openPrivate": func(t *rapid.T) { m.open(m.drawWorker(), Key{Owner: 7}, false, 0); m.check(nil) },
		"populate": func(t *rapid.T) {
			w, k := m.drawWorker(), m.drawKey()
			for range rapid.IntRange(1, 8).Draw(t, "n") {
				c := m.open(w, k, false, 1<<16|1<<48)
				if rapid.Bool().Draw(t, "complete") {
					c.proven = true
					c.node.Prove()
				}
				m.check(m.put(c))
			}
		},
		"periods": func(t *rapid.T) {
			w := m.drawWorker()
			for range rapid.IntRange(2, 4).Draw(t, "n") {
				m.now = m.now.Add(m.policy.PurgeDelay)
				m.check(m.tick(w))
				m.check(m.take(w, m.drawKey(), Any))
			}
		},
		"put":      m.drawPut,
		"put2":     m.drawPut,
		"take":     func(t *rapid.T) { m.check(m.take(m.drawWorker(), m.drawKey(), m.drawNeed())) },
		"takeover": func(t *rapid.T) { m.check(m.takeover(m.drawWorker(), m.drawKey(), m.drawNeed())) },
		"close":    func(t *rapid.T) { m.closed(m.pick(connUsed), 0); m.check(nil) },
		"hangUp": func(t *rapid.T) {
			c := m.pick(connIdle)
			m.shards[c.worker].Remove(&c.node)
			m.closed(c, 0)
			m.check(nil)
		},
		"private": func(t *rapid.T) {
			c := m.pick(connUsed)
			m.shards[c.worker].Private(&c.node, 9)
			c.key.Owner = 9
			m.check(nil)
		},
	}
}

// poolActions are what happens to shards and to the policy.
func (m modelRun) poolActions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"evict": func(t *rapid.T) {
			w := m.drawWorker()
			idle := m.idle(w)
			c, ok := m.shards[w].Evict()
			if ok != (len(idle) > 0) || ok && c != idle[0] {
				t.Fatal("not the oldest was evicted")
			}
			if ok {
				m.closed(c, Evicted)
			}
			m.check(nil)
		},
		"hint": func(t *rapid.T) { m.pick(connUsed).node.Recycle.Hint([]byte("timeout=5")) },
		"wait": func(t *rapid.T) {
			m.now = m.now.Add(time.Duration(rapid.IntRange(0, 6000).Draw(t, "ms")) * time.Millisecond)
		},
		"tick": func(t *rapid.T) { m.check(m.tick(m.drawWorker())) },
		"warm": func(t *rapid.T) {
			w := m.drawWorker()
			for {
				open := m.shared.Open()
				ok, next := m.shards[w].ReserveWarm(m.now)
				if !ok {
					if m.policy.WarmConn > 0 && !next.After(m.now) {
						t.Fatal("asked to ask again at once")
					}
					break
				}
				if open >= m.policy.WarmConn {
					t.Fatalf("one more to keep warm with %d open of %d", open, m.policy.WarmConn)
				}
				m.open(w, Key{}, true, 0)
			}
			m.check(nil)
		},
		"reload": func(t *rapid.T) {
			p := drawPolicy(t)
			m.policy = &p
			m.shared.Apply(&p)
			for _, s := range m.shards {
				s.SetPolicy(&p, m.closed)
			}
			m.check(nil)
		},
	}
}

func TestShardModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := modelRun{newShardModel(drawPolicy(t)), t}
		actions := m.connActions()
		maps.Copy(actions, m.poolActions())
		t.Repeat(actions)
		for _, s := range m.shards {
			s.Drain(m.closed)
		}
		m.check(nil)
		if n := len(m.with(connIdle)); n > 0 {
			t.Fatalf("%d idle after the drain", n)
		}
	})
}
