package buf

import (
	"testing"

	"pgregory.net/rapid"
)

func TestGetPicksTheSmallestClass(t *testing.T) {
	p := NewPool(0)
	for _, c := range []struct{ want, n int }{
		{2048, 0}, {2048, 1}, {2048, 2048}, {4096, 2049}, {4096, 4096}, {8192, 4097},
		{131072, 65537}, {262144, 131073}, {262144, 262144},
	} {
		b := p.Get(c.n)
		if len(b.Data) != c.want || cap(b.Data) != c.want {
			t.Errorf("Get(%d): len %d cap %d, want %d", c.n, len(b.Data), cap(b.Data), c.want)
		}
		p.Free(b)
	}
	if p.InUse() != 0 {
		t.Errorf("in use after all were freed: %d", p.InUse())
	}
}

func TestFreeIsLastInFirstOut(t *testing.T) {
	p := NewPool(0)
	a, b := p.Get(1), p.Get(1)
	p.Free(a)
	p.Free(b)
	if p.Get(1) != b || p.Get(1) != a {
		t.Error("the block freed last must be given out first")
	}
}

func mustPanic(t *testing.T, why string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("no panic: %s", why)
		}
	}()
	f()
}

func TestMisuseOfBlocksPanics(t *testing.T) {
	p, other := NewPool(0), NewPool(0)
	b := p.Get(1)
	mustPanic(t, "free into another worker's pool", func() { other.Free(b) })
	p.Free(b)
	mustPanic(t, "double free", func() { p.Free(b) })
	mustPanic(t, "larger than the largest class", func() { p.Get(BlockBytesMax + 1) })

	small := NewPool(1) // keeps nothing: the block goes to the garbage collector, yet the second free must be seen
	b = small.Get(1)
	small.Free(b)
	mustPanic(t, "double free of a block that was not kept", func() { small.Free(b) })
}

func TestKeepBoundsEachClass(t *testing.T) {
	p := NewPool(3 * 2048)
	var held []*Block
	for range 10 {
		held = append(held, p.Get(1))
	}
	for _, b := range held {
		p.Free(b)
	}
	if got := p.Idle(); got != 3*2048 {
		t.Errorf("idle bytes %d, want those of 3 blocks", got)
	}
}

func TestTrimHalvesWhatWasNotNeeded(t *testing.T) {
	p := NewPool(0)
	spike := make([]*Block, 64)
	for i := range spike {
		spike[i] = p.Get(1)
	}
	for _, b := range spike {
		p.Free(b)
	}
	p.Trim() // the period of the spike itself: all 64 were needed, nothing goes
	if got := p.Idle() / 2048; got != 64 {
		t.Fatalf("after the spike's own period %d blocks are kept, want 64", got)
	}
	for want := int64(32); want > 8; want /= 2 {
		// The ordinary load of each period needs 4 blocks.
		for i := range 4 {
			spike[i] = p.Get(1)
		}
		for i := range 4 {
			p.Free(spike[i])
		}
		released := p.Trim() / 2048
		if got := p.Idle() / 2048; got < want || got > want+4 {
			t.Fatalf("kept %d blocks (released %d), want about %d", got, released, want)
		}
	}
	for range 20 {
		p.Trim()
	}
	if p.Idle() != 0 {
		t.Errorf("with no load at all everything goes in the end; %d bytes are left", p.Idle())
	}
}

// TestPoolModel checks the accounts against a plain list of what is out.
func TestPoolModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := NewPool(rapid.IntRange(1, 64<<10).Draw(t, "keep"))
		var out []*Block
		t.Repeat(map[string]func(*rapid.T){
			"get": func(t *rapid.T) {
				n := rapid.IntRange(0, BlockBytesMax).Draw(t, "n")
				b := p.Get(n)
				if len(b.Data) < n || (len(b.Data) > BlockBytesMin && len(b.Data) >= 2*n) {
					t.Fatalf("Get(%d) gave %d bytes", n, len(b.Data))
				}
				for _, o := range out {
					if o == b {
						t.Fatal("a block was given out twice")
					}
				}
				out = append(out, b)
			},
			"free": func(t *rapid.T) {
				if len(out) == 0 {
					t.Skip("nothing is out")
				}
				i := rapid.IntRange(0, len(out)-1).Draw(t, "i")
				p.Free(out[i])
				out = append(out[:i], out[i+1:]...)
			},
			"trim": func(*rapid.T) { p.Trim() },
			"": func(t *rapid.T) {
				var inUse int64
				for _, b := range out {
					inUse += int64(len(b.Data))
				}
				if p.InUse() != inUse {
					t.Fatalf("in use %d, want %d", p.InUse(), inUse)
				}
				p.verify(func(why string) { t.Fatal(why) })
			},
		})
	})
}

// verify checks what must always hold of the free lists.
func (p *Pool) verify(fail func(string)) {
	var idle int64
	for i := range p.classes {
		c := &p.classes[i]
		n := 0
		for b := c.head; b != nil; b = b.next {
			if !b.free || int(b.class) != i {
				fail("a block in a free list is not free, or in the wrong list")
			}
			n++
			idle += int64(len(b.Data))
		}
		if n != c.count || c.low > c.count || c.low < 0 {
			fail("a class's count or low mark is wrong")
		}
		if c.count > 0 && int64(c.count)<<(classShift+i) > p.keep {
			fail("a class keeps more than it may")
		}
	}
	if idle != p.idle {
		fail("the idle bytes do not add up")
	}
}

func TestPoolAllocs(t *testing.T) {
	p := NewPool(0)
	p.Free(p.Get(4096))
	if n := testing.AllocsPerRun(1000, func() { p.Free(p.Get(4096)) }); n != 0 {
		t.Errorf("Get and Free allocate %v times", n)
	}
}

func BenchmarkGetFree(b *testing.B) {
	p := NewPool(0)
	b.ReportAllocs()
	for b.Loop() {
		p.Free(p.Get(16 << 10))
	}
}
