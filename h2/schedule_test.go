package h2

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// queueModel is the scheduler as RFC 9218 section 10 has it: one list, sorted when asked.
type queueModel struct {
	waiting []*Stream
	turn    map[*Stream]int // when an incremental stream began to wait
	clock   int
}

func (m *queueModel) insert(s *Stream) {
	if !slices.Contains(m.waiting, s) {
		m.clock++
		m.turn[s] = m.clock
		m.waiting = append(m.waiting, s)
	}
}

func (m *queueModel) remove(s *Stream) {
	m.waiting = slices.DeleteFunc(m.waiting, func(x *Stream) bool { return x == s })
}

func (m *queueModel) take() *Stream {
	if len(m.waiting) == 0 {
		return nil
	}
	s := slices.MinFunc(m.waiting, func(a, b *Stream) int {
		switch {
		case a.prio.Urgency != b.prio.Urgency:
			return int(a.prio.Urgency) - int(b.prio.Urgency)
		case a.prio.Incremental != b.prio.Incremental:
			if b.prio.Incremental {
				return -1
			}
			return 1
		case a.prio.Incremental:
			return m.turn[a] - m.turn[b]
		}
		return int(a.ID) - int(b.ID)
	})
	m.remove(s)
	return s
}

// The scheduler is the model, whatever is done to it.
func TestSchedulerIsItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prio := func() Priority {
			return Priority{
				Urgency:     uint8(rapid.SampledFrom([]int{0, 3, 3, 3, 7}).Draw(t, "u")),
				Incremental: rapid.Bool().Draw(t, "i"),
			}
		}
		q, m := &scheduler{}, &queueModel{turn: map[*Stream]int{}}
		streams := make([]*Stream, 8)
		for i := range streams {
			streams[i] = &Stream{ID: uint32(2*i + 1), state: stateOpen, prio: prio(), send: 1}
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			s := rapid.SampledFrom(streams).Draw(t, "stream")
			switch rapid.IntRange(0, 5).Draw(t, "op") {
			case 0, 1:
				s.queue.wants = true
				q.refresh(s)
				m.insert(s)
			case 2:
				q.remove(s)
				m.remove(s)
			case 3:
				waits := slices.Contains(m.waiting, s)
				q.setPriority(s, prio())
				m.remove(s)
				if waits {
					m.insert(s)
				}
			default:
				if got, want := q.take(), m.take(); got != want {
					t.Fatalf("took %v, the model %v", got, want)
				}
			}
		}
		for {
			got, want := q.take(), m.take()
			if got != want {
				t.Fatalf("took %v, the model %v", got, want)
			}
			if got == nil {
				break
			}
		}
		if q.mask != 0 {
			t.Fatal("an empty scheduler says otherwise")
		}
	})
}
