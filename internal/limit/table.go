package limit

import (
	"slices"
	"sync"
	"sync/atomic"

	"weir/internal/mono"
)

// Table holds all counters of the process. Its methods are the control plane's: they may be called from any goroutine,
// take a mutex and allocate. The data path uses what they return.
type Table struct {
	workers int
	tickets *paddedWord // one counter for all queues, so that places in two queues can be compared

	mu          sync.Mutex
	attachments []*Attachment
	counts      atomic.Pointer[[]*Count] // by Count.id; index 0 is nobody
	freeIDs     []uint32
}

type paddedWord struct {
	atomic.Uint64
	_ [sharedLineBytes - 8]byte
}

// NewTable makes an empty table for workers 0 to workers-1.
func NewTable(workers int) *Table {
	if workers < 1 || workers > workersMax {
		panic("limit: number of workers out of range")
	}
	t := &Table{workers: workers, tickets: new(paddedWord)}
	t.counts.Store(&[]*Count{nil})
	return t
}

// Attach returns the attachment at a place, making it on first use, with the given limits applied. A reload calls it
// again for every place it keeps: the counts go on. They also go on when a place comes back while connections from before
// it was detached are still open, so that even then no limit is exceeded.
func (t *Table) Attach(level Level, name, profile string, v Values) *Attachment {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dropUnused()
	a := t.find(level, name)
	if a == nil {
		a = newAttachment(level, name)
		t.attachments = append(t.attachments, a)
	}
	a.detached = false
	a.apply(profile, v)
	return a
}

func (t *Table) find(level Level, name string) *Attachment {
	for _, a := range t.attachments {
		if a.Level == level && a.Name == name {
			return a
		}
	}
	return nil
}

// Detach takes an attachment out of the listings. Who holds it goes on using it until its last connection is gone.
func (t *Table) Detach(a *Attachment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a.detached = true
	t.dropUnused()
}

// dropUnused forgets detached attachments without connections. The caller holds mu.
func (t *Table) dropUnused() {
	t.attachments = slices.DeleteFunc(t.attachments, func(a *Attachment) bool {
		return a.detached && a.Conn.Current() == 0 && a.Places.Current() == 0
	})
}

// Change edits the limits of every place that a profile is attached to, and returns how many there are.
func (t *Table) Change(profile string, edit func(*Values)) (places int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range t.attachments {
		if a.profile == profile && !a.detached {
			v := a.values
			edit(&v)
			a.apply(profile, v)
			places++
		}
	}
	return places
}

// Rows appends one row for each axis of each attachment to dst, in the order of attaching.
func (t *Table) Rows(now mono.Time, dst []Row) []Row {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range t.attachments {
		if a.detached {
			continue
		}
		for axis := range Axes {
			dst = append(dst, a.row(axis, now))
		}
	}
	return dst
}

// idsMax bounds the counts that have queues at one time: a grant has 19 bits to name its count.
const idsMax = 1<<19 - 1

// register gives a count a name that fits into a grant. The caller holds mu.
func (t *Table) register(c *Count) {
	if c.id.Load() != 0 {
		return
	}
	counts := *t.counts.Load()
	if n := len(t.freeIDs); n > 0 {
		// Readers only look at entries that a grant names, and no grant names this one yet.
		c.id.Store(t.freeIDs[n-1])
		t.freeIDs = t.freeIDs[:n-1]
		counts = append([]*Count(nil), counts...)
		counts[c.id.Load()] = c
	} else {
		if len(counts) > idsMax {
			panic("limit: more counts with queues than a grant can name")
		}
		c.id.Store(uint32(len(counts)))
		counts = append(counts, c)
	}
	t.counts.Store(&counts)
}

// Forget gives up the name that a count got when a queue was made for it; it must have left its queues. No token of it may be out.
func (t *Table) Forget(c *Count) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range c.queues {
		if c.queues[i].Load() != nil {
			panic("limit: count forgotten that still has a queue")
		}
	}
	if c.Current() != 0 {
		panic("limit: count forgotten with tokens out")
	}
	if id := c.id.Swap(0); id != 0 {
		counts := append([]*Count(nil), *t.counts.Load()...)
		counts[id] = nil
		t.counts.Store(&counts)
		t.freeIDs = append(t.freeIDs, id)
	}
}

func (t *Table) count(id uint32) *Count { return (*t.counts.Load())[id] }
