package h2

import "testing"

// RFC 9218 section 4: the two members; what is unknown, malformed or out of range is ignored.
func TestParsePriority(t *testing.T) {
	for value, want := range map[string]Priority{
		"":                {3, false},
		"u=0":             {0, false},
		"u=7":             {7, false},
		"u=8":             {3, false},
		"u=-1":            {3, false},
		"u=10":            {3, false},
		"u":               {3, false},
		"u=":              {3, false},
		"u=1.5":           {3, false},
		"U=1":             {3, false},
		"i":               {3, true},
		"i=?1":            {3, true},
		"i=?0":            {3, false},
		"i=?2":            {3, false},
		"i=1":             {3, false},
		"incremental":     {3, false},
		"u=1, i":          {1, true},
		"i,u=1":           {1, true},
		"  u=2 ,\ti  ":    {2, true},
		"u=1;x=y, i;a":    {1, true},
		"u=1, u=5":        {5, false},
		"i, i=?0":         {3, false},
		"x=\"a, u=1\", i": {3, true},
		"x=1, y, u=6":     {6, false},
		",,,u=4,":         {4, false},
		"u=1 i":           {3, false},
	} {
		if got := priorityFromField([]byte(value)); got != want {
			t.Errorf("%q: %+v, want %+v", value, got, want)
		}
	}
}

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
