package scenario

import (
	"time"

	"weir/bench/contender"
)

// variant is a setup a scenario plays for each contender.
type variant struct {
	name  string
	setup contender.Setup
}

func (s Scenario) variants() []variant {
	if s.play != playReuse {
		return []variant{{"", s.setup}}
	}
	var all []variant
	for _, back := range []contender.Back{contender.BackH1, contender.BackH2} {
		for _, mode := range []contender.Reuse{contender.ReuseNever, contender.ReuseSafe, contender.ReuseAggressive,
			contender.ReuseAlways} {
			v := variant{string(mode) + ", " + string(back) + " server", s.setup}
			v.setup.Reuse, v.setup.Back = mode, back
			all = append(all, v)
		}
	}
	return all
}

// columns are the metrics that a scenario's table shows.
func (s Scenario) columns() []string {
	switch s.play {
	case playOverload:
		return []string{"goodput", "goodput_share", "p50_us", "p99_us", "shed", "shed_p99_us", "hung", "cpu_us"}
	case playIdle:
		return []string{"idle", "conn_bytes", "rss_mib", "cpu_us", "p50_us", "p99_us", "p999_us"}
	case playReload:
		return []string{"failed", "closed", "rps", "p99_us", "max_ms", "opened"}
	case playReuse:
		return []string{"requests_close", "opened_close", "peak_close", "requests_keep", "opened_keep", "peak_keep"}
	}
	cols := []string{"cpu_us", "cpu_user_us", "cpu_kernel_us", "rps"}
	if s.job.Expect+s.job.Body >= mib {
		cols = []string{"cpu_s_gib", "mib_s"}
	}
	if s.latency {
		cols = append(cols, "rate", "p50_us", "p99_us", "p999_us")
	}
	if s.traced {
		cols = append(cols, "calls", "mallocs")
	}
	return append(cols, "rss_mib", "proxy_busy", "load_busy")
}

// rounds is how many times a scenario is played. Idle connections take long to open and their memory hardly varies.
func (b *Bench) rounds(s Scenario) int {
	if s.play == playIdle {
		return 1
	}
	return b.paced
}

// cost is how long one cell of a scenario takes when nothing is scaled down, and how much of that can be.
func (b *Bench) cost(s Scenario) (fixed, elastic time.Duration) {
	const start = 250 * time.Millisecond
	o := b.opt
	switch s.play {
	case playOverload:
		return start + 2*time.Second, o.Closed + o.Open
	case playIdle:
		n := b.idleConns(s)
		per := 110 * time.Microsecond
		if s.setup.TLS() {
			per = 1200 * time.Microsecond
		}
		return start + idleSettle + time.Duration(n)*per, o.Closed + o.Open
	case playReload:
		return start + reloadSpan + time.Second, 0
	case playReuse:
		return start + 800*time.Millisecond, 0
	}
	fixed, elastic = start+o.Warmup+60*time.Millisecond, o.Closed
	if s.latency {
		fixed, elastic = fixed+start+o.Warmup+120*time.Millisecond, elastic+o.Open
	}
	return fixed, elastic
}

// scaleMin is how short measuring times may become before rounds are given up instead.
const scaleMin = 0.3

// pace decides what the remaining scenarios can afford: first measuring times shrink, then rounds go. What the scenarios
// so far took beyond their estimate is expected of the others, too; a busy machine starts processes slowly.
func (b *Bench) pace(rest []Scenario) {
	left := time.Until(b.deadline) - b.spare - 2*time.Second
	for b.paced = b.opt.Rounds; ; b.paced-- {
		fixed, elastic := b.estimate(rest)
		fixed = time.Duration(float64(fixed) * b.slip)
		b.scale = 1
		if fixed+elastic > left && elastic > 0 {
			b.scale = float64(left-fixed) / float64(elastic)
		}
		if b.scale >= scaleMin || b.paced == 1 {
			b.scale = max(b.scale, scaleMin)
			return
		}
	}
}

// estimate is how long scenarios take, and how much of that can be scaled.
func (b *Bench) estimate(list []Scenario) (fixed, elastic time.Duration) {
	for _, s := range list {
		f, e := b.cost(s)
		cells := time.Duration(b.playing(s))
		n := time.Duration(b.rounds(s)) * cells
		fixed, elastic = fixed+n*f, elastic+n*e
		if s.traced && b.opt.Tracer != "off" {
			fixed += cells * tracedCost
		}
	}
	return fixed, elastic
}

// tracedCost is how long the counted runs of a cell take.
const tracedCost = 1800 * time.Millisecond

// learn compares how long a scenario took with its estimate.
func (b *Bench) learn(s Scenario, took time.Duration) {
	fixed, elastic := b.estimate([]Scenario{s})
	b.tookFixed += max(0, took-time.Duration(float64(elastic)*b.scale))
	b.estimated += fixed
	if b.estimated > 0 {
		b.slip = min(4, max(1, float64(b.tookFixed)/float64(b.estimated)))
	}
}

// playing is how many cells a round of a scenario has.
func (b *Bench) playing(s Scenario) (n int) {
	for _, bin := range b.binaries {
		if bin.Kind == contender.Netpoll && !s.netpoll {
			continue
		}
		for _, v := range s.variants() {
			if bin.Lacks(v.setup) == "" {
				n++
			}
		}
	}
	return n
}

// steps is the number of cells of the whole run, as far as it is known: fewer when rounds have to go.
func (b *Bench) steps() int {
	n := b.step
	for _, s := range b.rest {
		n += b.rounds(s) * b.playing(s)
	}
	return n
}

// scaled is a measuring time within the budget.
func (b *Bench) scaled(d time.Duration) time.Duration {
	return max(time.Duration(float64(d)*b.scale), 150*time.Millisecond)
}

// idleConns is how many idle connections a scenario holds, the same for all contenders: as many as the limit of open files
// leaves room for when a connection takes two, as it does in a relay and in a proxy that sets descriptors aside for its
// servers.
func (b *Bench) idleConns(s Scenario) int {
	n := min(b.opt.IdleConns, (int(b.files)-idleReserve)/2)
	if s.setup.TLS() {
		n = min(n, 5000)
	}
	return max(n, 16)
}

// idleReserve is what else than idle connections a process opens.
const idleReserve = 2500
