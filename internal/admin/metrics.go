package admin

import (
	"bytes"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"

	"weir/internal/stats"
)

// metricsContentType is the Prometheus text format; every scraper takes it, so nothing is negotiated.
const metricsContentType = "text/plain; version=0.0.4; charset=utf-8"

// metrics renders /metrics. Workers never see its types: a scrape turns one Snapshot into constant metrics.
type metrics struct {
	process *prometheus.Registry // the Go runtime and the process, gathered by their own collectors
}

func newMetrics() *metrics {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return &metrics{process: r}
}

// render is the text of a scrape.
func (m *metrics) render(s *stats.Snapshot) ([]byte, error) {
	// A registry for each scrape: a collector that held the snapshot between Describe and Collect would have to be locked
	// against the next scrape.
	r := prometheus.NewRegistry()
	if err := r.Register(&collector{s: s}); err != nil {
		return nil, err
	}
	families, err := prometheus.Gatherers{r, m.process}.Gather()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	enc := expfmt.NewEncoder(&b, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, f := range families {
		if err := enc.Encode(f); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// collector shows one Snapshot as metrics.
type collector struct{ s *stats.Snapshot }

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range families {
		ch <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	out := sink(ch)
	c.config(out)
	for i := range c.s.Frontends {
		collectFrontend(out, &c.s.Frontends[i])
	}
	for i := range c.s.Backends {
		collectBackend(out, &c.s.Backends[i])
		for j := range c.s.Backends[i].Servers {
			collectServer(out, &c.s.Backends[i].Servers[j])
		}
	}
	for i := range c.s.Workers {
		collectWorker(out, &c.s.Workers[i])
	}
	for i := range c.s.Limits {
		l := &c.s.Limits[i]
		out.value(limitCurrent, float64(l.Current), l.Level, l.Name, l.Axis)
		out.value(limitMax, float64(l.Max), l.Level, l.Name, l.Axis)
		out.value(limitHits, float64(l.Hits), l.Level, l.Name, l.Axis)
	}
	for reason, n := range c.s.Answers {
		out.value(answers, float64(n), reason)
	}
}

func (c *collector) config(out sink) {
	i := &c.s.Info
	out.value(buildInfo, 1, i.Version, i.Revision, i.GoVersion)
	out.value(configGeneration, float64(i.Generation))
	reload := 0.0
	if !i.LastReload.IsZero() {
		reload = float64(i.LastReload.UnixMilli()) / 1e3
	}
	out.value(configReloadTime, reload)
	out.value(configReloads, float64(i.Reloads), "success")
	out.value(configReloads, float64(i.ReloadsFailed), "failure")
}

func collectFrontend(out sink, f *stats.FrontendRow) {
	for p, n := range f.Connections {
		out.value(frontendConns, float64(n), f.Name, p)
	}
	for p, n := range f.ConnectionsTotal {
		out.value(frontendConnsTotal, float64(n), f.Name, p)
	}
	for p, all := range f.Handshakes {
		resumed := f.HandshakesResumed[p]
		out.value(frontendHandshakes, float64(resumed), f.Name, p, "true")
		out.value(frontendHandshakes, float64(all-resumed), f.Name, p, "false")
	}
	for p, n := range f.HandshakeFailures {
		out.value(frontendHandshakeFailures, float64(n), f.Name, p)
	}
	out.value(frontendInFlight, float64(f.InFlight), f.Name)
	out.value(frontendBytes, float64(f.BytesIn), f.Name, "in")
	out.value(frontendBytes, float64(f.BytesOut), f.Name, "out")
	for _, r := range f.Requests {
		out.value(requests, float64(r.Count), f.Name, r.Backend, r.Code, r.Protocol)
	}
}

func collectBackend(out sink, b *stats.BackendRow) {
	out.value(queueLength, float64(b.QueueLength), b.Name)
	for reason, n := range b.QueueRejected {
		out.value(queueRejected, float64(n), b.Name, reason)
	}
	collectRetries(out, b)
	out.seconds(queueWait, &b.QueueWait, b.Name)
	out.seconds(requestDuration, &b.RequestDuration, b.Name)
	out.seconds(connectDuration, &b.ConnectDuration, b.Name)
	out.counts(requestsPerConn, &b.RequestsPerConn, b.Name)
}

// retryReasons are the reasons that are shown even before they occur, so that a rate over them starts at 0 and not at a gap.
var retryReasons = []string{"stale-connection", "connect-failed", "connect-timeout"}

func collectRetries(out sink, b *stats.BackendRow) {
	n := map[[2]string]uint64{}
	for _, reason := range retryReasons {
		for o := range stats.Outcomes {
			n[[2]string{reason, o.String()}] = 0
		}
	}
	for _, r := range b.Retries {
		n[[2]string{r.Reason, r.Outcome}] = r.Count
	}
	for k, count := range n {
		out.value(retriesTotal, float64(count), b.Name, k[0], k[1])
	}
}

func collectServer(out sink, v *stats.ServerRow) {
	b, s := v.Backend, v.Name
	out.value(serverConns, float64(v.Used), b, s, "used")
	out.value(serverConns, float64(v.IdleSafe+v.IdleFresh), b, s, "idle")
	out.value(serverConns, float64(v.Private), b, s, "private")
	out.value(serverConns, float64(v.Connecting), b, s, "connecting")
	out.value(serverConns, float64(v.Draining), b, s, "draining")
	for why, n := range v.OpenedWhy {
		out.value(serverOpened, float64(n), b, s, why)
	}
	for cause, n := range v.ClosedCause {
		out.value(serverClosed, float64(n), b, s, cause)
	}
	for kind, n := range v.Errors {
		out.value(serverErrors, float64(n), b, s, kind)
	}
	out.value(serverReuses, float64(v.Reused), b, s)
	out.value(serverTakeovers, float64(v.TakenOver), b, s)
	out.value(serverNeed, float64(v.Need), b, s)
	out.value(serverLimit, float64(v.Limit), b, s)
	out.value(serverInFlight, float64(v.InFlight), b, s)
	out.value(serverRequests, float64(v.Requests), b, s)
	out.value(serverBytes, float64(v.BytesIn), b, s, "in")
	out.value(serverBytes, float64(v.BytesOut), b, s, "out")
	for state := range stats.ServerStates {
		is := 0.0
		if v.State == state.String() {
			is = 1
		}
		out.value(serverState, is, b, s, state.String())
	}
}

func collectWorker(out sink, w *stats.WorkerRow) {
	id := strconv.Itoa(w.ID)
	out.histogram(workerLoop, &w.Loop, 1e3, 7, 1e9, []string{id}) // from 1 µs to 5 s: turns are short
	out.value(workerConns, float64(w.Connections), id)
	out.value(workerTurns, float64(w.Turns), id)
	out.value(workerEvents, float64(w.Events), id)
	out.value(workerSleeps, float64(w.Sleeps), id)
	out.value(workerMail, float64(w.MailIn), id, "in")
	out.value(workerMail, float64(w.MailOut), id, "out")
	out.value(workerAcceptErrors, float64(w.AcceptErrors), id)
	out.value(logLines, float64(w.LogLines), id)
	out.value(logDropped, float64(w.LogDropped), id)
}
