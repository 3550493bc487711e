package pool

import "weir/internal/mono"

// index finds nodes by key and need, most recently used first.
//
//	groups[key] ─► group ─► proven: c9 ─ c4 ─ c2      each list in the order of last use
//	                        fresh:  c7 ─ c1
//
// The group that was used last is tried first; for a backend with one key that is always the right one and nothing is
// hashed. Groups that have become empty stay until they were empty for a whole period, so that a connection that is taken
// and put back all the time does not make and drop one each time.
type index[C any] struct {
	groups map[Key]*group[C]
	last   *group[C]
	clock  uint64
	spare  *group[C]
}

type group[C any] struct {
	key    Key
	lists  [2]chain[C] // fresh, proven
	length int         // of both
	unused bool        // empty at the last sweep
	next   *group[C]   // in spare
}

// chain is a list of nodes, the most recently used first.
type chain[C any] struct{ head, tail *Node[C] }

const (
	listFresh = iota
	listProven
)

func (x *index[C]) init() { x.groups = make(map[Key]*group[C]) }

func (x *index[C]) find(key *Key) *group[C] {
	if g := x.last; g != nil && g.key == *key {
		return g
	}
	g := x.groups[*key]
	if g != nil {
		x.last = g
	}
	return g
}

func (x *index[C]) findOrMake(key *Key) *group[C] {
	g := x.find(key)
	if g != nil {
		return g
	}
	if g = x.spare; g != nil {
		x.spare = g.next
	} else {
		g = new(group[C])
	}
	*g = group[C]{key: *key}
	x.groups[*key] = g
	x.last = g
	return g
}

// push makes n the most recently used of its key.
func (x *index[C]) push(n *Node[C]) {
	g := x.findOrMake(&n.key)
	g.unused = false
	g.length++
	x.clock++
	n.index, n.used = g, x.clock
	l := g.listOf(n)
	n.prev, n.next = nil, l.head
	if l.head == nil {
		l.tail = n
	} else {
		l.head.prev = n
	}
	l.head = n
}

// touch makes n, which is in the index, the most recently used of its key.
func (x *index[C]) touch(n *Node[C]) {
	if n.prev == nil {
		x.clock++
		n.used = x.clock
		return
	}
	x.remove(n)
	x.push(n)
}

func (x *index[C]) remove(n *Node[C]) {
	n.index.length--
	l := n.index.listOf(n)
	if n.prev == nil {
		l.head = n.next
	} else {
		n.prev.next = n.next
	}
	if n.next == nil {
		l.tail = n.prev
	} else {
		n.next.prev = n.prev
	}
	n.next, n.prev, n.index = nil, nil, nil
}

func (g *group[C]) listOf(n *Node[C]) *chain[C] {
	if n.proven {
		return &g.lists[listProven]
	}
	return &g.lists[listFresh]
}

// newest returns the most recently used node of the key that is good for need and has not done enough; nil if none is.
func (x *index[C]) newest(key *Key, need Need, now mono.Time) *Node[C] {
	g := x.find(key)
	if g == nil || need == Never {
		return nil
	}
	p := g.lists[listProven].head
	var f *Node[C]
	if need == Any {
		f = g.lists[listFresh].head
	}
	for p != nil || f != nil {
		n := p
		if p == nil || f != nil && f.used > p.used {
			n, f = f, f.next
		} else {
			p = p.next
		}
		if _, over := n.Recycle.Over(now); !over {
			return n
		}
	}
	return nil
}

// eldest returns the least recently used node of the key that is good for need, may move to another worker and has not
// done enough; nil if none is.
func (x *index[C]) eldest(key *Key, need Need, now mono.Time) *Node[C] {
	g := x.find(key)
	if g == nil || need == Never {
		return nil
	}
	p := g.lists[listProven].tail
	var f *Node[C]
	if need == Any {
		f = g.lists[listFresh].tail
	}
	for p != nil || f != nil {
		n := p
		if p == nil || f != nil && f.used < p.used {
			n, f = f, f.prev
		} else {
			p = p.prev
		}
		if _, over := n.Recycle.Over(now); !over && !n.Stays {
			return n
		}
	}
	return nil
}

// last returns the least recently used node of the group; nil if it is empty.
func (g *group[C]) last() *Node[C] {
	p, f := g.lists[listProven].tail, g.lists[listFresh].tail
	if p == nil || f != nil && f.used < p.used {
		return f
	}
	return p
}

// sweep drops the groups that were empty at the last sweep and still are.
func (x *index[C]) sweep() {
	for key, g := range x.groups {
		if g.lists[listFresh].head != nil || g.lists[listProven].head != nil {
			continue
		}
		if !g.unused {
			g.unused = true
			continue
		}
		delete(x.groups, key)
		if x.last == g {
			x.last = nil
		}
		*g = group[C]{next: x.spare}
		x.spare = g
	}
}
