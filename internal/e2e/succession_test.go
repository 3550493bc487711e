package e2e

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// pid is the process that answers at the runtime socket.
func (w *weir) pid() int {
	w.t.Helper()
	var info struct {
		PID int `json:"pid"`
	}
	w.show(&info, "info")
	return info.PID
}

// TestUpgradeUnderLoad replaces the binary, by command and by signal, while clients go on asking: no connection is refused
// and no request fails.
func TestUpgradeUnderLoad(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := newRecorder(t)
		w := start(t, setup{over: over, servers: []*origin{back.origin}, global: "workers = 2", backend: `reuse = "always"`})
		w.told = true // it will end by itself
		var stop atomic.Bool
		var all sync.WaitGroup
		var asked atomic.Int64
		for i := range 16 {
			all.Add(1)
			go func() {
				defer all.Done()
				c := &caller{addr: w.front(), over: over}
				defer c.close()
				for n := 0; !stop.Load(); n++ {
					if n%4 == 3 {
						c.close() // so that there are always new connections too
					}
					method, path := []string{"GET", "POST"}[n%2], fmt.Sprintf("/%d/%d", i, n)
					status, reason, err := c.insist(method, path)
					if err != nil || status != 200 {
						t.Errorf("request %d of client %d: %d %s %v", n, i, status, reason, err)
						return
					}
					asked.Add(1)
				}
			}()
		}
		served := func() {
			t.Helper()
			before := asked.Load()
			eventually(t, "clients are served", func() bool { return asked.Load() > before+64 || t.Failed() })
		}
		served()
		first := w.pid()
		if out := w.done("upgrade"); !strings.HasPrefix(out, "upgraded: ") {
			t.Errorf("%q", out)
		}
		w.wantEnd()
		served()
		second := w.pid()
		_ = syscall.Kill(second, syscall.SIGUSR2)
		eventually(t, "a third process answers", func() bool {
			status, _, _ := w.run("show", "info")
			return status == 0 && w.pid() != second
		})
		served()
		if third := w.pid(); third == first || third == second {
			t.Errorf("processes %d, %d, %d", first, second, third)
		}
		stop.Store(true)
		all.Wait()
		wantOnce(t, back)
		w.done("drain")
		eventually(t, "every process has ended", func() bool { return strings.Count(w.log.String(), "msg=over") == 3 })
	})
}
