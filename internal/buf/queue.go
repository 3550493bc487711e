package buf

// chainBytes bounds the blocks that a queue takes by itself as it grows. It is large enough for a TLS record or an h2
// frame, and for a megabyte to go out in one writev of 64 pieces; and small enough that what was sent is given back
// while the rest still waits.
const chainBytes = 16 << 10

// Queue is bytes that wait, first in first out: to be parsed, or to be sent. It owns its blocks. The zero Queue is of no
// use before Init; an empty one holds no block.
//
// A Queue must not be copied while it holds bytes: both copies would own the blocks.
type Queue struct {
	head, tail *Block
	pool       *Pool
	len, held  int32
}

// Init says where the blocks come from. The queue must be empty.
func (q *Queue) Init(p *Pool) {
	if q.head != nil {
		panic("buf: Init of a queue that holds bytes")
	}
	q.pool = p
}

// Len is the number of bytes that wait.
func (q *Queue) Len() int { return int(q.len) }

// Held is the bytes of the blocks that the queue owns: what it counts for under max-buffer-size.
func (q *Queue) Held() int { return int(q.held) }

// Append copies p to the end.
func (q *Queue) Append(p []byte) {
	for len(p) > 0 {
		n := copy(q.space(len(p)), p)
		q.extend(n)
		p = p[n:]
	}
}

// AppendString copies s to the end.
func (q *Queue) AppendString(s string) {
	for len(s) > 0 {
		n := copy(q.space(len(s)), s)
		q.extend(n)
		s = s[n:]
	}
}

// space returns what is free in the last block, or a new last block that suits n more bytes.
func (q *Queue) space(n int) []byte {
	if t := q.tail; t != nil {
		if int(t.end) < len(t.Data) {
			return t.Data[t.end:]
		}
		n = max(n, 2*len(t.Data))
	}
	return q.link(q.pool.Get(min(n, chainBytes))).Data
}

// link makes b the last block.
func (q *Queue) link(b *Block) *Block {
	if q.tail == nil {
		q.head = b
	} else {
		q.tail.next = b
	}
	q.tail = b
	q.held += int32(len(b.Data))
	return b
}

func (q *Queue) extend(n int) {
	q.tail.end += int32(n)
	q.len += int32(n)
}

// Room returns at least n free bytes behind the last one that waits, for a read to write into; n is 1 to BlockBytesMax.
// Commit must follow, with as many bytes as were written, before anything else is done to the queue.
func (q *Queue) Room(n int) []byte {
	if t := q.tail; t != nil && len(t.Data)-int(t.end) >= n {
		return t.Data[t.end:]
	}
	return q.link(q.pool.Get(n)).Data
}

// Commit appends the first n bytes of what Room returned. When there are none, the block that Room took goes back.
func (q *Queue) Commit(n int) {
	if n > 0 {
		if int(q.tail.end)+n > len(q.tail.Data) {
			panic("buf: Commit of more than Room gave")
		}
		q.extend(n)
		return
	}
	if q.tail.end > q.tail.off {
		return
	}
	b := q.tail
	q.tail = nil
	for p := q.head; p != b; p = p.next {
		q.tail = p
	}
	if q.tail == nil {
		q.head = nil
	} else {
		q.tail.next = nil
	}
	q.held -= int32(len(b.Data))
	q.pool.Free(b)
}

// Push hands a block of the same pool over to the queue: its first n bytes wait at the end. Nothing is copied; a block
// of no bytes is freed.
func (q *Queue) Push(b *Block, n int) {
	if b.pool != q.pool || b.next != nil || b.free || n > len(b.Data) {
		panic("buf: Push of a block that is not the caller's")
	}
	if n == 0 {
		q.pool.Free(b)
		return
	}
	b.off, b.end = 0, 0
	q.link(b)
	q.extend(n)
}

// Bytes returns the first contiguous piece of what waits, nil when nothing does. It is valid until the next call that
// changes the queue.
func (q *Queue) Bytes() []byte {
	if q.head == nil {
		return nil
	}
	return q.head.Data[q.head.off:q.head.end]
}

// Pieces appends the pieces that wait to dst, as far as its capacity goes: it never allocates. They are valid until the
// next call that changes the queue.
func (q *Queue) Pieces(dst [][]byte) [][]byte {
	for b := q.head; b != nil && len(dst) < cap(dst); b = b.next {
		dst = append(dst, b.Data[b.off:b.end])
	}
	return dst
}

// Flatten makes everything that waits one piece, with at least room free bytes behind it in the same block, and returns
// the piece. Len()+room must not exceed BlockBytesMax.
//
// It is what a parser calls when a head did not fit the first block; the caller asks for a good part more each time, so
// that a head that trickles in is copied a logarithmic number of times.
func (q *Queue) Flatten(room int) []byte {
	h := q.head
	if h != nil && h == q.tail {
		if len(h.Data)-int(h.end) >= room {
			return h.Data[h.off:h.end]
		}
		if len(h.Data)-int(q.len) >= room {
			copy(h.Data, h.Data[h.off:h.end])
			h.off, h.end = 0, q.len
			return h.Data[:h.end]
		}
	}
	if h == nil {
		return nil
	}
	b := q.pool.Get(int(q.len) + room)
	n := 0
	for h != nil {
		n += copy(b.Data[n:], h.Data[h.off:h.end])
		h = q.drop(h)
	}
	q.held = 0
	q.tail, q.head = nil, nil
	q.link(b)
	b.end = int32(n)
	return b.Data[:n]
}

// drop frees b and returns the block behind it.
func (q *Queue) drop(b *Block) *Block {
	next := b.next
	b.next = nil
	q.held -= int32(len(b.Data))
	q.pool.Free(b)
	return next
}

// Consume removes the first n bytes. Blocks that become empty are freed at once.
func (q *Queue) Consume(n int) {
	if n > int(q.len) {
		panic("buf: more consumed than waits")
	}
	q.len -= int32(n)
	for n > 0 {
		h := q.head
		if have := int(h.end - h.off); n < have {
			h.off += int32(n)
			return
		} else {
			n -= have
		}
		if q.head = q.drop(h); q.head == nil {
			q.tail = nil
		}
	}
}

// MoveTo moves the first n bytes to the end of dst, a queue of the same pool. Whole blocks change hands without a copy;
// only the part of a block that stays behind is copied.
func (q *Queue) MoveTo(dst *Queue, n int) {
	if n > int(q.len) || dst.pool != q.pool || dst == q {
		panic("buf: MoveTo of more than waits, or to another worker's queue")
	}
	for n > 0 {
		h := q.head
		have := int(h.end - h.off)
		if n < have || fits(dst.tail, have) {
			m := min(n, have)
			dst.Append(h.Data[h.off : int(h.off)+m])
			q.Consume(m)
			n -= m
			continue
		}
		if q.head = h.next; q.head == nil {
			q.tail = nil
		}
		h.next = nil
		q.len -= int32(have)
		q.held -= int32(len(h.Data))
		dst.link(h)
		dst.len += int32(have)
		n -= have
	}
}

// copyBytesMax is up to where copying a block's bytes behind the last ones of another queue is cheaper than a further
// piece in every writev.
const copyBytesMax = 512

// fits reports whether n bytes are few enough, and t has room enough, to copy them instead of linking their block.
func fits(t *Block, n int) bool {
	return t != nil && n <= copyBytesMax && len(t.Data)-int(t.end) >= n
}

// Reset drops everything that waits.
func (q *Queue) Reset() {
	for h := q.head; h != nil; {
		h = q.drop(h)
	}
	q.head, q.tail, q.len = nil, nil, 0
}
