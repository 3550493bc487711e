package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"weir/internal/config"
	"weir/internal/limit"
	"weir/internal/stats"
	"weir/netio"
	"weir/netio/tlsio"
	"weir/pool"
)

// plan is a configuration made ready: what can fail (sockets, certificates) has been done, and what all workers share has
// been made. Committing one cannot fail.
type plan struct {
	cfg        *config.Config
	generation uint64
	global     *limit.Attachment
	queues     axisQueues
	frontends  map[string]*planFrontend
	backends   map[string]*planBackend
	sockets    map[netip.AddrPort]*sockets
	binds      []planBind
	h3         []*planH3
}

// planFrontend is what the workers share about a frontend.
type planFrontend struct {
	limits  *limit.Attachment
	buffers []*limit.Bound // on what a client connection may hold
	queues  axisQueues
	tls     map[netip.AddrPort]*tlsio.ServerConfig
}

// planBackend is what the workers share about a backend.
type planBackend struct {
	limits                     *limit.Attachment
	queue, connQueue, sslQueue *queue
	secure, secureH1           *tlsio.ClientConfig
	sessions                   *tlsio.SessionStore
	sessionsMax                int
	servers                    map[string]*sharedServer
}

// planBind is one listening address and whose it is.
type planBind struct {
	frontend *config.Frontend
	bind     *config.Bind
	sockets  *sockets
}

// sockets are the listening sockets of one address, one for each worker.
type sockets struct {
	options netio.ListenOptions
	fds     []int
	more    []int // beyond one for each worker: the process before this one had more workers
	opened  bool  // by the plan at hand: closed again if it is refused
	changed bool  // by the plan at hand: the options are not those that the sockets have
}

// of are the sockets that a worker serves.
func (s *sockets) of(worker, workers int) []int {
	fds := []int{s.fds[worker]}
	for i := worker; i < len(s.more); i += workers {
		fds = append(fds, s.more[i])
	}
	return fds
}

// prepare makes a plan out of cfg, keeping what the plan in force has and cfg still wants. The caller holds mu.
func (e *Engine) prepare(cfg *config.Config) (p *plan, err error) {
	p = &plan{cfg: cfg, frontends: map[string]*planFrontend{}, backends: map[string]*planBackend{}, sockets: map[netip.AddrPort]*sockets{}}
	defer func() {
		if err != nil {
			e.undo(p)
		}
	}()
	p.global = e.attach(limit.Global, "", cfg.Global.Limits)
	if e.plan != nil {
		p.queues = e.plan.queues
	} else {
		p.queues = e.queuesOf(p.global, waitSessions)
	}
	for _, b := range cfg.Backends {
		if p.backends[b.Name], err = e.prepareBackend(b); err != nil {
			return p, fmt.Errorf("backend %s: %w", b.Name, err)
		}
	}
	for _, f := range cfg.Frontends {
		if err = e.prepareFrontend(p, f); err != nil {
			return p, fmt.Errorf("frontend %s: %w", f.Name, err)
		}
	}
	return p, nil
}

func (p *plan) closeOpened(e *Engine) {
	for _, s := range p.sockets {
		if s.opened {
			e.closeSockets(s)
		}
	}
	p.closeH3()
}

func (e *Engine) closeSockets(s *sockets) {
	for i, fd := range s.fds {
		e.shared.workers[i].k.Close(fd)
	}
}

func (e *Engine) prepareBackend(b *config.Backend) (*planBackend, error) {
	pb := &planBackend{limits: e.attach(limit.Backend, b.Name, b.Limits), servers: map[string]*sharedServer{}}
	var old *planBackend
	if e.plan != nil {
		old = e.plan.backends[b.Name]
	}
	if old != nil {
		pb.queue, pb.connQueue, pb.sslQueue = old.queue, old.connQueue, old.sslQueue
	} else {
		pb.queue = e.shared.newQueue(pb.limits.Places, waitExchanges, 0, false)
		q := e.queuesOf(pb.limits, waitExchanges)
		pb.connQueue, pb.sslQueue = q.conn, q.ssl
	}
	policy := pool.PolicyOf(b)
	for _, s := range b.Servers {
		if old != nil && old.servers[s.Name] != nil {
			pb.servers[s.Name] = old.servers[s.Name]
		} else {
			pb.servers[s.Name] = e.newSharedServer(pb, s, &policy)
		}
	}
	if !b.TLS.Enabled {
		return pb, nil
	}
	var err error
	pb.sessionsMax = b.SessionCache
	if pb.sessions = sessionsOf(b, old); b.H2 == config.BackendH2ALPN {
		if pb.secureH1, err = e.clientTLS(b, pb.sessions, "http/1.1"); err != nil {
			return nil, err
		}
		pb.secure, err = e.clientTLS(b, pb.sessions, "h2", "http/1.1")
		return pb, err
	}
	pb.secure, err = e.clientTLS(b, pb.sessions, "http/1.1")
	return pb, err
}

// newSharedServer makes what the workers share of a server. A request that may go to any server waits in the backend's
// queue for whichever has room first; one that is tied to this server waits in its own.
func (e *Engine) newSharedServer(pb *planBackend, s *config.Server, policy *pool.Policy) *sharedServer {
	sh := &sharedServer{inflight: limit.NewCount(s.MaxConn), pool: pool.NewShared(policy, len(e.shared.workers))}
	sh.queue = e.shared.newQueue(pb.limits.Places, waitExchanges, 0, false)
	sh.queue.Add(sh.inflight)
	return sh
}

func (e *Engine) prepareFrontend(p *plan, f *config.Frontend) error {
	pf := &planFrontend{limits: e.attach(limit.Frontend, f.Name, f.Limits), tls: map[netip.AddrPort]*tlsio.ServerConfig{}}
	pf.buffers = clientBuffers(p.global, p.cfg.Global.Limits, pf.limits, f.Limits)
	p.frontends[f.Name] = pf
	if e.plan != nil && e.plan.frontends[f.Name] != nil {
		pf.queues = e.plan.frontends[f.Name].queues
	} else {
		pf.queues = e.queuesOf(pf.limits, waitSessions)
	}
	for _, b := range f.Binds {
		if b.TLS != nil {
			sc, err := e.serverTLS(b)
			if err != nil {
				return fmt.Errorf("%v: %w", b.Address, err)
			}
			pf.tls[b.Address] = sc
		}
		s, err := e.openSockets(p, f, b)
		if err != nil {
			return err
		}
		p.binds = append(p.binds, planBind{frontend: f, bind: b, sockets: s})
		if b.H3 {
			if err := e.prepareH3(p, pf, f, b); err != nil {
				return err
			}
		}
	}
	return nil
}

// openSockets returns the listening sockets of an address: those in use, those of the process before this one, or new ones.
func (e *Engine) openSockets(p *plan, f *config.Frontend, b *config.Bind) (*sockets, error) {
	o := netio.ListenOptions{Addr: b.Address, KeepAlive: keepAliveOf(f.Timeouts)}
	if e.plan != nil {
		if s := e.plan.sockets[b.Address]; s != nil {
			p.sockets[b.Address] = &sockets{options: o, changed: o != s.options, fds: s.fds, more: s.more}
			return p.sockets[b.Address], nil
		}
	}
	s := &sockets{options: o, opened: true}
	p.sockets[b.Address] = s
	for i, w := range e.shared.workers {
		fd, err := e.inherited.take(w.k, &o, i)
		if err != nil {
			return nil, err
		}
		s.fds = append(s.fds, fd)
	}
	s.more = e.inherited.surplus(&o)
	return s, nil
}

func keepAliveOf(t *config.Timeouts) netio.KeepAlive {
	k := t.TCPKeepAlive
	return netio.KeepAlive{Idle: int(k.Idle / time.Second), Interval: int(k.Interval / time.Second), Count: k.Count}
}

// apply makes a plan the worker's view. Frontends and backends that did not change keep their objects, and with them
// sessions, connections and pools; the others get new ones, and the old finish what they have.
func (w *worker) apply(p *plan) {
	old := w.view
	w.line.follow(p.cfg)
	w.spread = spreadOf(p.cfg.Global.HardStopAfter)
	w.view = view{generation: p.generation, global: p.global, queues: p.queues}
	for _, b := range p.cfg.Backends {
		w.view.backends = append(w.view.backends, w.applyBackend(p, b, &old))
	}
	for _, f := range p.cfg.Frontends {
		w.view.frontends = append(w.view.frontends, w.applyFrontend(p, f, &old))
	}
	w.applyListeners(p, &old)
	w.applyH3(p)
	for _, fe := range old.frontends {
		if slices.Contains(w.view.frontends, fe) {
			continue
		}
		if w.view.frontend(fe.cfg.Name) != nil {
			w.retireFrontend(fe, drainSpread) // nothing bounds it
		} else {
			w.retireFrontend(fe, w.spread)
			w.endLater(ending{fe: fe}, p.cfg.Global.HardStopAfter)
		}
	}
	for _, be := range old.backends {
		if !slices.Contains(w.view.backends, be) {
			be.retire()
			w.endServers(p, be.cfg.Name, be.servers)
		}
	}
}

// endServers has those servers of a backend cut in time that the configuration has no more.
func (w *worker) endServers(p *plan, backend string, before []*server) {
	b := p.cfg.Backend(backend)
	for _, srv := range before {
		if b == nil || b.Server(srv.cfg.Name) == nil {
			w.endLater(ending{srv: srv}, p.cfg.Global.HardStopAfter)
		}
	}
}

func (w *worker) applyFrontend(p *plan, f *config.Frontend, old *view) *frontend {
	fe := &frontend{cfg: f, cells: w.stats.Frontend(f.Name)}
	if o := old.frontend(f.Name); o != nil && o.cfg.SameSessions(f) {
		fe = o
		fe.cfg = f
	}
	pf := p.frontends[f.Name]
	fe.limits, fe.queues, fe.secure = pf.limits, pf.queues, pf.tls
	fe.buffers = pf.buffers
	fe.bufferMax = bufferMaxOf(fe.buffers...)
	fe.h2 = frontH2Config(f, fe.bufferMax)
	fe.via = viaOf(f.Via)
	fe.routes = fe.routes[:0:0]
	for _, r := range f.Routes {
		be := w.view.backend(r.Backend.Name)
		fe.routes = append(fe.routes, route{host: r.Host, prefix: r.PathPrefix, backend: be, cells: fe.cells.Route(be.cells)})
	}
	fe.unrouted = fe.cells.Route(nil)
	fe.fallback = route{cells: fe.unrouted}
	if f.Backend != nil {
		be := w.view.backend(f.Backend.Name)
		fe.fallback = route{backend: be, cells: fe.cells.Route(be.cells)}
	}
	return fe
}

func (w *worker) applyBackend(p *plan, b *config.Backend, old *view) *backend {
	pb := p.backends[b.Name]
	o := old.backend(b.Name)
	be := &backend{w: w, cells: w.stats.Backend(b.Name)}
	keep := o != nil && o.cfg.SameConnections(b)
	if keep {
		be = o
	}
	be.cfg, be.limits, be.timeouts = b, pb.limits, b.Timeouts
	be.secure, be.secureH1 = pb.secure, pb.secureH1
	be.bufferMax = bufferMaxOf(pb.limits.Buffer)
	be.replayMax = be.bufferMax / 2
	be.maxRetries = int(pb.limits.Retries.Max())
	be.policy = pool.PolicyOf(b)
	be.h2 = backH2Config(be.bufferMax)
	be.queue, be.connQueue, be.sslQueue = pb.queue, pb.connQueue, pb.sslQueue
	before := be.servers
	be.servers = nil
	for _, s := range b.Servers {
		be.servers = append(be.servers, w.applyServer(be, s, pb.servers[s.Name], before))
	}
	for _, srv := range before {
		if !slices.Contains(be.servers, srv) {
			srv.retire()
		}
	}
	w.endServers(p, b.Name, before)
	return be
}

func (w *worker) applyServer(be *backend, s *config.Server, sh *sharedServer, before []*server) *server {
	for _, srv := range before {
		if srv.cfg.Name == s.Name && srv.cfg.Address == s.Address {
			if srv.cfg.Weight != s.Weight {
				srv.weight = s.Weight
			}
			srv.cfg = s
			srv.cells.Limit = int64(s.MaxConn)
			srv.shard.SetPolicy(&be.policy, func(c *backConn, why stats.Cause) { c.end(why, false) })
			return srv
		}
	}
	srv := &server{be: be, w: w, cfg: s, shared: sh, queue: sh.queue, addr: s.Addr, weight: s.Weight, cookie: s.Name}
	srv.cells = w.stats.Server(be.cfg.Name, s.Name)
	srv.cells.Limit = int64(s.MaxConn)
	srv.cells.State = stats.StateReady
	srv.hash = hashBytes([]byte(be.cfg.Name + "/" + s.Name))
	srv.shard = pool.New[*backConn](&be.policy, sh.pool, w.id)
	srv.streams = pool.NewStreams[*backConn]()
	srv.setAddr(s.Addr)
	srv.probe = probe{srv: srv, up: true, next: w.now.Add(time.Duration(w.rand.below(int64(be.cfg.Health.Interval) + 1)))}
	return srv
}

// setAddr makes new connections go to a.
func (srv *server) setAddr(a netip.AddrPort) {
	srv.addr = a
	srv.connect = netio.ConnectOptions{Addr: a, KeepAlive: keepAliveOf(srv.be.timeouts)}
	if src := srv.be.cfg.SourceAddr; src.IsValid() {
		srv.connect.Source = netip.AddrPortFrom(src, 0)
	}
}

// applyListeners gives the sockets to their frontends and closes those that nobody wants any more.
func (w *worker) applyListeners(p *plan, old *view) {
	for _, b := range p.binds {
		for _, fd := range b.sockets.of(w.id, len(w.shared.workers)) {
			l := old.listener(fd)
			if l == nil {
				l = &listener{fd: fd, token: w.listenerToken()}
				w.k.Watch(fd, l.token)
			} else if b.sockets.changed {
				_ = adopt(w.k, fd, &b.sockets.options) // of numbers that were looked at: were it refused, the old ones would go on
			}
			l.bind, l.fe = b.bind, w.view.frontend(b.frontend.Name)
			w.view.listeners = append(w.view.listeners, l)
		}
	}
	for _, l := range old.listeners {
		if !slices.Contains(w.view.listeners, l) {
			w.closeListener(l)
		}
	}
}

// listenerToken makes a token that no connection has.
func (w *worker) listenerToken() netio.Token {
	w.listenersMade++
	return netio.NewToken(w.listenersMade, listenerBit)
}

// closeListener takes what its queue holds first: those clients were told that they are connected.
func (w *worker) closeListener(l *listener) {
	for l.waiting = true; l.waiting; {
		l.waiting = false
		w.acceptFrom(l) // sets waiting again while there are more
	}
	w.wheel.Disarm(&l.retry)
	w.k.Unwatch(l.fd)
	w.k.Close(l.fd)
}
