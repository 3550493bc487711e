package engine

import (
	"weir/internal/stats"
	"weir/pool"
)

// waitLine is the exchanges that wait for a connection to one server, in order. Riders, which an idle connection may serve, stand
// apart from those that want one of their own: in a storm of new clients thousands of these wait, and every response that
// ends would look at all of them in vain (BenchmarkConnectStorm).
type waitLine struct {
	riders, owners list
	turns          uint64 // given out so far
}

// list is doubly linked through way.next and way.prev.
type list struct {
	first, last *exchange
	n           int
	sharing     int // how many of them wait for a connection that another one opens
}

// waitTurn is an exchange's place in a waitLine.
type waitTurn struct {
	next, prev *exchange
	turn       uint64
	in         *list // nil: waits in none
	sharing    bool  // counted in list.sharing
}

// await lines x up for the next connection to srv that fits.
func (srv *server) await(x *exchange) {
	l := &srv.line.owners
	if x.way.need != pool.Never && !x.private() {
		l = &srv.line.riders
	}
	srv.line.turns++
	x.way.wait = waitTurn{in: l, prev: l.last, turn: srv.line.turns}
	if l.last == nil {
		l.first = x
	} else {
		l.last.way.wait.next = x
	}
	l.last = x
	l.n++
}

// awaitShared is await for a connection that another exchange opens.
func (srv *server) awaitShared(x *exchange) {
	srv.await(x)
	x.way.wait.sharing = true
	x.way.wait.in.sharing++
}

// unawait takes x out of the line, if it stands there.
func (srv *server) unawait(x *exchange) {
	t := &x.way.wait
	l := t.in
	if l == nil {
		return
	}
	if t.prev == nil {
		l.first = t.next
	} else {
		t.prev.way.wait.next = t.next
	}
	if t.next == nil {
		l.last = t.prev
	} else {
		t.next.way.wait.prev = t.prev
	}
	l.n--
	if t.sharing {
		l.sharing--
	}
	*t = waitTurn{}
}

// awaits reports whether the exchange waits for a connection.
func (w *way) awaits() bool { return w.wait.in != nil }

// len is how many wait.
func (l *waitLine) len() int { return l.riders.n + l.owners.n }

// all calls f for each exchange that waits, riders first, until it returns false. f may take the exchange out.
func (l *waitLine) all(f func(x *exchange) bool) {
	for _, l := range [...]*list{&l.riders, &l.owners} {
		for x := l.first; x != nil; {
			next := x.way.wait.next
			if !f(x) {
				return
			}
			x = next
		}
	}
}

// waiterFor returns the first waiting exchange that c may carry.
func (srv *server) waiterFor(c *backConn) *exchange {
	if used := c.node.Recycle.Uses() > 0; used && c.owner == nil {
		return srv.line.riders.firstFor(c)
	} else if used && c.owner.proto == stats.H1 {
		return nil // it has one exchange at a time, and would have asked for c first
	}
	x, y := srv.line.riders.firstFor(c), srv.line.owners.firstFor(c)
	if x == nil || y != nil && y.way.wait.turn < x.way.wait.turn {
		return y
	}
	return x
}

func (l *list) firstFor(c *backConn) *exchange {
	for x := l.first; x != nil; x = x.way.wait.next {
		if x.fits(c) {
			return x
		}
	}
	return nil
}
