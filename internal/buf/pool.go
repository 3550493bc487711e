package buf

import "math/bits"

// The sizes of blocks. Every class is twice the one before, so at most half of a block is wasted.
const (
	BlockBytesMin = 2 << 10
	BlockBytesMax = 256 << 10

	classCount = 8
	classShift = 11 // log2(BlockBytesMin)
)

// KeepBytesDefault is how many unused bytes a Pool keeps in each class by default.
const KeepBytesDefault = 8 << 20

// Block is a piece of memory with one owner. Its owner gives it back with Pool.Free exactly once.
type Block struct {
	// Data is the whole block; its length is the class's size and does not change. What it holds after Get is undefined.
	Data []byte

	next     *Block // in a free list or a Queue
	pool     *Pool
	off, end int32 // in a Queue: Data[off:end] waits
	class    uint8
	free     bool
}

// class is the free list of one size, last in first out: the block that is given out is the one whose lines are warmest.
type class struct {
	head  *Block
	count int
	low   int // the least count since the last Trim: so many blocks were not needed
}

// Pool is the free lists of one worker. Its methods may be called by that worker only.
type Pool struct {
	classes [classCount]class
	inUse   int64
	idle    int64
	keep    int64
}

// NewPool makes an empty pool that keeps at most keepBytes unused bytes in each size class; 0 means KeepBytesDefault.
// Blocks beyond that go to the garbage collector as they are freed.
func NewPool(keepBytes int) *Pool {
	if keepBytes <= 0 {
		keepBytes = KeepBytesDefault
	}
	return &Pool{keep: int64(keepBytes)}
}

// classOf is the smallest class that holds n bytes.
func classOf(n int) int {
	if n <= BlockBytesMin {
		return 0
	}
	return bits.Len(uint(n-1) >> classShift)
}

// Get returns a block of at least n bytes, at most BlockBytesMax. The caller owns it.
func (p *Pool) Get(n int) *Block {
	if n > BlockBytesMax {
		panic("buf: a block larger than the largest class was asked for")
	}
	i := classOf(n)
	size := int64(BlockBytesMin) << i
	c := &p.classes[i]
	p.inUse += size
	b := c.head
	if b == nil {
		return &Block{Data: make([]byte, size), pool: p, class: uint8(i)}
	}
	c.head, b.next, b.free = b.next, nil, false
	c.count--
	c.low = min(c.low, c.count)
	p.idle -= size
	return b
}

// Free gives a block back. It panics when the block is free already or came from another pool: either means that two
// owners write to the same memory, which must not be survived.
func (p *Pool) Free(b *Block) {
	if b.free {
		panic("buf: block freed twice")
	}
	if b.pool != p {
		panic("buf: block freed into another worker's pool")
	}
	c, size := &p.classes[b.class], int64(len(b.Data))
	b.free = true
	b.off, b.end = 0, 0
	p.inUse -= size
	if int64(c.count+1)*size > p.keep {
		b.next = nil
		return
	}
	b.next, c.head = c.head, b
	c.count++
	p.idle += size
}

// InUse is the bytes of the blocks that are given out.
func (p *Pool) InUse() int64 { return p.inUse }

// Idle is the bytes of the blocks that wait in the free lists.
func (p *Pool) Idle() int64 { return p.idle }

// Trim lets go of half of the blocks (at least one) that were not needed since the last Trim, class by class, and returns
// their bytes. Called about once a second it halves what a spike left behind every time, and leaves alone what the
// ordinary swing of the load uses.
func (p *Pool) Trim() (released int64) {
	for i := range p.classes {
		c := &p.classes[i]
		for range (c.low + 1) / 2 {
			b := c.head
			c.head, b.next = b.next, nil
			c.count--
			released += int64(len(b.Data))
		}
		c.low = c.count
	}
	p.idle -= released
	return released
}
