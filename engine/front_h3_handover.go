package engine

import (
	"io"
	"net/netip"
	"os"
	"time"

	"weir/h3"
)

// QUICSockets is what a process hands over of an address that HTTP/3 is spoken on (see h3.Handover).
type QUICSockets = h3.Handover

// QUIC are the UDP sockets in use, by address, to be handed over; those of addresses among them that are no longer wanted but
// still have clients. They stay open. ReclaimQUIC undoes it.
func (e *Engine) QUIC() (map[netip.AddrPort]*QUICSockets, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := map[netip.AddrPort]*QUICSockets{}
	for addr, endpoint := range e.endpoints {
		h, err := endpoint.Handover()
		if err != nil {
			return nil, err
		}
		all[addr] = h
	}
	return all, nil
}

// TakeOver brings new clients of HTTP/3 here instead of to the process before this one. It is called when nothing can fail
// any more. Sockets that were handed over and that nobody has taken are closed by whoever got them; they are not ours.
func (e *Engine) TakeOver() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.inherited, e.inheritedQUIC = nil, nil
	for _, endpoint := range e.endpoints {
		if err := endpoint.TakeOver(); err != nil {
			return err
		}
	}
	return nil
}

// ReclaimQUIC takes the UDP sockets back: the process that was to come next has failed.
func (e *Engine) ReclaimQUIC() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for addr, endpoint := range e.endpoints {
		if err := endpoint.Reclaim(); err != nil {
			e.log.Error("h3", "address", addr, "error", err)
		}
	}
	if e.predecessorsEnded {
		e.forgetPredecessors()
	}
}

// takeQUIC returns what was handed over of an address; nil: nothing. It can be taken once.
func (e *Engine) takeQUIC(addr netip.AddrPort) *QUICSockets {
	h := e.inheritedQUIC[addr]
	delete(e.inheritedQUIC, addr)
	return h
}

// awaitPredecessors closes the UDP sockets of the processes before this one when all of them have ended, whichever is the
// last. lives are the pipes that end with them.
func (e *Engine) awaitPredecessors(lives []*os.File) {
	for _, f := range lives {
		_, _ = io.Copy(io.Discard, f) // nothing is ever written to it
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.predecessorsEnded = true
	e.forgetPredecessors()
}

// forgetPredecessors: the caller holds mu.
func (e *Engine) forgetPredecessors() {
	for addr, endpoint := range e.endpoints {
		if err := endpoint.Forget(); err != nil {
			e.log.Error("h3", "address", addr, "error", err)
		}
	}
}

// retirePoll is how often we look whether the last client of an address that is not wanted any more has gone.
const retirePoll = 100 * time.Millisecond

// retireH3 closes an endpoint when its last client has gone, unless the address is wanted again meanwhile.
func (e *Engine) retireH3(addr netip.AddrPort, endpoint *h3.Endpoint) {
	poll := time.NewTicker(retirePoll)
	defer poll.Stop()
	for {
		e.mu.Lock()
		gone := e.plan.h3At(addr) != nil || e.endpoints[addr] != endpoint
		if !gone && endpoint.Idle() {
			delete(e.endpoints, addr)
			endpoint.Close(h3.NoError)
			gone = true
		}
		e.mu.Unlock()
		if gone {
			return
		}
		<-poll.C
	}
}
