package main

import (
	"sort"
	"time"

	"weir/internal/stats"
)

// frame is what `weir top` shows: two snapshots and the time between them, made into numbers a person looks for. It is
// also the JSON form.
type frame struct {
	Time       time.Time `json:"time"`
	Seconds    float64   `json:"seconds"` // between the two snapshots; rates are over it
	Version    string    `json:"version"`
	State      string    `json:"state"`
	Generation uint64    `json:"generation"`
	Uptime     float64   `json:"uptime-seconds"`

	Clients      int64            `json:"client-connections"`
	ByProtocol   map[string]int64 `json:"client-connections-by-protocol"`
	Servers      int64            `json:"server-connections"`
	InFlight     int64            `json:"requests-in-flight"`
	Requests     float64          `json:"requests-per-second"`
	Errors       float64          `json:"5xx-per-second"`
	Opened       float64          `json:"server-connections-opened-per-second"`
	Reused       float64          `json:"reused-share"` // of the exchanges in the time, on a connection that was there
	P50          float64          `json:"p50-seconds"`
	P99          float64          `json:"p99-seconds"`
	BytesIn      float64          `json:"bytes-in-per-second"`
	BytesOut     float64          `json:"bytes-out-per-second"`
	Queue        int64            `json:"queue-length"`
	LimitHits    float64          `json:"limit-hits-per-second"`
	LimitsHit    []limitHit       `json:"limits-hit"`
	BackendRows  []backendFrame   `json:"backends"`
	ServerRows   []serverFrame    `json:"servers"`
	WorkersUsage []workerFrame    `json:"workers"`
}

// limitHit is a limit that was hit in the time.
type limitHit struct {
	Level string `json:"level"`
	Name  string `json:"name"`
	Axis  string `json:"axis"`
	Hits  uint64 `json:"hits"`
}

type backendFrame struct {
	Name     string  `json:"name"`
	Requests float64 `json:"requests-per-second"`
	P50      float64 `json:"p50-seconds"`
	P99      float64 `json:"p99-seconds"`
	Queue    int64   `json:"queue-length"`
	Retries  float64 `json:"retries-per-second"`
}

type serverFrame struct {
	Name      string  `json:"name"` // backend/server
	State     string  `json:"state"`
	Used      int64   `json:"used"`
	Idle      int64   `json:"idle"`
	Private   int64   `json:"private"`
	InFlight  int64   `json:"in-flight"`
	Requests  float64 `json:"requests-per-second"`
	Opened    float64 `json:"opened-per-second"`
	TakenOver float64 `json:"taken-over-per-second"`
	Errors    float64 `json:"errors-per-second"`
}

type workerFrame struct {
	ID          int     `json:"worker"`
	Connections int64   `json:"connections"`
	Busy        float64 `json:"busy"` // share of the time spent in turns
	LongestP99  float64 `json:"turn-p99-seconds"`
}

// newFrame compares two snapshots of one process. Counters of things that were not there before count from 0.
func newFrame(old, now *stats.Snapshot) *frame {
	f := &frame{
		Time: now.Time, Seconds: now.Time.Sub(old.Time).Seconds(), Version: now.Info.Version, State: now.Info.State,
		Generation: now.Info.Generation, Uptime: now.Time.Sub(now.Info.Started).Seconds(), ByProtocol: map[string]int64{},
		LimitsHit: []limitHit{}, BackendRows: []backendFrame{}, ServerRows: []serverFrame{}, WorkersUsage: []workerFrame{},
	}
	if f.Seconds <= 0 {
		f.Seconds = 1 // the same moment: nothing happened in it
	}
	f.frontends(old, now)
	f.backends(old, now)
	f.workers(old, now)
	f.limits(old, now)
	return f
}

// rate is what a counter grew by in a second. A counter that went back belongs to a process that was started anew.
func (f *frame) rate(old, now uint64) float64 {
	if now < old {
		return float64(now) / f.Seconds
	}
	return float64(now-old) / f.Seconds
}

func (f *frame) frontends(old, now *stats.Snapshot) {
	for i := range now.Frontends {
		fe, was := &now.Frontends[i], old.Frontend(now.Frontends[i].Name)
		if was == nil {
			was = &stats.FrontendRow{}
		}
		for proto, n := range fe.Connections {
			f.Clients += n
			f.ByProtocol[proto] += n
		}
		f.InFlight += fe.InFlight
		f.BytesIn += f.rate(was.BytesIn, fe.BytesIn)
		f.BytesOut += f.rate(was.BytesOut, fe.BytesOut)
		f.Requests += f.rate(requests(was, "", ""), requests(fe, "", ""))
		f.Errors += f.rate(requests(was, "", "5xx"), requests(fe, "", "5xx"))
	}
}

// requests counts the exchanges of a frontend to a backend that ended with a class of status; "" counts all.
func requests(fe *stats.FrontendRow, backend, code string) (n uint64) {
	for i := range fe.Requests {
		r := &fe.Requests[i]
		if (backend == "" || r.Backend == backend) && (code == "" || r.Code == code) {
			n += r.Count
		}
	}
	return n
}

func (f *frame) backends(old, now *stats.Snapshot) {
	var all stats.Histogram
	var carried, opened float64
	for i := range now.Backends {
		b, was := &now.Backends[i], old.Backend(now.Backends[i].Name)
		if was == nil {
			was = &stats.BackendRow{}
		}
		lately := since(&was.RequestDuration, &b.RequestDuration)
		all.Add(&lately)
		row := backendFrame{
			Name: b.Name, P50: seconds(lately.Quantile(0.5)), P99: seconds(lately.Quantile(0.99)), Queue: b.QueueLength,
			Retries: f.rate(retried(was), retried(b)),
		}
		row.Requests = float64(lately.Count()) / f.Seconds
		f.BackendRows = append(f.BackendRows, row)
		f.Queue += b.QueueLength
		for j := range b.Servers {
			c, o := f.server(was.Server(b.Servers[j].Name), &b.Servers[j])
			carried, opened = carried+c, opened+o
		}
	}
	f.P50, f.P99 = seconds(all.Quantile(0.5)), seconds(all.Quantile(0.99))
	f.Opened = opened
	if carried > 0 {
		f.Reused = min(1, max(0, 1-opened/carried))
	}
}

// server adds a server's row and returns what it carried and opened in a second.
func (f *frame) server(was, s *stats.ServerRow) (carried, opened float64) {
	if was == nil {
		was = &stats.ServerRow{}
	}
	row := serverFrame{
		Name: s.Backend + "/" + s.Name, State: s.State, Used: s.Used, Idle: s.IdleSafe + s.IdleFresh, Private: s.Private,
		InFlight: s.InFlight, Requests: f.rate(was.Requests, s.Requests), Opened: f.rate(was.Opened, s.Opened),
		TakenOver: f.rate(was.TakenOver, s.TakenOver), Errors: f.rate(total(was.Errors), total(s.Errors)),
	}
	conns := s.Used + s.IdleSafe + s.IdleFresh + s.Private + s.Connecting + s.Draining
	f.Servers += conns
	if s.State != stats.StateGone.String() || conns > 0 {
		f.ServerRows = append(f.ServerRows, row)
	}
	return row.Requests, row.Opened
}

// since is what a histogram gained.
func since(old, now *stats.Histogram) stats.Histogram {
	h := *now
	if old.Count() <= now.Count() {
		h.Sub(old)
	}
	return h
}

func seconds(nanoseconds uint64) float64 { return float64(nanoseconds) / 1e9 }

func retried(b *stats.BackendRow) (n uint64) {
	for i := range b.Retries {
		if b.Retries[i].Outcome != stats.OutcomeRefused.String() {
			n += b.Retries[i].Count
		}
	}
	return n
}

func total(m map[string]uint64) (n uint64) {
	for _, v := range m {
		n += v
	}
	return n
}

func (f *frame) workers(old, now *stats.Snapshot) {
	for i := range now.Workers {
		w := &now.Workers[i]
		was := &stats.WorkerRow{}
		for j := range old.Workers {
			if old.Workers[j].ID == w.ID {
				was = &old.Workers[j]
			}
		}
		lately := since(&was.Loop, &w.Loop)
		f.WorkersUsage = append(f.WorkersUsage, workerFrame{
			ID: w.ID, Connections: w.Connections, LongestP99: seconds(lately.Quantile(0.99)),
			Busy: min(1, seconds(lately.Sum())/f.Seconds),
		})
	}
}

func (f *frame) limits(old, now *stats.Snapshot) {
	type place struct{ level, name, axis string }
	was := map[place]uint64{}
	for _, l := range old.Limits {
		was[place{l.Level, l.Name, l.Axis}] = l.Hits
	}
	for _, l := range now.Limits {
		before := was[place{l.Level, l.Name, l.Axis}]
		f.LimitHits += f.rate(before, l.Hits)
		if l.Hits > before {
			f.LimitsHit = append(f.LimitsHit, limitHit{l.Level, l.Name, l.Axis, l.Hits - before})
		}
	}
	sort.Slice(f.LimitsHit, func(i, j int) bool { return f.LimitsHit[i].Hits > f.LimitsHit[j].Hits })
}
