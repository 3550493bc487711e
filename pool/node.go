package pool

// Node makes a connection known to the pool. It is embedded in the connection's record and owned by the worker that owns
// that.
type Node[C any] struct {
	Recycle Recycle // when the connection has done enough
	// Stays keeps the connection on its worker: it is never given to another one.
	Stays bool

	value   C
	key     Key
	proven  bool
	open    bool // counted as open
	warming bool // opened to be kept warm, and not established yet
	in      place
	free    int32 // streams, while in a Streams

	index        *group[C]
	next, prev   *Node[C] // of the group, by last use
	newer, elder *Node[C] // of the shard, by last use
	used         uint64   // orders the nodes of an index by last use
}

// place says what a node is in. There is always exactly one.
type place uint8

const (
	inUse     place = iota // exactly when the connection's owner has it
	inShard                // exactly when it is idle
	inStreams              // exactly when it has free streams
)

// Init prepares a node for a new connection. value is what the pool gives back for it.
func (n *Node[C]) Init(value C, key Key) {
	if n.in != inUse {
		panic("pool: node prepared that is still in a pool")
	}
	*n = Node[C]{value: value, key: key}
}

// Inherit prepares a node for a connection taken over from another worker, whose node was from.
func (n *Node[C]) Inherit(value C, from *Node[C]) {
	n.Init(value, from.key)
	n.Recycle, n.proven = from.Recycle, from.proven
}

// Key is the connection's key.
func (n *Node[C]) Key() Key { return n.key }

// Proven reports whether the connection has carried a complete exchange.
func (n *Node[C]) Proven() bool { return n.proven }

// Prove says that the connection, which is in use, has carried a complete exchange. For one that may be in a Streams, call
// that one's Prove.
func (n *Node[C]) Prove() {
	if n.in != inUse {
		panic("pool: connection proven that is not in use")
	}
	n.proven = true
}

// Idle reports whether the node is in a Shard.
func (n *Node[C]) Idle() bool { return n.in == inShard }
