package engine

import (
	"weir/internal/config"
	"weir/internal/limit"
	"weir/pool"
)

// unsettle ends the part that removed servers have in their backends' queues. It comes before the workers take the plan
// over: from then on they do not know what to do with a token of such a server. Who is tied to one waits on in its own queue.
func (e *Engine) unsettle(old, p *plan) {
	if old == nil {
		return
	}
	for name, ob := range old.backends {
		pb := p.backends[name]
		for name, sh := range ob.servers {
			if pb != nil && pb.servers[name] != sh {
				pb.queue.Remove(sh.inflight)
			}
		}
	}
}

// settle makes what the workers share follow a plan that all of them have taken over: a server's max-conn, its pool's
// bounds, and the queue of its backend, whose waiters may be given tokens of every server there is. It comes after the
// workers, so that none is given a token of a server that it does not know yet.
func (e *Engine) settle(p *plan) {
	for _, b := range p.cfg.Backends {
		pb, policy := p.backends[b.Name], pool.PolicyOf(b)
		for _, s := range b.Servers {
			sh := pb.servers[s.Name]
			sh.inflight.SetMax(s.MaxConn)
			sh.pool.Apply(&policy)
			pb.queue.Add(sh.inflight)
		}
	}
	e.forgetQueues(p)
}

// undo takes back what preparing a plan that is refused has done: a reload changes everything or nothing.
func (e *Engine) undo(p *plan) {
	p.closeOpened(e)
	if e.plan == nil {
		return
	}
	e.reattach(limit.Global, "", e.plan.cfg.Global.Limits)
	for _, f := range e.plan.cfg.Frontends {
		e.reattach(limit.Frontend, f.Name, f.Limits)
	}
	for _, b := range e.plan.cfg.Backends {
		e.reattach(limit.Backend, b.Name, b.Limits)
	}
	e.detachMissing(p, e.plan)
}

// reattach gives a place the numbers in force, which `weir set limits` may have changed.
func (e *Engine) reattach(level limit.Level, name string, l *config.Limits) {
	if live := e.live[l.Name]; live != nil {
		l = live
	}
	e.attach(level, name, l)
}
