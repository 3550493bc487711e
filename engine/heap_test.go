package engine

import (
	"runtime"
	"runtime/metrics"
	"testing"
	"time"
)

func TestHeapPercentGivesTheSlack(t *testing.T) {
	for live, want := range map[uint64]int{0: 800, 1 << 20: 800, 4 << 20: 800, 8 << 20: 400, 32 << 20: 100, 1 << 40: 100} {
		if got := heapPercent(live); got != want {
			t.Errorf("%d live bytes: %d %%, want %d", live, got, want)
		}
	}
}

// TestHeapIsPacedByEachCollection has the live heap grow and shrink: the target must follow at the next collection, or a crowd
// of clients would let garbage lie in proportion to itself.
func TestHeapIsPacedByEachCollection(t *testing.T) {
	t.Setenv("GOGC", "")
	r, _ := newSecureRig(t, "")
	percent := func() int {
		s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(s)
		return int(s[0].Value.Uint64())
	}
	follows := func(what string, right func(int) bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
			runtime.GC() // the finalizer runs on its own goroutine behind it
			if p := percent(); right(p) {
				return
			} else if time.Now().After(deadline) {
				t.Fatalf("%s: %d %%", what, p)
			}
		}
	}
	follows("little is alive", func(p int) bool { return p > 400 })
	ballast := make([][]byte, 64)
	for i := range ballast {
		ballast[i] = make([]byte, 1<<20)
	}
	follows("64 MiB more", func(p int) bool { return p < 125 })
	runtime.KeepAlive(ballast)
	ballast = nil
	follows("gone", func(p int) bool { return p > 400 })
	r.e.Stop()
	follows("the engine has stopped", func(p int) bool { return p == heapPercentMin })
}
