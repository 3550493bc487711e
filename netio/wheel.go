package netio

import (
	"math/bits"

	"weir/internal/mono"
)

// The wheel counts in ticks of 2^22 ns, 4.2 ms. Seven levels of 64 slots cover all of mono.Time.
const (
	tickShift  = 22
	levelShift = 6
	levelSlots = 1 << levelShift
	levelCount = 7
)

// slotDue is the list of timers whose time has come, during Advance. Slot numbers are one more than their index, so
// that the zero Timer is in none.
const (
	slotNone = 0
	slotDue  = levelCount*levelSlots + 1
)

// Timer is one deadline, part of the record that it belongs to. The zero Timer is ready for use. The wheel links timers
// in place: a Timer must not be moved, copied or cleared before it is disarmed or has fired.
type Timer struct {
	// Token and Kind are the owner's: they tell it, when the timer fires, whose and what for. The wheel does not read them;
	// they may change at any time.
	Token Token
	Kind  uint8

	slot       uint16 // where it is linked, one more than the index; slotNone: nowhere
	next, prev *Timer
	deadline   mono.Time
	tick       int64 // when the slot it is linked in comes up; never later than the deadline's own tick
}

// Deadline is the time the timer is armed for; the zero Time when it is not armed.
func (t *Timer) Deadline() mono.Time {
	if t.slot == slotNone {
		return 0
	}
	return t.deadline
}

// Armed reports whether the timer will fire.
func (t *Timer) Armed() bool { return t.slot != slotNone && t.deadline != mono.Never }

// Wheel is the timers of one worker: hierarchical, so that arming and firing cost the same for ten timers and for a
// million. Only the worker may use it.
//
//	level 0  ▢▢▢▣▢▢▢▢▣▢▢…  64 slots of one tick (4.2 ms)        a timer lies on the level of the highest
//	level 1  ▢▣▢▢▢▢▣▢▢▢▢…  64 slots of 64 ticks (268 ms)        six-bit digit in which its tick differs
//	level 2  ▢▢▢▢▢▣▢▢▢▢▢…  64 slots of 4096 ticks (17 s)        from now; when its slot comes up it moves
//	  …                                                         to a lower level, or fires
//
// A timer that is armed again for later stays where it is and only notes its new deadline: when its old slot comes up it
// is put where it belongs. A connection that sets its timeout anew with every request pays two stores for it.
type Wheel struct {
	elapsed  int64 // the tick up to which everything has fired
	busy     [levelCount]uint64
	slots    [levelCount * levelSlots]*Timer
	rest     *Timer // the first of what is left of the last coarse slot that came up
	most     int    // of a coarse slot, in one Advance
	due      *Timer // the first of those that fire in this Advance
	dueLast  *Timer
	linked   int
	advances bool
}

// spreadMost bounds how long an Advance takes that finds a coarse slot: a quarter of all idle connections may lie in one, and
// moving a million timers takes tenths of a second (BenchmarkSpread1M). The others follow with the next ones.
const spreadMost = 4096

// NewWheel makes a wheel whose time is now.
func NewWheel(now mono.Time) *Wheel {
	return &Wheel{elapsed: int64(now) >> tickShift, most: spreadMost}
}

// tickOf is the first tick that is not before the deadline: a timer never fires early.
func tickOf(deadline mono.Time) int64 {
	tick := int64(deadline) >> tickShift
	if tick<<tickShift != int64(deadline) {
		tick++
	}
	return tick
}

// Arm makes t fire at the first tick that is not before the deadline; one that was armed before is armed anew. A deadline
// that has passed fires at the next tick. mono.Never keeps t from firing, at no more cost than any later deadline: what is
// armed again soon needs no Disarm.
func (w *Wheel) Arm(t *Timer, deadline mono.Time) {
	if t.slot != slotNone {
		if tick := tickOf(deadline); tick >= t.tick || deadline == mono.Never {
			t.deadline = deadline
			return
		}
		w.unlink(t)
	} else if deadline == mono.Never {
		return
	}
	t.deadline = deadline
	w.insert(t, max(tickOf(deadline), w.elapsed+1))
}

// Disarm takes t out of the wheel; its memory may be used for something else then. It may be called for a timer that is
// not armed.
func (w *Wheel) Disarm(t *Timer) {
	if t.slot != slotNone {
		w.unlink(t)
	}
}

// Len is the number of timers in the wheel, those armed for mono.Never included.
func (w *Wheel) Len() int { return w.linked }

// insert links t into the slot of a tick that is after elapsed.
func (w *Wheel) insert(t *Timer, tick int64) {
	level := (bits.Len64(uint64(tick^w.elapsed)) - 1) / levelShift
	slot := level<<levelShift | int(tick>>(level*levelShift))&(levelSlots-1)
	t.tick = tick
	t.slot = uint16(slot + 1)
	t.prev, t.next = nil, w.slots[slot]
	if t.next != nil {
		t.next.prev = t
	}
	w.slots[slot] = t
	w.busy[level] |= 1 << (slot & (levelSlots - 1))
	w.linked++
}

// unlink takes t out of the list it is in.
func (w *Wheel) unlink(t *Timer) {
	if t.next != nil {
		t.next.prev = t.prev
	} else if t.slot == slotDue {
		w.dueLast = t.prev
	}
	switch {
	case t.prev != nil:
		t.prev.next = t.next
	case t.slot == slotDue:
		w.due = t.next
	case t == w.rest:
		w.rest = t.next
	default:
		slot := int(t.slot) - 1
		if w.slots[slot] = t.next; t.next == nil {
			w.busy[slot>>levelShift] &^= 1 << (slot & (levelSlots - 1))
		}
	}
	t.next, t.prev, t.slot = nil, nil, slotNone
	w.linked--
}

// next is the slot that comes up first and its tick. Slots of a level all come up before those of the levels above:
// their ticks share more digits with now.
func (w *Wheel) next() (slot int, tick int64, ok bool) {
	for level, busy := range w.busy {
		if busy == 0 {
			continue
		}
		digit := bits.TrailingZeros64(busy)
		shift := level * levelShift
		tick = w.elapsed>>(shift+levelShift)<<(shift+levelShift) | int64(digit)<<shift
		return level<<levelShift | digit, tick, true
	}
	return 0, 0, false
}

// Next is when Advance has something to do: no later than the earliest deadline's tick; mono.Never when no timer is
// linked. It may be earlier than any deadline, since timers also need moving between levels, and in the past, when the last
// Advance has left some of that for the next.
func (w *Wheel) Next() mono.Time {
	if w.rest != nil {
		return mono.Time(w.elapsed << tickShift)
	}
	_, tick, ok := w.next()
	if !ok {
		return mono.Never
	}
	return mono.Time(tick << tickShift)
}

// Advance moves the wheel's time to now and calls fire for each timer whose deadline has come, in the order of their
// ticks, and returns how many there were. A timer is disarmed before it fires; fire may arm and disarm any timer. No timer
// fires twice in one Advance, whatever it is armed for, so that it ends. Where very many come from a coarse slot together, some
// fire in the Advances that follow: Next says so.
func (w *Wheel) Advance(now mono.Time, fire func(*Timer)) (fired int) {
	if w.advances {
		panic("netio: Advance called from a timer")
	}
	target := int64(now) >> tickShift
	if target <= w.elapsed && w.rest == nil {
		return 0
	}
	w.advances = true
	left := w.spread(&w.rest, w.most)
	for {
		slot, tick, ok := w.next()
		if !ok || tick > target {
			break
		}
		w.elapsed = tick
		timers := w.slots[slot]
		w.slots[slot] = nil
		w.busy[slot>>levelShift] &^= 1 << (slot & (levelSlots - 1))
		if slot < levelSlots {
			w.spread(&timers, w.linked) // these are due, but for those that were armed for later
			continue
		}
		w.spread(&w.rest, w.linked) // of one coarse slot only can there be a rest
		w.rest = timers
		left = w.spread(&w.rest, left)
	}
	w.elapsed = max(w.elapsed, target)
	for t := w.due; t != nil; t = w.due {
		tick := tickOf(t.deadline)
		w.unlink(t)
		if tick > target {
			// It was armed for later by a timer that fired just before it.
			w.settle(t, tick)
			continue
		}
		fired++
		fire(t)
	}
	w.advances = false
	return fired
}

// spread moves up to n timers from the front of a list that was a slot's: to the due list, to a slot of a lower level, or out
// when they wait for nothing. It returns how many more it could have moved.
func (w *Wheel) spread(list **Timer, n int) (left int) {
	for ; *list != nil && n > 0; n-- {
		t := *list
		if *list = t.next; t.next != nil {
			t.next.prev = nil
		}
		t.next, t.prev, t.slot = nil, nil, slotNone
		w.linked--
		if tick := tickOf(t.deadline); tick <= w.elapsed {
			w.push(t, tick)
		} else {
			w.settle(t, tick)
		}
	}
	return n
}

// settle links a timer whose tick is after elapsed, unless it waits for nothing.
func (w *Wheel) settle(t *Timer, tick int64) {
	if t.deadline != mono.Never {
		w.insert(t, tick)
	}
}

// push appends t to the due list.
func (w *Wheel) push(t *Timer, tick int64) {
	t.tick = tick
	t.slot = slotDue
	t.prev = w.dueLast
	if w.dueLast == nil {
		w.due = t
	} else {
		w.dueLast.next = t
	}
	w.dueLast = t
	w.linked++
}
