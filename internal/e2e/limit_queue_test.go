package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// one answers one request at a time, when the test says so, and remembers in which order they came.
type one struct {
	mu    sync.Mutex
	order []string
	next  chan struct{}
}

func (o *one) serve(c *tallyConn, r *http.Request) bool {
	o.mu.Lock()
	o.order = append(o.order, r.URL.Path)
	o.mu.Unlock()
	<-o.next
	return tallyOK(c, r)
}

// Requests that wait for a server with room are served in the order in which they came, whichever worker has them; those
// whose clients have left are not served at all.
func TestQueueIsFirstInFirstOut(t *testing.T) {
	t.Parallel()
	const clients = 24
	o := &one{next: make(chan struct{}, clients)}
	back := newTally(t, plain, o.serve)
	w := start(t, setup{servers: []*origin{back.origin}, server: "max-conn = 1", global: "workers = 2",
		backend: "reuse = \"always\"\nlimits = \"patient\"", tables: "[limits.patient]\nqueue-timeout = \"10m\""})
	var all sync.WaitGroup
	var heard outcomes
	var want []string
	for i := range clients {
		u := w.client("")
		leaves := i > 0 && i%4 == 0
		path := fmt.Sprintf("/%d", i)
		if leaves {
			if _, err := io.WriteString(u.conn, "GET "+path+" HTTP/1.1\r\n"+host+"\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
		} else {
			want = append(want, path)
			all.Add(1)
			go func() {
				defer all.Done()
				heard.heard(u.try("GET", path))
			}()
		}
		if i == 0 {
			eventually(t, "the first is at the server", func() bool { return back.requests() == 1 })
			continue
		}
		length := len(want) - 1
		if leaves {
			length++
		}
		w.wantMetric(float64(length), "weir_queue_length", "backend", "api")
		if leaves {
			u.close()
			w.wantMetric(float64(length-1), "weir_queue_length", "backend", "api")
		}
	}
	for range want {
		o.next <- struct{}{}
	}
	all.Wait()
	if !slices.Equal(o.order, want) {
		t.Errorf("served %v", o.order)
	}
	if heard.n["200"] != len(want) || back.busyMost != 1 {
		t.Errorf("%v, %d at once", heard.n, back.busyMost)
	}
	if n := w.metric("weir_queue_rejected_total", "reason", "client-closed"); int(n) != clients-len(want) {
		t.Errorf("%v left the queue, want %d", n, clients-len(want))
	}
	if n := w.metric("weir_queue_wait_seconds_count"); int(n) != len(want)-1 {
		t.Errorf("%v waits that came to their turn, want %d", n, len(want)-1)
	}
}

// The same of client connections that wait to be admitted.
func TestAdmissionIsFirstInFirstOut(t *testing.T) {
	t.Parallel()
	const clients = 16
	o := &one{next: make(chan struct{}, clients)}
	back := newTally(t, plain, o.serve)
	w := start(t, attached("frontend", "max-conn = 1\nqueue-timeout = \"10m\"", setup{servers: []*origin{back.origin}}))
	var all sync.WaitGroup
	var want []string
	for i := range clients {
		u := w.client("")
		if i > 0 && i%4 == 0 {
			w.wantMetric(float64(i+1-i/4+1), "weir_frontend_connections")
			u.close()
			w.wantMetric(float64(i+1-i/4), "weir_frontend_connections")
			continue
		}
		path := fmt.Sprintf("/%d", i)
		want = append(want, path)
		all.Add(1)
		go func() {
			defer all.Done()
			if _, err := u.try("GET", path); err != nil {
				t.Error(err)
			}
			u.close()
		}()
		if i == 0 {
			eventually(t, "the first is at the server", func() bool { return back.requests() == 1 })
		}
		w.wantMetric(float64(i+1-i/4), "weir_frontend_connections")
	}
	for range want {
		o.next <- struct{}{}
	}
	all.Wait()
	if !slices.Equal(o.order, want) {
		t.Errorf("served %v, want %v", o.order, want)
	}
}

// A server's own max-conn bounds the requests in flight to it, by file and by command.
func TestServerMaxConn(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		hold := newHolding(t)
		back := newTally(t, over, hold.serve)
		w := start(t, setup{over: over, servers: []*origin{back.origin}, server: "max-conn = 6", global: "workers = 2",
			backend: "reuse = \"always\"\nlimits = \"patient\"", tables: "[limits.patient]\nqueue-timeout = \"10m\""})
		var heard outcomes
		done := make(chan struct{})
		go func() {
			crowd(60, func(int) { heard.heard(w.once("GET", "/hold")) })
			close(done)
		}()
		w.wantMetric(54, "weir_queue_length", "backend", "api")
		if n := back.requests(); n != 6 {
			t.Errorf("%d at the server", n)
		}
		w.done("set", "server", "api/s1", "max-conn", "15")
		w.wantMetric(45, "weir_queue_length", "backend", "api")
		eventually(t, "15 are at the server", func() bool { return back.requests() == 15 })
		hold.release()
		<-done
		if heard.n["200"] != 60 || back.busyMost > 15 {
			t.Errorf("%v, %d at once", heard.n, back.busyMost)
		}
	})
}

// The process's bound holds where the frontend has none of its own, and the smaller one where it has.
func TestBufferBoundOfTheProcess(t *testing.T) {
	t.Parallel()
	for own, counted := range map[string]string{"": "global", `limits = "wide"`: "global", `limits = "narrow"`: "frontend"} {
		back := newTally(t, plain, func(c *tallyConn, r *http.Request) bool {
			body := strings.Repeat("x", 8<<20)
			return c.answer("200 OK", fmt.Sprintf("Content-Length: %d", len(body)), "", body)
		})
		w := start(t, attached("global", "max-buffer-size = \"32KiB\"", setup{servers: []*origin{back.origin}, frontend: own,
			tables: "[limits.wide]\nmax-buffer-size = \"256KiB\"\n[limits.narrow]\nmax-buffer-size = \"16KiB\""}))
		u := w.client("")
		_ = u.conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		if _, err := io.WriteString(u.conn, "GET / HTTP/1.1\r\n"+host+"\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the client holds all that it may", func() bool {
			row := w.limit(counted, "max-buffer-size")
			return row.Hits > 0 && row.Current == row.Max
		})
		if row := w.limit("frontend", "max-buffer-size"); counted == "global" && row.Hits > 0 {
			t.Errorf("%q: shown as %+v", own, row)
		}
	}
}

// What slow readers make weir hold is bounded for each of them.
func TestSlowReadersHoldNoMoreThanTheirBuffers(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		const readers, size, bound = 100, 10 << 20, 64 << 10
		body := strings.Repeat("x", size)
		var cut sync.Mutex
		written := 0
		back := newTally(t, over, func(c *tallyConn, r *http.Request) bool {
			_ = c.raw.(*net.TCPConn).SetWriteBuffer(32 << 10) // else the kernel's buffers of a hundred take all memory it has for TCP
			c.answer("200 OK", fmt.Sprintf("Content-Length: %d", size))
			for rest := body; len(rest) > 0; {
				n, err := io.WriteString(c.Conn, rest[:min(len(rest), 64<<10)])
				cut.Lock()
				written += n
				cut.Unlock()
				if err != nil {
					return false
				}
				rest = rest[n:]
			}
			return true
		})
		w := start(t, attached("frontend", fmt.Sprintf("max-buffer-size = %d", bound), setup{over: over, servers: []*origin{back.origin},
			backend: `limits = "tight"`}))
		w.ask(w.client(""), "GET", "/")
		before := w.rss()
		users := make([]*user, readers)
		for i := range users {
			u := w.client("")
			c := u.conn
			if s, secure := c.(*tls.Conn); secure {
				c = s.NetConn()
			}
			_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
			if _, err := io.WriteString(u.conn, "GET / HTTP/1.1\r\n"+host+"\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			users[i] = u
		}
		// Full is when nothing moves any more.
		eventually(t, "all servers are held up", func() bool {
			cut.Lock()
			was := written
			cut.Unlock()
			time.Sleep(100 * time.Millisecond)
			cut.Lock()
			defer cut.Unlock()
			return was == written && back.requests() == readers+1
		})
		// A client's and a server's connection may each hold their bound; what the runtime keeps beside is not more than that.
		grown := w.rss() - before
		if most := readers*2*bound + 16<<20; grown > most {
			t.Errorf("%d readers made the process grow by %d KiB, %d each", readers, grown>>10, grown/readers)
		}
		t.Logf("%d readers: %d KiB more, %d KiB each", readers, grown>>10, grown/readers>>10)
		if row := w.limit("frontend", "max-buffer-size"); row.Hits < readers || row.Current < bound {
			t.Errorf("%d clients took all that they may hold, shown as %+v", readers, row)
		}
		if n := w.metric("weir_limit_hits_total", "level", "frontend", "axis", "max-buffer-size"); n < readers {
			t.Errorf("%v hits of max-buffer-size", n)
		}
		for _, u := range users {
			u.close()
		}
		w.wantMetric(1, "weir_frontend_connections") // the one that asked first
	})
}
