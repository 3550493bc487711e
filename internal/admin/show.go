package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"weir/internal/stats"
)

// Views are what `weir show` accepts, for usage texts and completion.
var Views = []string{"servers conn", "stat", "info", "limits", "sessions", "backends", "config", "errors"}

// snapshotViews are the views over a Snapshot, as text and as JSON.
var snapshotViews = map[string]struct {
	text func(*stats.Snapshot) string
	json func(*stats.Snapshot) any
}{
	"servers conn": {RenderServersConn, ServersConnJSON},
	"stat":         {RenderStat, StatJSON},
	"info":         {RenderInfo, InfoJSON},
	"limits":       {RenderLimits, LimitsJSON},
	"backends":     {RenderBackends, BackendsJSON},
	"errors":       {RenderErrors, ErrorsJSON},
}

// show answers `weir show WHAT`.
func (c *control) show(ctx context.Context, r Request) Response {
	what := strings.Join(r.Args, " ")
	if v, ok := snapshotViews[what]; ok {
		s, err := c.snapshot(ctx)
		if err != nil {
			return refusal(err)
		}
		if r.JSON {
			return done(v.json(s))
		}
		return done(v.text(s))
	}
	switch {
	case what == "config":
		return c.showConfig(r.JSON)
	case len(r.Args) > 0 && r.Args[0] == "sessions":
		list, err := c.sessions(ctx, r.Args[1:])
		if err != nil {
			return refusal(err)
		}
		if r.JSON {
			return done(SessionsJSON(list))
		}
		return done(RenderSessions(list))
	}
	return refusal(fmt.Errorf("cannot show %q; there are: %s", what, strings.Join(Views, ", ")))
}

func (c *control) showConfig(asJSON bool) Response {
	if asJSON {
		return done(json.RawMessage(c.engine.ConfigJSON()))
	}
	return done(c.engine.Config())
}

// RenderInfo is `weir show info`: one "name: value" a line.
func RenderInfo(s *stats.Snapshot) string {
	var b strings.Builder
	for _, m := range InfoJSON(s).(object) {
		switch v := m.value.(type) {
		case time.Time:
			fmt.Fprintf(&b, "%s: %s\n", m.key, timeText(v))
		default:
			fmt.Fprintf(&b, "%s: %v\n", m.key, v)
		}
	}
	return b.String()
}

// InfoJSON is `weir show info --json` and /api/info.
func InfoJSON(s *stats.Snapshot) any {
	i := &s.Info
	var client, server, inFlight int64
	for j := range s.Frontends {
		for _, n := range s.Frontends[j].Connections {
			client += n
		}
		inFlight += s.Frontends[j].InFlight
	}
	for j := range s.Backends {
		for k := range s.Backends[j].Servers {
			server += live(&s.Backends[j].Servers[k].Pool)
		}
	}
	return object{
		{"version", i.Version}, {"revision", i.Revision}, {"go-version", i.GoVersion}, {"pid", i.PID},
		{"started", i.Started}, {"uptime-seconds", int64(s.Time.Sub(i.Started).Seconds())}, {"state", i.State},
		{"config-file", i.ConfigFile}, {"generation", i.Generation}, {"last-reload", i.LastReload},
		{"reloads", i.Reloads}, {"reloads-failed", i.ReloadsFailed}, {"workers", i.Workers},
		{"frontends", len(s.Frontends)}, {"backends", len(s.Backends)},
		{"client-connections", client}, {"server-connections", server}, {"requests-in-flight", inFlight},
	}
}

func live(p *stats.Pool) int64 {
	return p.Used + p.IdleSafe + p.IdleFresh + p.Private + p.Connecting + p.Draining
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
