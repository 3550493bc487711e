package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

var logLevels = []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
var logLevelWords = []string{"debug", "info", "warn", "error"}

var globalKeys = []key[Global]{
	integerKey("workers", 0, workersMax, func(g *Global) *int { return &g.Workers }),
	boolKey("pin-cpus", func(g *Global) *bool { return &g.PinCPUs }),
	limitsKey(func(g *Global) **Limits { return &g.Limits }),
	{name: "runtime-socket", kind: "string", allowed: "a path; \"\" none", set: setRuntimeSocket,
		get: func(g *Global) string { return quote(g.RuntimeSocket) }},
	{name: "admin", kind: "address", allowed: "numeric address and port; \"\" none", set: setAdmin, get: func(g *Global) string {
		if !g.Admin.IsValid() {
			return quote("")
		}
		return quote(g.Admin.String())
	}},
	durationKey("hard-stop-after", func(g *Global) *time.Duration { return &g.HardStopAfter }),
	{name: "access-log", kind: "string", allowed: `"off", "stdout", "stderr" or a path`, set: setAccessLog,
		get: func(g *Global) string { return quote(g.AccessLog) }},
	{name: "log-level", kind: "word", allowed: quotedList(logLevelWords), set: func(l *loader, g *Global, v *value) {
		if i, ok := l.word(v, logLevelWords); ok {
			g.LogLevel = logLevels[i]
		}
	}, get: func(g *Global) string { return quote(strings.ToLower(g.LogLevel.String())) }},
}

// socketPathMax is how long the path of a Unix socket may be (unix(7)), less the longest name that weir gives to the socket
// in the same directory before it takes its place: ".weir-" and a process ID.
const (
	socketPathMax = 107
	socketTempMax = len("/.weir-4194304")
)

func setRuntimeSocket(l *loader, g *Global, v *value) {
	s, ok := l.text(v)
	if !ok {
		return
	}
	if s != "" {
		s = l.path(s)
		if n := max(len(s), len(filepath.Dir(s))+socketTempMax); n > socketPathMax {
			l.badValue(v, "", "the path %s is %d bytes too long for a socket", s, n-socketPathMax)
			return
		}
	}
	g.RuntimeSocket = s
}

func setAdmin(l *loader, g *Global, v *value) {
	s, ok := l.text(v)
	if !ok {
		return
	}
	if s == "" || s == "off" {
		g.Admin = netip.AddrPort{}
		return
	}
	a, err := parseListen(s)
	if err != nil {
		l.badValue(v, "", "%v", err)
		return
	}
	g.Admin = a
}

func setAccessLog(l *loader, g *Global, v *value) {
	s, ok := l.text(v)
	switch {
	case !ok:
	case s == "":
		l.badValue(v, `write "off"`, "an empty path")
	case s == AccessLogOff || s == "stdout" || s == "stderr":
		g.AccessLog = s
	default:
		g.AccessLog = l.path(s)
		l.directoryOf(v, g.AccessLog)
	}
}

var limitsKeys = []key[Limits]{
	integerKey("max-conn", 0, maxConnMax, func(t *Limits) *int { return &t.MaxConn }),
	rateKey("max-conn-rate", func(t *Limits) *int { return &t.MaxConnRate }),
	rateKey("max-sess-rate", func(t *Limits) *int { return &t.MaxSessRate }),
	rateKey("rate-limit-sessions", func(t *Limits) *int { return &t.RateLimitSessions }),
	integerKey("max-ssl-conn", 0, maxConnMax, func(t *Limits) *int { return &t.MaxSSLConn }),
	rateKey("max-ssl-rate", func(t *Limits) *int { return &t.MaxSSLRate }),
	sizeKey("max-buffer-size", maxBufferSizeMin, maxBufferSizeMax, true, func(t *Limits) *int { return &t.MaxBufferSize }),
	integerKey("max-retries", 0, maxRetriesMax, func(t *Limits) *int { return &t.MaxRetries }),
	integerKey("queue-depth", 0, maxConnMax, func(t *Limits) *int { return &t.QueueDepth }),
	durationKey("queue-timeout", func(t *Limits) *time.Duration { return &t.QueueTimeout }),
}

// With returns a copy of the profile in which one key has another value, given as a person types it: 500, 64KiB, 2s. It
// is what `weir set limits` does; the profile itself does not change.
func (t *Limits) With(name, text string) (*Limits, error) {
	v := &value{kind: kindString, text: text, at: span{0, len(text)}}
	if _, err := strconv.ParseInt(text, 0, 64); err == nil {
		v.kind = kindInteger
	}
	report := &Report{}
	l := &loader{src: newSource(name, []byte(text)), report: report, key: name}
	for _, k := range limitsKeys {
		if k.name != name {
			continue
		}
		changed := *t
		k.set(l, &changed, v)
		if len(report.Problems) > 0 {
			return nil, errors.New(report.Problems[0].Message)
		}
		return &changed, nil
	}
	hint := didYouMean(name, keyNames(limitsKeys))
	return nil, errors.New(strings.TrimSpace(fmt.Sprintf("a limit profile has no key %q; %s", name, hint)))
}

var timeoutsKeys = []key[Timeouts]{
	durationKey("http-request", func(t *Timeouts) *time.Duration { return &t.HTTPRequest }),
	durationKey("http-keep-alive", func(t *Timeouts) *time.Duration { return &t.HTTPKeepAlive }),
	durationKey("client", func(t *Timeouts) *time.Duration { return &t.Client }),
	durationKey("client-fin", func(t *Timeouts) *time.Duration { return &t.ClientFin }),
	durationKey("server-fin", func(t *Timeouts) *time.Duration { return &t.ServerFin }),
	durationKey("connect", func(t *Timeouts) *time.Duration { return &t.Connect }),
	{name: "queue", kind: "duration", set: func(l *loader, t *Timeouts, v *value) {
		if d, ok := l.duration(v); ok {
			t.Queue, t.QueueSet = d, true
		}
	}, get: func(t *Timeouts) string {
		if !t.QueueSet {
			return ""
		}
		return quote(formatDuration(t.Queue))
	}},
	durationKey("server", func(t *Timeouts) *time.Duration { return &t.Server }),
	durationKey("tunnel", func(t *Timeouts) *time.Duration { return &t.Tunnel }),
	{name: "tcp-keepalive", kind: "string", allowed: `"IDLE/INTERVAL/COUNT", whole seconds; "0" off`,
		set: setKeepAlive, get: func(t *Timeouts) string { return quote(t.TCPKeepAlive.String()) }},
}

// String is the notation of the configuration: 60s/10s/6, or 0.
func (k KeepAlive) String() string {
	if k.Idle == 0 {
		return "0"
	}
	return fmt.Sprintf("%s/%s/%d", formatDuration(k.Idle), formatDuration(k.Interval), k.Count)
}

func setKeepAlive(l *loader, t *Timeouts, v *value) {
	if v.kind == kindInteger && v.text == "0" {
		t.TCPKeepAlive = KeepAlive{}
		return
	}
	s, ok := l.text(v)
	if !ok {
		return
	}
	k, err := parseKeepAlive(s)
	if err != nil {
		l.badValue(v, "", "%q %v", s, err)
		return
	}
	t.TCPKeepAlive = k
}

// parseKeepAlive reads "60s/10s/6". Linux keeps idle and interval in whole seconds up to 32767, count up to 127 (tcp(7)).
func parseKeepAlive(s string) (k KeepAlive, err error) {
	parts := strings.Split(s, "/")
	if len(parts) == 1 && (s == "0" || s == "0s" || s == "off") {
		return k, nil
	}
	if len(parts) != 3 {
		return k, errors.New(`is not of the form "60s/10s/6" (idle, interval, count)`)
	}
	for i, d := range []*time.Duration{&k.Idle, &k.Interval} {
		if *d, err = parseDuration(parts[i]); err != nil {
			return KeepAlive{}, fmt.Errorf("is wrong: %q %w", parts[i], err)
		}
		if *d < time.Second || *d > 32767*time.Second || *d%time.Second != 0 {
			return KeepAlive{}, fmt.Errorf("is out of range in %q, allowed whole seconds from 1s to 32767s", parts[i])
		}
	}
	if k.Count, err = strconv.Atoi(parts[2]); err != nil || k.Count < 1 || k.Count > 127 {
		return KeepAlive{}, fmt.Errorf("is out of range in %q, allowed 1 to 127", parts[2])
	}
	return k, nil
}
