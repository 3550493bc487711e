package netio

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

// bell counts wakes and lets a test sleep like a kernel does: a wake that comes first is not lost.
type bell struct {
	wakes atomic.Int64
	c     chan struct{}
}

func newBell() *bell { return &bell{c: make(chan struct{}, 1)} }

func (b *bell) Wake() {
	b.wakes.Add(1)
	select {
	case b.c <- struct{}{}:
	default:
	}
}

func TestMailboxModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBell()
		m := NewMailbox[int](b)
		var want []int
		asleep, wakes, next := false, int64(0), 0
		t.Repeat(map[string]func(*rapid.T){
			"post": func(*rapid.T) {
				next++
				m.Post(next)
				want = append(want, next)
				if asleep {
					asleep = false
					wakes++
				}
			},
			"take": func(t *rapid.T) {
				v, ok := m.Take()
				if ok != (len(want) > 0) || ok && v != want[0] {
					t.Fatalf("took %d, %v; %v are posted", v, ok, want)
				}
				if ok {
					want = want[1:]
				}
			},
			"sleep": func(t *rapid.T) {
				if asleep = m.PrepareSleep(); asleep != (len(want) == 0) {
					t.Fatalf("may sleep: %v, with %d letters", asleep, len(want))
				}
			},
			"awake": func(*rapid.T) {
				m.Awake()
				asleep = false
			},
			"": func(t *rapid.T) {
				if got := b.wakes.Load(); got != wakes {
					t.Fatalf("%d wakes, want %d: only a sleeper is woken, and once", got, wakes)
				}
			},
		})
	})
}

// TestMailboxUnderLoad posts from several goroutines while the owner takes and sleeps. A lost wake hangs it; letters
// that get lost, doubled or overtake one another are told by their numbers.
func TestMailboxUnderLoad(t *testing.T) {
	const posters, letters = 4, 20_000
	type letter struct{ from, n int }
	b := newBell()
	m := NewMailbox[letter](b)
	var wg sync.WaitGroup
	for from := range posters {
		wg.Go(func() {
			for n := range letters {
				m.Post(letter{from, n})
				if n%97 == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	var next [posters]int
	for taken := 0; taken < posters*letters; {
		l, ok := m.Take()
		if !ok {
			if m.PrepareSleep() {
				<-b.c
			}
			m.Awake()
			continue
		}
		if next[l.from] != l.n {
			t.Fatalf("letter %d of poster %d came when %d was due", l.n, l.from, next[l.from])
		}
		next[l.from]++
		taken++
	}
	wg.Wait()
	if _, ok := m.Take(); ok {
		t.Error("more letters than were posted")
	}
}

func TestMailboxKeepsNothing(t *testing.T) {
	m := NewMailbox[*int](newBell())
	m.Post(new(int))
	l := m.head.Load()
	m.Take()
	if l.v != nil || l.next != nil {
		t.Error("a taken letter still points to what it carried")
	}
}

func BenchmarkPostTake(b *testing.B) {
	m := NewMailbox[uint64](newBell())
	b.ReportAllocs()
	for b.Loop() {
		m.Post(1)
		m.Take()
	}
}

// BenchmarkPostContended has one poster for each P and the owner among them.
func BenchmarkPostContended(b *testing.B) {
	m := NewMailbox[uint64](newBell())
	done := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			if _, ok := m.Take(); ok {
				continue
			}
			select {
			case <-done:
				return
			default:
				runtime.Gosched()
			}
		}
	}()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.Post(1)
		}
	})
	close(done)
	<-stopped
}
