package pool

import (
	"strconv"
	"testing"
	"time"

	"weir/internal/config"
	"weir/internal/mono"
	"weir/internal/msg"
)

// TestAdmit is the complete table: every mode, both overrides, every class of method, first and later requests.
func TestAdmit(t *testing.T) {
	// The columns: first safe, first idempotent, first other, later safe, later idempotent, later other. n never (a new
	// connection), p proven, a any.
	rows := map[[2]string]string{
		{"none", "never"}: "nnn nnn", {"none", "proven"}: "nnn nnn", {"none", "any"}: "nnn nnn", // reuse = never
		{"safe", "never"}:        "nnn ann", // reuse = safe
		{"safe", "proven"}:       "pnn ann",
		{"safe", "any"}:          "ann ann",
		{"idempotent", "never"}:  "nnn aan",
		{"idempotent", "proven"}: "ppn aan",
		{"idempotent", "any"}:    "aan aan",
		{"all", "never"}:         "nnn aaa",
		{"all", "proven"}:        "ppp aaa", // reuse = aggressive
		{"all", "any"}:           "aaa aaa", // reuse = always
	}
	classes := [3][]msg.Method{
		{msg.MethodGet, msg.MethodHead, msg.MethodOptions, msg.MethodTrace},
		{msg.MethodPut, msg.MethodDelete},
		{msg.MethodPost, msg.MethodPatch, msg.MethodConnect, msg.MethodOther},
	}
	letters := map[byte]Need{'n': Never, 'p': Proven, 'a': Any}
	seen := 0
	for methods := config.ReuseMethodsNone; methods <= config.ReuseMethodsAll; methods++ {
		for first := config.ReuseFirstNever; first <= config.ReuseFirstAny; first++ {
			row, ok := rows[[2]string{methods.String(), first.String()}]
			if !ok {
				t.Fatalf("no row for %s, %s", methods, first)
			}
			seen++
			p := Policy{Methods: methods, First: first}
			for class, members := range classes {
				for _, m := range members {
					if want, got := letters[row[class]], p.Admit(m, true); got != want {
						t.Errorf("%s, %s: first request of method %d: got %s, want %s", methods, first, m, got, want)
					}
					if want, got := letters[row[4+class]], p.Admit(m, false); got != want {
						t.Errorf("%s, %s: later request of method %d: got %s, want %s", methods, first, m, got, want)
					}
				}
			}
		}
	}
	if seen != len(rows) {
		t.Errorf("%d rows tested of %d", seen, len(rows))
	}
}

// TestPolicyOf checks that the modes of reuse, as the configuration makes them effective, are the rows of the manual.
func TestPolicyOf(t *testing.T) {
	b := config.DefaultBackend("api")
	p := PolicyOf(b)
	if p.Admit(msg.MethodGet, true) != Never || p.Admit(msg.MethodGet, false) != Any || p.Admit(msg.MethodPut, false) != Never {
		t.Error("the default is not safe")
	}
	if p.MaxConn != -1 || p.PurgeDelay != 5*time.Second || p.MaxAge != time.Hour || p.MaxErrors != 3 {
		t.Errorf("policy of the default backend: %+v", p)
	}
}

func TestJitterIsWithinATenth(t *testing.T) {
	for _, n := range []int64{1, 9, 10, 1000, int64(time.Hour)} {
		least, most := n, n
		for i := range uint64(1 << 17) {
			j := jitter(n, i)
			least, most = min(least, j), max(most, j)
		}
		if least < n-n/10 || most > n+n/10 {
			t.Errorf("jitter of %d is from %d to %d", n, least, most)
		}
		if n >= 1000 && (least > n-n/10+n/100 || most < n+n/10-n/100) {
			t.Errorf("jitter of %d is only from %d to %d", n, least, most)
		}
	}
}

func TestRecycle(t *testing.T) {
	const start = mono.Time(time.Hour)
	p := Policy{MaxReuse: 5, MaxAge: 100 * time.Second}
	r := p.NewRecycle(start, 1<<16|1<<48) // in the middle: no jitter
	for i := range 5 {
		if c, over := r.Over(start); over {
			t.Fatalf("over after %d exchanges: %s", i, c)
		}
		r.Use()
	}
	if c, over := r.Over(start); !over || c != MaxReuse {
		t.Errorf("after max-reuse exchanges: %v, %v", c, over)
	}
	r = p.NewRecycle(start, 1<<16|1<<48)
	if _, over := r.Over(start.Add(100*time.Second - 1)); over {
		t.Error("over before its age")
	}
	if c, over := r.Over(start.Add(100 * time.Second)); !over || c != MaxAge {
		t.Errorf("at its age: %v, %v", c, over)
	}
	r = (&Policy{}).NewRecycle(start, 0)
	if r.Rest(start) != mono.Never {
		t.Error("a deadline without a limit")
	}
	if _, over := r.Over(mono.Never - 1); over {
		t.Error("over without a limit")
	}
}

// TestRestAgain: an idle connection that is looked at again does not begin to be idle anew; one that was used does.
func TestRestAgain(t *testing.T) {
	const start = mono.Time(time.Hour)
	r := (&Policy{}).NewRecycle(start, 0)
	r.Hint([]byte("timeout=5"))
	if first, again := r.Rest(start), r.Rest(start.Add(3*time.Second)); first != again {
		t.Errorf("deadline moved by %v", again.Sub(first))
	}
	r.Use()
	if got := r.Rest(start.Add(3 * time.Second)); got != start.Add(7*time.Second) {
		t.Errorf("after use: idle until %v", got.Sub(start))
	}
}

func TestRecycleHint(t *testing.T) {
	const start = mono.Time(time.Hour)
	for _, test := range []struct {
		field string
		idle  time.Duration // -1: none
		left  int           // -1: any number
	}{
		{"timeout=5, max=100", 4 * time.Second, 100},
		{"timeout=60", 59 * time.Second, -1},
		{"max=1,timeout=1", 800 * time.Millisecond, 1},
		{" Timeout=2 ,\tMAX=0", 1600 * time.Millisecond, 0},
		{"timeout=0", 0, -1},
		{"timeout=99999999999999999999", 999_999_999 * time.Second, -1},
		{"timeout=", -1, -1}, {"timeout=-1", -1, -1}, {"timeout=5s", -1, -1}, {"timeout = 5", -1, -1},
		{"timeouts=5", -1, -1}, {"max", -1, -1}, {"", -1, -1}, {",,=,", -1, -1}, {"maximum=3", -1, -1},
	} {
		r := (&Policy{}).NewRecycle(start, 0)
		r.Use()
		r.Hint([]byte(test.field))
		want := mono.Never
		if test.idle >= 0 {
			want = start.Add(test.idle)
		}
		if got := r.Rest(start); got != want {
			t.Errorf("%q: idle until %v, want %v", test.field, got.Sub(start), want.Sub(start))
		}
		if test.left < 0 || test.idle == 0 {
			continue
		}
		r.idleSince = 0
		for i := range test.left {
			if _, over := r.Over(start); over {
				t.Errorf("%q: over after %d further exchanges", test.field, i)
			}
			r.Use()
		}
		if c, over := r.Over(start); !over || c != ServerHint {
			t.Errorf("%q: not over after %s further exchanges: %v", test.field, strconv.Itoa(test.left), c)
		}
	}
}

// FuzzHint checks that no field makes a connection live longer than its own policy, whatever it says.
func FuzzHint(f *testing.F) {
	f.Add([]byte("timeout=5, max=100"))
	f.Add([]byte("max=4294967295,timeout=4294967296"))
	f.Add([]byte(" ,=max=1, timeout=\x00"))
	f.Fuzz(func(t *testing.T, field []byte) {
		const start = mono.Time(time.Hour)
		p := Policy{MaxReuse: 3, MaxAge: time.Minute}
		r := p.NewRecycle(start, 1<<16|1<<48)
		r.Hint(field)
		if d := r.Rest(start); d < start || d > start.Add(time.Minute) {
			t.Errorf("deadline moved to %v", d.Sub(start))
		}
		for range 3 {
			r.Use()
		}
		if _, over := r.Over(start); !over {
			t.Error("a hint made the connection last")
		}
	})
}

func TestBackoff(t *testing.T) {
	var b Backoff
	now := mono.Time(time.Hour)
	for range 10 {
		b.Failure(now, 0)
	}
	if !b.Allowed(now) {
		t.Fatal("held back although max-errors is 0")
	}
	b.Success()
	b.SetMax(3)
	b.Failure(now, 0)
	b.Failure(now, 0)
	if !b.Allowed(now) {
		t.Error("held back after two of three errors")
	}
	want := backoffMin
	for range 12 {
		b.Failure(now, ^uint64(0))
		d := b.Until().Sub(now)
		if d < want/2 || d > want {
			t.Errorf("held back for %v, want %v to %v", d, want/2, want)
		}
		for range 100 {
			b.Failure(now, 7) // under way when the delay began
		}
		if b.Until().Sub(now) != d {
			t.Error("errors of one moment made the delay longer")
		}
		now = b.Until()
		if !b.Allowed(now) {
			t.Error("held back when the delay is over")
		}
		want = min(2*want, backoffMax)
	}
	b.Success()
	b.Failure(now, 0)
	if !b.Allowed(now) || b.Errors() != 1 {
		t.Error("a success did not end the run of errors")
	}
}
