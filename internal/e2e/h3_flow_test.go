package e2e

import (
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// flowOrigin sends noise at /down, takes bodies at /up and says what they were, and takes none at /deaf.
func flowOrigin(t *testing.T) *origin {
	return httpOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/down":
			_, _ = io.Copy(w, noise(3, flowBytes))
		case "/up":
			got, _ := sum(r.Body)
			_, _ = io.WriteString(w, got)
		case "/deaf":
			<-r.Context().Done()
		}
	})
}

const flowBytes = 10 * megabyte

// A path that loses one packet in ten each way carries 10 MB up and down at once.
func TestH3Loss(t *testing.T) {
	t.Parallel()
	w := start(t, setup{over: tlsed, bind: "h3 = true", servers: []*origin{flowOrigin(t)}, backend: `reuse = "always"`})
	path := newPath(t, w.front())
	c := w.h3ClientVia(t, path)
	path.losing(10)
	transfer(t, func() error {
		rsp, err := c.Get("https://a.example/down")
		if err != nil {
			return err
		}
		return wantSum("down", rsp.Body, 3, flowBytes)
	}, func() error {
		rsp, err := c.Post("https://a.example/up", "application/octet-stream", noise(4, flowBytes))
		if err != nil {
			return err
		}
		b, err := io.ReadAll(rsp.Body)
		if string(b) != sumOfNoise(4, flowBytes) {
			t.Errorf("up: %q", b)
		}
		return err
	})
	path.losing(0)
	c.close()
	w.wantMetric(0, "weir_frontend_connections") // the goodbye has come through
	path.mu.Lock()
	defer path.mu.Unlock()
	if path.lost < 500 {
		t.Errorf("the path lost %d packets of 20 MB", path.lost)
	}
}

// Clients that do not read bound what weir holds for them, and stop no other stream, neither of theirs nor of others'.
func TestH3SlowReaders(t *testing.T) {
	t.Parallel()
	const clients, streams = 20, 10
	w := start(t, setup{over: tlsed, bind: "h3 = true", servers: []*origin{flowOrigin(t)}, backend: `reuse = "always"`})
	narrow := func(c *quic.Config) {
		c.InitialStreamReceiveWindow, c.MaxStreamReceiveWindow = 16<<10, 16<<10 // of a stream; the connection has plenty
	}
	w.dialH3(t).wantAlive("at first")
	before := w.rss()
	var all []*h3Peer
	for range clients {
		p := w.dialH3(t, narrow)
		for range streams {
			_ = p.stream(h3Request("GET", "/down")).Close()
		}
		all = append(all, p)
	}
	w.wantMetric(clients*streams, "weir_frontend_requests_in_flight")
	for _, p := range all {
		p.wantAlive("beside streams that are not read")
	}
	w.dialH3(t).wantAlive("another client")
	// 2 GB are to be sent. What each client may hold is max-buffer-size for responses, and as much again what has come from
	// servers; the collector's reserve comes on top.
	most := clients * 2 * 128 << 10
	w.wantGrown(before, most+48*megabyte)
	for _, p := range all {
		_ = p.q.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
	}
}

// wantGrown holds the process to a bound of how much more memory it has than before. The race detector needs as much again,
// several times over.
func (w *weir) wantGrown(before, most int) {
	w.t.Helper()
	grown := w.rss() - before
	w.t.Logf("%d KiB more are held, at most %d", grown>>10, most>>10)
	if grown > most && os.Getenv("WEIR_E2E_RACE") == "" {
		w.t.Errorf("%d bytes more are held, at most %d", grown, most)
	}
}

// Uploads that their server does not take stop at what weir may hold, and no other request on the connection.
func TestH3UploadsThatStall(t *testing.T) {
	t.Parallel()
	w := start(t, setup{over: tlsed, bind: "h3 = true", servers: []*origin{flowOrigin(t)}, backend: `reuse = "always"`, global: "hard-stop-after = \"1s\"", leaves: true})
	p := w.dialH3(t)
	var ends sync.WaitGroup
	sent := &counted{Reader: noise(5, 1000*megabyte)}
	s := p.stream(h3Request("POST", "/deaf"))
	ends.Go(func() {
		body := make([]byte, 8<<10)
		for {
			_, _ = io.ReadFull(sent, body)
			if _, err := s.Write(h3Frame(h3Data, body)); err != nil {
				return
			}
		}
	})
	for range 50 {
		p.wantAlive("beside a stalled upload")
	}
	s.CancelWrite(quic.StreamErrorCode(http3.ErrCodeRequestCanceled))
	ends.Wait()
	// A server's socket takes some megabytes before it stops.
	if n := sent.n.Load(); n > 64*megabyte {
		t.Errorf("%d bytes were taken of a body that nobody reads", n)
	}
}

// A body may end with an empty DATA frame, and the frame may come with the end or before it.
func TestH3EmptyData(t *testing.T) {
	t.Parallel()
	w := start(t, setup{over: tlsed, bind: "h3 = true", servers: []*origin{flowOrigin(t)}, backend: `reuse = "always"`})
	p := w.dialH3(t)
	empty := h3Frame(h3Data, nil)
	for _, length := range [][]string{nil, {"content-length", "5"}} {
		for _, apart := range []bool{false, true} {
			s := p.stream(h3Request("POST", "/up", length...), h3Frame(h3Data, []byte("hello")))
			if apart {
				w.wantMetric(1, "weir_frontend_requests_in_flight")
			}
			_, _ = s.Write(empty)
			if apart {
				p.wantAlive("before the end")
			}
			_ = s.Close()
			want, _ := sum(strings.NewReader("hello"))
			if status, body := p.answer(s); status != "200" || string(body) != want {
				t.Errorf("length %v, apart %v: %s %q", length, apart, status, body)
			}
		}
	}
	for _, length := range [][]string{nil, {"content-length", "0"}} {
		s := p.stream(h3Request("POST", "/up", length...), empty)
		_ = s.Close()
		want, _ := sum(strings.NewReader(""))
		if status, body := p.answer(s); status != "200" || string(body) != want {
			t.Errorf("nothing, length %v: %s %q", length, status, body)
		}
	}
}

// A client that stops in the middle of a head or of a body is answered 408. Where other requests have been served before,
// the connection lives.
func TestH3UploadTimeouts(t *testing.T) {
	t.Parallel()
	w := start(t, setup{over: tlsed, bind: "h3 = true", servers: []*origin{flowOrigin(t)}, backend: `reuse = "always"`,
		frontend: `timeouts = "short"`, tables: "[timeouts.short]\nhttp-request = \"2s\"\nclient = \"300ms\"\n"})
	for what, b := range map[string][]byte{
		"head": h3Request("POST", "/up")[:10],
		"body": append(h3Request("POST", "/up", "content-length", "10"), h3Frame(h3Data, []byte("hello"))...),
	} {
		for _, first := range []bool{true, false} {
			p := w.dialH3(t)
			if !first {
				p.wantAlive("before")
			}
			s := p.stream(b)
			if status, _ := p.answer(s); status != "408" {
				t.Errorf("%s, first=%v: %s", what, first, status)
			}
			if !first {
				p.wantAlive(what)
			}
		}
	}
	w.wantMetric(2, "weir_answers_total", "reason", "request-timeout")
	w.wantMetric(2, "weir_answers_total", "reason", "client-timeout")
}
