package origin

import (
	"encoding/json"
	"net"
	"net/http"
	"sync/atomic"
)

// Counters are what an origin has seen; all loops share them. Reuse tables are counted here, where no contender's own
// idea of a connection can colour them.
type Counters struct {
	requests atomic.Int64
	refused  atomic.Int64
	opened   atomic.Int64
	open     atomic.Int64
	peak     atomic.Int64
}

// Counts is a reading of Counters.
type Counts struct {
	Requests int64 `json:"requests"` // WebSocket messages count as requests
	Refused  int64 `json:"refused"`  // requests and frames that made no sense
	Opened   int64 `json:"opened"`   // connections accepted
	Open     int64 `json:"open"`     // connections open now
	Peak     int64 `json:"peak"`     // most open at once
}

// Read returns the present counts.
func (c *Counters) Read() Counts {
	return Counts{c.requests.Load(), c.refused.Load(), c.opened.Load(), c.open.Load(), c.peak.Load()}
}

// Reset zeroes the totals; the peak starts from the connections open now.
func (c *Counters) Reset() {
	c.requests.Store(0)
	c.refused.Store(0)
	c.opened.Store(0)
	c.peak.Store(c.open.Load())
}

func (c *Counters) onOpen() {
	c.opened.Add(1)
	n := c.open.Add(1)
	for peak := c.peak.Load(); n > peak && !c.peak.CompareAndSwap(peak, n); peak = c.peak.Load() {
	}
}

func (c *Counters) onClose() { c.open.Add(-1) }

// serveControl answers GET /counts and POST /reset with the counts, on a port that no contender knows.
func serveControl(ln net.Listener, c *Counters) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/counts", func(w http.ResponseWriter, r *http.Request) { json.NewEncoder(w).Encode(c.Read()) })
	mux.HandleFunc("POST /reset", func(w http.ResponseWriter, r *http.Request) {
		c.Reset()
		json.NewEncoder(w).Encode(c.Read())
	})
	return http.Serve(ln, mux)
}
