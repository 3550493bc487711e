package engine

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"time"

	"weir/h3"
	"weir/internal/config"
	"weir/internal/limit"
	"weir/netio/tlsio"
)

// planH3 is an address that HTTP/3 is spoken on. Its endpoint lives as long as some configuration wants the address:
// what changes reaches the connections that begin afterwards.
type planH3 struct {
	frontend *config.Frontend
	bind     *config.Bind
	endpoint *h3.Endpoint
	config   *h3.Config
	opened   bool // by the plan at hand: closed again if it is refused
}

// h3Listener is such an address as one worker sees it.
type h3Listener struct {
	bind *config.Bind
	fe   *frontend
}

// h3Of finds the listener of a connection; nil when its address is not configured any more.
func (v *view) h3Of(c *h3.Conn) *h3Listener {
	addr := c.Sink().(*h3Sink).addr
	for _, l := range v.h3 {
		if l.bind.Address == addr {
			return l
		}
	}
	return nil
}

// h3IdleMargin is how much longer QUIC keeps a silent connection than we do, so that it is our goodbye that ends it.
const h3IdleMargin = 10 * time.Second

// h3IdleUnlimited stands for a timeout that was switched off: QUIC has to forget clients that have vanished.
const h3IdleUnlimited = time.Hour

// h3Config is how clients of a frontend are spoken to.
func (e *Engine) h3Config(p *plan, pf *planFrontend, f *config.Frontend, b *config.Bind) *h3.Config {
	c := h3.DefaultConfig(pf.tls[b.Address].QUIC([]string{"h3"}))
	c.MaxStreams = f.H2MaxConcurrentStreams
	c.MaxFieldSection = max(f.MaxHeadSize, c.MaxFieldSection/64)
	c.BufferBytes = bufferMaxOf(pf.buffers...)
	c.HeadTimeout = f.Timeouts.HTTPRequest
	c.IdleTimeout = h3IdleUnlimited
	if t := f.Timeouts; t.HTTPKeepAlive > 0 && t.Client > 0 {
		c.IdleTimeout = max(t.HTTPKeepAlive, t.Client) + h3IdleMargin
	}
	// Who waits for his admission is silent for QUIC.
	places := [2]*limit.Attachment{p.global, pf.limits}
	waits := time.Duration(0)
	for _, a := range places {
		if d := queueTimeout(f.Timeouts, a); d > 0 {
			waits = max(waits, d)
		} else {
			waits = h3IdleUnlimited
		}
	}
	c.HandshakeTimeout += waits
	terms := &h3Terms{bind: b, frontend: f, places: places, queues: [2]axisQueues{p.queues, pf.queues}}
	c.Admit = func(worker int, client netip.AddrPort) h3.Guest { return e.door.admit(terms, worker, client) }
	return &c
}

// prepareH3 opens the UDP side of a listening address, or keeps the one in use.
func (e *Engine) prepareH3(p *plan, pf *planFrontend, f *config.Frontend, b *config.Bind) error {
	a := &planH3{frontend: f, bind: b, config: e.h3Config(p, pf, f, b)}
	p.h3 = append(p.h3, a)
	if a.endpoint = e.endpoints[b.Address]; a.endpoint != nil { // in use, or not wanted since some reload ago and not idle yet
		return nil
	}
	secret := h3Secret(pf.tls[b.Address], b.Address)
	endpoint, err := h3.Listen(b.Address, min(len(e.shared.workers), h3.WorkersMax), a.config, &secret, e.takeQUIC(b.Address))
	if err != nil {
		return err
	}
	a.endpoint, a.opened = endpoint, true
	return nil
}

// h3Secret is the same after a restart, so that clients whose connections went with a crash are told so at their next packet
// (RFC 9000 section 10.3.2) instead of waiting for an answer until they give up. The name of the machine is in it: two that
// serve one certificate must not be able to end each other's connections (section 21.11).
func h3Secret(sc *tlsio.ServerConfig, addr netip.AddrPort) h3.Secret {
	machine, _ := os.ReadFile("/etc/machine-id") // not everywhere, and not always its own: the host's name comes on top
	host, _ := os.Hostname()
	if key, ok := sc.Secret(fmt.Appendf(nil, "weir h3 %v %s %q", addr, host, machine)); ok {
		return key
	}
	return h3.NewSecret()
}

func (p *plan) h3At(addr netip.AddrPort) *planH3 {
	if p != nil {
		for _, a := range p.h3 {
			if a.bind.Address == addr {
				return a
			}
		}
	}
	return nil
}

// closeH3 undoes what a refused plan has opened.
func (p *plan) closeH3() {
	for _, a := range p.h3 {
		if a.opened {
			a.endpoint.Close(h3.NoError)
		}
	}
}

// commitH3 starts new endpoints and retires those that are not wanted any more. The workers have the plan already.
func (e *Engine) commitH3(p, old *plan) {
	for _, a := range p.h3 {
		if !a.opened {
			a.endpoint.Update(a.config)
			a.endpoint.Resume()
			continue
		}
		a.opened = false
		e.endpoints[a.bind.Address] = a.endpoint
		e.makeRoom()
		sinks := make([]h3.Sink, a.endpoint.Workers())
		for i := range sinks {
			sinks[i] = &h3Sink{w: e.shared.workers[i], addr: a.bind.Address}
		}
		if err := a.endpoint.Serve(sinks); err != nil {
			e.log.Error("h3", "address", a.bind.Address, "error", err)
		}
	}
	if old == nil {
		return
	}
	for _, a := range old.h3 {
		if p.h3At(a.bind.Address) == nil {
			a.endpoint.Drain()
			go e.retireH3(a.bind.Address, a.endpoint)
		}
	}
}

// makeRoom prepares the process for QUIC, once. Its goroutines need processors of their own besides the workers', but not
// many: each is a thread that the kernel has to switch to and from.
func (e *Engine) makeRoom() {
	if e.h3Ready {
		return
	}
	e.h3Ready = true
	n := len(e.shared.workers)
	if n += max(n/2, 1); runtime.GOMAXPROCS(0) < n {
		runtime.GOMAXPROCS(n)
	}
}

// drainH3 stops taking QUIC connections.
func (e *Engine) drainH3() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, endpoint := range e.endpoints {
		endpoint.Drain()
	}
}

// idleH3 reports whether no QUIC connection is left, not even one that is no session yet.
func (e *Engine) idleH3() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, endpoint := range e.endpoints {
		if !endpoint.Idle() {
			return false
		}
	}
	return true
}

// stopH3 ends all QUIC connections. The workers have ended.
func (e *Engine) stopH3() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for addr, endpoint := range e.endpoints {
		endpoint.Close(h3.NoError)
		delete(e.endpoints, addr)
	}
}

// applyH3 gives the worker's view its QUIC addresses, and says goodbye to the sessions of those that are gone.
func (w *worker) applyH3(p *plan) {
	for _, a := range p.h3 {
		w.view.h3 = append(w.view.h3, &h3Listener{bind: a.bind, fe: w.view.frontend(a.frontend.Name)})
	}
	w.eachSession(func(s *session) {
		if s.h3 != nil && w.view.h3Of(s.h3.conn) == nil {
			s.goAway(w.spread)
		}
	})
}
