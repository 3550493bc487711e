package engine

import (
	"testing"
	"time"

	"weir/internal/sim"
)

// TestChecksKeepTheirInterval: shorter ones than the period of the work that needs no precision too. Each check is a
// connection of its own.
func TestChecksKeepTheirInterval(t *testing.T) {
	for _, interval := range []time.Duration{20 * time.Millisecond, 100 * time.Millisecond, 400 * time.Millisecond} {
		for _, health := range []string{`path = "/health"`, "tcp = true"} {
			r := newRig(t, 1, 2, simple("health = { "+health+", interval = \""+interval.String()+"\" }\n").text())
			v := r.net.Server(serverOne, sim.Echo)
			r.must("the first check", time.Second, func() bool { return len(v.Peers) == 1 })
			r.run(4 * time.Second)
			want := 1 + int(4*time.Second/interval)
			if n := len(v.Peers); n < want*9/10 || n > want+1 { // a turn that comes later puts the next one off
				t.Errorf("%s: %d checks in 4s of one every %v", health, n, interval)
			}
			r.finish()
		}
	}
}
