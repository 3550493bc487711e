package engine

// records are the session and server connection records that a worker keeps for the next ones, so that a client that opens
// a connection for each request costs no garbage.
//
//	openSession ──► in use ──► close, bury ──(end of the turn)──► kept ──► openSession
//
// A record is kept only when nothing can still refer to it: stale events and timers find connections by their token, which
// is not used again, and what has an exchange, a second protocol or a place in worker.ready is left to the collector.
type records struct {
	sessions []*session
	backs    []*backConn
}

// recordsKept bounds each kind; together they are about a megabyte.
const recordsKept = 1024

// sessionRecord returns an empty record.
func (w *worker) sessionRecord() *session {
	n := len(w.spare.sessions)
	if n == 0 {
		return &session{}
	}
	s := w.spare.sessions[n-1]
	w.spare.sessions[n-1] = nil
	w.spare.sessions = w.spare.sessions[:n-1]
	return s
}

// backRecord returns an empty record.
func (w *worker) backRecord() *backConn {
	n := len(w.spare.backs)
	if n == 0 {
		return &backConn{}
	}
	c := w.spare.backs[n-1]
	w.spare.backs[n-1] = nil
	w.spare.backs = w.spare.backs[:n-1]
	return c
}

// keepRecord empties the record of a buried connection, whose token has been taken back, for the next one.
func (w *worker) keepRecord(c *conn) {
	if c.has(inReady|inDirty) || c.tls != nil {
		return
	}
	w.wheel.Disarm(&c.timer)
	switch o := c.owner.(type) {
	case *session:
		if o.reusable() && len(w.spare.sessions) < recordsKept {
			*o = session{}
			w.spare.sessions = append(w.spare.sessions, o)
		}
	case *backConn:
		if o.reusable() && len(w.spare.backs) < recordsKept {
			*o = backConn{}
			w.spare.backs = append(w.spare.backs, o)
		}
	}
}

// reusable reports whether nothing refers to the closed session any more.
func (s *session) reusable() bool {
	return s.stage == stageClosed && s.h1.x == nil && s.h2 == nil && s.h3 == nil && s.hold.private == nil && s.gates.wait == nil
}

// reusable reports whether nothing refers to the closed connection any more.
func (c *backConn) reusable() bool {
	return c.stage == backClosed && c.h1.x == nil && c.h2 == nil && c.owner == nil && c.sibling == nil && !c.node.Idle()
}
