package engine

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"weir/h3"
	"weir/internal/buf"
	"weir/internal/config"
	"weir/internal/limit"
	"weir/internal/mono"
	"weir/internal/stats"
	"weir/netio"
	"weir/netio/tlsio"
)

// Options is what an engine needs besides its configuration.
type Options struct {
	Log       *slog.Logger
	AccessLog io.Writer // one JSON object a line, where the configuration asks for them. Written to by one goroutine
	Version   string

	Generation uint64 // of the first configuration; 0 is 1

	Inherited Inherited                       // listening sockets of the process before this one
	QUIC      map[netip.AddrPort]*QUICSockets // UDP sockets of the process before this one; what is used is taken out
	Lives     []*os.File                      // of the processes whose UDP sockets are among QUIC: pipes that end with them
	Files     int                             // descriptors that the process may have (RLIMIT_NOFILE); 0: not known, not divided
	Memory    int64                           // bytes that the process should stay below; 0: not known
	// Kernel makes the kernel of worker i; nil: netio.NewLinux.
	Kernel func(i int) (netio.Kernel, error)
}

// Engine is the running proxy: its workers, and the control plane's view of them. Its methods may be called from any
// goroutine.
type Engine struct {
	log     *slog.Logger
	version string
	started time.Time
	files   int
	memory  int64
	access  *accessLog
	shared  *shared
	running sync.WaitGroup
	stop    sync.Once
	checks  *checker
	tickets *tlsio.TicketStore
	pacing  sync.Once // of the heap
	h3Ready bool      // the process has been prepared for HTTP/3
	door    *h3Door

	mu                sync.Mutex // everything below; never taken by a worker
	cfg               *config.Config
	generation        uint64
	reloaded          time.Time
	reloads           uint64
	refused           uint64
	plan              *plan
	inherited         Inherited
	inheritedQUIC     map[netip.AddrPort]*QUICSockets
	predecessorsEnded bool                            // the processes before this one, whose UDP sockets we may have
	endpoints         map[netip.AddrPort]*h3.Endpoint // those of the plan, and those not wanted any more that have clients
	cells             []*stats.Cells
	live              map[string]*config.Limits        // profiles changed since the last reload
	queues            map[*limit.Attachment]axisQueues // of the places that there are, and of those where something is left
	state             atomic.Int32                     // engineState
}

// engineState is how far the process has come.
type engineState int32

const (
	stateStarting engineState = iota
	stateReady
	stateDraining
	stateStopped
)

var stateWords = [...]string{"starting", "ready", "draining", "stopped"}

// ErrDraining is why a reload is refused once a drain has begun.
var ErrDraining = errors.New("draining: the configuration cannot change any more")

// Start opens the listeners, starts the workers and returns when they accept connections. When anything fails nothing is
// left behind.
func Start(cfg *config.Config, o Options) (*Engine, error) {
	n := workersOf(cfg)
	e := &Engine{log: o.Log, version: o.Version, started: time.Now(), files: o.Files, memory: o.Memory, tickets: tlsio.NewTicketStore(), inherited: o.Inherited, inheritedQUIC: o.QUIC, endpoints: map[netip.AddrPort]*h3.Endpoint{}}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	e.door = newH3Door(e)
	e.generation = max(o.Generation, 1) - 1 // the first plan counts too
	if o.AccessLog != nil {
		e.access = newAccessLog(o.AccessLog)
	}
	e.shared = &shared{table: limit.NewTable(n), fds: limit.NewFDs()}
	for i := range n {
		w, err := e.newWorker(i, o.Kernel)
		if err != nil {
			e.shut()
			return nil, fmt.Errorf("worker %d: %w", i, err)
		}
		e.shared.workers = append(e.shared.workers, w)
		e.cells = append(e.cells, &stats.Cells{})
	}
	p, err := e.prepare(cfg)
	if err != nil {
		e.shut()
		return nil, err
	}
	// The runtime needs a P of its own for the control plane: with as many workers as Ps it takes theirs away at every turn.
	if runtime.GOMAXPROCS(0) < n+1 {
		runtime.GOMAXPROCS(n + 1)
	}
	cpus := netio.Affinity()
	for i, w := range e.shared.workers {
		cpu := -1
		if cfg.Global.PinCPUs && n <= len(cpus) {
			cpu = cpus[i]
		}
		e.running.Add(1)
		go e.runWorker(w, cpu)
	}
	e.mu.Lock()
	e.commit(p)
	e.mu.Unlock()
	e.carve(cfg)
	e.checks = startChecker(e)
	e.checks.follow(p)
	e.state.Store(int32(stateReady))
	if len(o.Lives) > 0 {
		go e.awaitPredecessors(o.Lives)
	}
	return e, nil
}

func workersOf(cfg *config.Config) int {
	if cfg.Global.Workers > 0 {
		return cfg.Global.Workers
	}
	return max(len(netio.Affinity()), 1)
}

func (e *Engine) newWorker(i int, kernel func(int) (netio.Kernel, error)) (*worker, error) {
	if kernel == nil {
		kernel = func(int) (netio.Kernel, error) { return netio.NewLinux() }
	}
	k, err := kernel(i)
	if err != nil {
		return nil, err
	}
	var seed [24]byte
	rand.Read(seed[:])
	w := &worker{id: i, k: k, shared: e.shared, now: k.Now(), bufs: buf.NewPool(0), stats: stats.NewWorker(i)}
	w.mail = netio.NewMailbox[message](k)
	w.wheel = netio.NewWheel(w.now)
	w.tls = tlsio.NewWorker(k, w.bufs)
	w.events = make([]netio.Event, eventsPerWait)
	w.scratch = make([]byte, scratchBytes)
	w.pieces = make([][]byte, 0, piecesMax)
	w.asking = &admissionWait{}
	w.line = &accessLine{w: w, log: e.access}
	w.rand.state = binary.LittleEndian.Uint64(seed[:])
	w.ids = requestIDs{prefix: binary.LittleEndian.Uint64(seed[8:]), counter: binary.LittleEndian.Uint64(seed[16:])}
	w.setWall()
	w.ticker.Kind, w.prober.Kind = uint8(timerTick), uint8(timerProbe)
	w.wheel.Arm(&w.ticker, w.now.Add(tickEvery))
	return w, nil
}

// piecesMax is how many pieces one write gathers (writev(2) takes 1024; the kernel interface promises 64).
const piecesMax = 64

func (e *Engine) runWorker(w *worker, cpu int) {
	defer e.running.Done()
	if cpu >= 0 {
		if err := netio.PinThread(cpu); err != nil {
			e.log.Warn("worker not pinned", "worker", w.id, "error", err)
		}
	} else {
		runtime.LockOSThread()
	}
	w.run()
	w.shut()
}

// onWorkers runs f on every worker's thread and returns when all are done. It must not be called from a worker.
func (e *Engine) onWorkers(f func(w *worker)) {
	var done sync.WaitGroup
	for _, w := range e.shared.workers {
		done.Add(1)
		w.mail.Post(do(func(w *worker) {
			f(w)
			done.Done()
		}))
	}
	done.Wait()
}

// Reload makes cfg the configuration, all of it or nothing, and returns the generations before and after.
func (e *Engine) Reload(ctx context.Context, cfg *config.Config) (old, now uint64, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	old = e.generation
	if engineState(e.state.Load()) != stateReady {
		return old, old, ErrDraining
	}
	p, err := e.prepare(cfg)
	if err != nil {
		e.refused++
		return old, old, err
	}
	e.commit(p)
	e.carve(cfg)
	e.checks.follow(p)
	e.reloads++
	return old, e.generation, nil
}

// commit hands a prepared plan to the workers. The caller holds mu.
func (e *Engine) commit(p *plan) {
	e.generation++
	p.generation = e.generation
	e.unsettle(e.plan, p)
	e.onWorkers(func(w *worker) { w.apply(p) })
	if e.access != nil && p.cfg.Global.AccessLog == config.AccessLogOff {
		e.access.flush() // the file may be closed when this is over
	}
	e.settle(p)
	e.commitH3(p, e.plan)
	e.pace(p)
	e.detachMissing(e.plan, p)
	e.cfg, e.plan, e.reloaded, e.live = p.cfg, p, time.Now(), map[string]*config.Limits{}
}

// Config is the configuration in force.
func (e *Engine) Config() *config.Config {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.cfg
}

// Ready reports whether new clients are welcome, and the state in one word.
func (e *Engine) Ready() (bool, string) {
	s := engineState(e.state.Load())
	return s == stateReady, stateWords[s]
}

// drainPoll is how often a drain looks whether anything is left.
const drainPoll = 20 * time.Millisecond

// Drain stops accepting, lets what is under way finish, and returns when nothing is left, when hard-stop-after has passed,
// or when ctx ends. Stop must follow.
func (e *Engine) Drain(ctx context.Context) error {
	e.mu.Lock()
	already := engineState(e.state.Load()) >= stateDraining
	if !already {
		e.state.Store(int32(stateDraining))
	}
	hard := e.cfg.Global.HardStopAfter
	e.mu.Unlock()
	if !already {
		e.checks.stop()
		e.drainH3()
		e.onWorkers(func(w *worker) { w.drain(hard) })
	}
	var over <-chan time.Time
	if hard > 0 {
		t := time.NewTimer(hard)
		defer t.Stop()
		over = t.C
	}
	poll := time.NewTicker(drainPoll)
	defer poll.Stop()
	for {
		var left atomic.Int64
		e.onWorkers(func(w *worker) { left.Add(int64(w.sessionsLeft())) })
		if left.Load() == 0 && e.idleH3() {
			return nil
		}
		select {
		case <-poll.C:
		case <-over:
			if left.Load() == 0 {
				return nil // handshakes: there is no client that would notice
			}
			e.lastCall()
			return fmt.Errorf("%d client connections were cut after %v", left.Load(), hard)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Stop ends the workers at once and closes everything. It may be called more than once.
func (e *Engine) Stop() {
	e.stop.Do(func() {
		e.checks.stop()
		e.state.Store(int32(stateStopped))
		for _, w := range e.shared.workers {
			w.mail.Post(do(func(w *worker) { w.stopped = true }))
		}
		e.running.Wait()
		e.stopH3()
		if e.access != nil {
			e.access.close()
		}
	})
}

// shut undoes a Start that failed before its workers ran.
func (e *Engine) shut() {
	for _, w := range e.shared.workers {
		w.shut()
	}
	if e.access != nil {
		e.access.close()
	}
}

// monoNow is the process clock, for the control plane.
func (e *Engine) monoNow() mono.Time { return e.shared.workers[0].k.Now() }
