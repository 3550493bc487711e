package engine

import (
	"slices"
	"testing"
	"time"

	"weir/internal/sim"
)

// TestTwoWorkersOpenHardlyMoreThanOne: clients that ask one request after the other make two workers open next to no more
// server connections than one, whatever the order of their turns.
func TestTwoWorkersOpenHardlyMoreThanOne(t *testing.T) {
	const clients, requests, worlds = 20, 100, 8
	opened := map[int]uint64{}
	for seed := range uint64(worlds) {
		for _, workers := range []int{1, 2} {
			r := newRig(t, seed, workers, simple("reuse = \"always\"\n").text())
			r.net.Server(serverOne, sim.Echo)
			var all []*sim.Surfer
			for range clients {
				c := &sim.Surfer{Requests: slices.Repeat([]string{get("/")}, requests)}
				r.net.Client(frontAddr, c)
				all = append(all, c)
			}
			r.must("all are served", time.Minute, func() bool {
				for _, c := range all {
					if !c.Done() {
						return false
					}
				}
				return true
			})
			opened[workers] += uint64(r.opened("api", "s1"))
			r.finish()
		}
	}
	t.Logf("one worker opened %d, two opened %d", opened[1], opened[2])
	if opened[1] > worlds*clients || 5*opened[2] > 6*worlds*clients {
		t.Errorf("%d clients: one worker opened %d connections in %d worlds, two opened %d", clients, opened[1], worlds, opened[2])
	}
}
