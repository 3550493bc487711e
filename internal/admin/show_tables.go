package admin

import (
	"fmt"
	"strconv"
	"time"

	"weir/internal/stats"
)

// RenderServersConn is `weir show servers conn`: a line for each server, then one for each worker's shard of it, named
// backend/server[worker]. A shard's idle connections stand under its own worker.
func RenderServersConn(s *stats.Snapshot) string {
	header := []string{"backend/server", "state", "used", "idle-safe", "idle-fresh", "private", "need", "limit",
		"opened", "reused", "taken-over", "closed"}
	for w := range s.Workers {
		header = append(header, idleColumn(w))
	}
	t := newTable(2, header...)
	eachServer(s, func(v *stats.ServerRow) {
		name := v.Backend + "/" + v.Name
		t.add(poolCells(name, &v.Pool, v.Idle)...)
		for w := range v.Shards {
			idle := make([]int64, len(v.Idle))
			idle[w] = v.Idle[w]
			t.add(poolCells(name+"["+strconv.Itoa(w)+"]", &v.Shards[w], idle)...)
		}
	})
	return t.String()
}

func idleColumn(worker int) string { return "idle[" + strconv.Itoa(worker) + "]" }

// eachServer visits the servers that are configured or still have connections. One that is neither lives on in the
// metrics, where a counter must not vanish.
func eachServer(s *stats.Snapshot, visit func(*stats.ServerRow)) {
	for i := range s.Backends {
		for j := range s.Backends[i].Servers {
			v := &s.Backends[i].Servers[j]
			if v.State != stats.StateGone.String() || live(&v.Pool) > 0 {
				visit(v)
			}
		}
	}
}

func poolCells(name string, p *stats.Pool, idle []int64) []any {
	cells := []any{name, p.State, p.Used, p.IdleSafe, p.IdleFresh, p.Private, p.Need, p.Limit,
		p.Opened, p.Reused, p.TakenOver, p.Closed}
	for _, n := range idle {
		cells = append(cells, n)
	}
	return cells
}

// ServersConnJSON is `weir show servers conn --json` and /api/servers: a list of servers with the table's columns as keys,
// and more.
func ServersConnJSON(s *stats.Snapshot) any {
	list := []object{}
	eachServer(s, func(v *stats.ServerRow) {
		o := object{{"backend/server", v.Backend + "/" + v.Name}}
		o = append(o, poolMembers(&v.Pool)...)
		shards := []object{}
		for w, n := range v.Idle {
			o = append(o, member{idleColumn(w), n})
			shard := append(object{{"worker", w}}, poolMembers(&v.Shards[w])...)
			shards = append(shards, append(shard, member{idleColumn(w), n}))
		}
		list = append(list, append(o, object{
			{"backend", v.Backend}, {"server", v.Name}, {"address", v.Address}, {"weight", v.Weight},
			{"opened-why", v.OpenedWhy}, {"closed-cause", v.ClosedCause}, {"errors", v.Errors}, {"shards", shards},
		}...))
	})
	return list
}

func poolMembers(p *stats.Pool) object {
	return object{
		{"state", p.State}, {"used", p.Used}, {"idle-safe", p.IdleSafe}, {"idle-fresh", p.IdleFresh},
		{"private", p.Private}, {"need", p.Need}, {"limit", p.Limit}, {"opened", p.Opened}, {"reused", p.Reused},
		{"taken-over", p.TakenOver}, {"closed", p.Closed}, {"connecting", p.Connecting}, {"draining", p.Draining},
		{"in-flight", p.InFlight}, {"requests", p.Requests}, {"given-away", p.GivenAway},
		{"bytes-in", p.BytesIn}, {"bytes-out", p.BytesOut},
	}
}

// RenderStat is `weir show stat`: what went through every frontend, backend and server.
func RenderStat(s *stats.Snapshot) string {
	t := newTable(3, "kind", "name", "state", "conns", "conns-total", "in-flight", "requests",
		"1xx", "2xx", "3xx", "4xx", "5xx", "queue", "retries", "errors", "bytes-in", "bytes-out")
	for i := range s.Frontends {
		f := &s.Frontends[i]
		n := codes(f.Requests, "")
		t.add("frontend", f.Name, "-", sum(f.Connections), sum(f.ConnectionsTotal), f.InFlight, n.all,
			n.of["1xx"], n.of["2xx"], n.of["3xx"], n.of["4xx"], n.of["5xx"], 0, 0,
			sum(f.HandshakeFailures), f.BytesIn, f.BytesOut)
	}
	for i := range s.Backends {
		b := &s.Backends[i]
		var p poolSum
		for j := range b.Servers {
			p.add(&b.Servers[j])
		}
		var n codeCounts
		for j := range s.Frontends {
			n.add(codes(s.Frontends[j].Requests, b.Name))
		}
		t.add("backend", b.Name, "-", p.conns, p.opened, p.inFlight, n.all,
			n.of["1xx"], n.of["2xx"], n.of["3xx"], n.of["4xx"], n.of["5xx"], b.QueueLength, retries(b),
			p.errors, p.bytesIn, p.bytesOut)
	}
	eachServer(s, func(v *stats.ServerRow) {
		var p poolSum
		p.add(v)
		t.add("server", v.Backend+"/"+v.Name, v.State, p.conns, p.opened, p.inFlight, v.Requests,
			"-", "-", "-", "-", "-", "-", "-", p.errors, p.bytesIn, p.bytesOut)
	})
	return t.String()
}

// codeCounts is how many exchanges ended with each class of status.
type codeCounts struct {
	all uint64
	of  map[string]uint64
}

func (c *codeCounts) add(d codeCounts) {
	if c.of == nil {
		c.of = map[string]uint64{}
	}
	c.all += d.all
	for code, n := range d.of {
		c.of[code] += n
	}
}

// codes sums the rows of one backend; "" sums all.
func codes(rows []stats.RequestRow, backend string) codeCounts {
	c := codeCounts{of: map[string]uint64{}}
	for i := range rows {
		if backend == "" || rows[i].Backend == backend {
			c.all += rows[i].Count
			c.of[rows[i].Code] += rows[i].Count
		}
	}
	return c
}

// poolSum is what servers add up to.
type poolSum struct {
	conns, inFlight                   int64
	opened, errors, bytesIn, bytesOut uint64
}

func (p *poolSum) add(v *stats.ServerRow) {
	p.conns += live(&v.Pool)
	p.inFlight += v.InFlight
	p.opened += v.Opened
	p.errors += sum(v.Errors)
	p.bytesIn += v.BytesIn
	p.bytesOut += v.BytesOut
}

func retries(b *stats.BackendRow) (n uint64) {
	for i := range b.Retries {
		if b.Retries[i].Outcome != stats.OutcomeRefused.String() {
			n += b.Retries[i].Count
		}
	}
	return n
}

func sum[K comparable, N int64 | uint64](m map[K]N) (n N) {
	for _, v := range m {
		n += v
	}
	return n
}

// StatJSON is `weir show stat --json`.
func StatJSON(s *stats.Snapshot) any {
	return object{{"time", s.Time}, {"frontends", list(s.Frontends)}, {"backends", list(s.Backends)},
		{"workers", list(s.Workers)}, {"answers", s.Answers}}
}

// RenderBackends is `weir show backends`: a line for each, with the quantiles of its times.
func RenderBackends(s *stats.Snapshot) string {
	t := newTable(1, "backend", "servers", "ready", "used", "idle", "private", "queue", "rejected", "retries",
		"request-p50", "request-p99", "connect-p50", "connect-p99", "queue-p99", "requests/conn")
	for i := range s.Backends {
		b := &s.Backends[i]
		var p stats.Pool
		servers, ready := 0, 0
		for j := range b.Servers {
			v := &b.Servers[j]
			if v.State != stats.StateGone.String() {
				servers++
			}
			if v.State == stats.StateReady.String() || v.State == stats.StateSlowStart.String() {
				ready++
			}
			p.Used += v.Used
			p.IdleSafe += v.IdleSafe + v.IdleFresh
			p.Private += v.Private
		}
		t.add(b.Name, servers, ready, p.Used, p.IdleSafe, p.Private, b.QueueLength, sum(b.QueueRejected), retries(b),
			quantile(&b.RequestDuration, 0.5), quantile(&b.RequestDuration, 0.99),
			quantile(&b.ConnectDuration, 0.5), quantile(&b.ConnectDuration, 0.99),
			quantile(&b.QueueWait, 0.99), mean(&b.RequestsPerConn))
	}
	return t.String()
}

// quantile is a duration a person can read: three digits are more than a bucket knows.
func quantile(h *stats.Histogram, q float64) string {
	if h.Count() == 0 {
		return "-"
	}
	return durationText(time.Duration(h.Quantile(q)))
}

func durationText(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(time.Second).String()
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	case d >= 10*time.Microsecond:
		return d.Round(time.Microsecond).String()
	}
	return d.String()
}

func mean(h *stats.Histogram) string {
	if h.Count() == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", float64(h.Sum())/float64(h.Count()))
}

// BackendsJSON is `weir show backends --json`.
func BackendsJSON(s *stats.Snapshot) any { return list(s.Backends) }

// list makes JSON say [] where Go has nil.
func list[T any](rows []T) []T {
	if rows == nil {
		return []T{}
	}
	return rows
}
