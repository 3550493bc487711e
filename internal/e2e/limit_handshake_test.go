package e2e

import (
	"io"
	"strings"
	"testing"
)

// asksH3 asks once over a QUIC connection of its own; what came of it is to be heard.
func (w *weir) asksH3(t *testing.T) <-chan string {
	c := w.h3Client(t)
	heard := make(chan string, 1)
	go func() {
		defer c.close()
		r, err := c.Get("https://a.example/")
		if err != nil {
			heard <- err.Error()
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		heard <- r.Status
	}()
	return heard
}

// A QUIC connection waits in the same line as those of TCP, before its handshake, and is let in when its turn comes.
func TestH3WaitsForItsAdmission(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"global", "frontend"} {
		for _, axis := range []string{"max-conn", "max-ssl-conn"} {
			t.Run(level+","+axis, func(t *testing.T) {
				t.Parallel()
				back := newTally(t, plain, nil)
				w := start(t, attached(level, axis+" = 1\nqueue-timeout = \"20s\"", setup{over: tlsed, bind: "h3 = true", servers: []*origin{back.origin}}))
				first := w.client("")
				w.ask(first, "GET", "/")
				heard := w.asksH3(t)
				w.wantMetric(1, "weir_limit_hits_total", "level", level, "axis", axis)
				second := make(chan error, 1)
				go func() {
					u, err := w.user("")
					if err == nil {
						_, err = u.try("GET", "/")
						u.close()
					}
					second <- err
				}()
				w.wantMetric(2, "weir_limit_hits_total", "level", level, "axis", axis)
				if n := back.requests(); n != 1 {
					t.Errorf("%d requests, the others are not in", n)
				}
				first.close()
				if got := <-heard; got != "200 OK" {
					t.Error(got)
				}
				if err := <-second; err != nil {
					t.Error(err)
				}
				eventually(t, "all lines are written", func() bool { return len(w.accessLog()) == 3 })
				for i, l := range w.accessLog() {
					if want := map[bool]string{false: "", true: axis}[i > 0]; l.Status != 200 || l.LimitAxis != want {
						t.Errorf("line %d: %+v, want the axis %q", i, l, want)
					}
				}
				w.wantMetric(0, "weir_limit_current", "level", level, "axis", axis)
			})
		}
	}
}

// A rate holds QUIC connections up for as long as it takes, no longer and no shorter than those of TCP.
func TestH3WaitsForARate(t *testing.T) {
	t.Parallel()
	for _, axis := range []string{"max-conn-rate", "rate-limit-sessions", "max-ssl-rate"} {
		t.Run(axis, func(t *testing.T) {
			t.Parallel()
			back := newTally(t, plain, nil)
			w := start(t, attached("frontend", axis+" = 2\nqueue-timeout = \"20s\"", setup{over: tlsed, bind: "h3 = true", servers: []*origin{back.origin}}))
			var all []<-chan string
			for range 4 {
				all = append(all, w.asksH3(t))
			}
			for _, heard := range all {
				if got := <-heard; got != "200 OK" {
					t.Error(got)
				}
			}
			if n := w.metric("weir_limit_hits_total", "level", "frontend", "axis", axis); n != 3 {
				t.Errorf("%v were held up, want 3 of 4", n)
			}
		})
	}
}

// Who may not begin a handshake gets an alert, and stands in the log with the axis, like everybody who was refused.
func TestRefusedHandshakesAreLogged(t *testing.T) {
	t.Parallel()
	for _, proto := range []string{"tcp", "quic"} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			back := newTally(t, plain, nil)
			w := start(t, attached("frontend", "max-ssl-conn = 1\nqueue-depth = 1\nqueue-timeout = \"500ms\"",
				setup{over: tlsed, bind: "h3 = true", servers: []*origin{back.origin}}))
			w.ask(w.client(""), "GET", "/")
			heard := make(chan string, 3)
			for range 3 {
				if proto == "quic" {
					c := w.asksH3(t)
					go func() { heard <- <-c }()
					continue
				}
				go func() {
					_, err := w.user("")
					heard <- err.Error()
				}()
			}
			for range 3 {
				if word := <-heard; !strings.Contains(word, "tls: internal error") && !strings.Contains(word, "CONNECTION_REFUSED") {
					t.Error(word)
				}
			}
			wantLogged(t, w, "max-ssl-conn", map[string]int{"queue-full": 2, "queue-timeout": 1})
			for reason, n := range map[string]float64{"queue-full": 2, "queue-timeout": 1} {
				w.wantMetric(n, "weir_answers_total", "reason", reason)
			}
			if n := w.metric("weir_limit_hits_total", "level", "frontend", "axis", "max-ssl-conn"); n != 3 {
				t.Errorf("%v hits", n)
			}
			if n := w.metric("weir_requests_total"); n != 1 {
				t.Errorf("%v requests: nothing was asked but once", n)
			}
		})
	}
}
