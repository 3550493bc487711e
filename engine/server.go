package engine

import (
	"net/netip"

	"weir/h2"
	"weir/internal/config"
	"weir/internal/limit"
	"weir/internal/mono"
	"weir/internal/msg"
	"weir/internal/stats"
	"weir/netio"
	"weir/netio/tlsio"
	"weir/pool"
)

// backend is a [backend.NAME] on one worker.
type backend struct {
	w          *worker
	cfg        *config.Backend
	cells      *stats.Backend
	limits     *limit.Attachment // counted over all workers
	queue      *queue            // exchanges that wait for a server with room
	connQueue  *queue            // exchanges that wait for max-conn
	sslQueue   *queue            // exchanges that wait for max-ssl-conn
	servers    []*server
	timeouts   *config.Timeouts
	policy     pool.Policy
	h2         *h2.Config
	secure     *tlsio.ClientConfig // nil: cleartext
	secureH1   *tlsio.ClientConfig // offers no HTTP/2: for identities that are tied to connections; nil: secure offers none
	bufferMax  int
	replayMax  int // request body held for a retry
	maxRetries int
	turns      int
	named      string // the SNI that a server was last reached by, where it follows the request's host; "" none yet
}

// server is one server of a backend on one worker: its shard of the pool, who waits for a connection to it, and what this
// worker knows of its state. What all workers must agree on is in shared.
type server struct {
	be     *backend
	w      *worker
	cfg    *config.Server
	cells  *stats.Server
	shared *sharedServer

	addr    netip.AddrPort // not valid while the name does not resolve
	connect netio.ConnectOptions
	state   stats.ServerState
	weight  int
	admin   stats.ServerState // the operator's word: ready, drain or maint
	down    bool              // the health checks' word
	epoch   uint32            // of addr; connections of an earlier one are not used again
	since   mono.Time         // when it became ready; slow start counts from here
	hash    uint64            // of its name, for consistent hashing
	cookie  string
	credit  int // of the round robin

	shard   *pool.Shard[*backConn]
	streams *pool.Streams[*backConn] // open h2 connections
	crowded *backConn                // the h2 connection that was last found crowded; nil: none is
	queue   *queue                   // exchanges that can go to no other server
	retired bool                     // no longer in the configuration, or its address has changed: what is left finishes
	noH2    bool                     // ALPN has chosen HTTP/1.1 before: no second stream is promised

	noTunnels bool // its HTTP/2 has last offered no extended CONNECT

	dials []*backConn // h2 connections being opened, that more than one exchange may wait for
	probe probe

	line waitLine // for a connection
}

// sharedServer is what the workers share about a server: counters only.
type sharedServer struct {
	inflight *limit.Count // requests in flight; its maximum is the server's max-conn
	queue    *queue
	pool     *pool.Shared
}

// load is the exchanges in flight over all workers.
func (srv *server) load() int64 { return srv.shared.inflight.Current() }

// hasIdle reports whether this worker could serve one more exchange without a new connection.
func (srv *server) hasIdle() bool { return srv.shard.Len() > 0 || srv.streams.Free() > 0 }

// busy reports whether this worker has connections to the server, but none that could carry one more exchange.
func (srv *server) busy() bool { return srv.shard.Used() > 0 && !srv.hasIdle() }

// reachable reports whether connecting is worth trying: not while consecutive errors hold it back.
func (srv *server) reachable() bool {
	return srv.hasIdle() || srv.shared.pool.Backoff.Allowed(srv.w.now)
}

// weightUnit is what one unit of a configured weight is divided into, so that a weight of 1 can grow too.
const weightUnit = 256

// effectiveWeight is the weight in weightUnits. It grows to the configured one over slow-start.
func (srv *server) effectiveWeight(now mono.Time) int {
	full := srv.weight * weightUnit
	slow := srv.be.cfg.SlowStart
	if slow <= 0 || srv.since.IsZero() {
		return full
	}
	age := now.Sub(srv.since)
	if age >= slow {
		return full
	}
	return max(1, int(int64(full)*int64(age)/int64(slow)))
}

// spin is where a walk over the servers starts, so that ties do not always go to the first.
func (be *backend) spin() int {
	be.turns++
	return be.turns
}

// take returns an idle connection, or a multiplexed one with a free stream, that x may use.
func (srv *server) take(x *exchange) *backConn {
	key := x.poolKey()
	if c, ok := srv.streams.Pick(key, x.way.need, srv.w.now); ok && c.free() {
		return c
	}
	for {
		c, ok := srv.shard.Take(key, x.way.need, srv.w.now)
		if !ok || c.free() {
			return c
		}
		c.end(stats.CauseGoaway, false) // an h2 server that allows no streams
	}
}

// put gives an idle connection to the pool, which may refuse it or give up another.
func (srv *server) put(c *backConn) {
	if srv.w.draining { // what was being opened when the drain began, and what carries its last exchange
		c.end(stats.CauseDrain, false)
		return
	}
	srv.streams.Remove(&c.node)
	srv.makeRoom(c.node.Key())
	evicted, cause, ok := srv.shard.Put(&c.node, srv.w.now)
	if evicted != nil {
		evicted.end(cause, false)
	}
	if !ok {
		c.end(cause, false)
		return
	}
	c.count(c.idleGauge())
	c.arm(mono.Never)
	c.rest()
	srv.be.makeWay() // only now is it shown as idle: see giveway.go
}

// makeRoom closes the longest unused idle connection of a key when this worker keeps as many of that key as it has needed at
// once. Reuse modes that open a connection for every new client would otherwise pile up idle ones until the next purge. Those
// of other keys stay: a server that is asked for many names has a connection for each.
func (srv *server) makeRoom(key pool.Key) {
	wanted := max(srv.shard.Need(), 1) + srv.be.policy.WarmConn
	if old, ok := srv.shard.EvictLike(key, wanted); ok {
		why := stats.CauseIdlePurge
		if cause, over := old.over(); over {
			why = cause
		}
		old.end(why, false)
	}
}

func (c *backConn) idleGauge() connGauge {
	if c.node.Proven() {
		return gaugeIdleSafe
	}
	return gaugeIdleFresh
}

// rest gives back what an idle connection does not need, and looks at what may have come meanwhile.
func (c *backConn) rest() {
	c.rested = true
	if c.tls != nil {
		c.tls.Idle()
	}
	if c.has(canRead) {
		c.wake()
	}
}

// over reports whether the connection may carry nothing further, and why.
func (c *backConn) over() (stats.Cause, bool) {
	if c.srv.retired || c.epoch != c.srv.epoch || c.srv.state >= stats.StateDown {
		return stats.CauseDrain, true
	}
	return c.node.Recycle.Over(c.w.now)
}

// lastExchange reports whether the connection will be closed after the exchange that is about to be sent, so that the
// server can be told.
func (c *backConn) lastExchange() bool {
	_, over := c.over()
	return over
}

// expire ends an idle private connection whose time has come. Shared ones are the pool's.
func (c *backConn) expire() {
	if cause, over := c.over(); over {
		c.end(cause, false)
	}
}

// hint takes the server's Keep-Alive field into account (RFC 2068 section 19.7.1).
func (c *backConn) hint(h *msg.Head) {
	for i := range h.Fields {
		if f := &h.Fields[i]; f.ID == msg.FieldKeepAlive {
			c.node.Recycle.Hint(h.Bytes(f.Value))
		}
	}
}

// forget takes the connection out of whatever holds it. It is called once, at the end.
func (srv *server) forget(c *backConn) {
	srv.dialEnded(c)
	if srv.crowded == c {
		srv.crowded = nil
	}
	srv.streams.Remove(&c.node)
	srv.shard.Closed(&c.node, srv.w.now)
}

// connectOK is called when a connection stands.
func (srv *server) connectOK(now mono.Time) { srv.shared.pool.Backoff.Success() }

// connectFailed is called when one did not come to be.
func (srv *server) connectFailed(now mono.Time) {
	srv.shared.pool.Backoff.Failure(now, srv.w.rand.next())
	srv.settleQueue()
}

// responded is called when a final response has begun; it ends a run of errors.
func (srv *server) responded() { srv.shared.pool.Backoff.Success() }

// failed counts an exchange that failed on the server's side. A connection that was stale says nothing about the server.
func (srv *server) failed(c *cause) {
	if c.blame != blameServer || c == causeStale {
		return
	}
	srv.cells.Errors[stats.ErrorResponse]++
	srv.shared.pool.Backoff.Failure(srv.w.now, srv.w.rand.next())
	srv.settleQueue()
}

// dial opens a connection. It returns why it could not, or nil; x is whom it is for, nil when it is to be kept warm.
func (srv *server) dial(x *exchange, key pool.Key, owner *session, why stats.Why) *cause {
	if !srv.addr.IsValid() {
		return causeNoServer
	}
	w := srv.w
	c := w.backRecord()
	c.srv, c.owner, c.why, c.openedAt, c.epoch = srv, owner, why, w.now, srv.epoch
	c.onlyH1 = x != nil && x.needsH1()
	if x == nil && !c.takeWarm() {
		return causeLimit[limit.MaxConn]
	}
	fd, cause := c.connect(srv.optionsFor(x))
	if cause != nil {
		return cause
	}
	key.Owner = 0
	if owner != nil {
		key.Owner = owner.id
	}
	c.node.Init(c, key)
	c.node.Recycle = srv.be.policy.NewRecycle(w.now, w.rand.next())
	if !w.adopt(&c.conn, fd, c) {
		c.tokens.release()
		return causeNoFiles
	}
	if x != nil {
		c.wanted, x.way.dial, c.check = x.token, c.token, x.internal
		c.tokens.takeFrom(&x.way.tokens)
	}
	c.clear(canWrite)
	c.set(opening)
	srv.cells.Opened[why]++
	srv.dialBegun(c)
	srv.shard.Connecting(&c.node, why == stats.WhyWarm)
	c.count(gaugeConnecting)
	if owner != nil {
		owner.addPrivate(c)
	}
	c.arm(deadlineAfter(w.now, srv.be.timeouts.Connect))
	return nil
}

// takeWarm takes what the backend's limits ask of a connection that nobody waits for. It waits for nothing itself.
func (c *backConn) takeWarm() bool {
	a := c.srv.be.limits
	if ok, _ := a.ConnRate.Take(c.srv.w.now); !ok {
		return false
	}
	if c.srv.be.secure != nil {
		if ok, _ := a.SSLRate.Take(c.srv.w.now); !ok {
			return false
		}
	}
	return c.tokens.tryTake(c.srv.be)
}

// connect takes a descriptor from the servers' budget and starts the connect.
func (c *backConn) connect(o *netio.ConnectOptions) (fd int, why *cause) {
	srv := c.srv
	budget := srv.w.shared.fds.Server
	if !budget.TryAcquire() && !(srv.w.relieve() && budget.TryAcquire()) {
		return 0, causeNoFiles
	}
	c.tokens.fd = budget
	fd, io := srv.w.k.Connect(o)
	if io == netio.OK || io == netio.Again {
		return fd, nil
	}
	c.tokens.release()
	srv.cells.Errors[stats.ErrorConnect]++
	srv.connectFailed(srv.w.now)
	if io == netio.NoFiles {
		srv.w.relieve()
		return 0, causeNoFiles
	}
	return 0, causeConnectFailed
}

// optionsFor is how a connection for x is opened: from the client's own address if the backend is transparent. The port is the
// kernel's to choose: a session may need several connections at a time, or another one while the last is in TIME_WAIT.
func (srv *server) optionsFor(x *exchange) *netio.ConnectOptions {
	if srv.be.cfg.Source != config.SourceClient || x == nil {
		return &srv.connect
	}
	o := srv.connect
	o.Source, o.Transparent = netip.AddrPortFrom(x.s.peer.Addr(), 0), true
	return &o
}

// keyOf is the pool key of the connections that may carry x.
func (be *backend) keyOf(x *exchange) (k pool.Key) {
	switch {
	case !be.asksForHosts():
	case x.internal:
		return be.warmKey()
	default:
		k.SNI = be.w.intern(hostOf(x.req.head.Bytes(x.req.head.Authority)))
	}
	if x.private() {
		k.Owner = x.s.id
	}
	return k
}

// addPrivate remembers a connection that only this session may use.
func (s *session) addPrivate(c *backConn) { c.sibling, s.hold.private = s.hold.private, c }

// dropPrivate forgets a private connection that has closed.
func (s *session) dropPrivate(c *backConn) {
	for p := &s.hold.private; *p != nil; p = &(*p).sibling {
		if *p == c {
			*p, c.sibling = c.sibling, nil
			return
		}
	}
}

// makePrivate ties the exchange's connection to its session from here on, and takes it out of everybody else's reach: it
// carries the identity of this client now (NTLM and Negotiate authenticate connections, not requests).
func (x *exchange) makePrivate() {
	x.s.hold.ntlm = true
	x.bindConnection()
}

// bindConnection makes the h1 connection that the exchange is on its session's own.
func (x *exchange) bindConnection() {
	b, ok := x.back.(*h1Back)
	if !ok || b.owner != nil {
		return
	}
	c := b.server()
	c.count(gaugeNone)
	c.owner = x.s
	c.srv.shard.Private(&c.node, x.s.id)
	c.count(gaugeUsed)
	x.s.addPrivate(c)
}
