//go:build explore

package limit

import (
	"fmt"
	"iter"
	"os"
	"strconv"
	"testing"
)

// TestExplore runs small encounters of workers in a queue under every schedule with a bounded number of preemptions, where
// a switch may happen before any operation on shared words. When all are done and those woken have collected, every token
// is accounted for, nobody waits for a token that is free, and nobody has overtaken who was in line before it began.
//
// Run it with: go test -tags explore -run Explore ./internal/limit
func TestExplore(t *testing.T) {
	preemptions := 2
	if s := os.Getenv("PREEMPTIONS"); s != "" {
		preemptions, _ = strconv.Atoi(s)
	}
	for name, scene := range scenes {
		t.Run(name, func(t *testing.T) {
			runs, err := explore(scene, preemptions)
			if err != nil {
				t.Fatalf("schedule %d: %v", runs, err)
			}
			t.Logf("%d schedules", runs)
		})
	}
}

// stage is a queue model with actors, who run in turns. Actors that act on lines are different workers.
type stage struct {
	*queueModel
	waiters []*modelWaiter // all that joined or tried to
	before  []*modelWaiter // those in line before the actors begin
	left    map[*modelWaiter]bool
	actors  []func()
}

func (s *stage) joins(worker, queue int) *modelWaiter {
	w := &modelWaiter{queue: queue, worker: worker}
	s.waiters = append(s.waiters, w)
	if s.line(w).Join(&w.Waiter, s.now, 0) == Acquired {
		s.held = append(s.held, w)
	}
	return w
}

func (s *stage) waits(worker, queue, n int) {
	for range n {
		s.before = append(s.before, s.joins(worker, queue))
	}
}

func (s *stage) takes(count int) *modelWaiter {
	if !s.counts[count].TryAcquire() {
		panic("no token to begin with")
	}
	w := &modelWaiter{Waiter: Waiter{got: s.counts[count]}}
	s.held = append(s.held, w)
	return w
}

func (s *stage) gives(w *modelWaiter) {
	for i := range s.held {
		if s.held[i] == w {
			s.held = append(s.held[:i:i], s.held[i+1:]...)
			w.Count().Release()
			return
		}
	}
	panic("gives a token that is not held")
}

func (s *stage) leaves(w *modelWaiter) {
	s.left[w] = true
	s.line(w).Leave(&w.Waiter)
}

func (s *stage) collects(worker int) {
	delete(s.poked, worker) // the message is taken before it is acted on
	for i, q := range s.queues {
		q.Line(worker).Granted(func(v *Waiter) {
			for _, w := range s.waiters {
				if &w.Waiter == v && w.queue == i && w.worker == worker {
					s.held = append(s.held, w)
				}
			}
		})
	}
}

// ends is the verdict.
func (s *stage) ends() error {
	for len(s.poked) > 0 {
		for worker := range s.poked {
			s.collects(worker)
		}
	}
	waiting := 0
	for _, w := range s.waiters {
		if !w.Waits() {
			continue
		}
		waiting++
		for _, c := range s.counts {
			if w.wants(s.queueModel, c) && (c.Max() == 0 || c.Current() < c.Max()) {
				return fmt.Errorf("waiter %d is left waiting although %d of %d tokens are out", w.Since(), c.Current(), c.Max())
			}
		}
	}
	for i, c := range s.counts {
		n := 0
		for _, w := range s.held {
			if w.Count() == c {
				n++
			}
		}
		if c.Current() != int64(n) {
			return fmt.Errorf("count %d: %d tokens out, %d held", i, c.Current(), n)
		}
	}
	sum := 0
	for _, q := range s.queues {
		sum += q.Waiting()
	}
	if sum != waiting || s.places.Current() != int64(waiting) {
		return fmt.Errorf("%d wait, %d are counted, with %d places", waiting, sum, s.places.Current())
	}
	return s.overtaken()
}

func (s *stage) overtaken() error {
	for _, w := range s.held {
		for _, older := range s.before {
			if older.Waits() && w.ticket > older.ticket && older.wants(s.queueModel, w.Count()) {
				return fmt.Errorf("waiter %d overtook %d", w.Since(), older.Since())
			}
		}
	}
	return nil
}

var scenes = map[string]func(*stage){
	"join, release, pass by": func(s *stage) {
		held := s.takes(0)
		s.actors = []func(){
			func() { s.joins(0, 0) },
			func() { s.gives(held) },
			func() { s.leaves(s.joins(1, 0)) },
		}
	},
	"leave while granted": func(s *stage) {
		held := s.takes(0)
		s.waits(0, 0, 1)
		s.waits(1, 0, 1)
		s.actors = []func(){
			func() { s.gives(held) },
			func() { s.leaves(s.before[0]) },
			func() { s.collects(1) },
		}
	},
	"two releases, a collector, a newcomer": func(s *stage) {
		s.counts[0].SetMax(2)
		a, b := s.takes(0), s.takes(0)
		s.waits(0, 0, 2)
		s.actors = []func(){
			func() { s.gives(a) },
			func() { s.gives(b) },
			func() { s.collects(0) },
			func() {
				if s.counts[0].TryAcquire() {
					s.held = append(s.held, &modelWaiter{Waiter: Waiter{got: s.counts[0]}})
				}
			},
		}
	},
	"raised, joined, left": func(s *stage) {
		s.takes(0)
		s.waits(1, 0, 1)
		s.actors = []func(){
			func() { s.counts[0].SetMax(2) },
			func() { s.joins(0, 0) },
			func() { s.leaves(s.before[0]) },
		}
	},
	"two servers, own and shared queue": func(s *stage) {
		a, b := s.takes(0), s.takes(1)
		s.waits(0, 2, 1)
		s.waits(1, 1, 1)
		s.actors = []func(){
			func() { s.gives(a) },
			func() { s.gives(b) },
			func() { s.leaves(s.before[0]) },
			func() { s.joins(1, 0) },
		}
	},
	"more waiters than places": func(s *stage) {
		s.counts[0].SetMax(3)
		a, b, c := s.takes(0), s.takes(0), s.takes(0)
		s.waits(0, 0, lanePlaces+2)
		s.waits(1, 0, 1)
		s.actors = []func(){
			func() { s.gives(a); s.gives(b); s.gives(c) },
			func() { s.leaves(s.before[3]); s.collects(0); s.leaves(s.before[lanePlaces]) },
		}
		for _, w := range s.before[4:lanePlaces] { // so that few are left before the hidden ones
			s.leaves(w)
		}
		s.waits(0, 0, lanePlaces)
	},
	"hidden while all places are granted": func(s *stage) {
		s.counts[0].SetMax(lanePlaces + 1)
		var held []*modelWaiter
		for range lanePlaces + 1 {
			held = append(held, s.takes(0))
		}
		s.waits(0, 0, lanePlaces+1)
		s.waits(1, 0, 1)
		for _, w := range held[1:] {
			s.gives(w)
		}
		s.actors = []func(){
			func() { s.gives(held[0]) },
			func() { s.collects(0) },
		}
	},
	"resumed while tokens come free and somebody joins": func(s *stage) {
		held := s.takes(0)
		s.takes(1)
		s.queues[2].Suspend(s.counts[0])
		s.waits(0, 2, 1)
		s.actors = []func(){
			func() { s.queues[2].Resume(s.counts[0]) },
			func() { s.gives(held) },
			func() { s.joins(1, 2) },
		}
	},
	"suspended before a waiter of its own": func(s *stage) {
		held := s.takes(0)
		s.takes(1)
		s.waits(0, 2, lanePlaces+1)
		s.waits(1, 0, 1)
		s.actors = []func(){
			func() { s.queues[2].Suspend(s.counts[0]) },
			func() { s.gives(held) },
			func() { s.collects(1) },
		}
	},
	"detached while tokens come free": func(s *stage) {
		held := s.takes(0)
		s.takes(1)
		s.waits(0, 2, 1)
		s.actors = []func(){
			func() { s.queues[2].Remove(s.counts[0]); s.queues[2].Add(s.counts[0]) },
			func() { s.gives(held) },
			func() { s.joins(1, 2) },
		}
	},
}

// explore runs the scene under every schedule with at most so many preemptions, and returns the first error.
func explore(scene func(*stage), preemptions int) (runs int, err error) {
	var path []choice
	for {
		runs++
		s := &stage{queueModel: newQueueModel(0, 1, 1), left: map[*modelWaiter]bool{}}
		scene(s)
		path = play(s, path, preemptions)
		if err := s.ends(); err != nil {
			return runs, err
		}
		for len(path) > 0 && path[len(path)-1].taken+1 == path[len(path)-1].of {
			path = path[:len(path)-1]
		}
		if len(path) == 0 {
			return runs, nil
		}
		path[len(path)-1].taken++
	}
}

// choice is which of several actors went on, at a point where more than one could.
type choice struct{ taken, of int }

// play follows path and then always takes the first choice, which it adds to path.
func play(s *stage, path []choice, preemptions int) []choice {
	type actor struct {
		next func() (struct{}, bool)
	}
	var pause func(struct{}) bool
	var actors []*actor
	for _, f := range s.actors {
		var mine func(struct{}) bool
		next, _ := iter.Pull(func(yield func(struct{}) bool) {
			mine = yield
			yield(struct{}{})
			f()
		})
		next()
		actors = append(actors, &actor{next: func() (struct{}, bool) {
			pause = mine
			return next()
		}})
	}
	onStep = func() { pause(struct{}{}) }
	defer func() { onStep = nil }()
	depth, running := 0, -1
	for len(actors) > 0 {
		// The running one comes first; to take another one is a preemption.
		of := len(actors)
		if running >= 0 && preemptions == 0 {
			of = 1
		}
		taken := 0
		if of > 1 {
			if depth == len(path) {
				path = append(path, choice{0, of})
			}
			taken = path[depth].taken
			depth++
		}
		if running >= 0 {
			actors[0], actors[running] = actors[running], actors[0]
			if taken > 0 {
				preemptions--
			}
		}
		running = taken
		if _, more := actors[taken].next(); !more {
			actors = append(actors[:taken:taken], actors[taken+1:]...)
			running = -1
		}
	}
	return path
}
