package e2e

import (
	"testing"
)

// Idle connections give way when the backend's max-conn is needed for another server, on whichever worker they rest.
func TestIdleConnectionsGiveWay(t *testing.T) {
	t.Parallel()
	backs, servers := town(t, 3, nil)
	w := start(t, attached("backend", "max-conn = 1\nqueue-timeout = \"6s\"", setup{servers: servers,
		backend: "reuse = \"always\"\npool-purge-delay = \"1h\""}))
	for range 4 {
		u := w.client("")
		for range 6 {
			w.ask(u, "GET", "/")
		}
		u.close()
	}
	opened := 0
	for _, b := range backs {
		opened += b.everOpen()
		if b.requests() == 0 {
			t.Errorf("%s was never used", b.addr)
		}
	}
	w.wantMetric(float64(opened-1), "weir_server_connections_closed_total", "cause", "evicted")
	w.wantMetric(1, "weir_limit_current", "level", "backend", "axis", "max-conn")
}
