package engine

import (
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

// TestQuietHeapIsDueOnce: only when nothing is allocated any more, and only when there is something to gain.
func TestQuietHeapIsDueOnce(t *testing.T) {
	const mib = 1 << 20
	var q quietHeap
	q.due(40*mib, 30*mib, 2*mib)
	for look := 1; look <= 2*quietLooks; look++ {
		if got, want := q.due(40*mib+uint64(look)*1000, 30*mib, 2*mib), look%quietLooks == 0; got != want {
			t.Errorf("look %d: %v", look, got)
		}
	}
	for look := range uint64(20) {
		if q.due((50+look)*mib, 30*mib, 2*mib) {
			t.Error("due while a megabyte is allocated between two looks")
		}
	}
	for range 20 {
		if q.due(70*mib, 101*mib, 90*mib) {
			t.Error("due for an eighth of what lives")
		}
	}
}

// TestQuietHeapIsCollected: garbage of a crowd that has gone does not stay.
func TestQuietHeapIsCollected(t *testing.T) {
	t.Setenv("GOGC", "")
	newSecureRig(t, "")
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // nothing else collects
	objects := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	const crowd = 24 << 20
	var kept []byte
	for range 24 {
		kept = make([]byte, 1<<20)
	}
	metrics.Read(objects)
	before := objects[0].Value.Uint64()
	if before < crowd || len(kept) == 0 {
		t.Fatalf("%d bytes of objects, and the collector is off", before)
	}
	deadline := time.Now().Add(20 * time.Second)
	for objects[0].Value.Uint64() > before-crowd/2 {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes of objects, at first %d", objects[0].Value.Uint64(), before)
		}
		time.Sleep(10 * time.Millisecond)
		metrics.Read(objects)
	}
}
