package engine

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"weir/internal/config"
	"weir/internal/limit"
)

// descriptorsElse is how many descriptors are kept for everything but connections: epoll, logs, the control plane.
const descriptorsElse = 128

// refusedAtOnce is how many client connections beyond the limits may be open because they are being told so. Who is past
// max-conn and queue-depth gets an answer as well.
const refusedAtOnce = 1024

// carve divides the process's descriptors between clients and servers, so that neither side can take the other's. A client
// that waits for max-conn holds a descriptor too, and must not meet the end of the budget before the limit's own answer.
func (e *Engine) carve(cfg *config.Config) {
	if e.files <= 0 {
		return
	}
	servers := 0
	for _, b := range cfg.Backends {
		most := e.inForce(b.Limits).MaxConn
		if most == 0 {
			servers = 0
			break
		}
		servers += most
	}
	listeners := 0
	clients, waiting := e.inForce(cfg.Global.Limits).MaxConn, e.inForce(cfg.Global.Limits).QueueDepth
	for _, f := range cfg.Frontends {
		listeners += 2 * len(f.Binds) * len(e.shared.workers)
		waiting += e.inForce(f.Limits).QueueDepth
	}
	if clients > 0 {
		clients += waiting + refusedAtOnce
	}
	e.shared.fds.Carve(e.files, descriptorsElse+listeners, clients, servers)
}

// inForce is a profile as the operator has changed it since the last reload.
func (e *Engine) inForce(l *config.Limits) *config.Limits {
	if live := e.live[l.Name]; live != nil && l.Name != "" {
		return live
	}
	return l
}

// straitsEvery is how often descriptors and memory are looked at.
const straitsEvery = 100 * time.Millisecond

// watchStraits computes the step of degradation that the workers read.
func (c *checker) watchStraits(ctx context.Context) {
	defer c.done.Done()
	e := c.e
	look := time.NewTicker(straitsEvery)
	defer look.Stop()
	memory := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	before := e.shared.straits.Step()
	var quiet quietHeap
	ours := heapIsOurs()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		if ours && quiet.look() {
			debug.FreeOSMemory()
		}
		metrics.Read(memory)
		fds := e.shared.fds
		used := fds.Client.Current() + fds.Server.Current()
		step := e.shared.straits.Update(
			limit.Gauge{Used: used, Max: int64(e.files)},
			limit.Gauge{Used: int64(memory[0].Value.Uint64() - memory[1].Value.Uint64()), Max: e.memory},
		)
		if step != before {
			e.log.Warn("degradation", "was", before.String(), "is", step.String(), "connections", used)
			before = step
		}
	}
}
