package engine

import (
	"net/netip"

	"weir/internal/config"
	"weir/internal/mono"
	"weir/internal/msg"
	"weir/internal/stats"
	"weir/internal/stub/limit"
	"weir/internal/stub/pool"
	"weir/netio"
	"weir/netio/tlsio"
)

// backend is a [backend.NAME] on one worker.
type backend struct {
	w          *worker
	cfg        *config.Backend
	cells      *stats.Backend
	limits     *limit.Attachment // counted over all workers
	queue      *queue            // exchanges that wait for a server with room
	servers    []*server
	timeouts   *config.Timeouts
	policy     pool.Policy
	secure     *tlsio.ClientConfig // nil: cleartext
	bufferMax  int
	replayMax  int // request body held for a retry
	maxRetries int
	turns      int
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
	backoff pool.Backoff
	conns   int  // of this worker, in any stage
	retired bool // no longer in the configuration, or its address has changed: what is left finishes
	noH2    bool // ALPN has chosen HTTP/1.1 before: no second stream is promised

	firstWaiting, lastWaiting *exchange // for a connection, in order
}

// sharedServer is what the workers share about a server: counters only.
type sharedServer struct {
	inflight *limit.Count // requests in flight; its maximum is the server's max-conn
	pool     *pool.Shared
}

// load is the exchanges in flight over all workers.
func (srv *server) load() int64 { return srv.shared.inflight.Current() }

// hasIdle reports whether this worker could serve one more exchange without a new connection.
func (srv *server) hasIdle() bool { return srv.shard.Len() > 0 || srv.streams.Free() > 0 }

// reachable reports whether connecting is worth trying: not while consecutive errors hold it back.
func (srv *server) reachable() bool { return srv.hasIdle() || srv.backoff.Allowed(srv.w.now) }

// effectiveWeight grows to the configured weight over slow-start.
func (srv *server) effectiveWeight(now mono.Time) int {
	slow := srv.be.cfg.SlowStart
	if slow <= 0 || srv.since.IsZero() {
		return srv.weight
	}
	age := now.Sub(srv.since)
	if age >= slow {
		return srv.weight
	}
	return max(1, int(int64(srv.weight)*int64(age)/int64(slow)))
}

// spin is where a walk over the servers starts, so that ties do not always go to the first.
func (be *backend) spin() int {
	be.turns++
	return be.turns
}

// take returns an idle connection, or a multiplexed one with a free stream, that x may use.
func (srv *server) take(x *exchange) *backConn {
	key, need := x.poolKey(), pool.Any
	if x.way.need == needProven {
		need = pool.Proven
	}
	if c, ok := srv.streams.Pick(key, need); ok {
		return c
	}
	for {
		c, ok := srv.shard.Take(key, need, srv.w.now)
		if !ok {
			return nil
		}
		if cause, over := c.over(); over {
			c.end(cause, false)
			continue
		}
		return c
	}
}

// put gives an idle connection to the pool, which may refuse it or give up another.
func (srv *server) put(c *backConn) {
	if c.h2 != nil {
		c.count(c.idleGauge())
		return
	}
	evicted, cause, ok := srv.shard.Put(&c.node, srv.w.now)
	if evicted != nil {
		evicted.end(stats.Cause(cause), false)
	}
	if !ok {
		if c.stage != backClosed {
			c.end(stats.Cause(cause), false)
		}
		return
	}
	c.count(c.idleGauge())
	c.watchIdle()
}

func (c *backConn) idleGauge() connGauge {
	if c.proven {
		return gaugeIdleSafe
	}
	return gaugeIdleFresh
}

// watchIdle arms the idle connection's own end: its age or the server's hint.
func (c *backConn) watchIdle() {
	c.arm(c.recycle.Deadline(c.w.now))
	if c.tls != nil {
		c.tls.Idle()
	}
	if c.has(canRead) {
		c.wake()
	}
}

// over reports whether the connection has carried enough or lived long enough.
func (c *backConn) over() (stats.Cause, bool) {
	if c.srv.retired || c.epoch != c.srv.epoch || c.srv.state >= stats.StateDown {
		return stats.CauseDrain, true
	}
	cause, over := c.recycle.Over(c.exchanges, c.w.now)
	return stats.Cause(cause), over
}

// lastExchange reports whether the connection will be closed after the exchange that is about to be sent, so that the
// server can be told.
func (c *backConn) lastExchange() bool {
	_, over := c.over()
	return over
}

// expire ends an idle connection whose time has come.
func (c *backConn) expire() {
	if cause, over := c.over(); over {
		c.end(cause, false)
		return
	}
	c.watchIdle()
}

// hint takes the server's Keep-Alive field into account (RFC 2068 section 19.7.1).
func (c *backConn) hint(h *msg.Head) {
	for i := range h.Fields {
		if f := &h.Fields[i]; f.ID == msg.FieldKeepAlive {
			c.recycle.Hint(h.Bytes(f.Value))
		}
	}
}

// forget takes the connection out of whatever holds it. It is called once, at the end.
func (srv *server) forget(c *backConn) {
	srv.conns--
	srv.shard.Remove(&c.node)
	srv.streams.Remove(c)
}

// connectOK is called when a connection stands.
func (srv *server) connectOK(now mono.Time) { srv.backoff.Success() }

// connectFailed is called when one did not come to be.
func (srv *server) connectFailed(now mono.Time) { srv.backoff.Failure(now, &srv.w.rand) }

// responded is called when a final response has begun; it ends a run of errors.
func (srv *server) responded() { srv.backoff.Success() }

// failed counts an exchange that failed on the server's side. A connection that was stale says nothing about the server.
func (srv *server) failed(c *cause) {
	if c.blame != blameServer || c == causeStale {
		return
	}
	srv.cells.Errors[stats.ErrorResponse]++
	srv.backoff.Failure(srv.w.now, &srv.w.rand)
}

// dial opens a connection. It returns why it could not, or nil; x is whom it is for, nil when it is to be kept warm.
func (srv *server) dial(x *exchange, key pool.Key, owner *session, why stats.Why) *cause {
	if !srv.addr.IsValid() {
		return causeNoServer
	}
	c := &backConn{srv: srv, key: key, owner: owner, why: why, openedAt: srv.w.now, epoch: srv.epoch}
	if cause := c.tokens.take(srv, x); cause != nil {
		return cause
	}
	opts := srv.optionsFor(x)
	fd, io := srv.w.k.Connect(opts)
	if io != netio.OK && io != netio.Again {
		c.tokens.release(c)
		srv.cells.Errors[stats.ErrorConnect]++
		srv.connectFailed(srv.w.now)
		if io == netio.NoFiles {
			srv.w.relieve()
			return causeNoFiles
		}
		return causeConnectFailed
	}
	if x != nil {
		c.wanted = x.token
	}
	c.recycle = srv.be.policy.NewRecycle(srv.w.now, srv.w.rand.next())
	c.node.Init(c, key)
	if !srv.w.adopt(&c.conn, fd, c) {
		c.tokens.release(c)
		return causeNoFiles
	}
	c.clear(canWrite)
	c.set(opening)
	srv.conns++
	srv.cells.Opened[why]++
	c.count(gaugeConnecting)
	if owner != nil {
		owner.hold.private = append(owner.hold.private, c)
	}
	c.arm(srv.deadlineOfConnect(srv.w.now))
	if io == netio.OK {
		c.wake()
	}
	return nil
}

// optionsFor is how a connection for x is opened: with the client's own address if the backend is transparent.
func (srv *server) optionsFor(x *exchange) *netio.ConnectOptions {
	if srv.be.cfg.Source != config.SourceClient || x == nil {
		return &srv.connect
	}
	o := srv.connect
	o.Source, o.Transparent = x.s.peer, true
	return &o
}

// keyOf is the pool key of the connections that may carry x.
func (be *backend) keyOf(x *exchange) (k pool.Key) {
	if be.secure != nil && be.cfg.TLS.SNI == config.SNIHost {
		k.SNI = be.w.intern(hostOf(x.req.head.Bytes(x.req.head.Authority)))
	}
	if x.private() {
		k.Owner = x.s.id
	}
	return k
}

// dropPrivate forgets a private connection that has closed.
func (s *session) dropPrivate(c *backConn) {
	for i, p := range s.hold.private {
		if p == c {
			last := len(s.hold.private) - 1
			s.hold.private[i] = s.hold.private[last]
			s.hold.private = s.hold.private[:last]
			return
		}
	}
}

// makePrivate ties the exchange's connection to its session from here on, and takes it out of everybody else's reach: it
// carries the identity of this client now (NTLM and Negotiate authenticate connections, not requests).
func (x *exchange) makePrivate() {
	x.s.hold.ntlm = true
	b, ok := x.back.(*h1Back)
	if !ok || b.owner != nil {
		return
	}
	c := b.server()
	c.count(gaugeNone)
	c.owner = x.s
	c.key.Owner = x.s.id
	c.count(gaugeUsed)
	x.s.hold.private = append(x.s.hold.private, c)
}
