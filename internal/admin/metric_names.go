package admin

import (
	"github.com/prometheus/client_golang/prometheus"

	"weir/internal/stats"
)

// family is the name, help and labels of one metric, and whether it counts or measures.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

// families lists every metric, for Describe.
var families []*family

func newFamily(kind prometheus.ValueType, name, help string, labels ...string) *family {
	f := &family{desc: prometheus.NewDesc("weir_"+name, help, labels, nil), kind: kind}
	families = append(families, f)
	return f
}

func gauge(name, help string, labels ...string) *family {
	return newFamily(prometheus.GaugeValue, name, help, labels...)
}

func counter(name, help string, labels ...string) *family {
	return newFamily(prometheus.CounterValue, name, help, labels...)
}

func histogram(name, help string, labels ...string) *family {
	return newFamily(prometheus.UntypedValue, name, help, labels...)
}

// Every metric, in the order of the manual.
var (
	frontendConns      = gauge("frontend_connections", "Client connections open now.", "frontend", "protocol")
	frontendConnsTotal = counter("frontend_connections_total", "Client connections accepted.", "frontend", "protocol")
	frontendHandshakes = counter("frontend_tls_handshakes_total", "TLS handshakes completed.",
		"frontend", "protocol", "resumed")
	frontendHandshakeFailures = counter("frontend_tls_handshake_failures_total",
		"TLS handshakes begun and not completed.", "frontend", "protocol")
	frontendInFlight = gauge("frontend_requests_in_flight", "Exchanges in flight now.", "frontend")
	frontendBytes    = counter("frontend_bytes_total", "Bytes from (in) and to (out) clients.", "frontend", "direction")

	requests = counter("requests_total", "Exchanges that ended, by class of the final status.",
		"frontend", "backend", "code", "protocol")

	serverConns  = gauge("server_connections", "Server connections now.", "backend", "server", "state")
	serverOpened = counter("server_connections_opened_total", "Server connections opened.", "backend", "server", "why")
	serverClosed = counter("server_connections_closed_total", "Server connections closed.", "backend", "server", "cause")
	serverReuses = counter("server_connection_reuses_total",
		"Exchanges on a server connection that had carried one before.", "backend", "server")
	serverTakeovers = counter("server_connection_takeovers_total",
		"Idle server connections that moved to another worker's shard.", "backend", "server")
	requestsPerConn = histogram("server_requests_per_connection",
		"Exchanges that a server connection had carried when it was closed.", "backend")
	serverNeed     = gauge("server_connections_need", "Estimate of the server connections needed.", "backend", "server")
	serverLimit    = gauge("server_limit", "The server's max-conn; 0 is unlimited.", "backend", "server")
	serverInFlight = gauge("server_requests_in_flight", "Exchanges in flight to the server now.", "backend", "server")
	serverRequests = counter("server_requests_total", "Exchanges sent to the server.", "backend", "server")
	serverErrors   = counter("server_errors_total", "Failures of the server.", "backend", "server", "kind")
	serverBytes    = counter("server_bytes_total", "Bytes from (in) and to (out) the server.",
		"backend", "server", "direction")
	serverState = gauge("server_state", "1 for the state the server is in.", "backend", "server", "state")

	queueLength   = gauge("queue_length", "Exchanges waiting for a server now.", "backend")
	queueWait     = histogram("queue_wait_seconds", "Time in the queue of those that got their turn.", "backend")
	queueRejected = counter("queue_rejected_total", "Waits that ended without a turn.", "backend", "reason")

	limitCurrent = gauge("limit_current", "What counts against the limit now.", "level", "name", "axis")
	limitMax     = gauge("limit_max", "The limit; 0 is unlimited.", "level", "name", "axis")
	limitHits    = counter("limit_hits_total", "Times that the limit held something up.", "level", "name", "axis")

	retriesTotal    = counter("retries_total", "Attempts that failed in a way that can be retried.", "backend", "reason", "outcome")
	requestDuration = histogram("request_duration_seconds",
		"Time from the request head received to the last byte of the response written.", "backend")
	connectDuration = histogram("connect_duration_seconds", "Time to connect to a server, TLS included.", "backend")
	answers         = counter("answers_total", "Answers that weir made itself.", "reason")

	workerLoop         = histogram("worker_loop_seconds", "Time of one turn of a worker's loop, without the wait.", "worker")
	workerConns        = gauge("worker_connections", "Client and server connections of the worker now.", "worker")
	workerTurns        = counter("worker_turns_total", "Turns of the worker's loop.", "worker")
	workerEvents       = counter("worker_events_total", "Events that the kernel reported.", "worker")
	workerSleeps       = counter("worker_sleeps_total", "Waits that could sleep.", "worker")
	workerMail         = counter("worker_messages_total", "Messages taken (in) and posted (out).", "worker", "direction")
	workerAcceptErrors = counter("worker_accept_errors_total", "Accepts that failed for want of a resource.", "worker")
	logLines           = counter("access_log_lines_total", "Access-log lines written or handed to the writer.", "worker")
	logDropped         = counter("access_log_dropped_total", "Access-log lines that could not be written.", "worker")

	configGeneration = gauge("config_generation", "Generation of the configuration in force.")
	configReloadTime = gauge("config_last_reload_success_timestamp_seconds",
		"When the configuration in force was applied, in seconds since 1970.")
	configReloads = counter("config_reloads_total", "Reloads asked for.", "outcome")
	buildInfo     = gauge("build_info", "1; the labels say what runs.", "version", "revision", "goversion")
)

// sink is where a scrape goes.
type sink chan<- prometheus.Metric

func (out sink) value(f *family, v float64, labels ...string) {
	out <- prometheus.MustNewConstMetric(f.desc, f.kind, v, labels...)
}

// exportedSteps are the bounds that a scrape shows, in tenths of each decade's start. A Histogram has ten a decade; three
// are what dashboards need and what a time-series database likes to keep, and all are bounds of it, so they are exact.
var exportedSteps = [...]uint64{10, 25, 50}

// seconds shows a histogram of nanoseconds, from 10 µs to 50 s.
func (out sink) seconds(f *family, h *stats.Histogram, labels ...string) {
	out.histogram(f, h, 1e4, 7, 1e9, labels)
}

// counts shows a histogram of plain numbers, from 1 to 5 million. The bound 2.5 holds the same values as 2 would.
func (out sink) counts(f *family, h *stats.Histogram, labels ...string) {
	out.histogram(f, h, 1, 7, 1, labels)
}

func (out sink) histogram(f *family, h *stats.Histogram, first uint64, decades int, unit float64, labels []string) {
	buckets := make(map[float64]uint64, decades*len(exportedSteps)+1)
	for start := first; decades > 0; decades-- {
		for _, step := range exportedSteps {
			tenths := start * step
			buckets[float64(tenths)/10/unit] = h.AtMost(tenths / 10)
		}
		start *= 10
	}
	out <- prometheus.MustNewConstHistogram(f.desc, h.Count(), float64(h.Sum())/unit, buckets, labels...)
}
