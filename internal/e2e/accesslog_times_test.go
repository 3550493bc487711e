package e2e

import (
	"testing"
	"time"
)

// The times of a line are in order, whichever part was slow, and a request that is refused before it is known where it would
// go is no backend's.
func TestAccessLogTimesAreInOrder(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, global: `access-log = "$DIR/lines"`})
		const slow, seen = 30 * time.Millisecond, 10 * time.Millisecond // of the client; how much of it shows whenever weir reads
		client := w.dial()
		rests := func() { // from when weir has read what came: it takes what its sockets bring before it answers a scrape
			if _, err := w.metrics(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(slow)
		}
		client.send("GET /head HTTP/1.1\r\n")
		rests()
		client.send(host + "\r\n\r\n")
		back.serve()
		client.response()
		client.send("POST /body HTTP/1.1\r\n" + host + "\r\nContent-Length: 2\r\n\r\na")
		rests()
		client.send("b")
		back.serve()
		client.response()
		client.send("GET / HTTP/1.1\r\nno field\r\n\r\n")
		client.response()

		l := w.lines(3)
		for _, line := range l {
			head, response, total := line.number(t, "t_request"), line.number(t, "t_response"), line.number(t, "t_total")
			waits := line.number(t, "t_queue") + line.number(t, "t_connect")
			if line["server"] != "" && (head+waits > response || response > total) || head > total {
				t.Errorf("times of %v", line)
			}
		}
		if l[0].number(t, "t_request") < float64(seen.Microseconds()) || l[1].number(t, "t_response") < float64(seen.Microseconds()) {
			t.Errorf("a slow client's times: %v, %v", l[0], l[1])
		}
		l[2].want(t, "status", 400, "backend", "")
		w.wantMetric(1, "weir_requests_total", "backend", "", "code", "4xx")
		w.wantMetric(2, "weir_requests_total", "backend", "api")
	})
}
