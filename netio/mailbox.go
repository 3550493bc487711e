package netio

import (
	"sync"
	"sync/atomic"
)

// Mailbox is how everything that is not on a worker reaches it: any goroutine posts, the one owner takes, first in first
// out. Posting never blocks nor fails, and locks nothing.
//
//	Post ─►  head ─► c ─► b ─► a          the posted, newest first: one compare-and-swap each
//	                 │ Take, when ready is empty: the whole list at once, reversed
//	                 ▼
//	Take ◄─ ready ─► a ─► b ─► c          the owner's alone
//
// The owner sleeps in Kernel.Wait, not here. Before it does, it says so with PrepareSleep; a Post that finds it asleep
// wakes it, once. Each side writes its own word and then reads the other's, so they cannot miss each other: either the
// owner sees the letter, or the poster sees the flag (Dekker; Go's atomics are sequentially consistent).
//
// A linked stack swapped whole was chosen over a queue with a tail because the taken list is private at once: no half
// linked state for the owner to spin on, and a letter that is used again cannot confuse a poster (no ABA).
type Mailbox[T any] struct {
	head     atomic.Pointer[letter[T]]
	_        [56]byte // posters fight for head; sleeping is only read by them
	sleeping atomic.Bool
	_        [63]byte
	ready    *letter[T]
	kernel   Waker
	letters  sync.Pool
}

// Waker ends a sleep. Kernel is one.
type Waker interface{ Wake() }

type letter[T any] struct {
	next *letter[T]
	v    T
}

// NewMailbox makes a mailbox whose owner sleeps in k.
func NewMailbox[T any](k Waker) *Mailbox[T] {
	m := &Mailbox[T]{kernel: k}
	m.letters.New = func() any { return new(letter[T]) }
	return m
}

// Post puts v in the mailbox. Any goroutine may call it. What v points to belongs to the owner from here on.
func (m *Mailbox[T]) Post(v T) {
	l := m.letters.Get().(*letter[T])
	l.v = v
	for {
		old := m.head.Load()
		l.next = old
		if m.head.CompareAndSwap(old, l) {
			break
		}
	}
	if m.sleeping.Load() && m.sleeping.CompareAndSwap(true, false) {
		m.kernel.Wake()
	}
}

// Take removes the oldest letter; false when there is none. Only the owner may call it.
func (m *Mailbox[T]) Take() (v T, ok bool) {
	l := m.ready
	if l == nil {
		if l = m.collect(); l == nil {
			return v, false
		}
	}
	m.ready = l.next
	v = l.v
	*l = letter[T]{} // keep nothing of it from the collector
	m.letters.Put(l)
	return v, true
}

// collect takes everything posted, oldest first.
func (m *Mailbox[T]) collect() (oldest *letter[T]) {
	if m.head.Load() == nil {
		return nil // the common case must not take the line from the posters
	}
	for l := m.head.Swap(nil); l != nil; {
		l, l.next, oldest = l.next, oldest, l
	}
	return oldest
}

// PrepareSleep says that the owner is about to sleep, and reports whether it may: when it is false there are letters to
// take first. Only the owner may call it.
func (m *Mailbox[T]) PrepareSleep() bool {
	m.sleeping.Store(true)
	if m.ready != nil || m.head.Load() != nil {
		m.sleeping.Store(false)
		return false
	}
	return true
}

// Awake says that the owner is awake again, so that posting need not wake it. Only the owner may call it.
func (m *Mailbox[T]) Awake() { m.sleeping.Store(false) }
