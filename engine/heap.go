package engine

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// QUIC allocates some sixty objects for a request and a TLS handshake 40 KiB, in a process that otherwise allocates nothing
// while it works. With a heap of a few megabytes the collector would run a hundred times a second under load, and take a
// fifth of the processor from QUIC, a tenth of their user time from handshakes. heapPacer lets this much garbage collect before
// it runs, however small the heap is (docs/decisions/h3.md).
const heapSlackBytes = 32 << 20

// The runtime's own default, and what makes its least heap, 4 MiB at 100, as large as the slack.
const (
	heapPercentMin = 100
	heapPercentMax = heapSlackBytes / (4 << 20) * 100
)

// allocates reports whether what is served makes garbage.
func (p *plan) allocates() bool {
	if len(p.h3) > 0 {
		return true
	}
	for _, f := range p.frontends {
		if len(f.tls) > 0 {
			return true
		}
	}
	for _, b := range p.backends {
		if b.secure != nil {
			return true
		}
	}
	return false
}

// heapIsOurs reports whether nobody has told the collector what to do. An operator who has set GOGC knows better; a memory
// limit is kept to in any case.
func heapIsOurs() bool { return os.Getenv("GOGC") == "" }

// pace begins to look after the heap, once there is a reason to.
func (e *Engine) pace(p *plan) {
	if p.allocates() && heapIsOurs() {
		e.pacing.Do(func() { (&heapPacer{e: e}).look() })
	}
}

// heapPacer sets the collector's target anew after every collection: it is garbage itself, whose finalizer brings it back. A
// look from time to time would be too late: in a crowd the heap may grow tenfold between two of them, and a target in percent
// with it.
type heapPacer struct{ e *Engine }

func (h *heapPacer) look() {
	if engineState(h.e.state.Load()) == stateStopped {
		debug.SetGCPercent(heapPercentMin)
		return
	}
	heap := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/gogc:percent"}}
	metrics.Read(heap)
	want, is := uint64(heapPercent(heap[0].Value.Uint64())), heap[1].Value.Uint64()
	if want > is/4*5 || want < is/5*4 { // setting it stops the world for a moment, so small changes are let be
		debug.SetGCPercent(int(want))
	}
	runtime.SetFinalizer(h, (*heapPacer).look)
}

// heapPercent is how much a heap of so many live bytes may grow until the next collection, in percent.
func heapPercent(live uint64) int {
	return min(max(int(heapSlackBytes*100/max(live, 1)), heapPercentMin), heapPercentMax)
}
