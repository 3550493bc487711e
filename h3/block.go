package h3

import (
	"sync"

	"weir/internal/msg"
)

// The memory that crosses between goroutines and workers comes from sync.Pools: who gets it and who gives it back are
// seldom on the same thread, so that a worker's own pool would run dry on one side and over on the other.

const (
	blockSmallBytes = 4 << 10
	blockLargeBytes = 16 << 10
)

// block is memory with one owner, who gives it back with free exactly once.
type block struct {
	data []byte // its capacity is that of one of the classes, unless it has grown
}

var (
	smallBlocks = sync.Pool{New: func() any { return &block{data: make([]byte, 0, blockSmallBytes)} }}
	largeBlocks = sync.Pool{New: func() any { return &block{data: make([]byte, 0, blockLargeBytes)} }}
	pieces      = sync.Pool{New: func() any { return new(Piece) }}
	heads       = sync.Pool{New: func() any { return new(msg.Head) }}
)

func smallBlock() *block { return smallBlocks.Get().(*block) }
func largeBlock() *block { return largeBlocks.Get().(*block) }

// free gives b back. A block that has grown beyond its class goes to the one it fits now, or to the garbage collector.
func (b *block) free() {
	b.data = b.data[:0]
	switch n := cap(b.data); {
	case n >= 4*blockLargeBytes:
	case n >= blockLargeBytes:
		largeBlocks.Put(b)
	case n >= blockSmallBytes:
		smallBlocks.Put(b)
	}
}

// headBytesKept is the head memory that is kept for the next request: more than nearly every head needs.
const headBytesKept = 8 << 10

func takeHead() *msg.Head {
	h := heads.Get().(*msg.Head)
	h.Version = msg.HTTP3
	return h
}

func freeHead(h *msg.Head) {
	if cap(h.Buf) > headBytesKept {
		return
	}
	h.Reset()
	heads.Put(h)
}
