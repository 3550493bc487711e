package netio

import (
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"

	"weir/internal/mono"
)

const tick = mono.Time(1 << tickShift)

func TestTimerIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Timer{}); n > 64 {
		t.Errorf("a timer is %d bytes, more than a cache line", n)
	}
}

// verify checks what must always hold of a wheel.
func (w *Wheel) verify(fail func(string)) {
	linked := 0
	for slot, head := range w.slots {
		level, digit := slot>>levelShift, slot&(levelSlots-1)
		if (head != nil) != (w.busy[level]>>digit&1 != 0) {
			fail("a slot's busy bit is wrong")
		}
		var prev *Timer
		for t := head; t != nil; prev, t = t, t.next {
			linked++
			if t.prev != prev || int(t.slot) != slot+1 {
				fail("a timer's links are wrong")
			}
			if t.tick <= w.elapsed || t.tick > tickOf(t.deadline) && t.tick != w.elapsed+1 && t.deadline >= mono.Time(w.elapsed)*tick {
				fail("a timer lies in a slot that is over, or comes up after its deadline")
			}
		}
	}
	for t := w.rest; t != nil; t = t.next {
		linked++
		if t.next != nil && t.next.prev != t || t == w.rest && t.prev != nil {
			fail("the links of the rest are wrong")
		}
	}
	if linked != w.linked || w.due != nil || w.dueLast != nil {
		fail("the number of linked timers is wrong, or some are due outside Advance")
	}
}

// wheelModel is the oracle: when each armed timer must fire, by its number.
type wheelModel struct {
	wheel  *Wheel
	now    mono.Time
	timers [40]Timer
	due    map[int]int64 // timer → the tick it must fire at
}

// arm arms timer i, and notes the tick: that of the deadline, but never one that is over.
func (m *wheelModel) arm(i int, deadline mono.Time) {
	m.timers[i].Token = NewToken(uint32(i), 7)
	m.wheel.Arm(&m.timers[i], deadline)
	delete(m.due, i)
	if deadline != mono.Never {
		m.due[i] = max(tickOf(deadline), int64(m.now)>>tickShift+1)
	}
}

// advance moves time and compares what fires with what must. Firing timers arm and disarm others as they like.
func (m *wheelModel) advance(t *rapid.T, to mono.Time) {
	m.now = to
	target, last := int64(to)>>tickShift, int64(0)
	must := map[int]int64{}
	for i, tk := range m.due {
		if tk <= target {
			must[i] = tk
		}
	}
	n := 0
	fired := m.wheel.Advance(to, func(x *Timer) {
		n++
		i := int(x.Token.Index())
		tk, ok := must[i]
		if !ok || x.Armed() {
			t.Fatalf("timer %d fired before its time, twice, or while armed", i)
		}
		if tk < last {
			t.Fatalf("timer %d of tick %d fired after one of tick %d", i, tk, last)
		}
		last = tk
		delete(must, i)
		delete(m.due, i)
		switch rapid.IntRange(0, 4).Draw(t, "in fire") {
		case 0:
			m.arm(i, to.Add(time.Duration(rapid.Int64Range(-1e9, 1e10).Draw(t, "again"))))
		case 1:
			// One that may be due in this very Advance is put off.
			j := rapid.IntRange(0, len(m.timers)-1).Draw(t, "other")
			m.arm(j, to.Add(time.Duration(rapid.Int64Range(int64(2*tick), 1e10).Draw(t, "later"))))
			delete(must, j)
		case 2:
			j := rapid.IntRange(0, len(m.timers)-1).Draw(t, "other")
			m.wheel.Disarm(&m.timers[j])
			delete(m.due, j)
			delete(must, j)
		}
	})
	if len(must) != 0 || fired != n {
		t.Fatalf("%d timers whose time had come did not fire", len(must))
	}
}

// delays are drawn from all levels, and around the borders of slots.
func delays() *rapid.Generator[time.Duration] {
	border := rapid.Custom(func(t *rapid.T) int64 {
		level := rapid.IntRange(0, levelCount-2).Draw(t, "level")
		return int64(tick)<<(level*levelShift) + rapid.Int64Range(-1, 1).Draw(t, "off")
	})
	return rapid.Map(rapid.OneOf(rapid.Int64Range(-1e9, 1e9), rapid.Int64Range(0, 1e11), rapid.Int64Range(0, 1e16), border),
		func(n int64) time.Duration { return time.Duration(n) })
}

func TestWheelModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := mono.Time(rapid.Int64Range(1e10, 1e17).Draw(t, "start"))
		m := &wheelModel{wheel: NewWheel(start), now: start, due: map[int]int64{}}
		which := rapid.IntRange(0, len(m.timers)-1)
		t.Repeat(map[string]func(*rapid.T){
			"arm": func(t *rapid.T) { m.arm(which.Draw(t, "i"), m.now.Add(delays().Draw(t, "delay"))) },
			"arm never": func(t *rapid.T) {
				m.arm(which.Draw(t, "i"), mono.Never)
			},
			"disarm": func(t *rapid.T) {
				i := which.Draw(t, "i")
				m.wheel.Disarm(&m.timers[i])
				delete(m.due, i)
			},
			"advance": func(t *rapid.T) {
				m.advance(t, max(m.now, m.now.Add(delays().Draw(t, "delay"))))
			},
			"sleep until next": func(t *rapid.T) {
				if next := m.wheel.Next(); next != mono.Never {
					m.advance(t, next)
				}
			},
			"": func(t *rapid.T) {
				m.wheel.verify(func(why string) { t.Fatal(why) })
				next := m.wheel.Next()
				if len(m.due) > 0 && next <= m.now {
					t.Fatalf("Next is %d, which is over: the loop would spin", next)
				}
				for i, tk := range m.due {
					if next > mono.Time(tk)*tick {
						t.Fatalf("Next is after the tick of timer %d", i)
					}
					if !m.timers[i].Armed() {
						t.Fatalf("timer %d is not armed", i)
					}
				}
				for i := range m.timers {
					if _, ok := m.due[i]; !ok && m.timers[i].Armed() {
						t.Fatalf("timer %d is armed", i)
					}
				}
			},
		})
	})
}

// A coarse slot that is moved in parts loses no timer and fires none early, and Advance goes on until all that is due has fired.
func TestWheelMovesCoarseSlotsInParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := mono.Time(rapid.Int64Range(0, 1e12).Draw(t, "now"))
		w := NewWheel(now)
		w.most = rapid.IntRange(1, 4).Draw(t, "most")
		var timers [40]Timer
		due := map[int]mono.Time{}
		arm := func(i int, by string) {
			deadline := now.Add(time.Duration(rapid.Int64Range(int64(tick), 4e10).Draw(t, by)))
			timers[i].Token = NewToken(uint32(i), 7)
			w.Arm(&timers[i], deadline)
			due[i] = deadline
		}
		for i := range timers {
			arm(i, "deadline")
		}
		for len(due) > 0 {
			now = max(now, w.Next()) + mono.Time(rapid.Int64Range(0, 5e9).Draw(t, "pause"))
			for done := false; !done; done = w.Next() > now {
				i := rapid.IntRange(0, 4*len(timers)).Draw(t, "other")
				if _, armed := due[i]; armed && rapid.Bool().Draw(t, "again") {
					arm(i, "later")
				} else if armed {
					w.Disarm(&timers[i])
					delete(due, i)
				}
				w.Advance(now, func(x *Timer) {
					i := int(x.Token.Index())
					if deadline, ok := due[i]; !ok || tickOf(deadline) > int64(now)>>tickShift {
						t.Fatalf("timer %d fired early, twice or disarmed", i)
					}
					delete(due, i)
				})
				w.verify(func(why string) { t.Fatal(why) })
			}
			for i, deadline := range due {
				if tickOf(deadline) <= int64(now)>>tickShift {
					t.Fatalf("timer %d has not fired", i)
				}
			}
		}
		if w.Len() != 0 {
			t.Fatalf("%d timers are left", w.Len())
		}
	})
}

func TestAdvanceMovesNoMoreThanItMay(t *testing.T) {
	w, timers := fill(3 * spreadMost)
	for i := range timers {
		w.Arm(&timers[i], mono.Time(100*levelSlots)*tick)
	}
	w.Advance(w.Next(), func(*Timer) {})
	turns := 1
	for ; w.rest != nil; turns++ {
		w.Advance(w.Next(), func(*Timer) {})
	}
	if turns != 3 {
		t.Errorf("%d timers of a coarse slot were moved in %d turns", len(timers), turns)
	}
}

func TestWheelNeverFiresEarly(t *testing.T) {
	w := NewWheel(1)
	var tm Timer
	w.Arm(&tm, 10*tick+1)
	if n := w.Advance(11*tick-1, func(*Timer) {}); n != 0 {
		t.Error("fired at a time before the tick that follows the deadline")
	}
	if n := w.Advance(11*tick, func(*Timer) {}); n != 1 {
		t.Error("did not fire at the tick that follows the deadline")
	}
}

func TestLaterIsOnlyNoted(t *testing.T) {
	w := NewWheel(1)
	var tm Timer
	w.Arm(&tm, 10*tick)
	slot := tm.slot
	w.Arm(&tm, 1000*tick)
	if tm.slot != slot || tm.Deadline() != 1000*tick {
		t.Error("arming for later moved the timer, or did not note the deadline")
	}
	fired := 0
	for w.Len() > 0 {
		w.Advance(w.Next(), func(*Timer) { fired++ })
	}
	if fired != 1 || w.elapsed != 1000 {
		t.Errorf("fired %d times, at tick %d, want once at 1000", fired, w.elapsed)
	}
}

func TestIdleWheelSleepsForEver(t *testing.T) {
	w := NewWheel(1)
	var tm Timer
	if w.Next() != mono.Never {
		t.Error("an empty wheel has something to do")
	}
	w.Arm(&tm, mono.Never)
	if w.Len() != 0 {
		t.Error("a timer that never fires was linked")
	}
	w.Disarm(&tm)
}

func TestAdvanceFromATimerPanics(t *testing.T) {
	w := NewWheel(1)
	var tm Timer
	w.Arm(&tm, tick)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	w.Advance(tick, func(*Timer) { w.Advance(2*tick, nil) })
}

func TestWheelAllocs(t *testing.T) {
	w, now := NewWheel(1), mono.Time(1)
	timers := make([]Timer, 100)
	fire := func(*Timer) {}
	n := testing.AllocsPerRun(1000, func() {
		now += tick
		for i := range timers {
			w.Arm(&timers[i], now+tick*mono.Time(i))
		}
		w.Disarm(&timers[50])
		w.Advance(now, fire)
	})
	if n != 0 {
		t.Errorf("arming, disarming and firing allocate %v times", n)
	}
}

const million = 1_000_000

// fill arms n timers like those of n idle connections: between one and two minutes from now.
func fill(n int) (*Wheel, []Timer) {
	w, timers := NewWheel(tick), make([]Timer, n)
	for i := range timers {
		w.Arm(&timers[i], tick.Add(time.Minute+time.Duration(rand.Int64N(int64(time.Minute)))))
	}
	return w, timers
}

// BenchmarkArmLater1M is a request on one of a million connections: its timeout is set anew.
func BenchmarkArmLater1M(b *testing.B) {
	w, timers := fill(million)
	i, later := uint32(0), tick.Add(3*time.Minute)
	b.ReportAllocs()
	for b.Loop() {
		i = (i*1664525 + 1013904223)
		w.Arm(&timers[i%million], later)
	}
}

// BenchmarkArmEarlier1M moves a timer each time, the dearest of all calls.
func BenchmarkArmEarlier1M(b *testing.B) {
	w, timers := fill(million)
	i, n := uint32(0), mono.Time(0)
	b.ReportAllocs()
	for b.Loop() {
		i = (i*1664525 + 1013904223)
		t := &timers[i%million]
		if n++; n%2 == 0 {
			w.Disarm(t)
		}
		w.Arm(t, 1000*tick+n%1000*tick)
	}
}

// BenchmarkExpire1M lets two minutes pass in turns of a tick; the figure is per timer, moves between levels included.
func BenchmarkExpire1M(b *testing.B) {
	b.ReportAllocs()
	for range b.N {
		b.StopTimer()
		w, _ := fill(million)
		b.StartTimer()
		for now := tick; w.Len() > 0; now += tick {
			w.Advance(now, func(*Timer) {})
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/million, "ns/timer")
}

// BenchmarkSpread1M is the first of the Advances that a coarse slot with a million timers takes.
func BenchmarkSpread1M(b *testing.B) {
	w, timers := fill(1_000_000)
	now := mono.Time(0)
	for b.Loop() {
		b.StopTimer()
		for w.rest != nil {
			w.Advance(w.Next(), func(*Timer) {})
		}
		now += 1 << 40
		w.Advance(now, func(*Timer) {})
		for i := range timers {
			w.Disarm(&timers[i])
			w.Arm(&timers[i], now+mono.Time(1<<36)+mono.Time(i))
		}
		b.StartTimer()
		w.Advance(w.Next(), func(*Timer) {})
	}
}
