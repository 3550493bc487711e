package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"time"

	"weir/bench/contender"
	"weir/bench/measure"
	"weir/bench/origin"
	"weir/bench/report"
)

// Options is how a bench runs.
type Options struct {
	Title      string
	Scenarios  []Scenario
	Contenders []contender.Spec
	Rounds     int
	Closed     time.Duration // closed-loop measurement
	Open       time.Duration // open-loop measurement
	Warmup     time.Duration
	Budget     time.Duration // the whole run; measurements get shorter rather than exceed it
	IdleConns  int
	ProxyCPUs  []int
	OriginCPUs []int
	LoadCPUs   []int
	Tracer     string // "strace", "perf", "" for whichever there is, "off"
	Engine     string // of the origin
	Progress   Progress
}

// Progress is told what happens. Calls come one at a time.
type Progress interface {
	// Cell begins a cell: step of steps.
	Cell(scenario, contender string, round, step, steps int)
	// Scenario ends a scenario.
	Scenario(s *report.Scenario)
}

// Bench is one run. It is used by one goroutine.
type Bench struct {
	opt      Options
	launcher *contender.Launcher
	ground   *contender.Ground
	binaries []*contender.Binary
	report   *report.Report
	control  string
	origin   int // process
	deadline time.Time
	step     int
	rest     []Scenario    // those to come after the present one
	spare    time.Duration // for measuring again what others disturbed
	paced    int           // rounds that the budget allows
	scale    float64       // of all measuring times, to stay within the budget
	slip     float64       // how much longer than estimated everything else takes

	tookFixed, estimated time.Duration // the sums that slip comes from
	files                uint64
}

// Run plays all scenarios and returns the record. An error means that the bench itself could not go on; what contenders
// do wrong is in the record.
func Run(ctx context.Context, opt Options) (*report.Report, error) {
	b := &Bench{opt: opt, launcher: contender.NewLauncher(), deadline: time.Now().Add(opt.Budget),
		spare: opt.Budget / 10, paced: opt.Rounds, scale: 1, slip: 1}
	b.files = contender.RaiseFileLimit(1 << 20)
	dir, err := os.MkdirTemp("", "weir-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	b.report = &report.Report{Format: report.Format, Title: opt.Title, Started: time.Now().UTC(), Machine: machine(b.files)}
	b.method()
	b.find()
	stop, addr, err := b.startOrigin()
	if err != nil {
		return nil, err
	}
	defer stop()
	cert, err := contender.NewCertificate(dir)
	if err != nil {
		return nil, err
	}
	b.ground = &contender.Ground{Launcher: b.launcher, CPUs: opt.ProxyCPUs, Origin: addr, Dir: dir, Cert: cert}
	for i, s := range opt.Scenarios {
		b.rest = opt.Scenarios[i+1:]
		b.pace(opt.Scenarios[i:])
		out := &report.Scenario{Name: s.Name, Group: s.Group, Title: s.Title, About: s.About, Columns: s.columns(), Saves: s.saves, Over: s.over,
			Rounds: b.rounds(s), Scale: b.scale}
		b.report.Scenarios = append(b.report.Scenarios, out)
		began, spare := time.Now(), b.spare
		if err := b.playScenario(ctx, s, out); err != nil {
			return b.report, err
		}
		b.learn(s, time.Since(began)-(spare-b.spare))
		opt.Progress.Scenario(out)
	}
	b.report.Took = report.Seconds(time.Since(b.report.Started).Seconds())
	return b.report, nil
}

func (b *Bench) method() {
	o := b.opt
	b.report.Method = report.Method{Rounds: o.Rounds, Closed: report.Seconds(o.Closed.Seconds()),
		Open: report.Seconds(o.Open.Seconds()), Warmup: report.Seconds(o.Warmup.Seconds()), LoadFraction: loadFraction,
		ProxyCPUs: o.ProxyCPUs, OriginCPUs: o.OriginCPUs, LoadCPUs: o.LoadCPUs, Tracer: o.Tracer, OriginEngine: o.Engine}
}

// find looks for all contenders; those that are missing stay in the record with the reason.
func (b *Bench) find() {
	for _, spec := range b.opt.Contenders {
		c := report.Contender{Name: spec.Name, Kind: spec.Kind}
		bin, err := contender.Find(spec)
		if err != nil {
			c.Missing = err.Error()
		} else {
			c.About, c.Path, c.Version, c.Details = bin.About, bin.Path, bin.Version, bin.Details
			b.binaries = append(b.binaries, bin)
		}
		b.report.Contenders = append(b.report.Contenders, c)
	}
}

// startOrigin starts the origin of the whole run on its CPUs.
func (b *Bench) startOrigin() (stop func(), addr netip.AddrPort, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, addr, err
	}
	cmd := exec.Command(self, "origin", "--engine", b.opt.Engine, "--listen", freeAddr(19080), "--control", freeAddr(19500))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, addr, err
	}
	if err := b.launcher.Start(cmd, b.opt.OriginCPUs); err != nil {
		return nil, addr, err
	}
	stop = func() { contender.Kill(cmd) }
	var at origin.Addresses
	if err := json.NewDecoder(out).Decode(&at); err != nil {
		stop()
		return nil, addr, fmt.Errorf("the origin did not start: %w", err)
	}
	b.origin, b.control = cmd.Process.Pid, "http://"+at.Control.String()
	return stop, at.Serve, nil
}

// freeAddr is a loopback address with a free port from first on, below the range of outgoing connections.
func freeAddr(first int) string {
	for port := first; ; port++ {
		addr := net.JoinHostPort(contender.Host().String(), fmt.Sprint(port))
		if ln, err := net.Listen("tcp4", addr); err == nil {
			ln.Close()
			return addr
		}
	}
}

// counts reads the origin's counters, and resets them when reset is true.
func (b *Bench) counts(reset bool) (c origin.Counts, err error) {
	client := http.Client{Timeout: 2 * time.Second}
	rsp, err := client.Get(b.control + "/counts")
	if reset {
		if err == nil {
			rsp.Body.Close()
		}
		rsp, err = client.Post(b.control+"/reset", "", nil)
	}
	if err != nil {
		return c, err
	}
	defer rsp.Body.Close()
	text, err := io.ReadAll(rsp.Body)
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(text, &c)
}

// playScenario plays all rounds of one scenario over all contenders.
func (b *Bench) playScenario(ctx context.Context, s Scenario, out *report.Scenario) error {
	cells := b.cells(s, out)
	rounds := b.rounds(s)
	steps := b.steps() + rounds*len(cells)
	totals := map[*report.Row]*measure.Histogram{}
	for round := range rounds {
		order := make([]*cell, 0, len(cells))
		for i := range cells {
			c := &cells[(i+round)%len(cells)] // Each round starts at another contender.
			if len(c.row.Failures) > 0 && round > 0 {
				continue // A row that failed stays failed; its time is better spent on others.
			}
			order = append(order, c)
			b.step++
			b.opt.Progress.Cell(s.Name, c.label(), round+1, b.step, steps)
			c.round, c.total = round, totals[c.row]
			if c.total == nil {
				c.total = new(measure.Histogram)
				totals[c.row] = c.total
			}
			if err := b.attempt(ctx, c, b.playCell); err != nil {
				return err
			}
		}
		if s.latency {
			if err := b.playLatencies(ctx, order, steps); err != nil {
				return err
			}
		}
	}
	for row, h := range totals {
		row.Latency = points(h)
	}
	return nil
}

// attempt plays a part of a cell. What goes wrong is the row's; an error is returned only when the run is to end.
func (b *Bench) attempt(ctx context.Context, c *cell, play func(context.Context, *cell) error) error {
	err := play(ctx, c)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		c.row.Fail(err.Error())
	}
	return nil
}

// cells makes the rows of a scenario: one a contender, with the reason where it cannot take part, or several for the
// reuse modes.
func (b *Bench) cells(s Scenario, out *report.Scenario) (cells []cell) {
	for _, bin := range b.binaries {
		if bin.Kind == contender.Netpoll && !s.netpoll {
			continue // It stands for what an event library costs, which three scenarios show.
		}
		for _, v := range s.variants() {
			row := &report.Row{Contender: bin.Name, Variant: v.name}
			if why := bin.Lacks(v.setup); why != "" {
				if s.play != playReuse && !(bin.Kind == contender.Spliced && !v.setup.Splice) {
					row.Absent = why
					out.Rows = append(out.Rows, row)
				}
				continue
			}
			out.Rows = append(out.Rows, row)
			cells = append(cells, cell{s: s, setup: v.setup, bin: bin, row: row})
		}
	}
	return cells
}

// points are the quantiles that plots show.
func points(h *measure.Histogram) (p []report.Point) {
	if h.Count() == 0 {
		return nil
	}
	for _, q := range []float64{0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999} {
		if float64(h.Count())*(1-q) < 1 {
			break // There is nothing above it to tell it from the maximum.
		}
		p = append(p, report.Point{Quantile: q, Micros: float64(h.Quantile(q)) / 1e3})
	}
	return p
}

// Select picks scenarios of the catalogue by name; none means all. quick keeps those of the quick bench.
func Select(names []string, quick bool) (picked []Scenario, err error) {
	var known []string
	for _, s := range Catalogue() {
		known = append(known, s.Name)
		if len(names) == 0 && (s.quick || !quick) || slices.Contains(names, s.Name) {
			picked = append(picked, s)
		}
	}
	for _, n := range names {
		if !slices.Contains(known, n) {
			err = errors.Join(err, fmt.Errorf("no scenario called %q", n))
		}
	}
	return picked, err
}
