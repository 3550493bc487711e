package origin

import "time"

// timer is one delayed answer.
type timer struct {
	at     int64 // epoll.Now
	word   uint64
	stream uint32
}

// timers is a first-in first-out queue for each distinct delay: with few delays this orders all of them.
type timers struct {
	queues []*timerQueue
}

type timerQueue struct {
	delay time.Duration
	items []timer
	head  int
}

func (t *timers) add(d time.Duration, item timer) {
	for _, q := range t.queues {
		if q.delay == d {
			q.items = append(q.items, item)
			return
		}
	}
	t.queues = append(t.queues, &timerQueue{delay: d, items: []timer{item}})
}

func (t *timers) empty() bool {
	for _, q := range t.queues {
		if q.head < len(q.items) {
			return false
		}
	}
	return true
}

// next is when the earliest timer is due; there must be one.
func (t *timers) next() int64 {
	earliest := int64(1<<63 - 1)
	for _, q := range t.queues {
		if q.head < len(q.items) {
			earliest = min(earliest, q.items[q.head].at)
		}
	}
	return earliest
}

// fire calls f for all timers due at now.
func (t *timers) fire(now int64, f func(timer)) {
	for _, q := range t.queues {
		for q.head < len(q.items) && q.items[q.head].at <= now {
			item := q.items[q.head]
			if q.head++; q.head == len(q.items) {
				q.items, q.head = q.items[:0], 0
			} else if q.head > 4096 {
				q.items = append(q.items[:0], q.items[q.head:]...)
				q.head = 0
			}
			f(item)
		}
	}
}
