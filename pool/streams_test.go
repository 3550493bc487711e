package pool

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/internal/mono"
)

// muxed stands for an h2 connection.
type muxed struct {
	node   Node[*muxed]
	key    Key
	proven bool
	free   int
}

// streamsModel is Streams beside a list in the order of last use.
type streamsModel struct {
	streams *Streams[*muxed]
	all     []*muxed
	room    []*muxed // the most recently used last
	now     mono.Time
}

func (m *streamsModel) leave(c *muxed) {
	m.room = slices.DeleteFunc(m.room, func(d *muxed) bool { return d == c })
}

func (m *streamsModel) use(c *muxed) {
	m.leave(c)
	m.room = append(m.room, c)
}

func (m *streamsModel) open(key Key, free int) {
	c := &muxed{key: key}
	c.node.Init(c, key)
	c.node.Recycle = (&Policy{MaxAge: 30 * time.Second}).NewRecycle(m.now, 1<<16|1<<48)
	m.all = append(m.all, c)
	m.set(c, free)
}

func (m *streamsModel) set(c *muxed, free int) {
	m.streams.Set(&c.node, free)
	switch {
	case free == 0:
		m.leave(c)
	case c.free == 0:
		m.use(c)
	}
	c.free = free
}

func (m *streamsModel) remove(c *muxed) {
	m.streams.Remove(&c.node)
	m.leave(c)
	c.free = 0
}

func (m *streamsModel) prove(c *muxed) {
	m.streams.Prove(&c.node)
	if !c.proven && c.free > 0 { // it has just been used
		m.use(c)
	}
	c.proven = true
}

func (m *streamsModel) pick(t *rapid.T, key Key, need Need) {
	var want *muxed
	for _, c := range m.room {
		_, over := c.node.Recycle.Over(m.now)
		if c.key == key && !over && need != Never && (need == Any || c.proven) {
			want = c
		}
	}
	got, ok := m.streams.Pick(key, need, m.now)
	if ok != (want != nil) || got != want {
		t.Fatalf("picked %p, %v; want %p", got, ok, want)
	}
	if want == nil {
		return
	}
	if want.free--; want.free > 0 {
		m.use(want)
	} else {
		m.leave(want)
	}
}

func (m *streamsModel) verify(t *rapid.T) {
	free := 0
	for _, c := range m.room {
		free += c.free
	}
	if m.streams.Len() != len(m.room) || m.streams.Free() != free {
		t.Fatalf("%d connections with %d streams free, want %d with %d", m.streams.Len(), m.streams.Free(), len(m.room), free)
	}
}

func TestStreamsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &streamsModel{streams: NewStreams[*muxed](), now: mono.Time(time.Hour)}
		key, free := rapid.SampledFrom(modelKeys), rapid.IntRange(0, 3)
		need := rapid.SampledFrom([]Need{Any, Any, Proven, Never})
		any := func(t *rapid.T) *muxed {
			if len(m.all) == 0 {
				t.Skip("none")
			}
			return rapid.SampledFrom(m.all).Draw(t, "conn")
		}
		t.Repeat(map[string]func(*rapid.T){
			"open":   func(t *rapid.T) { m.open(key.Draw(t, "key"), free.Draw(t, "free")) },
			"set":    func(t *rapid.T) { m.set(any(t), free.Draw(t, "free")) },
			"remove": func(t *rapid.T) { m.remove(any(t)) },
			"prove":  func(t *rapid.T) { m.prove(any(t)) },
			"pick":   func(t *rapid.T) { m.pick(t, key.Draw(t, "key"), need.Draw(t, "need")) },
			"wait":   func(t *rapid.T) { m.now = m.now.Add(time.Duration(rapid.IntRange(0, 10).Draw(t, "s")) * time.Second) },
			"sweep":  func(t *rapid.T) { m.streams.Sweep() },
			"":       m.verify,
		})
	})
}
