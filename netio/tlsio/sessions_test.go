package tlsio

import (
	"crypto/tls"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The naive model is a slice, most recent first.
func TestSessionStoreIsLRU(t *testing.T) {
	type entry struct {
		key   byte
		state *tls.ClientSessionState
	}
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 5).Draw(t, "size")
		store := NewSessionStore(size)
		var model []entry
		find := func(k byte) int { return slices.IndexFunc(model, func(e entry) bool { return e.key == k }) }
		t.Repeat(map[string]func(*rapid.T){
			"get": func(t *rapid.T) {
				k := rapid.ByteRange(0, 7).Draw(t, "key")
				got, ok := store.get(sessionKey{k})
				i := find(k)
				if ok != (i >= 0) || ok && got != model[i].state {
					t.Fatalf("get %d: %v", k, ok)
				}
				if ok {
					e := model[i]
					model = slices.Insert(slices.Delete(model, i, i+1), 0, e)
				}
			},
			"put": func(t *rapid.T) {
				k, state := rapid.ByteRange(0, 7).Draw(t, "key"), new(tls.ClientSessionState)
				store.put(sessionKey{k}, state)
				if i := find(k); i >= 0 {
					model = slices.Delete(model, i, i+1)
				}
				model = slices.Insert(model, 0, entry{k, state})
			},
			"forget": func(t *rapid.T) {
				k := rapid.ByteRange(0, 7).Draw(t, "key")
				store.put(sessionKey{k}, nil)
				if i := find(k); i >= 0 {
					model = slices.Delete(model, i, i+1)
				}
			},
			"resize": func(t *rapid.T) {
				size = rapid.IntRange(1, 5).Draw(t, "size")
				store.Resize(size)
			},
			"": func(t *rapid.T) {
				model = model[:min(len(model), size)]
				if store.Len() != len(model) || store.recent.Len() != len(model) {
					t.Fatalf("%d sessions, %d in the list, want %d", store.Len(), store.recent.Len(), len(model))
				}
			},
		})
	})
	if NewSessionStore(0) != nil {
		t.Error("a store of no sessions")
	}
}
