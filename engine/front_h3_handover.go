package engine

import (
	"net/netip"
	"os"
	"time"

	"weir/h3"
)

// QUICSockets is what a process hands over of an address that HTTP/3 is spoken on (see h3.Handover).
type QUICSockets = h3.Handover

// QUIC are the UDP sockets in use, by address, to be handed over. They stay open. ReclaimQUIC undoes it.
func (e *Engine) QUIC() (map[netip.AddrPort]*QUICSockets, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := map[netip.AddrPort]*QUICSockets{}
	for _, a := range e.plan.h3 {
		h, err := a.endpoint.Handover()
		if err != nil {
			return nil, err
		}
		all[a.bind.Address] = h
	}
	return all, nil
}

// ReclaimQUIC takes the UDP sockets back: the process that was to come next has failed.
func (e *Engine) ReclaimQUIC() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range e.plan.h3 {
		if err := a.endpoint.Reclaim(); err != nil {
			e.log.Error("h3", "address", a.bind.Address, "error", err)
		}
	}
}

// takeQUIC returns what was handed over of an address; nil: nothing. It can be taken once.
func (e *Engine) takeQUIC(addr netip.AddrPort) *QUICSockets {
	h := e.inheritedQUIC[addr]
	delete(e.inheritedQUIC, addr)
	if h != nil && !e.hasPredecessor {
		e.hasPredecessor = true
		go e.awaitPredecessor(os.Getppid())
	}
	return h
}

// predecessorLook is how often we look whether the process before this one is still there.
const predecessorLook = 500 * time.Millisecond

// awaitPredecessor closes the UDP sockets of the process before this one when it has ended. It is our parent, until it ends
// and we get another one.
func (e *Engine) awaitPredecessor(parent int) {
	look := time.NewTicker(predecessorLook)
	defer look.Stop()
	for os.Getppid() == parent {
		if <-look.C; engineState(e.state.Load()) == stateStopped {
			return
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range e.plan.h3 {
		if err := a.endpoint.Forget(); err != nil {
			e.log.Error("h3", "address", a.bind.Address, "error", err)
		}
	}
}
