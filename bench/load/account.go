package load

import "weir/bench/epoll"

// ring is a first-in first-out queue of clients: taking them in turn keeps all connections in use, as many independent
// clients would.
type ring struct {
	items []*client
	head  int
}

func (r *ring) push(c *client) {
	if r.head > 64 && r.head*2 > len(r.items) {
		r.items = append(r.items[:0], r.items[r.head:]...)
		r.head = 0
	}
	r.items = append(r.items, c)
}

func (r *ring) pop() *client {
	if r.head == len(r.items) {
		return nil
	}
	c := r.items[r.head]
	r.head++
	return c
}

// release puts a client with room into the ring, once.
func (l *loop) release(c *client) {
	if !c.queued && c.load() < l.job.Streams {
		c.queued = true
		l.free.push(c)
	}
}

// arrive is called for each request of the schedule.
func (l *loop) arrive(due int64) {
	if due >= l.begin && l.counting {
		l.inWindow++
	}
	if c := l.free.pop(); c != nil {
		c.queued = false
		if l.counting {
			l.result.Lag.Record(epoll.Now() - due)
		}
		l.begun(c, due)
		return
	}
	l.backlog.push(due)
}

// begun starts a request on a client that has room.
func (l *loop) begun(c *client, due int64) {
	l.start(c, due)
	l.flush(c)
	if l.job.Rate > 0 {
		l.release(c)
	}
}

// done is called by the protocols for each response.
func (l *loop) done(o outcome) {
	c := l.current
	l.account(o)
	closes := c.proto.closing() && c.proto.pending() == 0
	if closes && !l.job.PerRequest && l.counting {
		l.result.Closed++
	}
	if closes || l.job.PerRequest {
		l.drop(c)
		if c.starts.len() > 0 {
			l.dial(c)
		}
	}
	l.again(c)
}

// again gives a client that has become free its next request.
func (l *loop) again(c *client) {
	switch {
	case l.phase == finishing && l.backlog.len() > 0: // Due in the window and still owed.
		l.start(c, l.backlog.pop())
	case l.phase != warming && l.phase != measuring:
	case l.job.Rate <= 0:
		if l.quota != 0 {
			l.quota--
			l.start(c, epoll.Now())
		}
	case l.backlog.len() > 0:
		l.start(c, l.backlog.pop())
	default:
		l.release(c)
	}
}

// counts says whether a request that was due then and ends now belongs to the window: in a closed loop what ends in it,
// in an open loop what was due in it, so that nothing that is late can fall out of the count.
func (l *loop) counts(due int64) bool {
	if l.job.Rate <= 0 {
		return l.counting
	}
	return l.phase >= measuring && due >= l.begin && due < l.end
}

func (l *loop) account(o outcome) {
	now := epoll.Now()
	if !l.counts(o.due) {
		return
	}
	r := l.result
	if l.job.Rate > 0 {
		l.inWindow--
	}
	switch {
	case o.status == 200 && o.bytes == l.job.Expect:
		r.Completed++
		r.Latency.Record(now - o.due)
		step := int((now - l.begin) / int64(TimelineStep))
		for len(r.Timeline) <= step {
			r.Timeline = append(r.Timeline, 0)
		}
		r.Timeline[step]++
	case o.status == 200:
		l.wrong("body of the wrong size")
	case l.job.Shed && (o.status == 429 || o.status == 502 || o.status == 503 || o.status == 504):
		r.Shed++
		r.Statuses[o.status]++
		r.ShedAfter.Record(now - o.due)
	default:
		r.Statuses[o.status]++
		l.wrong("unexpected status")
	}
}

// wrong counts one failed request.
func (l *loop) wrong(why string) {
	l.result.Errors[why]++
	l.failed++
}

// fail accounts for every request a client had in hand when its connection ended, and gives it new ones.
func (l *loop) fail(c *client, why string) {
	lost := 0
	one := func(due int64) {
		lost++
		if !l.counts(due) {
			l.failed++
			return
		}
		if l.job.Rate > 0 {
			l.inWindow--
		}
		l.wrong(why)
	}
	c.proto.forget(one)
	for c.starts.len() > 0 {
		one(c.starts.pop())
	}
	if lost == 0 {
		l.failed++ // A connection that could not be opened and had nothing to do counts against the bound, too.
		if l.phase == opening {
			l.result.Errors[why]++
		}
	}
	if l.failed > errorsMax {
		return
	}
	if l.phase == opening && !l.job.PerRequest {
		return // Dialled again by the sweep, which does not spin.
	}
	for range lost {
		l.again(c)
	}
}

// sweep looks at what time does to clients: they lose patience, and those that could not connect try again.
func (l *loop) sweep() {
	limit := l.now - int64(l.job.patience())
	for _, c := range l.clients {
		switch {
		case c.proto.pending() > 0 && c.proto.oldest() < limit, c.starts.len() > 0 && c.starts.first() < limit:
			l.lose(c, "no answer in time")
		case l.phase == opening && c.life == idleLife && !l.job.PerRequest:
			l.dial(c)
		}
	}
	if l.slow != nil {
		l.slow.tick(l.now)
	}
}

// abandon counts the requests of the window that have no answer at the end, with the time they have waited so far:
// leaving them out would flatter whoever lets clients wait.
func (l *loop) abandon() {
	if l.inWindow == 0 {
		return
	}
	one := func(due int64) {
		if l.counts(due) {
			l.result.Unfinished++
			l.result.Latency.Record(l.now - due)
		}
	}
	for _, c := range l.clients {
		c.proto.forget(one)
		for c.starts.len() > 0 {
			one(c.starts.pop())
		}
	}
	for l.backlog.len() > 0 {
		one(l.backlog.pop())
	}
}

// Finished is the fraction of the window's requests that got an answer.
func (r *Result) Finished() float64 {
	all := r.Completed + r.Shed + r.Failures() + r.Unfinished
	if all == 0 {
		return 0
	}
	return 1 - float64(r.Unfinished)/float64(all)
}
