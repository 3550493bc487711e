package limit

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

// TestCountModel compares a count with two plain numbers.
func TestCountModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(0, 5).Draw(t, "max")
		c, out, hits := NewCount(limit), 0, uint64(0)
		t.Repeat(map[string]func(*rapid.T){
			"acquire": func(t *rapid.T) {
				n := rapid.IntRange(1, 3).Draw(t, "n")
				want := limit == 0 || out+n <= limit
				if got := c.TryAcquireN(n); got != want {
					t.Fatalf("TryAcquireN(%d) with %d of %d out: got %v", n, out, limit, got)
				}
				if want {
					out += n
				} else {
					hits++
				}
			},
			"release": func(t *rapid.T) {
				if out == 0 {
					t.Skip("none out")
				}
				n := rapid.IntRange(1, out).Draw(t, "n")
				c.ReleaseN(n)
				out -= n
			},
			"set": func(t *rapid.T) {
				limit = rapid.IntRange(0, 5).Draw(t, "max")
				c.SetMax(limit)
			},
			"": func(t *rapid.T) {
				if c.Current() != int64(out) || c.Max() != int64(limit) || c.Hits() != hits {
					t.Fatalf("count %d of %d, %d hits; want %d of %d, %d hits", c.Current(), c.Max(), c.Hits(), out, limit, hits)
				}
			},
		})
	})
}

func TestCountReleaseWithoutAcquire(t *testing.T) {
	for _, limit := range []int{0, 3} {
		c := NewCount(limit)
		if !c.TryAcquire() {
			t.Fatal("refused the first token")
		}
		mustPanic(t, "two released of one", func() { c.ReleaseN(2) })
	}
}

func mustPanic(t *testing.T, why string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: did not panic", why)
		}
	}()
	f()
}

// TestCountExact has many goroutines acquire while the maximum moves. The number out is counted apart: before a release,
// and after an acquire, so that it can only be too low. It must never be above the largest maximum, and once the maximum
// has been lowered and the tokens have drained, never above that.
func TestCountExact(t *testing.T) {
	const goroutines, rounds, most = 8, 20000, 5
	c := NewCount(most)
	var out atomic.Int64
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range rounds {
				if !c.TryAcquire() {
					continue
				}
				if n := out.Add(1); n > most {
					t.Errorf("%d tokens out of %d", n, most)
				}
				out.Add(-1)
				c.Release()
			}
		})
	}
	wg.Go(func() {
		for i := range rounds {
			c.SetMax(1 + i%most)
		}
		c.SetMax(most)
	})
	wg.Wait()
	if c.Current() != 0 {
		t.Errorf("%d tokens out at the end", c.Current())
	}
}

// TestCountLoweredAtOnce: when SetMax has returned, no acquire may succeed that would exceed the new maximum, however it
// was interleaved.
func TestCountLoweredAtOnce(t *testing.T) {
	for range 2000 {
		c := NewCount(2)
		c.TryAcquire()
		var lowered atomic.Bool
		var late atomic.Int64
		var wg sync.WaitGroup
		wg.Go(func() {
			before := lowered.Load()
			if c.TryAcquire() && before {
				late.Add(1)
			}
		})
		c.SetMax(1)
		lowered.Store(true)
		after := c.Current()
		wg.Wait()
		if late.Load() != 0 || c.Current() > after {
			t.Fatalf("acquired above a maximum that had been lowered: %d out, then %d", after, c.Current())
		}
	}
}

// TestLines looks at the addresses: two counters must not share a pair of cache lines, nor a count's refusals disturb its
// tokens.
func TestLines(t *testing.T) {
	for name, size := range map[string]uintptr{
		"Count": unsafe.Sizeof(Count{}), "Rate": unsafe.Sizeof(Rate{}), "Bound": unsafe.Sizeof(Bound{}),
		"lane": unsafe.Sizeof(lane{}), "paddedWord": unsafe.Sizeof(paddedWord{}),
	} {
		if size != sharedLineBytes {
			t.Errorf("a %s has %d bytes", name, size)
		}
	}
	if off := unsafe.Offsetof(Count{}.hits); off < 64 {
		t.Errorf("hits of a Count at offset %d, on the line of its tokens", off)
	}
	if off := unsafe.Offsetof(Rate{}.hits); off < 64 {
		t.Errorf("hits of a Rate at offset %d, on the line of its bucket", off)
	}
	for i := range 100 {
		table := NewTable(1 + i)
		a := table.Attach(Global, "", "", Values{})
		q := table.NewQueue(a.Places, func(int) {})
		for _, p := range []any{
			a.Conn, a.SSLConn, a.Places, a.ConnRate, a.SessRate, a.Admission, a.SSLRate, a.Buffer, a.Retries,
			&q.lanes[0], table.tickets,
		} {
			hex := strings.TrimPrefix(fmt.Sprintf("%p", p), "0x")
			if addr, err := strconv.ParseUint(hex, 16, 64); err != nil || addr%sharedLineBytes != 0 {
				t.Fatalf("%T at %s", p, hex)
			}
		}
	}
}

func TestCountAllocatesNothing(t *testing.T) {
	table := NewTable(2)
	c := NewCount(1)
	q := table.NewQueue(NewCount(0), func(int) {})
	q.Add(c)
	line := q.Line(0)
	var a, b Waiter
	if n := testing.AllocsPerRun(100, func() {
		c.TryAcquire()
		line.Join(&a, 1, 0)
		line.Join(&b, 1, 5)
		line.Expire(6, func(*Waiter) {})
		c.Release()
		line.Granted(func(w *Waiter) { w.Count().Release() })
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
