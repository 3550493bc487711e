package engine

import (
	"context"
	"runtime/metrics"
	"time"

	"weir/internal/config"
	"weir/internal/limit"
)

// descriptorsElse is how many descriptors are kept for everything but connections: epoll, logs, the control plane.
const descriptorsElse = 128

// carve divides the process's descriptors between clients and servers, so that neither side can take the other's.
func (e *Engine) carve(cfg *config.Config) {
	if e.files <= 0 {
		return
	}
	servers := 0
	for _, b := range cfg.Backends {
		if b.Limits.MaxConn == 0 {
			servers = 0
			break
		}
		servers += b.Limits.MaxConn
	}
	listeners := 0
	for _, f := range cfg.Frontends {
		listeners += 2 * len(f.Binds) * len(e.shared.workers)
	}
	e.shared.fds.Carve(e.files, descriptorsElse+listeners, cfg.Global.Limits.MaxConn, servers)
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
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
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
