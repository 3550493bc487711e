package limit

import "weir/internal/mono"

// Waiter is a place in a queue. It is embedded in what waits, costs no allocation and may be used again and again.
type Waiter struct {
	// Tag is its owner's, to find itself again by.
	Tag uint64

	got        *Count
	next, prev *Waiter
	ticket     uint64 // shifted, as in a lane
	deadline   mono.Time
	place      int8 // in the lane; placeNone while hidden
	waits      bool
}

const placeNone = -1

// Waits reports whether w is in a queue.
func (w *Waiter) Waits() bool { return w.waits }

// Count is what the token that w was given last is of. It is to be released there.
func (w *Waiter) Count() *Count { return w.got }

// Since orders waiters of all workers: the smaller number came first.
func (w *Waiter) Since() uint64 { return w.ticket >> ticketShift }

// Joined is the outcome of Join.
type Joined uint8

// The outcomes.
const (
	Acquired Joined = iota // a token was free and nobody waited: it is Waiter.Count's
	Queued                 // Granted or Expire will name the waiter, unless it leaves before
	Full                   // as many wait as may
	Late                   // the deadline had passed already
)

// Line is one worker's part of a Queue: its own waiters in order. Its methods may be called by that worker only, also
// from within the functions that Granted and Expire call.
type Line struct {
	q      *Queue
	lane   *lane
	worker int

	head, tail *Waiter
	hidden     *Waiter // the oldest without a place
	placed     [lanePlaces]*Waiter
	length     int
	disorder   bool // deadlines are not in the order of the line

	_ [sharedLineBytes]byte // the next Line is another worker's
}

func (l *Line) init(q *Queue, worker int) { *l = Line{q: q, lane: &q.lanes[worker], worker: worker} }

// Len is how many of this worker wait.
func (l *Line) Len() int { return l.length }

// Join acquires a token or lines w up for one until deadline; zero is no deadline. When w has to wait or is refused, that
// is a hit of the count, if the queue has only one; refusing for want of places is a hit of those too.
func (l *Line) Join(w *Waiter, now, deadline mono.Time) Joined {
	if w.waits {
		panic("limit: waiter joined twice")
	}
	if w.got = l.q.tryAcquire(w.Tag); w.got != nil {
		return Acquired
	}
	if counts := *l.q.counts.Load(); len(counts) == 1 {
		counts[0].Hit()
	}
	if !deadline.IsZero() && !deadline.After(now) {
		return Late
	}
	if !l.q.places.TryAcquire() {
		return Full
	}
	if deadline.IsZero() {
		deadline = mono.Never
	}
	w.deadline, w.waits, w.place = deadline, true, placeNone
	w.ticket = l.q.table.tickets.Add(1) << ticketShift
	l.append(w)
	step()
	l.q.waiting.Add(1)
	if l.length == 1 {
		step()
		l.q.busy[l.worker>>6].Or(1 << (l.worker & 63))
	}
	if l.hidden == nil {
		l.hidden = w
		l.refill()
	}
	l.q.serve()
	return Queued
}

// Leave takes w out of the line, because who waited is gone. If it was granted a token in the same instant, that goes to
// the next one. It does nothing when w does not wait.
func (l *Line) Leave(w *Waiter) {
	if !w.waits {
		return
	}
	if !l.withdraw(w) {
		c := l.collect(w)
		l.settle()
		c.Release()
		return
	}
	l.settle()
}

// Granted calls f for each waiter that was granted a token, in order, when it has left the line: the token is now f's to
// use and to release. The worker calls it when it was woken for this queue; calling it at other times does no harm.
func (l *Line) Granted(f func(*Waiter)) {
	// Before looking: a grant that comes after this look pokes again.
	step()
	l.lane.poked.Store(0)
	for {
		w := l.firstGranted()
		if w == nil {
			break
		}
		w.got = l.collect(w)
		l.settle()
		f(w)
	}
}

// Expire calls f for each waiter whose deadline has passed, when it has left the line. Who was granted a token in time is
// left to Granted.
func (l *Line) Expire(now mono.Time, f func(*Waiter)) {
	for w := l.head; w != nil; {
		if w.deadline.After(now) {
			if !l.disorder {
				return
			}
			w = w.next
			continue
		}
		if !l.withdraw(w) {
			w = w.next
			continue
		}
		l.settle()
		f(w)
		w = l.head // f may have changed the line in any way
	}
}

// withdraw takes w out of the line; false if it has been granted a token.
func (l *Line) withdraw(w *Waiter) bool {
	if w.place != placeNone {
		step()
		if !l.lane.places[w.place].CompareAndSwap(w.ticket, 0) {
			return false
		}
		l.placed[w.place] = nil
	}
	step()
	l.q.waiting.Add(-1)
	l.remove(w)
	return true
}

// collect takes a granted waiter out of the line and returns what its token is of.
func (l *Line) collect(w *Waiter) *Count {
	v := l.lane.places[w.place].Load()
	c := l.q.table.count(uint32(v&(1<<ticketShift-1)) >> idShift)
	step()
	l.lane.places[w.place].Store(0)
	l.placed[w.place] = nil
	l.remove(w)
	return c
}

func (l *Line) firstGranted() (first *Waiter) {
	step()
	for i, w := range l.placed {
		if w != nil && l.lane.places[i].Load()&grantedBit != 0 && (first == nil || w.ticket < first.ticket) {
			first = w
		}
	}
	return first
}

func (l *Line) append(w *Waiter) {
	w.next, w.prev = nil, l.tail
	if l.tail == nil {
		l.head, l.disorder = w, false
	} else {
		l.tail.next = w
		l.disorder = l.disorder || w.deadline.Before(l.tail.deadline)
	}
	l.tail = w
	l.length++
}

// remove unlinks w and gives its place in the queue's depth back. settle has to follow.
func (l *Line) remove(w *Waiter) {
	if w == l.hidden {
		l.hidden = w.next
	}
	if w.prev == nil {
		l.head = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		l.tail = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.next, w.prev, w.waits = nil, nil, false
	l.length--
	l.q.places.Release()
}

// settle ends every change of the line: it shows who was hidden as far as there are places, and serves the queue, because
// a token may have stayed free for what was hidden.
func (l *Line) settle() {
	l.refill()
	if l.length == 0 {
		step()
		l.q.busy[l.worker>>6].And(^(uint64(1) << (l.worker & 63)))
	}
	l.q.serve()
}

// refill shows hidden waiters in free places, and how far back those go that it could not show.
func (l *Line) refill() {
	for i := 0; i < len(l.placed) && l.hidden != nil; i++ {
		if l.placed[i] != nil {
			continue
		}
		w := l.hidden
		l.placed[i], w.place = w, int8(i)
		step()
		l.lane.places[i].Store(w.ticket)
		// Only after the place: a waiter that is in neither can be overtaken.
		l.hidden = w.next
		l.showHidden()
	}
	l.showHidden()
}

// showHidden tells the others how far back this line's waiters go that they cannot see.
func (l *Line) showHidden() {
	var ticket uint64
	if l.hidden != nil {
		ticket = l.hidden.ticket
	}
	if l.lane.hidden.Load() != ticket {
		step()
		l.lane.hidden.Store(ticket)
	}
}
