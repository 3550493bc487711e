package pool

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/internal/mono"
)

// TestStreamsModel compares Streams with a list in the order of last use.
func TestStreamsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type muxed struct {
			node   Node[*muxed]
			key    Key
			proven bool
			free   int
		}
		p, now := Policy{MaxAge: 30 * time.Second}, mono.Time(time.Hour)
		m := NewStreams[*muxed]()
		var room, all []*muxed // room: the most recently used last
		leave := func(c *muxed) { room = slices.DeleteFunc(room, func(d *muxed) bool { return d == c }) }
		key := rapid.SampledFrom(modelKeys)
		set := func(c *muxed, free int) {
			m.Set(&c.node, free)
			if free > 0 && c.free == 0 {
				room = append(room, c)
			} else if free == 0 {
				leave(c)
			}
			c.free = free
		}
		pick := func(t *rapid.T) *muxed {
			if len(all) == 0 {
				t.Skip("none")
			}
			return rapid.SampledFrom(all).Draw(t, "conn")
		}
		t.Repeat(map[string]func(*rapid.T){
			"open": func(t *rapid.T) {
				c := &muxed{key: key.Draw(t, "key")}
				c.node.Init(c, c.key)
				c.node.Recycle = p.NewRecycle(now, 1<<16|1<<48)
				all = append(all, c)
				set(c, rapid.IntRange(0, 3).Draw(t, "free"))
			},
			"set": func(t *rapid.T) { set(pick(t), rapid.IntRange(0, 3).Draw(t, "free")) },
			"remove": func(t *rapid.T) {
				c := pick(t)
				m.Remove(&c.node)
				leave(c)
				c.free = 0
			},
			"prove": func(t *rapid.T) {
				c := pick(t)
				m.Prove(&c.node)
				if !c.proven && c.free > 0 { // it has just been used
					leave(c)
					room = append(room, c)
				}
				c.proven = true
			},
			"pick": func(t *rapid.T) {
				k, need := key.Draw(t, "key"), rapid.SampledFrom([]Need{Any, Any, Proven, Never}).Draw(t, "need")
				var want *muxed
				for _, c := range room {
					if _, over := c.node.Recycle.Over(now); c.key == k && !over && need != Never && (need == Any || c.proven) {
						want = c
					}
				}
				got, ok := m.Pick(k, need, now)
				if ok != (want != nil) || got != want {
					t.Fatalf("picked %p, %v; want %p", got, ok, want)
				}
				if want != nil {
					want.free--
					leave(want)
					if want.free > 0 {
						room = append(room, want)
					}
				}
			},
			"wait":  func(t *rapid.T) { now = now.Add(time.Duration(rapid.IntRange(0, 10).Draw(t, "s")) * time.Second) },
			"sweep": func(t *rapid.T) { m.Sweep() },
			"": func(t *rapid.T) {
				free := 0
				for _, c := range room {
					free += c.free
				}
				if m.Len() != len(room) || m.Free() != free {
					t.Fatalf("%d connections with %d streams free, want %d with %d", m.Len(), m.Free(), len(room), free)
				}
			},
		})
	})
}
