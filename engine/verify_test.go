package engine

import (
	"fmt"

	"weir/internal/limit"
	"weir/internal/stats"
)

// books is what the gauges of one worker should say, counted afresh from its connections and exchanges.
type books struct {
	conns     int64
	fronts    map[*stats.Frontend]stats.Frontend
	backends  map[*stats.Backend]int64 // queue length
	servers   map[*stats.Server]stats.Server
	exchanges int
	memory    int64
}

// verify compares what the workers count with what there is, and panics at the first difference: a panic in the turn that
// caused it shows more than a failure at the end.
func (r *rig) verify() {
	held := map[*limit.Count]int64{}
	for _, w := range r.ws {
		if err := w.verify(held); err != nil {
			panic(fmt.Sprintf("seed %d, turn %d, worker %d: %v", r.seed, r.turns, w.id, err))
		}
	}
	if r.exact {
		r.verifyLimits()
	}
	r.verifyWaits()
	for c, n := range held {
		if c.Current() < n {
			panic(fmt.Sprintf("seed %d, turn %d: %d tokens are held, the table knows of %d", r.seed, r.turns, n, c.Current()))
		}
	}
}

// verifyLimits checks that no count is above its maximum.
func (r *rig) verifyLimits() {
	for name, b := range r.e.plan.backends {
		counts := map[string]*limit.Count{"max-conn": b.limits.Conn, "queue-depth": b.limits.Places}
		for s, sh := range b.servers {
			counts[s] = sh.inflight
		}
		for what, c := range counts {
			if c.Max() > 0 && c.Current() > c.Max() {
				panic(fmt.Sprintf("seed %d, turn %d: %s: %s is %d of %d", r.seed, r.turns, name, what, c.Current(), c.Max()))
			}
		}
	}
}

// verify is the worker's part. held collects the tokens that it holds.
func (w *worker) verify(held map[*limit.Count]int64) error {
	b := books{fronts: map[*stats.Frontend]stats.Frontend{}, backends: map[*stats.Backend]int64{}, servers: map[*stats.Server]stats.Server{}}
	hold := func(tokens ...*limit.Count) {
		for _, c := range tokens {
			if c != nil {
				held[c]++
			}
		}
	}
	var err error
	w.conns.each(func(c *conn) {
		if e := b.conn(w, c, hold); e != nil && err == nil {
			err = e
		}
	})
	for _, x := range w.exchanges.entries {
		if x == nil || x.place == placeEnded {
			continue
		}
		if e := b.exchange(x, hold); e != nil && err == nil {
			err = fmt.Errorf("exchange %s: %w", x.req.head.Bytes(x.req.head.Target), e)
		}
	}
	if err != nil {
		return err
	}
	return b.compare(w)
}

// conn counts one connection and checks what must hold of it between turns.
func (b *books) conn(w *worker, c *conn, hold func(...*limit.Count)) error {
	if c.has(buried) {
		return fmt.Errorf("a closed connection is still in the table")
	}
	b.conns++
	b.memory += int64(c.in.Held() + c.out.Held())
	switch o := c.owner.(type) {
	case *session:
		f := b.fronts[o.fe.cells]
		f.Conns[o.proto]++
		b.fronts[o.fe.cells] = f
		hold(o.gates.held[:]...)
		for p := o.hold.private; p != nil; p = p.sibling {
			if p.owner != o || p.stage == backClosed {
				return fmt.Errorf("client %v has a private connection that is not its own, or closed", o.peer)
			}
		}
		if o.stage == stageServing && o.h2 == nil && c.in.Held() > 0 && o.h1.state == h1Idle && o.h1.x == nil && !c.has(inReady) && c.in.Len() == 0 {
			return fmt.Errorf("client %v is idle and holds %d bytes of memory", o.peer, c.in.Held())
		}
	case *parting:
		hold(o.tokens.fd, o.tokens.conn, o.tokens.ssl)
	case *backConn:
		hold(o.tokens.fd, o.tokens.conn, o.tokens.ssl)
		s := b.servers[o.srv.cells]
		switch o.gauge {
		case gaugeConnecting:
			s.Connecting++
		case gaugeUsed:
			s.Used++
		case gaugeIdleFresh:
			s.IdleFresh++
		case gaugeIdleSafe:
			s.IdleSafe++
		case gaugePrivate:
			s.Private++
		case gaugeDraining:
			s.Draining++
		default:
			return fmt.Errorf("a connection to %s is counted nowhere", o.srv.cfg.Name)
		}
		b.servers[o.srv.cells] = s
		return o.verify()
	}
	return nil
}

// verify checks that a server connection is where its gauge says.
func (c *backConn) verify() error {
	idle := c.gauge == gaugeIdleFresh || c.gauge == gaugeIdleSafe
	switch {
	case c.stage == backClosed:
		return fmt.Errorf("a closed connection to %s is still in the table", c.srv.cfg.Name)
	case idle != c.node.Idle():
		return fmt.Errorf("a connection to %s: idle by its gauge (%v), by the pool (%v)", c.srv.cfg.Name, idle, c.node.Idle())
	case idle && !c.isIdle():
		return fmt.Errorf("a connection to %s is in the pool and carries an exchange", c.srv.cfg.Name)
	case idle && c.h2 == nil && (c.in.Held() > 0 || c.out.Held() > 0):
		return fmt.Errorf("an idle connection to %s holds memory", c.srv.cfg.Name)
	case idle && (c.in.Held() > 0 && c.in.Len() == 0 || c.out.Held() > 0 && c.out.Len() == 0): // h2 may be in the middle of a frame
		return fmt.Errorf("an idle h2 connection to %s holds memory for nothing", c.srv.cfg.Name)
	case (c.stage < backOpen) != (c.gauge == gaugeConnecting) && c.owner == nil:
		return fmt.Errorf("a connection to %s: stage %d and gauge %d", c.srv.cfg.Name, c.stage, c.gauge)
	case c.h1.x != nil && c.h1.x.back != backStream((*h1Back)(c)):
		return fmt.Errorf("a connection to %s carries an exchange that is not attached to it", c.srv.cfg.Name)
	case c.owner != nil && c.owner.stage == stageClosed:
		return fmt.Errorf("a private connection to %s has outlived its session", c.srv.cfg.Name)
	}
	return nil
}

// exchange counts one exchange and checks its record.
func (b *books) exchange(x *exchange, hold func(...*limit.Count)) error {
	b.exchanges++
	b.memory += int64(x.req.replay.held.Held())
	hold(x.way.tokens.server, x.way.tokens.conn, x.way.tokens.ssl)
	f := b.fronts[x.s.fe.cells]
	f.InFlight++
	b.fronts[x.s.fe.cells] = f
	if x.place == placeQueued {
		b.backends[x.way.backend.cells]++
	}
	if x.back != nil {
		s := b.servers[x.way.server.cells]
		s.InFlight++
		b.servers[x.way.server.cells] = s
	}
	switch {
	case (x.place == placeAttached) != (x.back != nil):
		return fmt.Errorf("place %d and back %v", x.place, x.back)
	case x.way.queue != nil && x.place != placeQueued:
		return fmt.Errorf("it stands in a queue at place %d", x.place)
	case x.way.awaits() != x.way.server.waits(x):
		return fmt.Errorf("awaiting is %v, and the server's line says otherwise", x.way.awaits())
	case x.place == placeWaiting && !x.way.awaits():
		return fmt.Errorf("it waits for a connection and stands in no line")
	case x.place == placeAttached && x.way.awaits():
		return fmt.Errorf("it has a connection and waits for one")
	case x.place == placeAnswered:
		return fmt.Errorf("it was answered and lives on")
	case !x.internal && x.place == placeAttached && x.way.tokens.server == nil:
		return fmt.Errorf("it is with a server without a token of its max-conn")
	}
	return nil
}

// waits reports whether x stands in the server's line.
func (srv *server) waits(x *exchange) bool {
	if srv == nil {
		return false
	}
	found := false
	srv.line.all(func(y *exchange) bool {
		found = y == x
		return !found
	})
	return found
}

// compare holds the worker's cells to the books.
func (b *books) compare(w *worker) error {
	if w.stats.Loop.Conns != b.conns {
		return fmt.Errorf("%d connections are counted, there are %d", w.stats.Loop.Conns, b.conns)
	}
	if w.exchanges.live != b.exchanges {
		return fmt.Errorf("%d exchanges are counted, there are %d", w.exchanges.live, b.exchanges)
	}
	if got := w.bufs.InUse(); got < b.memory {
		return fmt.Errorf("%d bytes are in use, queues hold %d", got, b.memory)
	}
	for _, fe := range w.view.frontends {
		c, want := fe.cells, b.fronts[fe.cells]
		if c.Conns != want.Conns || c.InFlight != want.InFlight {
			return fmt.Errorf("frontend %s: %d clients and %d exchanges are counted, there are %d and %d",
				c.Name(), c.Conns, c.InFlight, want.Conns, want.InFlight)
		}
	}
	for _, be := range w.view.backends {
		if n := b.backends[be.cells]; be.cells.QueueLength != n {
			return fmt.Errorf("backend %s: the queue's length is %d, %d wait", be.cfg.Name, be.cells.QueueLength, n)
		}
		for _, srv := range be.servers {
			c, want := srv.cells, b.servers[srv.cells]
			got := [...]int64{c.Connecting, c.Used, c.IdleFresh, c.IdleSafe, c.Private, c.Draining, c.InFlight}
			is := [...]int64{want.Connecting, want.Used, want.IdleFresh, want.IdleSafe, want.Private, want.Draining, want.InFlight}
			if got != is {
				return fmt.Errorf("server %s: connecting, used, fresh, safe, private, draining, in flight are %d, should be %d", c.Name(), got, is)
			}
		}
	}
	return nil
}

// verifyEmpty checks that nothing is left when every connection is closed: memory, tokens, places, gauges.
func (r *rig) verifyEmpty() {
	r.t.Helper()
	for _, w := range r.ws {
		if n := w.bufs.InUse(); n != 0 {
			r.t.Errorf("seed %d: worker %d: %d bytes of buffers are in use", r.seed, w.id, n)
		}
		if w.exchanges.live != 0 || w.stats.Loop.Conns != 0 {
			r.t.Errorf("seed %d: worker %d: %d exchanges and %d connections are left", r.seed, w.id, w.exchanges.live, w.stats.Loop.Conns)
		}
		for name := range r.e.plan.backends {
			be := w.stats.Backend(name)
			if be.QueueLength != 0 {
				r.t.Errorf("seed %d: worker %d: %d exchanges wait for %s", r.seed, w.id, be.QueueLength, name)
			}
		}
	}
	for _, row := range r.e.shared.table.Rows(r.net.Now(), nil) {
		if (row.Axis == limit.MaxConn || row.Axis == limit.MaxSSLConn) && row.Current != 0 {
			r.t.Errorf("seed %d: %v %s: %d tokens of %v are out", r.seed, row.Level, row.Name, row.Current, row.Axis)
		}
	}
	places := []*limit.Attachment{r.e.plan.global}
	for _, f := range r.e.plan.frontends {
		places = append(places, f.limits)
	}
	for name, b := range r.e.plan.backends {
		places = append(places, b.limits)
		for s, sh := range b.servers {
			if n := sh.inflight.Current(); n != 0 {
				r.t.Errorf("seed %d: %s/%s: %d tokens of max-conn are out", r.seed, name, s, n)
			}
			if sh.pool.Idle() != 0 || sh.pool.Open() != 0 {
				r.t.Errorf("seed %d: %s/%s: the pool counts %d idle and %d open", r.seed, name, s, sh.pool.Idle(), sh.pool.Open())
			}
		}
	}
	for _, a := range places {
		if n := a.Places.Current(); n != 0 {
			r.t.Errorf("seed %d: %v %s: %d places of the queues are taken", r.seed, a.Level, a.Name, n)
		}
	}
	fds := r.e.shared.fds
	if fds.Client.Current() != 0 || fds.Server.Current() != 0 {
		r.t.Errorf("seed %d: %d and %d descriptors are counted", r.seed, fds.Client.Current(), fds.Server.Current())
	}
}
