package engine

import (
	"weir/internal/config"
	"weir/internal/mono"
	"weir/internal/msg"
	"weir/internal/stats"
	"weir/pool"
)

// probe is an active health check of one server: an exchange of weir's own, over a new connection and through the same
// muxes as any client's, so that what is checked is what is used. One worker checks a server and tells the others.
type probe struct {
	srv    *server
	x      *exchange // set exactly while a check is under way
	next   mono.Time
	streak int  // consecutive results that differ from the state in force
	up     bool // the state in force
	status uint16
}

// probeRoom is how much of a check's response is taken at once; it is thrown away.
const probeRoom = 64 << 10

// probe begins the checks whose time has come, and comes again when it is time for the next one. Those that cannot begin
// then, because the one before has not ended or the server has no address, are looked for again with the next tick.
func (w *worker) probe() {
	next := mono.Never
	for _, be := range w.view.backends {
		if !be.cfg.Health.Active() {
			continue
		}
		for _, srv := range be.servers {
			if srv.probes() && srv.probe.due(w) {
				srv.probe.next = w.now.Add(be.cfg.Health.Interval)
				srv.probe.begin(w, &be.cfg.Health)
			}
			if srv.probes() && srv.probe.next.After(w.now) {
				next = min(next, srv.probe.next)
			}
		}
	}
	w.wheel.Arm(&w.prober, next)
}

// due reports whether it is time for a check.
func (p *probe) due(w *worker) bool {
	return p.x == nil && !p.next.After(w.now) && !w.draining && !p.srv.retired && p.srv.addr.IsValid()
}

// begin sends GET path, or only connects if there is none. It passes no limit: a server that is full is not down.
func (p *probe) begin(w *worker, h *config.Health) {
	srv := p.srv
	x := w.begin(w.self(), p, w.now)
	p.x, p.status, x.internal = x, 0, true
	head := &x.req.head
	head.Reset()
	head.Version, head.Method, head.Flags = msg.HTTP11, msg.MethodGet, msg.FlagKeepAlive
	head.Name = head.PutString("GET")
	head.Authority = head.PutString(srv.cfg.Address)
	head.Target = head.PutString(h.Path)
	head.Add(msg.FieldOther, "User-Agent", []byte("weir-health"))
	x.req.state = reqWhole
	x.way.backend, x.way.server = srv.be, srv
	x.way.fresh, x.way.need, x.way.until = true, pool.Never, mono.Never
	x.way.retries = probeRetries
	srv.await(x)
	x.dialStep(stepDial)
}

// probeRetries is more than any max-retries: a check that fails has failed.
const probeRetries = 1 << 20

func (p *probe) rspInterim(*msg.Head) {}

func (p *probe) rspHead(h *msg.Head, end bool) { p.status = h.Status }

func (p *probe) rspData([]byte)   {}
func (p *probe) rspEnd(*msg.Head) {}
func (p *probe) rspRoom() int     { return probeRoom }
func (p *probe) rspCut()          {}
func (p *probe) reqResume()       {}

// connected ends a check that asks for no more than a connection.
func (p *probe) connected(c *backConn) {
	x := p.x
	p.status = 200
	c.end(stats.CauseSessionEnd, false)
	x.end(nil)
}

// released is called when the check is over.
func (p *probe) released() {
	x := p.x
	p.x = nil
	ok := x.cut == nil && p.status >= 200 && p.status < 400
	if !ok {
		p.srv.cells.Errors[stats.ErrorCheck]++
	}
	p.result(x.w, ok)
	if !p.next.After(x.w.now) {
		x.w.wheel.Arm(&x.w.prober, x.w.now)
	}
}

// result counts towards rise or fall and tells all workers of a change.
func (p *probe) result(w *worker, ok bool) {
	if ok == p.up {
		p.streak = 0
		return
	}
	p.streak++
	h := &p.srv.be.cfg.Health
	if ok && p.streak < h.Rise || !ok && p.streak < h.Fall {
		return
	}
	p.up, p.streak = ok, 0
	note := &healthNote{backend: p.srv.be.cfg.Name, server: p.srv.cfg.Name, up: ok}
	for i := range w.shared.workers {
		w.post(i, note)
	}
}

// healthNote tells a worker that a server has come up or gone down.
type healthNote struct {
	backend, server string
	up              bool
}

func (n *healthNote) deliver(w *worker) {
	if be := w.view.backend(n.backend); be != nil {
		if srv := be.server(n.server); srv != nil {
			srv.setHealth(n.up)
		}
	}
}

// probes reports whether this worker is the one that checks the server.
func (srv *server) probes() bool { return int(srv.hash%uint64(len(srv.w.shared.workers))) == srv.w.id }

// self is the session of the worker's own exchanges.
func (w *worker) self() *session {
	if w.own == nil {
		fe := &frontend{cfg: &config.Frontend{Timeouts: &config.Timeouts{}}, cells: new(stats.Frontend), bufferMax: probeRoom}
		fe.unrouted = fe.cells.Route(nil)
		w.own = &session{fe: fe, bind: &config.Bind{}, stage: stageServing, requests: 1}
		w.own.w = w
	}
	return w.own
}
