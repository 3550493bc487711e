package h2

// Slab is what the connections of one worker share so that none of them keeps memory it does not use: stream records, and
// blocks of bytes for field blocks being gathered and replies that wait. Nothing is allocated once it has grown to the
// worker's usual load. The zero Slab is ready; it is used by one worker.
type Slab struct {
	free   *Stream // chained by live.next
	blocks [][]byte
}

const (
	slabStreams   = 32       // records made at once
	slabBlocksMax = 64       // spare blocks kept
	slabBlockMin  = 512      // bytes of a new block
	slabBlockKeep = 32 << 10 // a larger block is left to the garbage collector
)

// getStream takes a record.
func (b *Slab) getStream() *Stream {
	if b.free == nil {
		records := make([]Stream, slabStreams)
		for i := range records {
			records[i].live.next, b.free = b.free, &records[i]
		}
	}
	s := b.free
	b.free = s.live.next
	s.live.next = nil
	return s
}

// freeStream gives a record back.
func (b *Slab) freeStream(s *Stream) {
	*s = Stream{}
	s.live.next, b.free = b.free, s
}

// getBlock takes an empty block of bytes.
func (b *Slab) getBlock() []byte {
	if n := len(b.blocks); n > 0 {
		p := b.blocks[n-1]
		b.blocks = b.blocks[:n-1]
		return p
	}
	return make([]byte, 0, slabBlockMin)
}

// freeBlock gives one back, however it has grown; nil is none.
func (b *Slab) freeBlock(p []byte) {
	if p != nil && cap(p) <= slabBlockKeep && len(b.blocks) < slabBlocksMax {
		b.blocks = append(b.blocks, p[:0])
	}
}
