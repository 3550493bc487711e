package engine

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// QUIC allocates some sixty objects for a request, in a process that otherwise allocates nothing while it works. With a
// heap of a few megabytes the collector would run a hundred times a second under load, and take a fifth of the processor.
// paceHeap lets this much garbage collect before it runs, however small the heap is (docs/decisions/h3.md).
const heapSlackBytes = 32 << 20

const (
	heapLookEvery  = time.Second
	heapPercentMin = 100 // the runtime's own default
	heapPercentMax = 2000
)

// paceHeap sets the collector's target again and again as the heap grows and shrinks. It ends with the engine. An operator
// who has set GOGC knows better; a memory limit is kept to in any case.
func (e *Engine) paceHeap() {
	if os.Getenv("GOGC") != "" {
		return
	}
	look := time.NewTicker(heapLookEvery)
	defer look.Stop()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	percent := heapPercentMin
	for engineState(e.state.Load()) != stateStopped {
		metrics.Read(live)
		// Setting it stops the world for a moment, so small changes are let be.
		if want := heapPercent(live[0].Value.Uint64()); want > percent*5/4 || want < percent*4/5 {
			debug.SetGCPercent(want)
			percent = want
		}
		<-look.C
	}
	debug.SetGCPercent(heapPercentMin)
}

// heapPercent is how much a heap of so many live bytes may grow until the next collection, in percent.
func heapPercent(live uint64) int {
	return min(max(int(heapSlackBytes*100/max(live, 1)), heapPercentMin), heapPercentMax)
}
