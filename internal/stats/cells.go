package stats

// Cells is a copy of one worker's cells. The control plane makes one, sends it to the worker to be filled by Snapshot, and
// gets it back; from then on it is the control plane's until it is sent again.
type Cells struct {
	id        int
	loop      Loop
	answers   [Reasons]uint64
	failures  []Failure // oldest first
	frontends []Frontend
	routes    []Route
	backends  []Backend
	servers   []Server
}

// Snapshot copies all cells of w into dst, whose memory is used again. Only the worker's own thread may call it. It takes
// about the time of copying the cells' memory and allocates only while dst grows to its size.
func (w *Worker) Snapshot(dst *Cells) {
	dst.id, dst.loop, dst.answers = w.id, w.Loop, w.Answers
	dst.failures = w.failures.appendTo(dst.failures[:0])
	dst.frontends, dst.routes = dst.frontends[:0], dst.routes[:0]
	for _, f := range w.frontends {
		dst.frontends = append(dst.frontends, *f)
		// The copy must not lead back to the worker's live cells.
		dst.frontends[len(dst.frontends)-1].routes = nil
		for _, r := range f.routes {
			dst.routes = append(dst.routes, *r)
		}
	}
	dst.backends, dst.servers = dst.backends[:0], dst.servers[:0]
	for _, b := range w.backends {
		dst.backends = append(dst.backends, *b)
		last := &dst.backends[len(dst.backends)-1]
		last.servers, last.serverByName = nil, nil
		for _, s := range b.servers {
			dst.servers = append(dst.servers, *s)
		}
	}
}

func (f *failures) appendTo(dst []Failure) []Failure {
	first := uint64(0)
	if f.total > failuresMax {
		first = f.total - failuresMax
	}
	for i := first; i < f.total; i++ {
		dst = append(dst, f.ring[i%failuresMax])
	}
	return dst
}
