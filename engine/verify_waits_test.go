package engine

import (
	"fmt"
	"time"

	"weir/internal/limit"
	"weir/internal/mono"
)

// idleWaitMax is how long somebody may be seen waiting beside what would serve them: messages between workers are on their
// way for less. Who waits longer was forgotten.
const idleWaitMax = 2 * time.Second

// idleWait is since when, and how often in a row, a queue was seen waiting beside what would serve it.
type idleWait struct {
	since mono.Time
	seen  int
}

// verifyWaits panics when a wake-up was lost: somebody waits for a connection of a backend while one is idle, or for a token
// while one is free, and goes on waiting.
func (r *rig) verifyWaits() {
	for name, b := range r.e.plan.backends {
		idle, free := 0, false
		for s, sh := range b.servers {
			idle += sh.pool.Idle()
			open := hasRoom(sh.inflight) && r.takesNew(name, s)
			free = free || open
			r.noteWait(name+"/"+s, "a token is free", sh.queue.Waiting() > 0 && open)
		}
		r.noteWait(name, "a token is free", b.queue.Waiting() > 0 && free)
		r.noteWait(name+" max-conn", "a connection is idle", b.connQueue.Waiting() > 0 && idle > 0)
		r.noteWait(name+" max-conn", "a token is free", b.connQueue.Waiting() > 0 && hasRoom(b.limits.Conn))
	}
}

func hasRoom(c *limit.Count) bool { return c.Max() == 0 || c.Current() < c.Max() }

// takesNew reports whether all workers would give a server new exchanges.
func (r *rig) takesNew(backend, name string) bool {
	for _, w := range r.ws {
		be := w.view.backend(backend)
		if be == nil || be.server(name) == nil || !be.server(name).balanceable() {
			return false
		}
	}
	return true
}

func (r *rig) noteWait(who, beside string, waits bool) {
	key := who + ": " + beside
	if !waits {
		delete(r.waits, key)
		return
	}
	now := r.net.Now()
	w, ok := r.waits[key]
	if !ok {
		w.since = now
	}
	w.seen++
	if w.seen > 3 && now.Sub(w.since) > idleWaitMax {
		panic(fmt.Sprintf("seed %d, turn %d: %s: somebody has waited for %v although %s\n%s", r.seed, r.turns, who, now.Sub(w.since), beside, r.state()))
	}
	if r.waits == nil {
		r.waits = map[string]idleWait{}
	}
	r.waits[key] = w
}
