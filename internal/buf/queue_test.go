package buf

import (
	"bytes"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

func TestQueueIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Queue{}); n > 48 {
		t.Errorf("an idle connection's queue is %d bytes", n)
	}
	if n := unsafe.Sizeof(Block{}); n > 64 {
		t.Errorf("a block's head is %d bytes, more than a cache line", n)
	}
}

// verify checks what must always hold of a queue.
func (q *Queue) verify(fail func(string)) {
	var n, held int32
	var last *Block
	for b := q.head; b != nil; b = b.next {
		if b.free || b.end <= b.off {
			fail("a block in a queue is free or empty")
		}
		n += b.end - b.off
		held += int32(len(b.Data))
		last = b
	}
	if last != q.tail || n != q.len || held != q.held {
		fail("a queue's tail, length or held bytes do not add up")
	}
}

// contents is everything that waits, read without changing the queue.
func (q *Queue) contents() []byte {
	return bytes.Join(q.Pieces(make([][]byte, 0, 1024)), nil)
}

// TestQueueModel runs two queues of one pool against two byte slices.
func TestQueueModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := NewPool(0)
		var qs [2]Queue
		var want [2][]byte
		qs[0].Init(p)
		qs[1].Init(p)
		next := byte(0)
		fresh := func(n int) []byte {
			b := make([]byte, n)
			for i := range b {
				next++
				b[i] = next ^ byte(i>>8)
			}
			return b
		}
		side := rapid.IntRange(0, 1)
		size := rapid.OneOf(rapid.IntRange(0, 40), rapid.IntRange(0, 5000), rapid.IntRange(0, 70000))
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				i, b := side.Draw(t, "side"), fresh(size.Draw(t, "n"))
				if rapid.Bool().Draw(t, "as string") {
					qs[i].AppendString(string(b))
				} else {
					qs[i].Append(b)
				}
				want[i] = append(want[i], b...)
			},
			"room": func(t *rapid.T) {
				i, n := side.Draw(t, "side"), max(1, size.Draw(t, "n"))
				room := qs[i].Room(n)
				if len(room) < n {
					t.Fatalf("Room(%d) gave %d", n, len(room))
				}
				b := fresh(rapid.IntRange(0, n).Draw(t, "used"))
				copy(room, b)
				qs[i].Commit(len(b))
				want[i] = append(want[i], b...)
			},
			"push": func(t *rapid.T) {
				i, b := side.Draw(t, "side"), fresh(size.Draw(t, "n"))
				blk := p.Get(len(b))
				copy(blk.Data, b)
				qs[i].Push(blk, len(b))
				want[i] = append(want[i], b...)
			},
			"consume": func(t *rapid.T) {
				i := side.Draw(t, "side")
				n := rapid.IntRange(0, len(want[i])).Draw(t, "n")
				qs[i].Consume(n)
				want[i] = want[i][n:]
			},
			"move": func(t *rapid.T) {
				i := side.Draw(t, "side")
				n := rapid.IntRange(0, len(want[i])).Draw(t, "n")
				qs[i].MoveTo(&qs[1-i], n)
				want[1-i] = append(want[1-i], want[i][:n]...)
				want[i] = want[i][n:]
			},
			"flatten": func(t *rapid.T) {
				i := side.Draw(t, "side")
				if len(want[i]) > BlockBytesMax {
					t.Skip("more than a block")
				}
				room := rapid.IntRange(0, min(5000, BlockBytesMax-len(want[i]))).Draw(t, "room")
				if got := qs[i].Flatten(room); !bytes.Equal(got, want[i]) {
					t.Fatal("Flatten changed the bytes")
				}
				if tail := qs[i].tail; tail != nil && len(tail.Data)-int(tail.end) < room {
					t.Fatalf("Flatten(%d) left room for %d", room, len(tail.Data)-int(tail.end))
				}
			},
			"reset": func(t *rapid.T) {
				i := side.Draw(t, "side")
				qs[i].Reset()
				want[i] = nil
			},
			"": func(t *rapid.T) {
				for i := range qs {
					qs[i].verify(func(why string) { t.Fatal(why) })
					if qs[i].Len() != len(want[i]) || !bytes.Equal(qs[i].contents(), want[i]) {
						t.Fatalf("queue %d holds %d bytes, want %d, or other bytes", i, qs[i].Len(), len(want[i]))
					}
					if first := qs[i].Bytes(); !bytes.HasPrefix(want[i], first) || (len(first) == 0) != (len(want[i]) == 0) {
						t.Fatal("Bytes is not the first piece")
					}
				}
				if p.InUse() != int64(qs[0].Held()+qs[1].Held()) {
					t.Fatalf("%d bytes are in use, the queues hold %d", p.InUse(), qs[0].Held()+qs[1].Held())
				}
				p.verify(func(why string) { t.Fatal(why) })
			},
		})
	})
}

func TestEmptyQueueHoldsNothing(t *testing.T) {
	p := NewPool(0)
	var q Queue
	q.Init(p)
	q.Append(make([]byte, 100_000))
	q.Consume(99_999)
	if q.Held() != int(p.InUse()) || q.Held() > chainBytes {
		t.Errorf("one byte waits and %d bytes are held", q.Held())
	}
	q.Consume(1)
	if q.Held() != 0 || p.InUse() != 0 {
		t.Errorf("an empty queue holds %d bytes", p.InUse())
	}
	q.Room(1)
	q.Commit(0)
	if p.InUse() != 0 {
		t.Error("a read that would block left a block behind")
	}
}

func TestPiecesNeverAllocates(t *testing.T) {
	p := NewPool(0)
	var q Queue
	q.Init(p)
	for range 10 {
		q.Push(p.Get(1), 2048)
	}
	dst := make([][]byte, 0, 4)
	if got := q.Pieces(dst); len(got) != 4 {
		t.Errorf("Pieces filled %d of 4", len(got))
	}
}

func TestMoveToRelinksWholeBlocks(t *testing.T) {
	p := NewPool(0)
	var a, b Queue
	a.Init(p)
	b.Init(p)
	a.Push(p.Get(16<<10), 16<<10)
	data := &a.Bytes()[0]
	a.MoveTo(&b, 16<<10)
	if &b.Bytes()[0] != data {
		t.Error("a whole block was copied")
	}
}

func TestMisuseOfQueuesPanics(t *testing.T) {
	p := NewPool(0)
	var q, far Queue
	q.Init(p)
	far.Init(NewPool(0))
	q.AppendString("x")
	mustPanic(t, "more consumed than waits", func() { q.Consume(2) })
	mustPanic(t, "moved to another worker's queue", func() { q.MoveTo(&far, 1) })
	mustPanic(t, "moved to itself", func() { q.MoveTo(&q, 1) })
	mustPanic(t, "Init while bytes wait", func() { q.Init(p) })
	mustPanic(t, "more committed than there was room for", func() { q.Commit(len(q.Room(1)) + 1) })
	b := p.Get(1)
	p.Free(b)
	mustPanic(t, "a free block pushed", func() { q.Push(b, 1) })
}

func TestQueueAllocs(t *testing.T) {
	p := NewPool(0)
	var q, out Queue
	q.Init(p)
	out.Init(p)
	msg, pieces := make([]byte, 3000), make([][]byte, 0, 64)
	turn := func() {
		copy(q.Room(4096), msg)
		q.Commit(len(msg))
		q.Flatten(100)
		q.MoveTo(&out, q.Len())
		out.Append(msg)
		out.Pieces(pieces)
		out.Consume(out.Len())
	}
	turn()
	if n := testing.AllocsPerRun(1000, turn); n != 0 {
		t.Errorf("a turn allocates %v times", n)
	}
}

func BenchmarkAppendConsume(b *testing.B) {
	p := NewPool(0)
	var q Queue
	q.Init(p)
	msg := make([]byte, 300)
	b.ReportAllocs()
	b.SetBytes(int64(len(msg)))
	for b.Loop() {
		q.Append(msg)
		q.Consume(len(msg))
	}
}

func BenchmarkRelay64K(b *testing.B) {
	p := NewPool(0)
	var in, out Queue
	in.Init(p)
	out.Init(p)
	pieces := make([][]byte, 0, 64)
	b.ReportAllocs()
	b.SetBytes(64 << 10)
	for b.Loop() {
		in.Room(64 << 10)
		in.Commit(64 << 10)
		in.MoveTo(&out, in.Len())
		out.Pieces(pieces)
		out.Consume(out.Len())
	}
}
