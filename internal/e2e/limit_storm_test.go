package e2e

import (
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// A storm of clients that come, ask once and leave meets max-conn: each gets an answer, and the limit holds. With
// WEIR_E2E_BIG it is one of 20,000 at 1,000. How long the admitted took from their turn on is logged, not judged.
func TestStorm(t *testing.T) {
	t.Parallel()
	total, together, most := 2000, 400, 100
	if os.Getenv("WEIR_E2E_BIG") != "" {
		total, together, most = 20_000, 4000, 1000
	}
	back := newTally(t, plain, nil)
	w := start(t, attached("frontend", "max-conn = "+strconv.Itoa(most)+"\nqueue-depth = 100000\nqueue-timeout = \"8s\"\nmax-conn-rate = 0\nmax-sess-rate = 0\nrate-limit-sessions = 0",
		setup{servers: []*origin{back.origin}, backend: `reuse = "always"`}))
	top := w.watchLimit("frontend", "max-conn")
	quiet := admitted(w, total/4, min(together, most))
	var heard outcomes
	crowd(together, func(int) {
		for range total / together {
			heard.heard(w.once("GET", "/storm"))
		}
	})
	wantAll(t, &heard, total)
	if n := top(); int(n) > most {
		t.Errorf("%d were let in at once, the limit is %d", n, most)
	}
	var took []time.Duration
	eventually(t, "all lines are written", func() bool {
		took = took[:0]
		for _, l := range w.accessLog() {
			if l.Path == "/storm" {
				took = append(took, time.Duration(l.Response)*time.Microsecond)
			}
		}
		return len(took) == total
	})
	t.Logf("p99 of the admitted: quiet %v, in the storm %v", p99(quiet), p99(took))
}

// admitted is how long requests take when nobody waits.
func admitted(w *weir, n, together int) (took []time.Duration) {
	crowd(together, func(int) {
		for range max(n/together, 1) {
			_, _ = w.once("GET", "/quiet")
		}
	})
	for _, l := range w.accessLog() {
		if l.Path == "/quiet" {
			took = append(took, time.Duration(l.Response)*time.Microsecond)
		}
	}
	return took
}

func p99(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[len(d)*99/100]
}
