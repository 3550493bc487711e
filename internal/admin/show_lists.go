package admin

import (
	"time"

	"weir/internal/stats"
)

// RenderLimits is `weir show limits`: every axis of every attachment of a profile.
func RenderLimits(s *stats.Snapshot) string {
	t := newTable(4, "level", "name", "profile", "axis", "current", "max", "hits")
	for i := range s.Limits {
		l := &s.Limits[i]
		t.add(l.Level, l.Name, l.Profile, l.Axis, l.Current, l.Max, l.Hits)
	}
	return t.String()
}

// LimitsJSON is `weir show limits --json` and /api/limits.
func LimitsJSON(s *stats.Snapshot) any { return list(s.Limits) }

// RenderSessions is `weir show sessions`.
func RenderSessions(sessions []stats.Session) string {
	t := newTable(8, "id", "worker", "frontend", "client", "protocol", "tls", "state", "backend/server",
		"age", "idle", "in-flight", "requests", "bytes-in", "bytes-out", "generation")
	for i := range sessions {
		v := &sessions[i]
		target := v.Backend
		if v.Server != "" {
			target += "/" + v.Server
		}
		t.add(v.ID, v.Worker, v.Frontend, v.Client, v.Protocol, v.TLS, v.State, target,
			durationText(v.Age), durationText(v.Idle), v.InFlight, v.Requests, v.BytesIn, v.BytesOut, v.Generation)
	}
	return t.String()
}

// SessionsJSON is `weir show sessions --json` and /api/sessions.
func SessionsJSON(sessions []stats.Session) any { return list(sessions) }

// RenderErrors is `weir show errors`: the last failures of the data path, the newest last.
func RenderErrors(s *stats.Snapshot) string {
	t := newTable(9, "time", "worker", "client", "frontend", "backend", "server", "status", "reason", "detail")
	t.prose = true
	for i := range s.Failures {
		f := &s.Failures[i]
		when := time.Unix(0, f.UnixNano).UTC().Format("2006-01-02T15:04:05.000Z")
		client := ""
		if f.Client.IsValid() {
			client = f.Client.String()
		}
		t.add(when, f.Worker, client, f.Frontend, f.Backend, f.Server, f.Status, f.Reason, f.Detail)
	}
	return t.String()
}

// ErrorsJSON is `weir show errors --json`.
func ErrorsJSON(s *stats.Snapshot) any { return list(s.Failures) }
