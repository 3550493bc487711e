package load

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"weir/bench/origin"
)

var (
	loopback = netip.MustParseAddrPort("127.0.0.1:0")
)

func startOrigin(t *testing.T) netip.AddrPort {
	t.Helper()
	at := make(chan netip.AddrPort, 1)
	go origin.Run(origin.Config{Listen: loopback}, func(a origin.Addresses) { at <- a.Serve })
	return <-at
}

// job is a short one against addr; tests change what they are about.
func job(addr netip.AddrPort) *Job {
	return &Job{Addr: addr, Protocol: H1, Conns: 4, Streams: 1, Method: "GET", Path: "/1k", Expect: 1 << 10,
		Warmup: 20 * time.Millisecond, Duration: 150 * time.Millisecond, Seed: 1, Watch: map[string]int{"self": os.Getpid()}}
}

func run(t *testing.T, j *Job) *Result {
	t.Helper()
	r, err := Run(j, Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestWindowWaitsForItsFirstRequest has a server that is slower than the window is long: a busy machine makes any server that.
func TestWindowWaitsForItsFirstRequest(t *testing.T) {
	for _, rate := range []float64{0, 3} {
		j := job(startOrigin(t))
		j.Path, j.Duration, j.Rate = "/delay/400/1k", 50*time.Millisecond, rate
		mustWork(t, run(t, j))
	}
}

// mustWork fails unless the run was clean and counted consistently.
func mustWork(t *testing.T, r *Result) {
	t.Helper()
	if r.Completed == 0 || r.Failures() != 0 || r.Unfinished != 0 {
		t.Fatalf("completed %d, errors %v, statuses %v, unfinished %d", r.Completed, r.Errors, r.Statuses, r.Unfinished)
	}
	if r.Latency.Count() != uint64(r.Completed) {
		t.Errorf("%d latencies of %d requests", r.Latency.Count(), r.Completed)
	}
	if r.Used["self"].CPU <= 0 || r.Used["load"].CPU <= 0 {
		t.Errorf("no CPU time: %v", r.Used)
	}
}

func TestClosedLoop(t *testing.T) {
	addr := startOrigin(t)
	for name, change := range map[string]func(*Job){
		"keep-alive":      func(j *Job) {},
		"pipelined":       func(j *Job) { j.Streams = 8 },
		"per request":     func(j *Job) { j.PerRequest = true },
		"browser":         func(j *Job) { j.Browser = true },
		"big body":        func(j *Job) { j.Path, j.Expect = "/3m", 3<<20 },
		"upload":          func(j *Job) { j.Method, j.Path, j.Body, j.Expect = "POST", "/upload", 3<<20, 2 },
		"small upload":    func(j *Job) { j.Method, j.Path, j.Body, j.Expect = "POST", "/echo", 100, 100 },
		"h2":              func(j *Job) { j.Protocol, j.Streams = H2, 8 },
		"h2 browser":      func(j *Job) { j.Protocol, j.Streams, j.Browser = H2, 3, true },
		"h2 big body":     func(j *Job) { j.Protocol, j.Streams, j.Path, j.Expect = H2, 2, "/3m", 3<<20 },
		"WebSocket":       func(j *Job) { j.Protocol, j.Path, j.Body, j.Expect = Socket, "/ws", 125, 125 },
		"large messages":  func(j *Job) { j.Protocol, j.Path, j.Body, j.Expect = Socket, "/ws", 70000, 70000 },
		"several sources": func(j *Job) { j.Sources = []netip.Addr{netip.MustParseAddr("127.0.0.2")}; j.PerRequest = true },
		"slow and idle":   func(j *Job) { j.Slow = Slow{3, 3}; j.Idle.Conns = 300; j.Warmup = 120 * time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			j := job(addr)
			change(j)
			r := run(t, j)
			mustWork(t, r)
			if size := j.Expect + j.Body; j.Protocol != H2 && r.Moved < (r.Completed-int64(j.Conns*j.Streams))*size {
				t.Errorf("%d bytes moved for %d requests of %d", r.Moved, r.Completed, size)
			}
			if j.PerRequest != (r.Opened >= r.Completed) {
				t.Errorf("%d connections opened for %d requests", r.Opened, r.Completed)
			}
			sum := int64(0)
			for _, n := range r.Timeline {
				sum += n
			}
			if sum != r.Completed {
				t.Errorf("the timeline sums to %d of %d", sum, r.Completed)
			}
		})
	}
}

func TestCountedRunMakesExactlyThatMany(t *testing.T) {
	addr := startOrigin(t)
	for _, change := range []func(*Job){
		func(j *Job) {},
		func(j *Job) { j.Warmup = 0 },
		func(j *Job) { j.PerRequest = true },
		func(j *Job) { j.Protocol, j.Streams = H2, 5 },
		func(j *Job) { j.Requests = 2 },
	} {
		j := job(addr)
		j.Requests, j.Gate = 501, true
		change(j)
		gates := 0
		r, err := Run(j, Hooks{Ready: func() { gates++ }})
		if err != nil || r.Completed != j.Requests || gates != 1 {
			t.Errorf("completed %d of %d, gate passed %d times (%v)", r.Completed, j.Requests, gates, err)
		}
	}
}

func TestOpenLoopKeepsItsSchedule(t *testing.T) {
	addr := startOrigin(t)
	for _, p := range []Protocol{H1, H2} {
		j := job(addr)
		j.Protocol, j.Rate, j.Duration = p, 2000, 400*time.Millisecond
		r := run(t, j)
		mustWork(t, r)
		// A busy machine notices the window's end late, and makes it longer.
		if want := j.Rate * r.Elapsed.Seconds(); math.Abs(float64(r.Completed)-want) > 6*math.Sqrt(want) {
			t.Errorf("%s: %d requests in %v at 2000 a second", p, r.Completed, r.Elapsed)
		}
	}
}

// A gate that stays closed for long makes nothing late: the arrivals wait with the rest.
func TestOpenLoopWaitsAtTheGate(t *testing.T) {
	const closed = 2 * time.Second
	j := job(startOrigin(t))
	j.Rate, j.Duration, j.Gate = 500, 300*time.Millisecond, true
	r, err := Run(j, Hooks{Ready: func() { time.Sleep(closed) }})
	if err != nil {
		t.Fatal(err)
	}
	mustWork(t, r)
	if got := r.Latency.Quantile(0.5); got > closed/2 {
		t.Errorf("median %v behind a gate that was closed for %v", got, closed)
	}
}

// The reason for open loops: one server that answers after 20 ms on two connections at 1000 requests a second can serve
// 100 a second. A closed loop would report 20 ms; clients that arrive wait far longer.
func TestOpenLoopDoesNotOmitWhatWaits(t *testing.T) {
	j := job(startOrigin(t))
	j.Path, j.Conns, j.Rate, j.Duration = "/delay/20/1k", 2, 1000, 300*time.Millisecond
	r := run(t, j)
	if got := r.Latency.Quantile(0.5); got < 100*time.Millisecond {
		t.Errorf("median %v", got)
	}
	if r.Unfinished == 0 || r.Latency.Count() != uint64(r.Completed+r.Unfinished) {
		t.Errorf("%d unfinished, %d completed, %d latencies", r.Unfinished, r.Completed, r.Latency.Count())
	}
	if r.Finished() > 0.9 {
		t.Errorf("finished %v", r.Finished())
	}
}

// fake answers every connection's first bytes with the same text and then closes or waits.
func fake(t *testing.T, answer string, hangUp bool) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				buf := make([]byte, 4096)
				for {
					if _, err := c.Read(buf); err != nil {
						c.Close()
						return
					}
					io.WriteString(c, answer)
					if hangUp {
						c.Close()
						return
					}
				}
			}()
		}
	}()
	return netip.MustParseAddrPort(ln.Addr().String())
}

func TestWrongAnswersAreErrors(t *testing.T) {
	for _, c := range []struct {
		name, answer, want string
		hangUp             bool
		change             func(*Job)
	}{
		{"status", "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "unexpected status", false, nil},
		{"short body", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "body of the wrong size", false, nil},
		{"truncated", "HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\nabc", "closed without an answer", true, nil},
		{"no answer", "", "closed without an answer", true, nil},
		{"silence", "", "no answer in time", false, func(j *Job) { j.Patience = 50 * time.Millisecond }},
		{"not HTTP", "hello, world\r\n\r\n", "bad status line", false, nil},
		{"no h2", "HTTP/1.1 400 Bad Request\r\n\r\n", "the connections of the setup do not stand", false,
			func(j *Job) { j.Protocol = H2 }},
		{"no upgrade", "HTTP/1.1 400 Bad Request\r\n\r\n", "the connections of the setup do not stand", false,
			func(j *Job) { j.Protocol, j.Path = Socket, "/ws" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			j := job(fake(t, c.answer, c.hangUp))
			if c.change != nil {
				c.change(j)
			}
			r, err := Run(j, Hooks{})
			if strings.HasPrefix(c.want, "the connections") {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil || r.Errors[c.want] == 0 {
				t.Errorf("errors %v (%v), want %q", r.Errors, err, c.want)
			}
		})
	}
}

func TestShedIsAnAnswerWhenTheJobSaysSo(t *testing.T) {
	j := job(fake(t, "HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno", false))
	j.Shed = true
	r := run(t, j)
	if r.Shed == 0 || r.Failures() != 0 || r.Statuses[503] != r.Shed || r.Completed != 0 {
		t.Errorf("shed %d, errors %v, statuses %v", r.Shed, r.Errors, r.Statuses)
	}
}

// A server may close after an answer that says so; the client opens a new connection and nobody calls it an error.
func TestServerClosesBetweenRequests(t *testing.T) {
	r := run(t, func() *Job {
		j := job(fake(t, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", true))
		j.Expect = 0
		return j
	}())
	mustWork(t, r)
	if r.Closed == 0 || r.Opened == 0 {
		t.Errorf("closed %d, opened %d", r.Closed, r.Opened)
	}
}

func TestCheck(t *testing.T) {
	for name, change := range map[string]func(*Job){
		"address":  func(j *Job) { j.Addr = netip.AddrPort{} },
		"conns":    func(j *Job) { j.Conns = 0 },
		"end":      func(j *Job) { j.Duration = 0 },
		"pipeline": func(j *Job) { j.PerRequest, j.Streams = true, 2 },
		"bodies":   func(j *Job) { j.Body, j.Streams = 1, 2 },
		"h2 body":  func(j *Job) { j.Protocol, j.Body = H2, 1 },
		"wss":      func(j *Job) { j.Protocol, j.TLS = Socket, Full },
		"protocol": func(j *Job) { j.Protocol = "spdy" },
		"h3 slow":  func(j *Job) { j.Protocol, j.Slow.Readers = H3, 1 },
		"tls slow": func(j *Job) { j.TLS, j.Slow.Readers = Full, 1 },
	} {
		j := job(netip.MustParseAddrPort("127.0.0.1:1"))
		change(j)
		if _, err := Run(j, Hooks{}); err == nil {
			t.Errorf("%s: a job that cannot be done was taken", name)
		}
	}
}

func TestServeSpeaksLines(t *testing.T) {
	j := job(startOrigin(t))
	j.Gate, j.Requests = true, 10
	text, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := Serve(strings.NewReader(fmt.Sprintf("%s\ngo\n", text)), &out); err != nil {
		t.Fatal(err)
	}
	var events []string
	for line := range strings.Lines(out.String()) {
		var m Message
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		events = append(events, m.Event)
		if m.Event == "result" && (m.Result.Completed != 10 || m.Result.Latency.Count() != 10) {
			t.Errorf("result %+v", m.Result)
		}
	}
	if got := strings.Join(events, " "); got != "ready measuring result" {
		t.Errorf("events %q", got)
	}
	if err := Serve(strings.NewReader("nonsense\n"), &out); err == nil {
		t.Error("took nonsense for a job")
	}
}
