package e2e

import (
	"fmt"
	"testing"
)

// A lowered max-conn of a backend is in force at once for the connections that rest, whether or not anybody waits for theirs: by
// command and by reload, and for TLS by its own axis too. What is in use finishes first.
func TestLoweredLimitClosesWhatRests(t *testing.T) {
	t.Parallel()
	for _, axis := range []string{"max-conn", "max-ssl-conn"} {
		t.Run(axis, func(t *testing.T) {
			t.Parallel()
			over := plain
			if axis == "max-ssl-conn" {
				over = tlsed
			}
			hold := newHolding(t)
			back := newTally(t, over, hold.serve)
			profile := func(n int) setup {
				return attached("backend", fmt.Sprintf("%s = %d\nqueue-timeout = \"8s\"", axis, n),
					setup{servers: []*origin{back.origin}, backend: "reuse = \"always\"\npool-purge-delay = \"0s\""})
			}
			w := start(t, profile(20))
			done := make(chan struct{})
			go func() {
				crowd(20, func(int) { _, _ = w.once("GET", "/hold") })
				close(done)
			}()
			eventually(t, "20 are at the server", func() bool { return back.requests() == 20 })
			w.done("set", "limits", "tight", axis, "15")
			w.done("set", "limits", "tight", axis, "12")
			if n := back.open(); n != 20 {
				t.Errorf("%d connections are left of 20 in use", n)
			}
			hold.release()
			<-done
			// Two workers may find the same one too many at the same time.
			rest := func(most int) {
				eventually(t, "no more rest than may be open", func() bool {
					n := int(w.metric("weir_limit_current", "level", "backend", "axis", axis))
					return n <= most && n >= most-1 && back.open() == n
				})
			}
			rest(12)
			w.rewrite(func(s *setup) { *s = profile(3) })
			w.reload()
			rest(3)
			if n := int(w.metric("weir_server_connections_closed_total", "server", "s1", "cause", "evicted")); n != 20-back.open() {
				t.Errorf("%d closed to give way, %d are left of 20", n, back.open())
			}
		})
	}
}

// An exchange that may not be tried once more, because it has been as often as max-retries says, has met that limit.
func TestRetriesUsedUpAreAHit(t *testing.T) {
	t.Parallel()
	gone := listen(t, plain)
	gone.close()
	for most, hits := range map[int]float64{2: 1, 0: 0} {
		w := start(t, attached("backend", fmt.Sprintf("max-retries = %d", most), setup{servers: []*origin{gone}, backend: "max-errors = 0"}))
		if r, err := w.once("GET", "/"); err != nil || r.status != 503 {
			t.Fatal(r, err)
		}
		axis := ""
		if hits > 0 {
			axis = "max-retries"
		}
		wantLogged(t, w, axis, map[string]int{"connect-failed": 1})
		w.wantMetric(hits, "weir_limit_hits_total", "level", "backend", "axis", "max-retries")
	}
}
