package sim

import "weir/internal/mono"

// event is something that will happen.
type event struct {
	at  mono.Time
	seq uint64 // events of one instant happen in the order in which they were planned
	do  func()
}

func (e *event) before(f *event) bool { return e.at < f.at || e.at == f.at && e.seq < f.seq }

// eventQueue is a binary heap, the next event first. container/heap would box every event.
type eventQueue struct {
	heap []event
	seq  uint64
}

func (q *eventQueue) next() mono.Time {
	if len(q.heap) == 0 {
		return mono.Never
	}
	return q.heap[0].at
}

func (q *eventQueue) push(at mono.Time, do func()) {
	q.seq++
	q.heap = append(q.heap, event{at, q.seq, do})
	h := q.heap
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if !h[i].before(&h[up]) {
			return
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
}

func (q *eventQueue) pop() (e event, ok bool) {
	h := q.heap
	if len(h) == 0 {
		return e, false
	}
	e = h[0]
	last := len(h) - 1
	h[0], h[last] = h[last], event{}
	h = h[:last]
	for i := 0; ; {
		least := i
		for _, down := range [2]int{2*i + 1, 2*i + 2} {
			if down < last && h[down].before(&h[least]) {
				least = down
			}
		}
		if least == i {
			break
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
	q.heap = h
	return e, true
}

// files is the descriptor table of the process. As on Linux the lowest free number is given out, so that code which uses
// a descriptor that it closed hits another connection, in tests as in life.
type files struct {
	table []*socket
	open  int
	low   int // no lower number is free
}

func (f *files) add(s *socket) int {
	for f.low < len(f.table) && f.table[f.low] != nil {
		f.low++
	}
	if f.low == len(f.table) {
		f.table = append(f.table, nil)
	}
	f.table[f.low] = s
	f.open++
	s.fd = f.low + firstFile
	return s.fd
}

// firstFile is the lowest number of a socket: standard input, output and error are open.
const firstFile = 3

func (f *files) get(fd int) *socket {
	if i := fd - firstFile; i >= 0 && i < len(f.table) {
		return f.table[i]
	}
	return nil
}

func (f *files) remove(s *socket) {
	i := s.fd - firstFile
	f.table[i] = nil
	f.low = min(f.low, i)
	f.open--
	s.fd = -1
}
