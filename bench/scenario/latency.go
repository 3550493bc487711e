package scenario

import (
	"context"
	"fmt"
	"math"

	"weir/bench/contender"
)

// loadFraction is how much of the measured capacity contenders are offered when latency is measured.
const loadFraction = 0.7

// playLatencies plays the open loops of a round, once all of its cells have been played.
func (b *Bench) playLatencies(ctx context.Context, cells []*cell, steps int) error {
	offer := rates(cells)
	for i, c := range cells {
		if offer[i] == 0 {
			continue
		}
		b.opt.Progress.Cell(c.s.Name, c.label()+", latency", c.round+1, b.step, steps)
		play := func(ctx context.Context, c *cell) error { return b.playLatency(ctx, c, offer[i]) }
		if err := b.attempt(ctx, c, play); err != nil {
			return err
		}
	}
	return nil
}

// rates are what each cell is offered when latency is measured: the same for all, since the delay of a faster one at its own
// higher rate tells an operator with a given load nothing. It is a fraction of what the slowest can. Caddy, which carries
// a fraction of what the others do, takes no part in that choice and is offered no more than its own. 0: not measured.
func rates(cells []*cell) []float64 {
	lowest := math.Inf(1)
	for _, c := range cells {
		if c.capacity > 0 && len(c.row.Failures) == 0 && c.bin.Kind != contender.Caddy {
			lowest = min(lowest, c.capacity)
		}
	}
	all := make([]float64, len(cells))
	for i, c := range cells {
		if len(c.row.Failures) == 0 {
			all[i] = loadFraction * min(lowest, c.capacity)
		}
	}
	return all
}

// playLatency starts the contender again and offers it rate requests a second.
func (b *Bench) playLatency(ctx context.Context, c *cell, rate float64) (err error) {
	if c.run, err = b.ground.Start(c.bin, c.setup); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	defer c.run.Stop()
	if err = b.latency(ctx, c, rate); err != nil && !c.run.Alive() {
		return fmt.Errorf("%w; the contender ended: %s", err, c.run.Output())
	}
	return err
}

// latency runs the open loop.
func (b *Bench) latency(ctx context.Context, c *cell, rate float64) error {
	j := b.job(c)
	j.Rate, j.Duration = rate, b.scaled(b.opt.Open)
	r, err := b.runLoad(ctx, j)
	if err != nil {
		return err
	}
	if c.clean(j, r) {
		c.row.Add("rate", rate)
		c.row.Add("lag_p99_us", micros(r.Lag.Quantile(0.99)))
		c.delays(r)
	}
	return nil
}
