package pool

import "weir/internal/mono"

// Streams are one worker's multiplexed connections to one server that carry at least one stream and have room for more. A
// connection whose last stream has ended is idle and belongs into the Shard; one that is full belongs nowhere. Methods may
// be called by that worker only.
//
// The most recently used one with room is picked, so that streams gather on few connections and the others fall idle.
type Streams[C any] struct {
	index  index[C]
	length int
	free   int
}

// NewStreams makes an empty one.
func NewStreams[C any]() *Streams[C] {
	m := new(Streams[C])
	m.index.init()
	return m
}

// Len is the number of connections with room.
func (m *Streams[C]) Len() int { return m.length }

// Free is the number of streams that could be opened on them.
func (m *Streams[C]) Free() int { return m.free }

// Set says that n is in use and has room for free further streams.
func (m *Streams[C]) Set(n *Node[C], free int) {
	if n.in == inShard {
		panic("pool: idle connection has streams")
	}
	if free <= 0 {
		m.Remove(n)
		return
	}
	if n.in == inUse {
		n.in = inStreams
		m.index.push(n)
		m.length++
	}
	m.free += free - int(n.free)
	n.free = int32(free)
}

// Remove takes n out, if it is in it: it is full, idle, going away, or private from now on.
func (m *Streams[C]) Remove(n *Node[C]) {
	if n.in != inStreams {
		return
	}
	m.index.remove(n)
	n.in = inUse
	m.free -= int(n.free)
	n.free = 0
	m.length--
}

// Pick returns the most recently used connection of the key that is good for need, and takes one stream of it.
func (m *Streams[C]) Pick(key Key, need Need, now mono.Time) (c C, ok bool) {
	n := m.index.newest(&key, need, now)
	if n == nil {
		return c, false
	}
	if n.free == 1 {
		m.Remove(n)
		return n.value, true
	}
	n.free--
	m.free--
	m.index.touch(n)
	return n.value, true
}

// Prove says that n has carried a complete exchange.
func (m *Streams[C]) Prove(n *Node[C]) {
	if n.proven {
		return
	}
	if n.in != inStreams {
		n.Prove()
		return
	}
	m.index.remove(n)
	n.proven = true
	m.index.push(n)
}

// Sweep forgets the keys that had no connection since the last Sweep.
func (m *Streams[C]) Sweep() { m.index.sweep() }
