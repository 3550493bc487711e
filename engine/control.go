package engine

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"weir/internal/stats"
)

// Snapshot gathers the cells of all workers at about one moment. It gives up when ctx ends.
func (e *Engine) Snapshot(ctx context.Context) (*stats.Snapshot, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.ask(ctx, func(w *worker) {
		w.gauge()
		w.stats.Snapshot(e.cells[w.id])
	}); err != nil {
		return nil, err
	}
	s := stats.Merge(e.cells, causeWords())
	s.Info = stats.Info{
		Version: e.version, Revision: revision(), GoVersion: runtime.Version(), PID: os.Getpid(), Started: e.started,
		State: stateWords[e.state.Load()], ConfigFile: e.cfg.File, Generation: e.generation, LastReload: e.reloaded,
		Reloads: e.reloads, ReloadsFailed: e.refused, Workers: len(e.shared.workers),
	}
	e.nameServers(s)
	s.Limits = e.limitRows()
	return s, nil
}

// nameServers fills in what only the configuration knows.
func (e *Engine) nameServers(s *stats.Snapshot) {
	for i := range s.Backends {
		b := e.cfg.Backend(s.Backends[i].Name)
		if b == nil {
			continue
		}
		for j := range s.Backends[i].Servers {
			row := &s.Backends[i].Servers[j]
			if srv := b.Server(row.Name); srv != nil {
				row.Address = srv.Address
			}
		}
	}
}

func revision() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return ""
}

// ask is onWorkers for callers that must not hang with a worker.
func (e *Engine) ask(ctx context.Context, f func(w *worker)) error {
	var done sync.WaitGroup
	for _, w := range e.shared.workers {
		done.Add(1)
		w.mail.Post(do(func(w *worker) {
			f(w)
			done.Done()
		}))
	}
	all := make(chan struct{})
	go func() {
		done.Wait()
		close(all)
	}()
	select {
	case <-all:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Sessions lists at most max client connections.
func (e *Engine) Sessions(ctx context.Context, max int) ([]stats.Session, error) {
	rows := make([][]stats.Session, len(e.shared.workers))
	if err := e.ask(ctx, func(w *worker) { rows[w.id] = w.sessionRows(max) }); err != nil {
		return nil, err
	}
	var all []stats.Session
	for _, r := range rows {
		all = append(all, r...)
	}
	return all[:min(len(all), max)], nil
}

// serverStates are the words that SetServerState takes.
var serverStates = map[string]stats.ServerState{"ready": stats.StateReady, "drain": stats.StateDrain, "maint": stats.StateMaint}

// SetServerState sets "ready", "drain" (persisted clients only) or "maint" (nobody).
func (e *Engine) SetServerState(ctx context.Context, backend, name, state string) error {
	st, ok := serverStates[state]
	if !ok {
		return fmt.Errorf("state %q: it is ready, drain or maint", state)
	}
	return e.onServer(ctx, backend, name, func(srv *server) { srv.setAdmin(st) })
}

// SetServerWeight changes the share of a server; 0 leaves it its persisted clients only.
func (e *Engine) SetServerWeight(ctx context.Context, backend, name string, weight int) error {
	if weight < 0 || weight > weightMax {
		return fmt.Errorf("weight %d: it is 0 to %d", weight, weightMax)
	}
	return e.onServer(ctx, backend, name, func(srv *server) { srv.setWeight(weight) })
}

// SetServerMaxConn changes how many requests may be in flight to a server; 0: any number.
func (e *Engine) SetServerMaxConn(ctx context.Context, backend, name string, maxConn int) error {
	if maxConn < 0 || maxConn > maxConnMax {
		return fmt.Errorf("max-conn %d: it is 0 to %d", maxConn, maxConnMax)
	}
	return e.onServer(ctx, backend, name, func(srv *server) { srv.setMaxConn(maxConn) })
}

// changeTimeout is how long a change waits for the workers. They answer within a turn unless one is stuck.
const changeTimeout = 5 * time.Second

// The largest values of a server, as in the file.
const (
	weightMax  = 256
	maxConnMax = 1_000_000
)

// onServer runs f on every worker's copy of a server.
func (e *Engine) onServer(ctx context.Context, backend, name string, f func(*server)) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	b := e.cfg.Backend(backend)
	if b == nil {
		return fmt.Errorf("there is no backend %q", backend)
	}
	if b.Server(name) == nil {
		return fmt.Errorf("backend %q has no server %q", backend, name)
	}
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	return e.ask(ctx, func(w *worker) {
		if be := w.view.backend(backend); be != nil {
			if srv := be.server(name); srv != nil {
				f(srv)
			}
		}
	})
}

// sessionRows describes the worker's client connections.
func (w *worker) sessionRows(max int) (rows []stats.Session) {
	w.eachSession(func(s *session) {
		if len(rows) < max {
			rows = append(rows, s.row())
		}
	})
	return rows
}
