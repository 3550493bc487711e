package engine

import (
	"context"
	"fmt"
	"time"

	"weir/internal/config"
	"weir/internal/limit"
	"weir/internal/mono"
	"weir/internal/stats"
)

// axisQueues are where client connections, or exchanges, wait for the count axes of one place.
type axisQueues struct{ conn, ssl *queue }

// queuesOf are the queues of a place. A place that is taken away and comes back while connections are open has the same
// counters as before, and so must have the same queues.
func (e *Engine) queuesOf(a *limit.Attachment, w waits) axisQueues {
	q, ok := e.queues[a]
	if !ok {
		q = axisQueues{
			conn: e.shared.newAxisQueue(a, a.Conn, w, limit.MaxConn),
			ssl:  e.shared.newAxisQueue(a, a.SSLConn, w, limit.MaxSSLConn),
		}
		if e.queues == nil {
			e.queues = map[*limit.Attachment]axisQueues{}
		}
		e.queues[a] = q
	}
	return q
}

// forgetQueues drops the queues of places that p does not have and that nothing is left at.
func (e *Engine) forgetQueues(p *plan) {
	kept := map[*limit.Attachment]bool{p.global: true}
	for _, f := range p.frontends {
		kept[f.limits] = true
	}
	for _, b := range p.backends {
		kept[b.limits] = true
	}
	for a, q := range e.queues {
		if !kept[a] && a.Conn.Current() == 0 && a.SSLConn.Current() == 0 && a.Places.Current() == 0 {
			q.conn.Remove(a.Conn)
			q.ssl.Remove(a.SSLConn)
			delete(e.queues, a)
		}
	}
}

// valuesOf are a profile's numbers as the counter table has them.
func valuesOf(l *config.Limits) limit.Values {
	v := limit.Values{QueueDepth: l.QueueDepth, QueueTimeout: l.QueueTimeout}
	v.Axis = [limit.Axes]int{
		limit.MaxConn: l.MaxConn, limit.MaxConnRate: l.MaxConnRate, limit.MaxSessRate: l.MaxSessRate,
		limit.RateLimitSessions: l.RateLimitSessions, limit.MaxSSLConn: l.MaxSSLConn, limit.MaxSSLRate: l.MaxSSLRate,
		limit.MaxBufferSize: l.MaxBufferSize, limit.MaxRetries: l.MaxRetries,
	}
	return v
}

// attach gives the profile of a place its numbers. The change is in force everywhere at once.
func (e *Engine) attach(level limit.Level, name string, l *config.Limits) *limit.Attachment {
	return e.shared.table.Attach(level, name, l.Name, valuesOf(l))
}

// detachMissing takes the places that old had and p has not out of the listings. What is left there finishes with its
// counters.
func (e *Engine) detachMissing(old, p *plan) {
	if old == nil {
		return
	}
	for name, f := range old.frontends {
		if p.frontends[name] == nil {
			e.shared.table.Detach(f.limits)
		}
	}
	for name, b := range old.backends {
		if p.backends[name] == nil {
			e.shared.table.Detach(b.limits)
		}
	}
}

// limitRows are all axes of all attachments, for an operator.
func (e *Engine) limitRows() []stats.LimitRow {
	var rows []stats.LimitRow
	for _, r := range e.shared.table.Rows(e.monoNow(), nil) {
		rows = append(rows, stats.LimitRow{
			Level: r.Level.String(), Name: r.Name, Profile: r.Profile, Axis: r.Axis.String(),
			Current: r.Current, Max: r.Max, Hits: r.Hits,
		})
	}
	return rows
}

// SetLimit changes one number of a profile wherever it is attached: an axis, queue-depth or queue-timeout. It is in force
// at once, and until the next reload.
func (e *Engine) SetLimit(_ context.Context, profile, key, value string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := e.live[profile]
	if before == nil {
		before = e.cfg.Limits[profile]
	}
	if before == nil {
		return fmt.Errorf("there is no limit profile %q", profile)
	}
	after, err := before.With(key, value)
	if err != nil {
		return err
	}
	if e.shared.table.Change(profile, func(v *limit.Values) { *v = valuesOf(after) }) == 0 {
		return fmt.Errorf("limit profile %q is attached nowhere", profile)
	}
	e.live[profile] = after
	e.carve(e.cfg)
	return nil
}

// queueTimeout is the longest wait at a place: that of its timeouts if set there, else its profile's.
func queueTimeout(t *config.Timeouts, a *limit.Attachment) time.Duration {
	if t.QueueSet {
		return t.Queue
	}
	return a.QueueTimeout()
}

// patience is how long a client connection may still wait for a limit of a, in all that it has to pass to be admitted.
func (s *session) patience(a *limit.Attachment) time.Duration { return s.patienceFrom(s.accepted, a) }

// patienceFrom is the same for a wait that began at a given time.
func (s *session) patienceFrom(began mono.Time, a *limit.Attachment) time.Duration {
	d := queueTimeout(s.fe.cfg.Timeouts, a)
	if d <= 0 {
		return time.Duration(mono.Never / 2)
	}
	return max(began.Add(d).Sub(s.w.now), 0)
}

// refreshBounds takes over the numbers that a connection is held to, which `weir set limits` may have changed.
func (w *worker) refreshBounds() {
	for _, fe := range w.view.frontends {
		fe.bufferMax = bufferMaxOf(fe.buffers...)
	}
	for _, be := range w.view.backends {
		be.bufferMax = bufferMaxOf(be.limits.Buffer)
		be.replayMax = be.bufferMax / 2
		be.maxRetries = int(be.limits.Retries.Max())
	}
}

// bufferUnlimited is what a connection may hold where max-buffer-size is switched off: the most that the axis allows.
const bufferUnlimited = 256 << 10

// bufferMaxOf is how many bytes one connection may hold to which all of the bounds apply.
func bufferMaxOf(bounds ...*limit.Bound) int {
	most := bufferUnlimited
	for _, b := range bounds {
		if n := int(b.Max()); n > 0 {
			most = min(most, n)
		}
	}
	return most
}

// clientBuffers are the bounds on what a client connection of a frontend may hold: the process's, the frontend's or both,
// wherever a profile is attached, and the default where there is none.
func clientBuffers(global *limit.Attachment, g *config.Limits, fe *limit.Attachment, f *config.Limits) []*limit.Bound {
	switch {
	case g.Name == "":
		return []*limit.Bound{fe.Buffer}
	case f.Name == "":
		return []*limit.Bound{global.Buffer}
	}
	return []*limit.Bound{global.Buffer, fe.Buffer}
}

// noteFull counts that a connection holds n bytes, which is as much as it may.
func noteFull(n int, bounds ...*limit.Bound) {
	for _, b := range bounds {
		if most := b.Max(); most > 0 && int64(n) >= most {
			b.Hit()
			b.Note(int64(n))
		}
	}
}
