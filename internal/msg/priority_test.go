package msg

import "testing"

// RFC 9218 section 4: the two members; what is unknown, malformed or out of range is ignored.
func TestPriority(t *testing.T) {
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
		if got := PriorityDefault.Read([]byte(value)); got != want {
			t.Errorf("%q: %+v, want %+v", value, got, want)
		}
	}
}

func FuzzPriority(f *testing.F) {
	f.Add([]byte("u=3, i"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p := PriorityUnsaid.Read(b); p.Urgency > 7 {
			t.Errorf("%q: %v", b, p)
		}
	})
}
