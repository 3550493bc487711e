package scenario

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"weir/bench/contender"
	"weir/bench/load"
	"weir/bench/measure"
	"weir/bench/report"
)

// cell is one contender in one round of one scenario.
type cell struct {
	s     Scenario
	setup contender.Setup
	bin   *contender.Binary
	row   *report.Row
	round int
	total *measure.Histogram // latencies of all rounds
	run   *contender.Running

	capacity float64 // requests a second of the present round's closed loop
}

func (c *cell) label() string {
	if c.row.Variant != "" {
		return c.row.Contender + " (" + c.row.Variant + ")"
	}
	return c.row.Contender
}

// playCell starts the contender, plays its part and stops it.
func (b *Bench) playCell(ctx context.Context, c *cell) (err error) {
	if c.s.play == playIdle {
		c.setup.Conns = b.idleConns(c.s) + idleOthers
	}
	c.capacity = 0
	if c.run, err = b.ground.Start(c.bin, c.setup); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	defer c.run.Stop()
	if c.round == 0 {
		c.row.Command, c.row.Config = c.run.Command, c.run.Config
	}
	if c.round == 0 && c.s.play != playReuse { // There the connections it leaves in the pool would spoil the counts.
		if err := preflight(c.run, b.ground.Cert.Cert); err != nil {
			return fmt.Errorf("does not forward as it should: %w", err)
		}
	}
	if _, err := b.counts(true); err != nil {
		return err
	}
	if err := b.play(ctx, c); err != nil {
		return err
	}
	counts, err := b.counts(false)
	if err == nil && counts.Refused > 0 {
		c.row.Fail(fmt.Sprintf("the origin was sent %d requests that make no sense", counts.Refused))
	}
	return err
}

// play has the running contender do its part, whatever that is.
func (b *Bench) play(ctx context.Context, c *cell) (err error) {
	switch c.s.play {
	case playOverload:
		err = b.overload(ctx, c)
	case playIdle:
		err = b.idle(ctx, c)
	case playReload:
		err = b.reload(ctx, c)
	case playReuse:
		err = b.reuse(ctx, c)
	default:
		err = b.load(ctx, c)
	}
	if err != nil && !c.run.Alive() {
		return fmt.Errorf("%w; the contender ended: %s", err, c.run.Output())
	}
	return err
}

// sources are the loopback addresses that clients connect from: one has 28,000 ports, and a closed connection keeps its
// port for a while.
var sources = func() (all []netip.Addr) {
	for i := range 16 {
		all = append(all, netip.AddrFrom4([4]byte{127, 0, 1, byte(1 + i)}))
	}
	return all
}()

// job is the scenario's job against the running contender.
func (b *Bench) job(c *cell) *load.Job {
	j := c.s.job
	j.Addr, j.Sources, j.Seed = c.run.Place.Listen, sources, uint64(c.round+1)
	j.Warmup, j.Duration = b.opt.Warmup, b.scaled(b.opt.Closed)
	j.Watch = map[string]int{"proxy": c.run.PID, "origin": b.origin}
	return &j
}

// load plays an ordinary scenario.
func (b *Bench) load(ctx context.Context, c *cell) error {
	j := b.job(c)
	r, err := b.undisturbed(ctx, j)
	if err != nil {
		return err
	}
	if !c.clean(j, r) || !c.cost(j, r) {
		return nil
	}
	c.row.Add("rss_mib", float64(measure.Resident(c.run.PID))/float64(mib))
	c.capacity = r.PerSecond()
	if c.s.traced && c.round == 0 {
		return b.instrument(ctx, c)
	}
	return nil
}

// undisturbed runs a closed loop, and runs it again when other processes used the CPUs meanwhile, as long as the time set
// aside for that lasts. Of several disturbed runs the least disturbed one counts: which one that is does not depend on
// how the contender did.
func (b *Bench) undisturbed(ctx context.Context, j *load.Job) (best *load.Result, err error) {
	for try := range disturbedTries {
		if try > 0 {
			b.spare -= j.Warmup + j.Duration
		}
		r, err := b.runLoad(ctx, j)
		if err != nil {
			return nil, err
		}
		if best == nil || others(r) < others(best) {
			best = r
		}
		if others(best) <= report.OthersMax || b.spare <= 0 {
			break
		}
	}
	return best, nil
}

const disturbedTries = 4

func percent(d time.Duration, r *load.Result) float64 { return 100 * d.Seconds() / r.Elapsed.Seconds() }

// others is how much of a CPU, in per cent, went to processes that are no part of the measurement.
func others(r *load.Result) float64 {
	known := r.Used["proxy"].CPU + r.Used["load"].CPU + r.Used["origin"].CPU
	return max(0, percent(r.Used["machine"].CPU-known, r))
}

// cost adds what a closed loop tells: CPU time a request, throughput, and who was busy. False: there is nothing to tell.
func (c *cell) cost(j *load.Job, r *load.Result) bool {
	worth, proxy := r.Worth(j), r.Used["proxy"]
	if worth == 0 {
		c.row.Fail("nothing was completed")
		return false
	}
	c.row.Add("cpu_us", micros(proxy.CPU)/worth)
	c.row.Add("cpu_user_us", micros(proxy.User)/worth)
	c.row.Add("cpu_kernel_us", micros(proxy.Kernel)/worth)
	c.row.Add("rps", worth/r.Elapsed.Seconds())
	if size := j.Body + j.Expect; size >= mib {
		c.row.Add("cpu_s_gib", proxy.CPU.Seconds()/(worth*float64(size)/float64(1<<30)))
		c.row.Add("mib_s", worth*float64(size)/float64(mib)/r.Elapsed.Seconds())
	}
	if r.TLSInfo != nil {
		c.row.TLS = fmt.Sprintf("%s, %s, %s, ALPN %s", r.TLSInfo.Version, r.TLSInfo.Cipher, r.TLSInfo.Curve, r.TLSInfo.ALPN)
	}
	c.busy(r)
	return true
}

// busy adds who used the CPUs, and notes when a figure is not what it seems.
func (c *cell) busy(r *load.Result) {
	proxy, ours, others := percent(r.Used["proxy"].CPU, r), percent(r.Used["load"].CPU+r.Used["origin"].CPU, r), others(r)
	c.row.Add("proxy_busy", proxy)
	c.row.Add("load_busy", ours)
	c.row.Add("others_busy", others)
	switch {
	case others > report.OthersMax:
		c.row.Note(fmt.Sprintf("round %d: other processes used %.0f %% of a CPU meanwhile: the figures are disturbed", c.round+1,
			others))
	case proxy < 90 && ours > 90:
		c.row.Note("throughput is limited by load generator and origin, not by the contender")
	}
}

// delays adds what an open loop tells.
func (c *cell) delays(r *load.Result) {
	c.row.Add("p50_us", micros(r.Latency.Quantile(0.5)))
	c.row.Add("p99_us", micros(r.Latency.Quantile(0.99)))
	c.row.Add("p999_us", micros(r.Latency.Quantile(0.999)))
	c.row.Add("max_ms", float64(r.Latency.Max())/1e6)
	c.total.Merge(&r.Latency)
}

// clean fails the row for anything that went wrong, and says whether all was well.
func (c *cell) clean(j *load.Job, r *load.Result) bool {
	before := len(c.row.Failures)
	for why, n := range r.Errors {
		c.row.Fail(fmt.Sprintf("%s (%d of %d; statuses %v)", why, n, n+r.Completed, r.Statuses))
	}
	if r.Unfinished > 0 {
		c.row.Note(fmt.Sprintf("round %d: %d of %d requests had no answer a second after the end", c.round+1, r.Unfinished,
			r.Unfinished+r.Completed))
	}
	if info := r.TLSInfo; info != nil && j.PerRequest {
		resumed := float64(info.Resumed) / float64(max(1, info.Handshakes))
		if j.TLS == load.Resumed && resumed < 0.95 || j.TLS == load.Full && resumed > 0 {
			c.row.Fail(fmt.Sprintf("%d of %d handshakes were resumed", info.Resumed, info.Handshakes))
		}
	}
	return len(c.row.Failures) == before
}

// instrument counts system calls and allocations in runs of their own: nothing is timed while a tracer is attached.
func (b *Bench) instrument(ctx context.Context, c *cell) error {
	j := b.job(c)
	j.Gate, j.Requests = true, mallocRequests
	if c.run.CountsMallocs() {
		if n, err := b.counted(ctx, j, c.mallocs); err != nil {
			c.row.Note("allocations: " + err.Error())
		} else {
			c.row.Add("mallocs", n)
		}
	}
	if b.opt.Tracer == "off" {
		return nil
	}
	j.Requests = tracedRequests
	n, err := b.counted(ctx, j, func(during func() error) (float64, error) { return b.trace(c, during) })
	if err != nil {
		c.row.Note("system calls: " + err.Error())
		return ctx.Err()
	}
	c.row.Add("calls", n)
	return nil
}

// How many requests counted runs make. Under strace each costs a hundred times what it should; allocations must stand
// out from those that a Go process makes without any request.
const (
	tracedRequests = 3000
	mallocRequests = 20000
)

// counted runs a gated job of a known number of requests inside what count does before and after, and returns what was
// counted a request.
func (b *Bench) counted(ctx context.Context, j *load.Job, count func(func() error) (float64, error)) (float64, error) {
	g, err := b.startLoad(ctx, j)
	if err != nil {
		return 0, err
	}
	defer g.end()
	if _, err := g.await("ready"); err != nil {
		return 0, err
	}
	n, err := count(func() error {
		g.open()
		r, err := g.result()
		if err == nil && r.Completed != j.Requests {
			err = fmt.Errorf("%d of %d requests completed: %v", r.Completed, j.Requests, r.Errors)
		}
		return err
	})
	return n / float64(j.Requests), err
}

// mallocs counts heap objects. Asking allocates too: the first two answers tell how much.
func (c *cell) mallocs(during func() error) (float64, error) {
	var at [3]float64
	for i := range at {
		if i == 2 {
			if err := during(); err != nil {
				return 0, err
			}
		}
		var err error
		if at[i], err = c.run.Mallocs(); err != nil {
			return 0, err
		}
	}
	return max(0, at[2]-at[1]-(at[1]-at[0])), nil
}

func (b *Bench) trace(c *cell, during func() error) (float64, error) {
	t, err := measure.StartTracer(b.opt.Tracer, c.run.PID)
	if err != nil {
		return 0, err
	}
	runErr := during()
	calls, err := t.Stop()
	if runErr != nil {
		return 0, runErr
	}
	if err != nil {
		return 0, err
	}
	b.report.Method.Tracer = t.Tool
	c.row.Calls = map[string]float64{}
	for _, name := range calls.Names() {
		c.row.Calls[name] = float64(calls[name]) / tracedRequests
	}
	return float64(calls.Total()), nil
}

func micros(d time.Duration) float64 { return float64(d) / 1e3 }
