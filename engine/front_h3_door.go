package engine

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"weir/h3"
	"weir/internal/config"
	"weir/internal/limit"
	"weir/internal/mono"
	"weir/internal/msg"
	"weir/internal/stats"
)

// h3Door is where QUIC connections pass the limits on clients: the gates of a TCP connection (admission.go), in the same order
// and in the same queues, but on goroutines of QUIC and not on a worker, which hears of a connection only when it serves.
//
//	Admit ──► in at once
//	      ├─► refused at once: CONNECTION_REFUSED
//	      └─► waits in its place ── Wait, before the handshake ──► in, or refused: an alert
//	                     Leave, when the connection has ended ──► everything is given back
type h3Door struct {
	e       *Engine
	mu      sync.Mutex // guards the outside line of all queues, and what guests say it does
	waiting map[*limit.Waiter]*h3Guest
	refused [h3RefusedKept]struct {
		peer netip.AddrPort
		at   mono.Time
	}
}

const (
	// A client's hello may come in several packets. Once the first was refused each of the others looks like a new client, who
	// would be counted and logged again.
	h3RefusedKept = 1024
	h3HelloSpread = 250 * time.Millisecond
)

// h3Terms is what the connections of an address are admitted by.
type h3Terms struct {
	bind     *config.Bind
	frontend *config.Frontend
	places   [2]*limit.Attachment // the process and the frontend
	queues   [2]axisQueues
}

// h3Guest is a QUIC connection at the door.
type h3Guest struct {
	door   *h3Door
	terms  *h3Terms
	worker int
	peer   netip.AddrPort
	came   mono.Time
	turn   chan struct{} // a token was granted: it is in waiter

	// What follows is guarded by the door's mu.
	next   gate
	pass   mono.Time    // waits for a rate until then
	room   *limit.Count // the place in the queue's depth that it takes meanwhile
	queue  *queue       // waits for a token; nil: does not
	waiter limit.Waiter
	held   [4]*limit.Count
	met    bool // a limit has held it up: axis says which one was the last
	axis   limit.Axis
	gone   bool // the connection has ended
}

func newH3Door(e *Engine) *h3Door { return &h3Door{e: e, waiting: map[*limit.Waiter]*h3Guest{}} }

// admit takes a new connection as far as it gets at once; nil: it is refused.
func (d *h3Door) admit(t *h3Terms, worker int, peer netip.AddrPort) h3.Guest {
	g := &h3Guest{door: d, terms: t, worker: worker, peer: peer, came: d.e.monoNow(), turn: make(chan struct{}, 1)}
	d.mu.Lock()
	defer d.mu.Unlock()
	last := &d.refused[(int(peer.Port())^int(peer.Addr().As16()[15])<<4)%h3RefusedKept]
	if last.peer == peer && g.came.Sub(last.at) < h3HelloSpread {
		return nil
	}
	if g.advance() == h3Refused {
		g.release()
		last.peer, last.at = peer, g.came
		return nil
	}
	return g
}

// h3Answer is what comes of passing a gate.
type h3Answer uint8

const (
	h3In      h3Answer = iota // exactly when the next gate may be tried, or there is none
	h3Waits                   // exactly when it waits for pass, or in queue
	h3Refused                 // exactly when it was refused, and that was counted
)

// advance passes gates until one holds the guest up.
func (g *h3Guest) advance() h3Answer {
	q := &g.terms.queues
	for g.next < gateOpen {
		at := g.next
		g.next++
		answer := h3In
		switch at {
		case gateAccept:
			answer = g.passRates(limit.RateLimitSessions, limit.MaxConnRate)
		case gateConnGlobal:
			answer = g.join(q[0].conn)
		case gateConnFrontend:
			answer = g.join(q[1].conn)
		case gateTLSRate:
			answer = g.passRates(limit.MaxSSLRate)
		case gateTLSGlobal:
			answer = g.join(q[0].ssl)
		case gateTLSFrontend:
			answer = g.join(q[1].ssl)
		}
		if answer != h3In {
			return answer
		}
	}
	return h3In
}

// passRates takes a pass of each rate of both places, as session.passRates does.
func (g *h3Guest) passRates(axes ...limit.Axis) h3Answer {
	now := g.door.e.monoNow()
	p := pass{at: now}
	for _, a := range g.terms.places {
		for _, axis := range axes {
			at, ok := a.Rate(axis).Reserve(now, g.patience(a, now))
			if !ok {
				return g.refuse(causeLimit[axis], axis)
			}
			p.later(at, a, axis)
		}
	}
	if p.at == now {
		return h3In
	}
	if !p.from.Places.TryAcquire() {
		return g.refuse(causeQueueFull, p.axis)
	}
	g.pass, g.room = p.at, p.from.Places
	g.met, g.axis = true, p.axis
	return h3Waits
}

// patience is how long the guest may still wait for a limit of a.
func (g *h3Guest) patience(a *limit.Attachment, now mono.Time) time.Duration {
	d := queueTimeout(g.terms.frontend.Timeouts, a)
	if d <= 0 {
		return time.Duration(mono.Never / 2)
	}
	return max(g.came.Add(d).Sub(now), 0)
}

// join takes a token of a queue's count, or lines the guest up for one.
func (g *h3Guest) join(q *queue) h3Answer {
	now := g.door.e.monoNow()
	switch q.Outside().Join(&g.waiter, now, now.Add(g.patience(q.from, now))) {
	case limit.Full:
		return g.refuse(causeQueueFull, q.axis)
	case limit.Late:
		return g.refuse(causeQueueTimeout, q.axis)
	case limit.Queued:
		g.queue = q
		g.met, g.axis = true, q.axis
		g.door.waiting[&g.waiter] = g
		return h3Waits
	}
	g.take()
	return h3In
}

// take keeps the token that the waiter was given.
func (g *h3Guest) take() {
	for i := range g.held {
		if g.held[i] == nil {
			g.held[i] = g.waiter.Count()
			return
		}
	}
	panic("engine: guest with more tokens than there are gates")
}

// answerBell hands out what was granted in a queue. Whoever hears the bell does it for all.
func (d *h3Door) answerBell(q *queue) {
	q.Outside().Granted(func(w *limit.Waiter) {
		g := d.waiting[w]
		delete(d.waiting, w)
		g.queue = nil
		g.take()
		select {
		case g.turn <- struct{}{}:
		default: // it has not heard yet of the one before, which it found by itself
		}
	})
}

// Wait implements h3.Guest.
func (g *h3Guest) Wait(ctx context.Context) bool {
	d := g.door
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		switch {
		case g.gone:
			return false
		case g.queue != nil:
			if !g.await(ctx) {
				return false
			}
		case g.room != nil:
			if !g.sleep(ctx) {
				return false
			}
		}
		if g.queue == nil && g.room == nil && g.advance() != h3Waits {
			return g.next == gateOpen && !g.gone
		}
	}
}

// sleep waits for the pass.
func (g *h3Guest) sleep(ctx context.Context) bool {
	wait := time.NewTimer(g.pass.Sub(g.door.e.monoNow()))
	defer wait.Stop()
	g.door.mu.Unlock()
	select {
	case <-wait.C:
	case <-ctx.Done():
	}
	g.door.mu.Lock()
	g.leaveRate()
	return ctx.Err() == nil
}

// await waits for the token, or until the guest has waited long enough.
func (g *h3Guest) await(ctx context.Context) bool {
	d, q := g.door, g.queue
	wait := time.NewTimer(g.patience(q.from, d.e.monoNow()))
	defer wait.Stop()
	d.mu.Unlock()
	late, rang := false, false
	select {
	case <-g.turn:
	case <-q.bell:
		rang = true
	case <-wait.C:
		late = true
	case <-ctx.Done():
	}
	d.mu.Lock()
	if rang || late { // what was granted in time counts
		d.answerBell(q)
	}
	if late && g.queue != nil {
		g.leaveQueue()
		return g.refuse(causeQueueTimeout, q.axis) != h3Refused
	}
	return ctx.Err() == nil
}

func (g *h3Guest) leaveRate() {
	if g.room != nil {
		g.room.Release()
		g.room = nil
	}
}

func (g *h3Guest) leaveQueue() {
	if g.queue != nil {
		delete(g.door.waiting, &g.waiter)
		g.queue.Outside().Leave(&g.waiter)
		g.queue = nil
	}
}

// release gives everything back.
func (g *h3Guest) release() {
	g.leaveRate()
	g.leaveQueue()
	for i, c := range g.held {
		if c != nil {
			c.Release()
			g.held[i] = nil
		}
	}
}

// Leave implements h3.Guest.
func (g *h3Guest) Leave() {
	g.door.mu.Lock()
	defer g.door.mu.Unlock()
	g.gone = true
	g.release()
}

// refuse has a worker count that the guest was refused.
func (g *h3Guest) refuse(c *cause, axis limit.Axis) h3Answer {
	g.next = gateAccept // it is not in
	w := g.door.e.shared.workers[g.worker]
	w.mail.Post(&h3RefusalMail{guest: g, cause: c, axis: axis})
	return h3Refused
}

// h3RefusalMail tells a worker of a connection that was refused.
type h3RefusalMail struct {
	guest *h3Guest
	cause *cause
	axis  limit.Axis
}

func (m *h3RefusalMail) deliver(w *worker) {
	g := m.guest
	fe := w.view.frontend(g.terms.frontend.Name)
	if fe == nil { // a reload has taken it away
		return
	}
	s := &session{bind: g.terms.bind, fe: fe, peer: g.peer, accepted: g.came, proto: stats.H3, id: w.shared.owners.next()}
	s.w = w
	s.noteRefusal(m.cause, m.axis, msg.HTTP3)
}
