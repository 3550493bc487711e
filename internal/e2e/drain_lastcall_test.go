package e2e

import (
	"testing"
)

// When the time of a drain is over, whoever has seen nothing of a response is told 503 draining, at a server or in a queue, in
// every protocol. A response that has begun is cut, so that it shows.
func TestLastCallOfADrain(t *testing.T) {
	t.Parallel()
	back := listen(t, plain)
	w := start(t, setup{over: tlsed, bind: "h3 = true", servers: []*origin{back}, leaves: true, server: "max-conn = 2",
		global: "hard-stop-after = \"2s\"\naccess-log = \"$DIR/access\""})
	began := w.dial()
	began.ask("GET /began HTTP/1.1", host)
	first := back.accept()
	first.request()
	first.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
	began.responseHead()
	began.bytes("half")

	served := w.dial()
	served.ask("GET /served HTTP/1.1", host)
	back.accept().request()
	queued := w.dial()
	queued.ask("GET /queued HTTP/1.1", host)
	h2 := w.dialH2(t)
	h2.head(1, true, ":method", "GET", ":scheme", "https", ":authority", "a.example", ":path", "/h2")
	h3 := make(chan string, 1)
	go func() {
		r, err := w.h3Client(t).Get("https://a.example/h3")
		if err != nil {
			h3 <- err.Error()
			return
		}
		h3 <- r.Status + " " + r.Header.Get("Proxy-Status")
	}()
	w.wantMetric(3, "weir_queue_length")
	w.terminate()

	const why = `weir; error=proxy_internal_response; details="draining"`
	for _, client := range []*peer{served, queued} {
		client.response().want(t, "HTTP/1.1 503 Service Unavailable", "Retry-After: 1", "Connection: close", "Proxy-Status: "+why, "", "draining\n")
		client.end()
	}
	if s := h2.whole(1); s.get(":status") != "503" || s.get("proxy-status") != why || string(s.body) != "draining\n" {
		t.Errorf("h2: %v %q", s.fields, s.body)
	}
	if got := <-h3; got != "503 Service Unavailable "+why {
		t.Error("h3:", got)
	}
	began.drain()
	if len(began.in) > 0 {
		t.Errorf("a response that had begun went on with %q", began.in)
	}
	w.wantEnd()
	for _, l := range w.accessLog() {
		if want := map[bool]int{true: 200, false: 503}[l.Path == "/began"]; l.Status != want || l.Reason != "draining" {
			t.Errorf("%+v, want %d", l, want)
		}
	}
}
