package load

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"weir/bench/measure"
)

// Protocol is what a job's clients speak.
type Protocol string

// The protocols.
const (
	H1     Protocol = "h1"
	H2     Protocol = "h2" // over TLS with ALPN, or with prior knowledge over cleartext
	H3     Protocol = "h3"
	Socket Protocol = "ws" // HTTP/1.1 upgraded to a WebSocket; a message and its echo are a request
)

// TLS is how a job's clients secure their connections.
type TLS string

// The ways.
const (
	Clear   TLS = ""
	Full    TLS = "full"    // each connection makes a full handshake
	Resumed TLS = "resumed" // each connection but the first resumes a session
)

// Job says what one run of the generator does. Times are nanoseconds in JSON.
type Job struct {
	Addr     netip.AddrPort `json:"addr"`
	Sources  []netip.Addr   `json:"sources,omitempty"` // local addresses, taken in turn; empty: the kernel chooses
	Protocol Protocol       `json:"protocol"`
	TLS      TLS            `json:"tls,omitempty"`

	Conns      int  `json:"conns"`
	Streams    int  `json:"streams"`               // requests in flight a connection: pipelining in h1, streams in h2 and h3
	PerRequest bool `json:"per_request,omitempty"` // a new connection for each request

	Method  string `json:"method"`
	Path    string `json:"path"`
	Browser bool   `json:"browser,omitempty"` // with the fields a browser sends
	Body    int64  `json:"body,omitempty"`    // request body bytes; WebSocket: message bytes
	Expect  int64  `json:"expect"`            // response body bytes
	Shed    bool   `json:"shed,omitempty"`    // 429, 502, 503 and 504 are answers, not errors

	Rate     float64       `json:"rate,omitempty"`     // requests a second (open loop); 0: closed loop
	Requests int64         `json:"requests,omitempty"` // end after so many instead of after Duration
	Warmup   time.Duration `json:"warmup"`
	Duration time.Duration `json:"duration"`
	Patience time.Duration `json:"patience,omitempty"` // a client gives up after; 0: 10 s
	Gate     bool          `json:"gate,omitempty"`     // after the warm-up wait for Go
	Seed     uint64        `json:"seed"`

	Slow Slow `json:"slow"`
	Idle Idle `json:"idle"`

	Watch map[string]int `json:"watch,omitempty"` // process trees whose CPU time to take, by name
}

// Slow adds clients that are slow on purpose; they are not part of the measured requests.
type Slow struct {
	Readers int `json:"readers,omitempty"` // each takes 4 KiB of a 1 MiB body every 50 ms
	Senders int `json:"senders,omitempty"` // each sends a byte of a request every 50 ms
}

// Idle adds connections that make one request each before the warm-up and then only stay.
type Idle struct {
	Conns int `json:"conns,omitempty"`
}

const (
	defaultPatience = 10 * time.Second
	connectPatience = 15 * time.Second // for all connections of the setup together
)

func (j *Job) check() error {
	switch {
	case !j.Addr.IsValid():
		return errors.New("job: no address")
	case j.Conns < 1 || j.Streams < 1:
		return errors.New("job: needs a connection and a request on it")
	case j.Duration <= 0 && j.Requests <= 0:
		return errors.New("job: no end")
	case j.PerRequest && j.Streams != 1:
		return errors.New("job: a connection per request carries one request")
	case j.Body > 0 && j.Streams > 1:
		return errors.New("job: request bodies are sent one at a time")
	case j.Body > 0 && (j.Protocol == H2 || j.Protocol == H3):
		return fmt.Errorf("job: no request bodies over %s", j.Protocol)
	case j.TLS != Clear && j.Protocol == Socket:
		return errors.New("job: WebSockets are measured without TLS")
	case j.Protocol == H3 && (j.PerRequest || j.Slow != Slow{} || j.Idle != Idle{}):
		return errors.New("job: h3 keeps its connections and has no idle or slow clients")
	case j.Slow != Slow{} && j.TLS != Clear:
		return errors.New("job: slow clients speak cleartext")
	}
	switch j.Protocol {
	case H1, H2, H3, Socket:
		return nil
	}
	return fmt.Errorf("job: no protocol called %q", j.Protocol)
}

func (j *Job) patience() time.Duration {
	if j.Patience > 0 {
		return j.Patience
	}
	return defaultPatience
}

// Result is what a job found. Counts are of the measured window only.
type Result struct {
	Elapsed    time.Duration     `json:"elapsed"`
	Completed  int64             `json:"completed"`            // expected answers
	Shed       int64             `json:"shed,omitempty"`       // refusals, when the job says they are answers
	Statuses   map[int]int64     `json:"statuses,omitempty"`   // of refusals and unexpected answers
	Errors     map[string]int64  `json:"errors,omitempty"`     // by what went wrong
	Unfinished int64             `json:"unfinished,omitempty"` // due in the window, without an answer a second after it
	Moved      int64             `json:"moved"`                // bytes read and written in the window, as the sockets tell
	Opened     int64             `json:"opened"`               // connections opened
	Closed     int64             `json:"closed"`               // connections the server closed between requests
	Latency    measure.Histogram `json:"latency"`              // from due (open loop) or sent (closed loop) to complete
	ShedAfter  measure.Histogram `json:"shed_after"`           // the same of refusals
	Lag        measure.Histogram `json:"lag"`                  // open loop: from due to sent, when a connection was free
	Timeline   []int64           `json:"timeline"`             // completed per TimelineStep

	Used    map[string]measure.Usage `json:"used"` // CPU time in the window, by name of Watch; also "load" and "machine"
	TLSInfo *TLSInfo                 `json:"tls_info,omitempty"`
}

// TimelineStep is the time that one element of a timeline covers.
const TimelineStep = 100 * time.Millisecond

// TLSInfo is what was negotiated.
type TLSInfo struct {
	Handshakes int64  `json:"handshakes"` // in the window
	Resumed    int64  `json:"resumed"`    // of those
	Version    string `json:"version"`
	Cipher     string `json:"cipher"`
	Curve      string `json:"curve"`
	ALPN       string `json:"alpn"`
}

// Failures is the number of errors of all kinds.
func (r *Result) Failures() (n int64) {
	for _, k := range r.Errors {
		n += k
	}
	return n
}

// Worth is how many requests were done in the window. Bodies that take longer than a fraction of the window are counted by
// the bytes moved: whole ones would be too few to count.
func (r *Result) Worth(j *Job) float64 {
	if size := j.Body + j.Expect; size >= 1<<20 {
		return float64(r.Moved) / float64(size)
	}
	return float64(r.Completed)
}

// PerSecond is the throughput of expected answers.
func (r *Result) PerSecond() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Completed) / r.Elapsed.Seconds()
}
