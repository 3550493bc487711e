package scenario

import (
	"context"
	"fmt"
	"math"
	"time"

	"weir/bench/load"
	"weir/bench/measure"
)

// overload measures what the server admits, then offers twice that.
func (b *Bench) overload(ctx context.Context, c *cell) error {
	j := b.job(c)
	j.Conns = overloadSlots // As many as the server takes: nothing queues, so this is the capacity.
	r, err := b.runLoad(ctx, j)
	if err != nil {
		return err
	}
	if !c.clean(j, r) {
		return nil
	}
	capacity := r.PerSecond()
	j = b.job(c)
	j.Rate, j.Conns, j.Shed, j.Patience = 2*capacity, 1024, true, 2*time.Second
	j.Warmup, j.Duration = time.Second, b.scaled(b.opt.Open)+500*time.Millisecond
	if r, err = b.runLoad(ctx, j); err != nil {
		return err
	}
	hung := r.Unfinished
	for why, n := range r.Errors {
		if why != "no answer in time" {
			c.row.Fail(fmt.Sprintf("%s (%d)", why, n))
		}
		hung += n
	}
	elapsed := r.Elapsed.Seconds()
	c.row.Add("rate", j.Rate)
	c.row.Add("goodput", r.PerSecond())
	c.row.Add("goodput_share", 100*r.PerSecond()/capacity)
	c.row.Add("shed", float64(r.Shed)/elapsed)
	c.row.Add("hung", float64(hung))
	c.row.Add("cpu_us", micros(r.Used["proxy"].CPU)/float64(max(1, r.Completed+r.Shed)))
	if r.ShedAfter.Count() > 0 {
		c.row.Add("shed_p99_us", micros(r.ShedAfter.Quantile(0.99)))
	}
	c.delays(r)
	return nil
}

// idleOthers is how many client connections besides the idle ones a contender is set up for.
const idleOthers = 500

// idleSettle is how long idle connections stand before their memory is measured. What opening them took and does not last is
// not theirs.
const idleSettle = 2 * time.Second

// idle measures the memory of idle connections and how others fare beside them.
func (b *Bench) idle(ctx context.Context, c *cell) error {
	j := b.job(c)
	r, err := b.runLoad(ctx, j) // The capacity, and a process whose pools and buffers have their usual size.
	if err != nil {
		return err
	}
	if !c.clean(j, r) {
		return nil
	}
	before := measure.Resident(c.run.PID)
	j = b.job(c)
	j.Idle.Conns, j.Gate = c.setup.Conns-idleOthers, true
	j.Rate, j.Duration = r.PerSecond()*loadFraction, b.scaled(b.opt.Open)
	g, err := b.startLoad(ctx, j)
	if err != nil {
		return err
	}
	defer g.end()
	if _, err := g.await("ready"); err != nil {
		return err
	}
	select { // The connections stand, and the gate keeps the window from beginning.
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(idleSettle):
	}
	after := measure.Resident(c.run.PID)
	g.open()
	if r, err = g.result(); err != nil {
		return err
	}
	if !c.clean(j, r) {
		return nil
	}
	n := float64(j.Idle.Conns)
	c.row.Add("idle", n)
	c.row.Add("conn_bytes", math.Max(0, float64(after-before))/n)
	c.row.Add("rss_mib", float64(after)/float64(mib))
	c.row.Add("cpu_us", micros(r.Used["proxy"].CPU)/float64(max(1, r.Completed)))
	c.delays(r)
	return nil
}

const (
	reloadSpan   = 2400 * time.Millisecond
	reloadFirst  = 500 * time.Millisecond
	reloadSecond = 900 * time.Millisecond
)

// reload reloads twice while two sorts of clients are served.
func (b *Bench) reload(ctx context.Context, c *cell) error {
	steady := b.job(c)
	steady.Duration = reloadSpan
	fresh := *steady
	fresh.PerRequest, fresh.Rate, fresh.Conns, fresh.Seed = true, 200, 64, steady.Seed+100
	keep, err := b.startLoad(ctx, steady)
	if err != nil {
		return err
	}
	defer keep.end()
	connect, err := b.startLoad(ctx, &fresh)
	if err != nil {
		return err
	}
	defer connect.end()
	for _, g := range []*generator{keep, connect} {
		if _, err := g.await("measuring"); err != nil {
			return err
		}
	}
	for _, after := range []time.Duration{reloadFirst, reloadSecond} {
		time.Sleep(after)
		if err := c.run.Reload(); err != nil {
			return fmt.Errorf("reload: %w", err)
		}
	}
	r, err := keep.result()
	if err != nil {
		return err
	}
	n, err := connect.result()
	if err != nil {
		return err
	}
	for what, r := range map[string]*load.Result{"keep-alive": r, "new connections": n} {
		for why, k := range r.Errors {
			c.row.Note(fmt.Sprintf("%s: %s (%d)", what, why, k))
		}
	}
	counts, err := b.counts(false)
	if err != nil {
		return err
	}
	c.row.Add("failed", float64(r.Failures()+n.Failures()+n.Unfinished))
	c.row.Add("closed", float64(r.Closed))
	c.row.Add("rps", r.PerSecond())
	c.row.Add("opened", float64(counts.Opened))
	c.delays(r)
	c.row.Timeline = r.Timeline
	if !c.run.Alive() {
		return fmt.Errorf("the contender ended: %s", c.run.Output())
	}
	return nil
}

// reuse counts the server connections that two kinds of clients cause.
func (b *Bench) reuse(ctx context.Context, c *cell) error {
	for _, phase := range []struct {
		name       string
		perRequest bool
	}{{"close", true}, {"keep", false}} {
		j := b.job(c)
		j.PerRequest, j.Requests, j.Warmup = phase.perRequest, reuseRequests, 0
		if _, err := b.counts(true); err != nil {
			return err
		}
		r, err := b.runLoad(ctx, j)
		if err != nil {
			return err
		}
		if !c.clean(j, r) {
			return nil
		}
		counts, err := b.counts(false)
		if err != nil {
			return err
		}
		c.row.Add("requests_"+phase.name, float64(counts.Requests))
		c.row.Add("opened_"+phase.name, float64(counts.Opened))
		c.row.Add("peak_"+phase.name, float64(counts.Peak))
	}
	return nil
}
