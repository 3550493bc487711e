package limit

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"weir/internal/mono"
)

// queueModel is a backend of two servers as the engine has it: a queue for each server's own waiters and one for those who
// take whichever server has room. Several workers take part, one step at a time.
type queueModel struct {
	counts [2]*Count
	queues [3]*Queue // of counts[0], of counts[1], of both
	places *Count
	poked  map[int]bool
	all    []*modelWaiter // those that wait, in the order of joining
	held   []*modelWaiter
	now    mono.Time
}

type modelWaiter struct {
	Waiter
	queue, worker int
	granted       *Count // seen as granted, not collected yet
}

const modelWorkers = 3

func newQueueModel(depth, max0, max1 int) *queueModel {
	m := &queueModel{places: NewCount(depth), poked: map[int]bool{}, now: 1}
	table := NewTable(modelWorkers)
	for i := range m.queues {
		m.queues[i] = table.NewQueue(m.places, func(w int) { m.poked[w] = true })
	}
	for i, n := range []int{max0, max1} {
		m.counts[i] = NewCount(n)
		m.queues[i].Add(m.counts[i])
		m.queues[2].Add(m.counts[i])
	}
	return m
}

func (m *queueModel) line(w *modelWaiter) *Line { return m.queues[w.queue].Line(w.worker) }

func (w *modelWaiter) wants(m *queueModel, c *Count) bool {
	q := m.queues[w.queue]
	return slices.Contains(*q.counts.Load(), c) && q.gets(c)
}

// look notices new grants; each must be for the oldest waiter that wants the token.
func (m *queueModel) look() error {
	var fresh []*modelWaiter
	for _, w := range m.all {
		if w.place == placeNone || w.granted != nil {
			continue
		}
		q := m.queues[w.queue]
		if v := q.Line(w.worker).lane.places[w.place].Load(); v&grantedBit != 0 {
			w.granted = q.table.count(uint32(v&(1<<ticketShift-1)) >> idShift)
			fresh = append(fresh, w)
		}
	}
	for _, w := range fresh {
		for _, older := range m.all {
			if older.Since() < w.Since() && older.granted == nil && older.wants(m, w.granted) {
				return fmt.Errorf("waiter %d was granted a token that the older %d wanted", w.Since(), older.Since())
			}
		}
	}
	return nil
}

// run lets the woken workers collect until none is woken.
func (m *queueModel) run() error {
	for len(m.poked) > 0 {
		for worker := range modelWorkers {
			if !m.poked[worker] {
				continue
			}
			delete(m.poked, worker)
			for _, q := range m.queues {
				q.Line(worker).Granted(m.collected)
			}
			if err := m.look(); err != nil {
				return err
			}
		}
	}
	for _, c := range m.counts {
		for _, w := range m.all {
			if room := c.Max() == 0 || c.Current() < c.Max(); room && w.wants(m, c) {
				return fmt.Errorf("waiter %d is left waiting although %d of %d tokens are out", w.Since(), c.Current(), c.Max())
			}
		}
	}
	return nil
}

func (m *queueModel) collected(w *Waiter) {
	i := slices.IndexFunc(m.all, func(v *modelWaiter) bool { return &v.Waiter == w })
	v := m.all[i]
	m.all = slices.Delete(m.all, i, i+1)
	if w.Count() == nil || v.granted != nil && v.granted != w.Count() {
		panic("a token of another count than was granted")
	}
	if err := m.look(); err != nil {
		panic(err)
	}
	for _, older := range m.all[:i] { // it may have been granted in this very call
		if v.granted == nil && older.granted == nil && older.wants(m, w.Count()) {
			panic(fmt.Sprintf("waiter %d was granted a token that the older %d wanted", v.Since(), older.Since()))
		}
	}
	v.granted = nil
	m.held = append(m.held, v)
}

func (m *queueModel) join(worker, queue int, deadline mono.Time) error {
	w := &modelWaiter{queue: queue, worker: worker}
	full := m.places.Max() != 0 && m.places.Current() >= m.places.Max()
	switch m.line(w).Join(&w.Waiter, m.now, deadline) {
	case Acquired:
		for _, v := range m.all {
			if v.granted == nil && v.wants(m, w.Count()) {
				return fmt.Errorf("a newcomer got a token that waiter %d wants", v.Since())
			}
		}
		m.held = append(m.held, w)
	case Queued:
		if full || !deadline.IsZero() && deadline <= m.now {
			return fmt.Errorf("queued although full or late")
		}
		m.all = append(m.all, w)
	case Full:
		if !full {
			return fmt.Errorf("refused as full with %d of %d", m.places.Current(), m.places.Max())
		}
	case Late:
		if deadline.IsZero() || deadline > m.now {
			return fmt.Errorf("refused as late with time left")
		}
	}
	return nil
}

// sums checks that no token and no place is lost.
func (m *queueModel) sums() error {
	waiting := 0
	for i, c := range m.counts {
		n := int64(0)
		for _, w := range m.held {
			if w.Count() == c {
				n++
			}
		}
		for _, w := range m.all {
			if w.granted == c {
				n++
			}
		}
		if n != c.Current() {
			return fmt.Errorf("count %d has %d tokens out, %d are held or granted", i, c.Current(), n)
		}
	}
	for _, q := range m.queues {
		waiting += q.Waiting()
	}
	for _, w := range m.all {
		if w.granted == nil {
			waiting--
		}
	}
	for _, q := range m.queues {
		for worker := range modelWorkers {
			if busy := q.busy[0].Load()>>worker&1 == 1; busy != (q.Line(worker).Len() > 0) {
				return fmt.Errorf("worker %d is busy: %v, with %d waiters", worker, busy, q.Line(worker).Len())
			}
		}
	}
	if waiting != 0 || m.places.Current() != int64(len(m.all)) {
		return fmt.Errorf("waiting off by %d, %d places taken for %d waiters", waiting, m.places.Current(), len(m.all))
	}
	return nil
}

// queueRun draws what happens to a queueModel.
type queueRun struct {
	*queueModel
	t *rapid.T
}

var drawMax = rapid.IntRange(0, 4)

func (m queueRun) check(err error) {
	if err == nil {
		err = m.look()
	}
	if err == nil {
		err = m.sums()
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m queueRun) pick(from []*modelWaiter) int {
	if len(from) == 0 {
		m.t.Skip("nobody")
	}
	return rapid.IntRange(0, len(from)-1).Draw(m.t, "who")
}

func (m queueRun) drawJoin(t *rapid.T) {
	worker, queue := rapid.IntRange(0, modelWorkers-1).Draw(t, "worker"), rapid.IntRange(0, 2).Draw(t, "queue")
	deadline := m.now + mono.Time(rapid.IntRange(-1, 20).Draw(t, "patience"))
	if rapid.Bool().Draw(t, "patient") {
		deadline = 0
	}
	m.check(m.join(worker, queue, deadline))
}

// waiterActions are what waiters do.
func (m queueRun) waiterActions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"join": m.drawJoin,
		"joinMany": func(t *rapid.T) { // more than a lane has places
			worker, queue := rapid.IntRange(0, modelWorkers-1).Draw(t, "worker"), rapid.IntRange(0, 2).Draw(t, "queue")
			for range rapid.IntRange(1, 2*lanePlaces).Draw(t, "n") {
				m.check(m.join(worker, queue, 0))
			}
		},
		"leave": func(t *rapid.T) {
			i := m.pick(m.all)
			w := m.all[i]
			m.all = slices.Delete(m.all, i, i+1)
			m.line(w).Leave(&w.Waiter)
			m.check(nil)
		},
		"leaveNewest": func(t *rapid.T) {
			m.pick(m.all)
			for range rapid.IntRange(1, len(m.all)).Draw(t, "n") {
				w := m.all[len(m.all)-1]
				m.all = m.all[:len(m.all)-1]
				m.line(w).Leave(&w.Waiter)
				m.check(nil)
			}
		},
	}
}

// tokenActions are what happens to tokens, counts and time.
func (m queueRun) tokenActions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"acquire": func(t *rapid.T) {
			c := m.counts[rapid.IntRange(0, 1).Draw(t, "count")]
			if !c.TryAcquire() {
				return
			}
			m.held = append(m.held, &modelWaiter{Waiter: Waiter{got: c}})
			for _, v := range m.all {
				if v.granted == nil && v.wants(m.queueModel, c) {
					t.Fatalf("a newcomer got a token that waiter %d wants", v.Since())
				}
			}
			m.check(nil)
		},
		"detach": func(t *rapid.T) { // and attach again: a server that leaves its backend for a while
			i := rapid.IntRange(0, 1).Draw(t, "count")
			q := m.queues[rapid.SampledFrom([]int{i, 2}).Draw(t, "queue")]
			if slices.Contains(*q.counts.Load(), m.counts[i]) {
				q.Remove(m.counts[i])
			} else {
				q.Add(m.counts[i])
			}
			m.check(nil)
		},
		"suspend": func(t *rapid.T) { // and resume: a server that takes nobody new for a while
			c := m.counts[rapid.IntRange(0, 1).Draw(t, "count")]
			if q := m.queues[2]; q.gets(c) {
				q.Suspend(c)
			} else {
				q.Resume(c)
			}
			m.check(nil)
		},
		"release": func(t *rapid.T) {
			i := m.pick(m.held)
			w := m.held[i]
			m.held = slices.Delete(m.held, i, i+1)
			w.Count().Release()
			m.check(nil)
		},
		"releaseAll": func(t *rapid.T) {
			held := m.held
			m.held = nil
			for i, w := range held {
				m.held = held[i+1:]
				w.Count().Release()
				m.check(nil)
			}
		},
		"expire": func(t *rapid.T) {
			m.now += mono.Time(rapid.IntRange(0, 10).Draw(t, "pass"))
			worker := rapid.IntRange(0, modelWorkers-1).Draw(t, "worker")
			for _, q := range m.queues {
				q.Line(worker).Expire(m.now, func(w *Waiter) {
					i := slices.IndexFunc(m.all, func(v *modelWaiter) bool { return &v.Waiter == w })
					if m.all[i].granted != nil || w.deadline > m.now {
						t.Fatalf("waiter %d expired although granted or in time", w.Since())
					}
					m.all = slices.Delete(m.all, i, i+1)
				})
			}
			for _, w := range m.all {
				if w.worker == worker && w.granted == nil && w.deadline <= m.now && m.look() == nil && w.granted == nil {
					t.Fatalf("waiter %d should have expired", w.Since())
				}
			}
			m.check(nil)
		},
		"setMax": func(t *rapid.T) {
			m.counts[rapid.IntRange(0, 1).Draw(t, "count")].SetMax(drawMax.Draw(t, "max"))
			m.check(nil)
		},
		"run":   func(t *rapid.T) { m.check(m.run()) },
		"again": m.drawJoin,
	}
}

func TestQueueModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		depth := rapid.SampledFrom([]int{0, 5, 200}).Draw(t, "depth")
		m := queueRun{newQueueModel(depth, drawMax.Draw(t, "max0"), drawMax.Draw(t, "max1")), t}
		actions := m.waiterActions()
		maps.Copy(actions, m.tokenActions())
		t.Repeat(actions)
		m.check(m.run())
	})
}

// TestRemoveUnblocks: a waiter without a place, in the queue that two servers share, keeps a token of the second one from a
// newer waiter. It must not when the second server leaves that queue.
func TestRemoveUnblocks(t *testing.T) {
	m := newQueueModel(0, lanePlaces, 1)
	for range lanePlaces {
		m.counts[0].TryAcquire()
	}
	m.counts[1].TryAcquire()
	for range lanePlaces + 1 {
		if err := m.join(0, 2, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.join(1, 1, 0); err != nil {
		t.Fatal(err)
	}
	m.counts[0].ReleaseN(lanePlaces) // all places of worker 0 are granted, and it has not looked yet
	m.counts[1].Release()
	newer := m.all[len(m.all)-1]
	if err := m.look(); err != nil || newer.granted != nil {
		t.Fatalf("overtaken: %v, %v", err, newer.granted)
	}
	m.queues[2].Remove(m.counts[1])
	if err := m.look(); err != nil || newer.granted != m.counts[1] {
		t.Errorf("after the server has left the shared queue: %v, granted %v", err, newer.granted)
	}
}
