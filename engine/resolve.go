package engine

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"weir/internal/config"
)

// checker is the control plane's goroutines that watch what workers should not: each backend with named servers has one
// that looks the names up again, and one looks at descriptors and memory. What they find reaches the workers by message, or
// by the counter table.
type checker struct {
	e      *Engine
	mu     sync.Mutex
	cancel context.CancelFunc
	done   sync.WaitGroup
	ended  bool
}

func startChecker(e *Engine) *checker { return &checker{e: e} }

// follow watches the servers of p instead of those before.
func (c *checker) follow(p *plan) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel != nil {
		c.cancel()
	}
	if c.ended {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	c.done.Add(1)
	go c.watchStraits(ctx)
	for _, b := range p.cfg.Backends {
		if slices.ContainsFunc(b.Servers, func(s *config.Server) bool { return !s.Addr.IsValid() }) {
			c.done.Add(1)
			go c.resolve(ctx, b)
		}
	}
}

// stop ends all watching. It may be called more than once, and on nil.
func (c *checker) stop() {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.ended = true
	if c.cancel != nil {
		c.cancel()
	}
	c.mu.Unlock()
	c.done.Wait()
}

// lookupTimeout bounds one look-up of a name.
const lookupTimeout = 5 * time.Second

// resolve looks the names of a backend's servers up, now and every `resolve`. A name that does not resolve keeps its last
// address: a resolver's outage must not become the service's.
func (c *checker) resolve(ctx context.Context, b *config.Backend) {
	defer c.done.Done()
	known := map[string]netip.AddrPort{}
	for {
		for _, s := range b.Servers {
			if s.Addr.IsValid() {
				continue
			}
			a, err := lookup(ctx, s)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				c.e.log.Warn("server name not resolved", "backend", b.Name, "server", s.Name, "error", err)
			case known[s.Name] != a:
				known[s.Name] = a
				c.e.log.Info("server address", "backend", b.Name, "server", s.Name, "address", a)
				c.e.setServerAddr(b.Name, s.Name, a)
			}
		}
		if b.Resolve <= 0 && len(known) > 0 {
			return
		}
		select {
		case <-time.After(max(b.Resolve, time.Second)):
		case <-ctx.Done():
			return
		}
	}
}

// lookup picks the lowest address, IPv4 first, so that an answer in another order changes nothing.
func lookup(ctx context.Context, s *config.Server) (netip.AddrPort, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", s.Host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	best := slices.MinFunc(all, func(a, b netip.Addr) int { return a.Unmap().Compare(b.Unmap()) })
	return netip.AddrPortFrom(best.Unmap(), s.Port), nil
}

// setServerAddr tells every worker a server's address. Connections to the one before are drained.
func (e *Engine) setServerAddr(backend, server string, a netip.AddrPort) {
	e.onWorkers(func(w *worker) {
		be := w.view.backend(backend)
		if be == nil {
			return
		}
		if srv := be.server(server); srv != nil && srv.addr != a {
			srv.movedTo(a)
		}
	})
}

func (be *backend) server(name string) *server {
	for _, s := range be.servers {
		if s.cfg.Name == name {
			return s
		}
	}
	return nil
}
