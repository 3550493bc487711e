package engine

import "runtime/metrics"

// quietHeap notices garbage that nothing is going to collect. The collector runs when the heap has grown enough; once a crowd's
// handshakes are done nothing grows any more, and what they have left behind, some 35 KiB each, would stay resident beside
// the 4 KiB of an idle connection until the next crowd (TestQuietHeapIsCollected).
type quietHeap struct {
	samples [3]metrics.Sample
	allocs  uint64 // bytes allocated by the process so far, at the last look
	looks   int    // in a row between which next to nothing was allocated
}

const (
	quietLooks = 5         // half a second
	quietBytes = 256 << 10 // between two looks
	quietWaste = 256 << 10 // garbage that is not worth a collection, beside an eighth of what lives
)

// look is to be called every straitsEvery. It reports whether it is time to collect and to give memory back to the kernel: at
// most once for the garbage there is.
func (q *quietHeap) look() bool {
	q.samples[0].Name, q.samples[1].Name, q.samples[2].Name = "/gc/heap/allocs:bytes", "/memory/classes/heap/objects:bytes", "/gc/heap/live:bytes"
	metrics.Read(q.samples[:])
	allocs, objects, live := q.samples[0].Value.Uint64(), q.samples[1].Value.Uint64(), q.samples[2].Value.Uint64()
	return q.due(allocs, objects, live)
}

// due is look's rule. objects are the bytes of what lives and of what was not swept; live is what the last collection found.
func (q *quietHeap) due(allocs, objects, live uint64) bool {
	grown := allocs - q.allocs
	q.allocs = allocs
	if grown > quietBytes {
		q.looks = 0
		return false
	}
	q.looks++
	if q.looks < quietLooks || objects < live+live/8+quietWaste {
		return false
	}
	q.looks = 0
	return true
}
