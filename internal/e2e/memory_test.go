package e2e

import (
	"net"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// crowdOf connects n clients that have each been served once and then say nothing.
func crowdOf(t *testing.T, w *weir, n int) {
	t.Helper()
	conns := make([]net.Conn, n)
	var all sync.WaitGroup
	for part := range 16 {
		all.Add(1)
		go func() {
			defer all.Done()
			for i := part; i < n; i += 16 {
				c := &caller{addr: w.front(), over: w.over}
				if status, _, err := c.ask("GET", "/"); status != 200 {
					t.Errorf("client %d: %d %v", i, status, err)
					return
				}
				conns[i] = c.conn
			}
		}()
	}
	all.Wait()
	t.Cleanup(func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close()
			}
		}
	})
}

// TestMemoryOfIdleClients holds idle client connections to their budget, of which the process shows nothing but its
// resident memory: what the collector keeps in reserve is in it too, so the bound is for all of that. Garbage of handshakes
// may lie up to 32 MiB, however few clients there are (engine/heap.go).
func TestMemoryOfIdleClients(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		over   transport
		n      int
		budget int // bytes for each
		lies   int // and for all of them together
	}{{plain, 4000, 512, 0}, {tlsed, 1500, 8 << 10, 32 << 20}} {
		t.Run(string(c.over), func(t *testing.T) {
			var files unix.Rlimit
			if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil || files.Max < uint64(2*c.n) {
				t.Skipf("%d files may be open, %d clients are too many for that (%v)", files.Max, c.n, err)
			}
			back := newRecorder(t)
			w := start(t, setup{over: c.over, servers: []*origin{back.origin}, backend: `reuse = "always"`, frontend: `timeouts = "idle"`,
				tables: "[timeouts.idle]\nhttp-keep-alive = \"1h\"\n"})
			crowdOf(t, w, 200) // what is made once is made
			before := w.rss()
			crowdOf(t, w, c.n)
			w.wantMetric(float64(c.n+200), "weir_frontend_connections")
			each := (w.rss() - before - c.lies) / c.n
			t.Logf("%d bytes for each idle client", each)
			if most := c.budget * 3; each > most {
				t.Errorf("%d bytes for each idle client, at most %d", each, most)
			}
		})
	}
}
