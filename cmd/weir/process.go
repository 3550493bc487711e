package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"weir/internal/admin"
	"weir/internal/config"
	"weir/internal/stats"
)

// process is a running weir: the data plane with everything around it that a reload, a drain or an upgrade has to move
// along. It is the admin.Engine that the runtime socket and the admin listener talk to; signals take the same ways.
//
//	starting ──► running ──Drain, SIGTERM──► draining ──nothing left, second signal──► over
//	                 └──────────────────Stop─────────────────────────────────────────►
type process struct {
	file  string // "" the demo: there is nothing to reload
	log   *slog.Logger
	level *slog.LevelVar
	plane plane

	change sync.Mutex // one reload or upgrade at a time; guards the rest of this block
	access *accessLog
	socket *admin.Server // nil: none
	http   *admin.Server // nil: none
	lives  []*os.File    // of the processes before this one: pipes that end with them
	life   *os.File      // ours, as the next process sees it; nil: there is none. Never closed: it ends with us

	closing sync.WaitGroup // servers that answer whom they have accepted; the process ends after them

	mu         sync.Mutex // guards the rest
	cfg        *config.Config
	generation uint64
	draining   bool
	upgrading  context.CancelCauseFunc // ends the upgrade under way; nil: there is none
	replaced   bool                    // a new process has taken over
	cutShort   context.CancelCauseFunc // ends the drain's wait
	drained    chan struct{}           // closed when the drain has ended
	overOnce   sync.Once
	over       chan struct{} // closed when the process has nothing left to do
}

func newProcess(file string, cfg *config.Config, log *slog.Logger, level *slog.LevelVar) *process {
	return &process{file: file, cfg: cfg, generation: 1, log: log, level: level, over: make(chan struct{})}
}

// serve waits for signals until the process is over. A ctx that ends is like SIGTERM.
func (p *process) serve(ctx context.Context, signals <-chan os.Signal) {
	done := ctx.Done()
	for {
		select {
		case <-p.over:
			return
		case <-done:
			done = nil
			p.onSignal(unix.SIGTERM)
		case s := <-signals:
			p.onSignal(s)
		}
	}
}

// onSignal does what a signal asks for, beside the loop: a second signal has to be heard meanwhile.
func (p *process) onSignal(s os.Signal) {
	p.log.Info("signal", "signal", s.String())
	switch s {
	case unix.SIGTERM, unix.SIGINT:
		p.mu.Lock()
		again := p.draining
		p.mu.Unlock()
		if again {
			go p.logged("stop", p.Stop)
		} else {
			go p.logged("drain", p.Drain)
		}
	case unix.SIGHUP:
		go p.logged("reload", p.Reload)
	case unix.SIGUSR2:
		go p.logged("upgrade", p.Upgrade)
	}
}

// command changes the process and returns the configuration generations before and after.
type command func(context.Context) (oldGen, newGen uint64, err error)

// logged runs a command whose outcome nobody waits for.
func (p *process) logged(name string, run command) {
	from, to, err := run(context.Background())
	if err != nil {
		p.log.Error(name+" refused", "reason", err.Error())
		return
	}
	p.log.Info(name+" done", "old-generation", from, "new-generation", to)
}

// unchanged is what a command returns that left the configuration as it is.
func (p *process) unchanged(err error) (oldGen, newGen uint64, _ error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.generation, p.generation, err
}

// Drain implements admin.Engine. When it returns the process ends.
func (p *process) Drain(ctx context.Context) (oldGen, newGen uint64, err error) {
	p.mu.Lock()
	if p.draining {
		drained := p.drained
		p.mu.Unlock()
		select { // it is one drain, whoever else asks for it
		case <-drained:
			return p.unchanged(nil)
		case <-ctx.Done():
			return p.unchanged(ctx.Err())
		}
	}
	// Not the caller's context: the drain goes on when who asked for it has gone.
	waiting, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	p.beginEnd()
	p.cutShort, p.drained = cut, make(chan struct{})
	replaced := p.replaced
	p.mu.Unlock()
	if !replaced { // else the service goes on, in the new process
		p.notify("STOPPING=1")
	}
	if err := p.plane.Drain(waiting); err != nil {
		p.log.Warn("drain ended early", "reason", err.Error())
	}
	close(p.drained)
	p.end()
	return p.unchanged(nil)
}

// Stop implements admin.Engine.
func (p *process) Stop(context.Context) (oldGen, newGen uint64, err error) {
	p.mu.Lock()
	drained := p.drained
	if p.draining {
		p.cutShort(errCut)
	}
	p.beginEnd()
	p.mu.Unlock()
	if drained != nil {
		<-drained // the data plane is asked by one at a time how much is left
	}
	p.end()
	return p.unchanged(nil)
}

// beginEnd is for who holds mu: from here on the process ends. An upgrade that is not through yet has come too late.
func (p *process) beginEnd() {
	p.draining = true
	if p.upgrading != nil && !p.replaced {
		p.upgrading(errDraining)
	}
}

// end stops the data plane and lets serve return.
func (p *process) end() {
	p.overOnce.Do(func() {
		p.plane.Stop()
		close(p.over)
	})
}

// Reload implements admin.Engine: all or nothing.
func (p *process) Reload(ctx context.Context) (oldGen, newGen uint64, err error) {
	if p.isUpgrading() { // which may take long, and reads the file by itself
		return p.unchanged(errUpgrading)
	}
	p.change.Lock()
	defer p.change.Unlock()
	if p.file == "" {
		return p.unchanged(errNoFile)
	}
	if p.isReplaced() {
		return p.unchanged(errReplaced)
	}
	p.notify("RELOADING=1", monotonicUsec())
	defer p.notify("READY=1")
	cfg, report := config.Load(p.file)
	logWarnings(p.log, report)
	if !report.OK() {
		return p.unchanged(errors.New(reportText(report)))
	}
	p.keepStartKeys(cfg)
	return p.apply(ctx, cfg)
}

// Why a command is refused.
var (
	errNoFile    = errors.New("this weir runs without a configuration file")
	errReplaced  = errors.New("a new process has taken over from this one")
	errUpgrading = errors.New("an upgrade is under way")
)

// errCut is why a drain ends before its time.
var errCut = errors.New("told to end at once")

func (p *process) isUpgrading() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.upgrading != nil && !p.replaced
}

func (p *process) isReplaced() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.replaced
}

// reportText is the errors of a report, each with its line and caret.
func reportText(r *config.Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s has %s", r.File, plural(r.Errors, "error"))
	for i := range r.Problems {
		if r.Problems[i].Severity == config.Error {
			b.WriteString("\n" + strings.TrimSuffix(r.Problems[i].Text(), "\n"))
		}
	}
	return b.String()
}

// keepStartKeys leaves what only a start can change as it is, and says so. cfg is not in use yet.
func (p *process) keepStartKeys(cfg *config.Config) {
	running := p.Running()
	for _, k := range config.NeedsRestart(running, cfg) {
		p.log.Warn("not changed by a reload; an upgrade or a restart does it", "key", k)
	}
	config.KeepStartKeys(running, cfg)
}

// apply opens what the new configuration needs outside of the data plane, hands it to the data plane, and only then closes
// what the old one had. The caller holds change.
func (p *process) apply(ctx context.Context, cfg *config.Config) (oldGen, newGen uint64, err error) {
	old := p.Running()
	access, err := openAccessLog(cfg.Global.AccessLog)
	if err != nil {
		return p.unchanged(err)
	}
	http := p.http
	if cfg.Global.Admin != old.Global.Admin {
		if http, err = listenHTTP(cfg, p, nil); err != nil {
			access.close()
			return p.unchanged(fmt.Errorf("admin listener: %w", err))
		}
	}
	off := old.Global.AccessLog == config.AccessLogOff
	if off { // the first line may come before Reload returns
		p.access.become(access)
	}
	from, to, err := p.plane.Reload(ctx, cfg)
	if err != nil {
		if off {
			access = p.access.become(&accessLog{})
		}
		access.close()
		if http != p.http {
			closeServer(http)
		}
		return p.unchanged(err)
	}
	p.mu.Lock()
	p.cfg, p.generation = cfg, to
	p.mu.Unlock()
	p.level.Set(cfg.Global.LogLevel)
	if !off {
		p.access.become(access).close()
	}
	if http != p.http {
		// Not waited for: the command that brought us here may have come in through it.
		p.closeLater(p.http)
		p.http = http
	}
	return from, to, nil
}

// closeLater closes a server beside what goes on.
func (p *process) closeLater(s *admin.Server) {
	p.closing.Add(1)
	go func() {
		defer p.closing.Done()
		closeServer(s)
	}()
}

// Running is the configuration in force.
func (p *process) Running() *config.Config {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cfg
}

// Config implements admin.Engine.
func (p *process) Config() string { return p.Running().WriteTOML() }

// ConfigJSON implements admin.Engine.
func (p *process) ConfigJSON() []byte { return p.Running().WriteJSON() }

// Ready implements admin.Engine. Who is answered by a process that was replaced a moment ago asks about the service, which goes
// on in the new one.
func (p *process) Ready() (bool, string) {
	p.mu.Lock()
	replaced := p.replaced
	p.mu.Unlock()
	if replaced {
		return true, "ready"
	}
	return p.plane.Ready()
}

// Snapshot implements admin.Engine. Rates are made of two of them, so each says when it was taken: the workers have no
// calendar.
func (p *process) Snapshot(ctx context.Context) (*stats.Snapshot, error) {
	s, err := p.plane.Snapshot(ctx)
	if err == nil && s.Time.IsZero() {
		s.Time = time.Now()
	}
	return s, err
}

// Sessions implements admin.Engine.
func (p *process) Sessions(ctx context.Context, max int) ([]stats.Session, error) {
	return p.plane.Sessions(ctx, max)
}

// SetServerState implements admin.Engine.
func (p *process) SetServerState(ctx context.Context, backend, server, state string) error {
	return p.plane.SetServerState(ctx, backend, server, state)
}

// SetServerWeight implements admin.Engine.
func (p *process) SetServerWeight(ctx context.Context, backend, server string, weight int) error {
	return p.plane.SetServerWeight(ctx, backend, server, weight)
}

// SetServerMaxConn implements admin.Engine.
func (p *process) SetServerMaxConn(ctx context.Context, backend, server string, maxConn int) error {
	return p.plane.SetServerMaxConn(ctx, backend, server, maxConn)
}

// SetLimit implements admin.Engine.
func (p *process) SetLimit(ctx context.Context, profile, key, value string) error {
	return p.plane.SetLimit(ctx, profile, key, value)
}
