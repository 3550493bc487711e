package engine

import (
	"net/netip"

	"weir/internal/stats"
)

// setAdmin is the operator's word on the server. It stands over the health checks'.
func (srv *server) setAdmin(st stats.ServerState) {
	srv.admin = st
	srv.settleState()
}

// setHealth is the health checks' word on the server.
func (srv *server) setHealth(up bool) {
	if srv.down == !up {
		return
	}
	srv.down = !up
	if up {
		srv.since = srv.w.now
	}
	srv.settleState()
}

// settleState computes the state from who has a say, the strictest first, and lets go of what it forbids.
func (srv *server) settleState() {
	switch {
	case srv.retired:
		srv.state = stats.StateGone
	case srv.admin == stats.StateMaint:
		srv.state = stats.StateMaint
	case srv.down:
		srv.state = stats.StateDown
	case srv.admin == stats.StateDrain:
		srv.state = stats.StateDrain
	default:
		srv.state = stats.StateReady
	}
	srv.cells.State = srv.state
	srv.settleQueue()
	if srv.state >= stats.StateDown {
		srv.closeIdle(stats.CauseDrain)
	}
}

// movedTo makes new connections go to another address and lets those to the one before finish.
func (srv *server) movedTo(a netip.AddrPort) {
	if srv.addr.IsValid() {
		srv.epoch++
		srv.closeIdle(stats.CauseDrain)
	}
	srv.setAddr(a)
	srv.settleQueue()
}

// setWeight changes the server's share of new clients; 0: none.
func (srv *server) setWeight(n int) {
	srv.weight = n
	srv.settleQueue()
}

// takesNew reports whether the server may be given requests that could go elsewhere. Unlike balanceable it is the same on
// every worker, once all know of a change.
func (srv *server) takesNew() bool {
	return srv.state <= stats.StateSlowStart && srv.weight > 0 && srv.addr.IsValid() && srv.shared.pool.Backoff.Allowed(srv.w.now)
}

// settleQueue lets those who wait for any server of the backend have this one's tokens exactly while it takes new requests:
// one that is down has tokens enough, and would draw all who wait beside a server that is full.
func (srv *server) settleQueue() {
	switch {
	case srv.retired: // the control plane has taken it out of the queue, or will
	case srv.takesNew():
		srv.be.queue.Resume(srv.shared.inflight)
	default:
		srv.be.queue.Suspend(srv.shared.inflight)
	}
}

// setMaxConn changes how many requests may be in flight, over all workers.
func (srv *server) setMaxConn(n int) {
	srv.cells.Limit = int64(n)
	srv.shared.inflight.SetMax(n)
}

// showState is the state as an operator sees it now, slow start and backoff included.
func (srv *server) showState() stats.ServerState {
	switch {
	case srv.state != stats.StateReady:
		return srv.state
	case !srv.addr.IsValid(): // its name does not resolve
		return stats.StateDown
	case !srv.shared.pool.Backoff.Allowed(srv.w.now):
		return stats.StateBackoff
	case srv.effectiveWeight(srv.w.now) < srv.weight*weightUnit:
		return stats.StateSlowStart
	}
	return stats.StateReady
}

// gauge brings the cells that are computed up to date before they are copied.
func (w *worker) gauge() {
	for _, be := range w.view.backends {
		for _, srv := range be.servers {
			srv.cells.State, srv.cells.Weight = srv.showState(), srv.weight
			srv.cells.Need = int64(srv.shard.Need())
		}
	}
}
