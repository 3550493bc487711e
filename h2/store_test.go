package h2

import (
	"testing"

	"pgregory.net/rapid"
)

// The store is a map, whatever is put in and taken out, and keeps its order.
func TestStoreIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var st store
		model := map[uint32]*Stream{}
		var order []*Stream
		next := uint32(1)
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			if rapid.IntRange(0, 2).Draw(t, "op") > 0 || len(order) == 0 {
				s := &Stream{ID: next, state: stateOpen}
				next += 2 * uint32(rapid.IntRange(1, 20).Draw(t, "gap"))
				st.add(s)
				st.index(s)
				model[s.ID] = s
				order = append(order, s)
			} else {
				i := rapid.IntRange(0, len(order)-1).Draw(t, "which")
				st.remove(order[i])
				delete(model, order[i].ID)
				order = append(order[:i:i], order[i+1:]...)
			}
			for id := uint32(1); id < next; id += 2 {
				if st.find(id) != model[id] {
					t.Fatalf("stream %d: %v, the model has %v", id, st.find(id), model[id])
				}
			}
			s := st.first
			for _, want := range order {
				if s != want {
					t.Fatal("out of order")
				}
				s = s.live.next
			}
			if s != nil || st.live != len(order) {
				t.Fatalf("%d streams, the model has %d", st.live, len(order))
			}
		}
	})
}

// recent remembers exactly the latest recentIDs identifiers.
func TestRecentIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r recent
		opened, cut := map[uint32]bool{}, map[uint32]bool{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			id := r.top + 2*uint32(rapid.SampledFrom([]int{1, 1, 1, 2, 5, 100, 255, 256, 257, 1000}).Draw(t, "gap"))
			if r.top == 0 {
				id--
			}
			r.open(id)
			opened[id] = true
			if old := rapid.SampledFrom([]uint32{0, 2, 100, 510, 512, 514}).Draw(t, "cut"); old < id {
				r.markCut(id - old)
				if old < 2*recentIDs {
					cut[id-old] = true
				}
			}
			for x := uint32(1); x <= id; x += 2 {
				known := id-x < 2*recentIDs
				if r.knows(x) != known || r.skipped(x) != (known && !opened[x]) || r.cutOff(x) != (known && cut[x]) {
					t.Fatalf("top %d: stream %d known %v, skipped %v, cut %v; the model has %v, %v, %v", id, x,
						r.knows(x), r.skipped(x), r.cutOff(x), known, known && !opened[x], known && cut[x])
				}
			}
		}
	})
}

// Records and blocks are used again.
func TestSlabIsUsedAgain(t *testing.T) {
	b := &Slab{}
	s := b.getStream()
	s.ID, s.User = 7, "mine"
	b.freeStream(s)
	if again := b.getStream(); again != s || again.ID != 0 || again.User != nil {
		t.Error("a record comes back as it was, or not at all")
	}
	p := append(b.getBlock(), make([]byte, 2000)...)
	b.freeBlock(p)
	if again := b.getBlock(); len(again) != 0 || cap(again) < 2000 {
		t.Error("a block does not come back")
	}
	b.freeBlock(make([]byte, slabBlockKeep+1))
	b.freeBlock(nil)
	if len(b.blocks) != 0 {
		t.Error("a block is kept that should not be")
	}
}
