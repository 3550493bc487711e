package h2

import "testing"

// The latest update for a stream counts, the oldest stream's is forgotten when there are too many.
func TestEarlyUpdates(t *testing.T) {
	var e early
	for id := uint32(1); id <= 11; id += 2 {
		e.put(id, Priority{Urgency: uint8(id % 8)})
	}
	e.put(9, Priority{Urgency: 0})
	for id, want := range map[uint32]uint8{5: 5, 7: 7, 9: 0, 11: 3} {
		if p, ok := e.take(id); !ok || p.Urgency != want {
			t.Errorf("stream %d: %+v, %v", id, p, ok)
		}
		if _, ok := e.take(id); ok {
			t.Errorf("stream %d: taken twice", id)
		}
	}
	for _, id := range []uint32{1, 3} {
		if _, ok := e.take(id); ok {
			t.Errorf("stream %d is remembered", id)
		}
	}
}
