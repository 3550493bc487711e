package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"weir/internal/admin"
	"weir/internal/config"
	"weir/sysctl"
)

func newRun() *cobra.Command {
	var file string
	var lasts time.Duration
	c := &cobra.Command{
		Use:   "run [-c FILE]",
		Short: "Run in the foreground; without a file, a demonstration",
		Long: `Run weir in the foreground and log to standard error.

Without a file it demonstrates itself: an origin, a proxy in front of it and a gentle load of many
clients, all on the loopback interface of this machine, with live numbers until Ctrl-C.

Signals: SIGTERM, SIGINT  drain, then exit 0; the second one ends at once
         SIGHUP           reload the file, all of it or nothing
         SIGUSR2          start the binary anew and hand the listeners over`,
		Example: "  weir run\n  weir run -c /etc/weir/weir.toml",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			if lasts > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, lasts)
				defer cancel()
			}
			if file == "" {
				return refused(runDemo(ctx, c.OutOrStdout(), c.ErrOrStderr()))
			}
			return refused(runFile(ctx, file, c.ErrOrStderr(), startEngine))
		},
	}
	c.Flags().StringVarP(&file, "config", "c", "", "configuration `file`")
	c.Flags().DurationVar(&lasts, "for", 0, "drain and end after this `time`")
	return c
}

// runFile runs a configuration file until a signal ends it.
func runFile(ctx context.Context, file string, stderr io.Writer, startPlane starter) error {
	// Before the file is read: a signal that comes while weir starts is answered, not fatal.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGUSR2)
	defer signal.Stop(signals)
	signal.Ignore(unix.SIGPIPE) // who reads our log or access log may go away; that is an error of a write, no more

	inherited, err := receive(os.Getenv(handoverEnv))
	if err != nil {
		return err
	}
	p, err := startFile(file, inherited, stderr, startPlane)
	if err != nil {
		inherited.refuse(err)
	}
	inherited.close()
	if err != nil {
		return err
	}
	p.serve(ctx, signals)
	p.finish()
	return nil
}

// startFile returns a process that serves what a configuration file says.
func startFile(file string, inherited *handover, stderr io.Writer, startPlane starter) (*process, error) {
	cfg, report := config.Load(file)
	if !report.OK() {
		return nil, errors.New(reportText(report))
	}
	level := new(slog.LevelVar)
	level.Set(cfg.Global.LogLevel)
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	logWarnings(log, report)
	if err := prepareKernel(cfg, log); err != nil {
		return nil, err
	}
	p := newProcess(file, cfg, log, level)
	if err := p.start(startPlane, inherited); err != nil {
		return nil, err
	}
	return p, nil
}

// logWarnings logs what a file has besides errors.
func logWarnings(log *slog.Logger, r *config.Report) {
	for i := range r.Problems {
		if w := &r.Problems[i]; w.Severity == config.Warning {
			log.Warn(w.Message, "file", fmt.Sprintf("%s:%d:%d", w.File, w.Line, w.Column))
		}
	}
}

// filesMin is fewer open files than anything can be proxied with: listeners, workers and the control plane alone need some.
const filesMin = 64

func enoughFiles(limit uint64) error {
	if limit < filesMin {
		return fmt.Errorf("the process may have %d open files and needs %d at the very least (ulimit -n, LimitNOFILE=)", limit, filesMin)
	}
	return nil
}

// prepareKernel raises what a process may raise for itself and warns about the rest.
func prepareKernel(cfg *config.Config, log *slog.Logger) error {
	needs := sysctl.NeedsOf(cfg, workersOf(cfg))
	files, err := sysctl.RaiseNoFileTo(uint64(needs.Files()))
	if err != nil {
		log.Warn("limit of open files not raised", "error", err)
	}
	if err == nil {
		if err := enoughFiles(files); err != nil {
			return err
		}
	}
	if files < uint64(needs.Files()) {
		log.Warn("too few open files for the limits of the configuration", "limit", files, "wanted", needs.Files(), "set", "ulimit -n, LimitNOFILE=")
	}
	for _, s := range sysctl.Short(sysctl.Kernel.Check(needs)) {
		log.Warn("kernel setting falls short", "name", s.Name, "is", oneLine(s.Current), "wanted", oneLine(s.Wanted), "breaks", s.Breaks)
	}
	return nil
}

// start opens everything and tells whoever waits for it. After an error nothing is left open.
func (p *process) start(startPlane starter, inherited *handover) (err error) {
	// The runtime socket may bring a reload before everything is open.
	p.change.Lock()
	defer p.change.Unlock()
	p.lives = inherited.lives
	p.generation = inherited.generation + 1
	if p.access, err = openAccessLog(p.cfg.Global.AccessLog); err != nil {
		return err
	}
	p.plane, err = startPlane(p.cfg, planeOptions{log: p.log, access: p.access, generation: p.generation, inherited: inherited.listeners, quic: inherited.quic, lives: inherited.lives})
	if err != nil {
		p.access.close()
		return err
	}
	if err := p.openAdmin(inherited); err != nil {
		p.plane.Stop()
		p.access.close()
		return err
	}
	if err := p.plane.TakeOver(); err != nil {
		closeServer(p.socket)
		closeServer(p.http)
		p.plane.Stop()
		p.access.close()
		return fmt.Errorf("take the clients of HTTP/3 over: %w", err)
	}
	for _, f := range p.cfg.Frontends {
		for _, b := range f.Binds {
			p.log.Info("listening", "frontend", f.Name, "address", b.Address.String(), "tls", b.TLS != nil, "h3", b.H3)
		}
	}
	p.log.Info("ready", "version", thisBuild().Version, "pid", os.Getpid(), "workers", workersOf(p.cfg), "config", p.file)
	p.notify("READY=1", fmt.Sprintf("MAINPID=%d", os.Getpid()))
	return inherited.ready(p.generation)
}

// openAdmin opens the admin listener and the runtime socket. Where one of them is only the default and cannot be had, weir
// runs without it: a proxy must not fail for a socket that nobody asked for.
//
// The runtime socket comes last of all that may fail: in an upgrade it takes the place of the old process's, which could not
// be reached any more if this one failed afterwards.
func (p *process) openAdmin(inherited *handover) error {
	def := config.DefaultGlobal()
	var err error
	if p.http, err = listenHTTP(p.cfg, p, inherited.admin); err != nil {
		if p.cfg.Global.Admin != def.Admin {
			return fmt.Errorf("admin listener: %w", err)
		}
		p.log.Warn("no admin listener", "error", err)
	}
	if p.socket, err = listenSocket(p.cfg, p, inherited.isUpgrade()); err != nil {
		if p.cfg.Global.RuntimeSocket != def.RuntimeSocket {
			closeServer(p.http)
			return err
		}
		p.log.Warn("no runtime socket: 'weir show' and the like cannot reach this process", "error", err)
	}
	return nil
}

// listenSocket opens the runtime socket; nil when the configuration has none.
func listenSocket(cfg *config.Config, e admin.Engine, replace bool) (*admin.Server, error) {
	if cfg.Global.RuntimeSocket == "" {
		return nil, nil
	}
	return admin.Listen(admin.Options{Socket: cfg.Global.RuntimeSocket, Replace: replace}, e)
}

// listenHTTP opens the admin listener, or takes the one that was handed over if it is at the right address; nil when the
// configuration has none.
func listenHTTP(cfg *config.Config, e admin.Engine, handed net.Listener) (*admin.Server, error) {
	if !cfg.Global.Admin.IsValid() {
		return nil, nil
	}
	want := cfg.Global.Admin.String()
	if handed != nil && handed.Addr().String() == want {
		return admin.Listen(admin.Options{HTTPListener: handed}, e)
	}
	return admin.Listen(admin.Options{HTTP: want}, e)
}

// adminCloseTime bounds the wait for answers that are still being read.
const adminCloseTime = 2 * time.Second

func closeServer(s *admin.Server) {
	if s == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), adminCloseTime)
	defer cancel()
	_ = s.Close(ctx) // what it could not finish in time is cut
}

// finish closes the control plane after the data plane has ended: who asked for the end gets the answer first.
func (p *process) finish() {
	p.change.Lock()
	defer p.change.Unlock()
	closeServer(p.socket)
	closeServer(p.http)
	p.closing.Wait()
	p.access.close()
	p.log.Info("over")
}
