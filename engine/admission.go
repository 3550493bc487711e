package engine

import (
	"slices"

	"weir/internal/limit"
	"weir/internal/mono"
	"weir/internal/stats"
)

// gate is one thing that a client connection has to pass before it is served. They are passed in this order; what does
// not apply is passed at once.
type gate uint8

const (
	gateAccept       gate = iota // rate-limit-sessions and max-conn-rate, of the process and of the frontend
	gateConnGlobal               // max-conn of the process
	gateConnFrontend             // max-conn of the frontend
	gateHeader                   // the PROXY header, which comes before TLS
	gateTLSRate                  // max-ssl-rate
	gateTLSGlobal                // max-ssl-conn of the process
	gateTLSFrontend              // max-ssl-conn of the frontend
	gateOpen
)

// gates is how far a session's admission has come, and the tokens that it holds.
type gates struct {
	next gate
	held [5]*limit.Count // tokens to be released at the session's end; nil: none
	wait *admissionWait  // nil: does not wait
	met  bool            // a limit has held the session up: axis says which one was the last
	axis limit.Axis
}

// admissionWait is what only a session that waits for its admission needs.
type admissionWait struct {
	waiter limit.Waiter
	queue  *queue // nil: waits for a rate, until pass
	axis   limit.Axis
	pass   mono.Time
	places *limit.Count // the place in the queue's depth that waiting for a rate takes
}

// pass is the latest of the passes that somebody has reserved: when it is, and which rate it is from.
type pass struct {
	at   mono.Time
	from *limit.Attachment
	axis limit.Axis
}

// later keeps a pass if it is the latest so far.
func (p *pass) later(at mono.Time, from *limit.Attachment, axis limit.Axis) {
	if at.After(p.at) {
		*p = pass{at: at, from: from, axis: axis}
	}
}

// take keeps a token for the session's life.
func (g *gates) take(c *limit.Count) {
	for i := range g.held {
		if g.held[i] == nil {
			g.held[i] = c
			return
		}
	}
	panic("engine: session with more tokens than there are gates")
}

// release gives everything back.
func (g *gates) release(w *worker) {
	g.leave(w)
	for i, c := range g.held {
		if c != nil {
			c.Release()
			g.held[i] = nil
		}
	}
}

// leave gives up the place in a queue.
func (g *gates) leave(w *worker) {
	a := g.wait
	if a == nil {
		return
	}
	g.wait = nil
	if a.queue != nil {
		a.queue.Line(w.id).Leave(&a.waiter)
	}
	if a.places != nil {
		a.places.Release()
	}
}

// admit takes the session through its gates until it has to wait, is refused, or is served.
func (s *session) admit() {
	s.gates.leaveRate()
	s.gates.wait = nil
	for s.stage != stageClosed && s.stage != stageLinger {
		g := s.gates.next
		s.gates.next++
		if !s.pass(g) {
			return
		}
	}
}

// leaveRate gives back the place that waiting for a rate took.
func (g *gates) leaveRate() {
	if g.wait != nil && g.wait.places != nil {
		g.wait.places.Release()
	}
}

// pass passes one gate, and reports whether the next one may be tried at once.
func (s *session) pass(g gate) bool {
	w, fe := s.w, s.fe
	secure := s.bind.TLS != nil
	switch g {
	case gateAccept:
		return s.passRates(limit.RateLimitSessions, limit.MaxConnRate)
	case gateConnGlobal:
		return s.join(w.view.queues.conn, fe)
	case gateConnFrontend:
		return s.join(fe.queues.conn, fe)
	case gateHeader:
		s.arm(deadlineAfter(w.now, fe.cfg.Timeouts.HTTPRequest))
		if !fe.cfg.AcceptProxy {
			return true
		}
		s.stage = stageProxy
		return s.readProxyHeader()
	case gateTLSRate:
		return !secure || s.passRates(limit.MaxSSLRate)
	case gateTLSGlobal:
		return !secure || s.join(w.view.queues.ssl, fe)
	case gateTLSFrontend:
		return !secure || s.join(fe.queues.ssl, fe)
	}
	s.open()
	return false
}

// open serves the session, which has passed all gates.
func (s *session) open() {
	if s.bind.TLS != nil {
		s.startTLS()
		return
	}
	s.begin(s.clearProto())
}

// clearProto is what a cleartext connection of this listener speaks.
func (s *session) clearProto() stats.Protocol {
	if !slices.Contains(s.bind.ALPN, "http/1.1") {
		return stats.H2
	}
	return stats.H1
}

// passRates takes a pass of each rate, of the process and of the frontend, and waits until the latest of them. The wait is
// bounded by queue-timeout and takes a place in queue-depth, both of the place whose rate it is.
func (s *session) passRates(axes ...limit.Axis) bool {
	w := s.w
	p := pass{at: w.now}
	for _, a := range [...]*limit.Attachment{w.view.global, s.fe.limits} {
		for _, axis := range axes {
			at, ok := a.Rate(axis).Reserve(w.now, s.patience(a))
			if !ok {
				s.refuseAdmission(causeLimit[axis], axis)
				return false
			}
			p.later(at, a, axis)
		}
	}
	if p.at == w.now {
		return true
	}
	if !p.from.Places.TryAcquire() {
		s.refuseAdmission(causeQueueFull, p.axis)
		return false
	}
	s.gates.wait = &admissionWait{axis: p.axis, pass: p.at, places: p.from.Places}
	s.gates.met, s.gates.axis = true, p.axis
	s.stage = stageAdmission
	s.arm(p.at)
	return false
}

// join takes a token of a queue's count or lines the session up for one.
func (s *session) join(q *queue, fe *frontend) bool {
	// A token is nearly always free: only who has to wait keeps the record that asking takes.
	a := s.w.asking
	a.queue, a.axis, a.waiter.Tag = q, q.axis, uint64(s.token)
	until := mono.Time(0)
	if d := queueTimeout(fe.cfg.Timeouts, q.from); d > 0 {
		until = s.accepted.Add(d)
	}
	switch q.Line(s.w.id).Join(&a.waiter, s.w.now, until) {
	case limit.Acquired:
		s.gates.take(a.waiter.Count())
		return true
	case limit.Queued:
		s.w.asking = &admissionWait{}
		s.gates.wait, s.stage = a, stageAdmission
		s.gates.met, s.gates.axis = true, q.axis
		s.arm(until)
	case limit.Full:
		s.refuseAdmission(causeQueueFull, q.axis)
	case limit.Late:
		s.refuseAdmission(causeQueueTimeout, q.axis)
	}
	return false
}

// onAdmissionTimeout is called when the session's pass has come, or its patience has run out.
func (s *session) onAdmissionTimeout() {
	a := s.gates.wait
	if a == nil {
		s.close(false)
		return
	}
	if a.queue == nil {
		s.admit()
		return
	}
	s.gates.leave(s.w)
	s.refuseAdmission(causeQueueTimeout, a.axis)
}

// refuseAdmission answers a client that cannot be admitted: in HTTP where that can be said before a request was read, by an
// alert where TLS would have to be spoken first, which is what the limit is there to avoid.
func (s *session) refuseAdmission(c *cause, axis limit.Axis) {
	s.gates.leave(s.w)
	if s.bind.TLS != nil {
		s.refuseTLS(c, axis)
		return
	}
	s.stage = stageServing
	s.h1.refuseUnread(s, c, axis)
}
