package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// The corpus of raw messages is played to the binary: what a client sends and what crosses to a server that records it,
// what a server sends and what its client and all later clients get. A vector passes with an outcome that it accepts; what
// an RFC merely tolerates is a failure here. The h1 and h2 codecs are tested with the same files.
const (
	requestCorpus  = "../../h1/testdata/requests.json"
	responseCorpus = "../../h1/testdata/responses.json"
	fieldsCorpus   = "../../h2/testdata/h2requests.json"
)

// vector is one entry of the corpus.
type vector struct {
	ID, Group, Desc string
	Send            []step          // the client's bytes
	Steps           []h2Step        // the client's frames
	Reply           []step          // the server's bytes
	Request         json.RawMessage // a string or steps: what is asked where Reply is the answer
	Accept          []outcome
	Head, Connect   bool
	LegitSmuggled   bool `json:"legit_smuggled"`
	BodyLen         int
	WaitMs          int    `json:"wait_ms"`
	At              string // "head": Reply is sent before the request's body
	MaxAttempts     int    `json:"max_attempts"`
	VictimOther     bool   `json:"victim_other_conn"`
}

// outcome is what may come of a vector.
type outcome struct {
	Do         string // reject, close, wait, forward … for requests; gw, fwd, truncated … for responses
	Status     statuses
	Close      bool // the connection must be closed too
	Reqs       []wantRequest
	StatusTail []int `json:"status_tail"`
	Need100    bool
	Body       *string
	Hdr        map[string]json.RawMessage
	NoHdr      []string
	Interim    *[]int
	Data       string
}

type wantRequest struct {
	Method, Target string
	Body           *string
	Hdr            map[string]json.RawMessage
	NoHdr          []string
}

// statuses is a number or a list of them.
type statuses []int

// UnmarshalJSON implements json.Unmarshaler.
func (s *statuses) UnmarshalJSON(b []byte) error {
	var one int
	if json.Unmarshal(b, &one) == nil {
		*s = statuses{one}
		return nil
	}
	return json.Unmarshal(b, (*[]int)(s))
}

func loadCorpus(t *testing.T, file string, atLeast int) []vector {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Vectors []vector }
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Vectors) < atLeast {
		t.Fatalf("%s has only %d vectors", file, len(doc.Vectors))
	}
	return doc.Vectors
}

// lane is a weir and the server behind it. Vectors that run at the same time have one each.
type lane struct {
	*weir
	rec *recorder
}

const corpusTimeouts = `
[timeouts.short]
client = "3s"
server = "1500ms"
`

// lanes starts n of them, which vectors take turns to use.
// over is for clients: the recorder reads in cleartext what crosses.
func lanes(t *testing.T, n int, over transport, bind string) chan *lane {
	t.Helper()
	free := make(chan *lane, n)
	for range n {
		rec := newRecorder(t)
		w := start(t, setup{
			over: over, servers: []*origin{rec.origin}, bind: bind,
			frontend: `timeouts = "short"`, backend: "timeouts = \"short\"\nreuse = \"always\"", tables: corpusTimeouts,
		})
		free <- &lane{w, rec}
	}
	return free
}

// eachVector runs f for every vector, each on a lane that no other vector uses meanwhile.
func eachVector(t *testing.T, vectors []vector, free chan *lane, f func(t *testing.T, l *lane, v *vector) (observed, bad string)) {
	t.Run("", func(t *testing.T) { // returns when all vectors are through
		for i := range vectors {
			v := &vectors[i]
			t.Run(v.ID, func(t *testing.T) {
				t.Parallel()
				l := <-free
				defer func() { free <- l }()
				defer l.clean(t)
				if observed, bad := f(t, l, v); bad != "" {
					t.Errorf("%s\n%s\n%s", v.Desc, bad, observed)
				}
			})
		}
	})
}

// catchUp returns when weir has seen all that its server has sent. A worker takes what its sockets bring before it answers
// a scrape.
func (l *lane) catchUp(t *testing.T) {
	t.Helper()
	eventually(t, "the server has sent everything", l.rec.silent)
	if _, err := l.metrics(); err != nil {
		t.Error(err)
	}
}

// clean leaves no server connection for the next vector.
func (l *lane) clean(t *testing.T) {
	t.Helper()
	l.rec.reset()
	eventually(t, "weir drops its server connections", func() bool {
		m, err := l.metrics()
		return err == nil && m.sum("weir_server_connections") == 0
	})
}

func TestCorpusRequests(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		eachVector(t, loadCorpus(t, requestCorpus, 204), lanes(t, 6, over, `alpn = ["http/1.1"]`), runRequest)
	})
}

func TestCorpusResponses(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		eachVector(t, loadCorpus(t, responseCorpus, 87), lanes(t, 4, over, `alpn = ["http/1.1"]`), runResponse)
	})
}

// seen is what a client has got.
type seen struct {
	finals, interims []*message
	partial          *message // the last one, if it is not whole
	closed, reset    bool
	bad              string // bytes that are no response
	rest, raw        []byte
}

func (o *seen) String() string {
	var b strings.Builder
	b.WriteString("client:")
	for _, m := range append(o.interims, o.finals...) {
		fmt.Fprintf(&b, " %d", m.status())
	}
	if o.partial != nil {
		fmt.Fprintf(&b, " partial %d", o.partial.status())
	}
	if o.closed {
		b.WriteString(" closed")
	}
	return b.String()
}

// look reads responses off what a client has received.
func look(p *peer, v *vector) *seen {
	o := &seen{raw: p.in, closed: p.ended, reset: p.err != nil}
	method := "GET"
	switch {
	case v.Head:
		method = "HEAD"
	case v.Connect:
		method = "CONNECT"
	}
	for b := p.in; len(b) > 0; {
		m, n, err := cutResponse(b, method, p.ended)
		if err != nil {
			o.rest = b
			if o.partial = m; !errors.Is(err, errShort) {
				o.bad = err.Error()
			}
			return o
		}
		b = b[n:]
		if m.status()/100 == 1 && m.status() != 101 {
			o.interims = append(o.interims, m)
			continue
		}
		o.finals, method = append(o.finals, m), "GET"
		if m.framing == byTunnel {
			o.rest = b
			return o
		}
	}
	return o
}

// whole reports whether more can only come unasked.
func (o *seen) whole() bool {
	if o.bad != "" {
		return true
	}
	return len(o.finals) > 0 && o.partial == nil && (len(o.rest) == 0 || o.finals[len(o.finals)-1].framing == byTunnel)
}

// quietTime is how long after a whole response a client waits for what must not follow it.
const quietTime = 150 * time.Millisecond

// converse plays the client of a vector.
func converse(p *peer, steps []step, v *vector) *seen {
	wait := 2500 * time.Millisecond
	if v.WaitMs > 0 {
		wait = time.Duration(v.WaitMs) * time.Millisecond
	}
	sent, answered := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(sent)
		speak(p.conn, steps, answered)
	}()
	heard, due := false, v.answersDue()
	for seen, end := 0, time.Now().Add(wait); ; {
		o := look(p, v)
		if len(o.finals) > seen && len(o.finals) < due { // on a busy machine the next one may be a while
			seen, end = len(o.finals), time.Now().Add(wait)
		}
		if len(p.in) > 0 && !heard {
			heard = true
			close(answered)
		}
		if p.ended || time.Now().After(end) {
			return o
		}
		next := end
		quiet := o.whole() && isClosed(sent) && len(o.finals) >= due
		if quiet {
			next = time.Now().Add(quietTime)
		} else if !isClosed(sent) {
			next = time.Now().Add(20 * time.Millisecond)
		}
		if !p.more(next) && quiet {
			return o
		}
	}
}

// answersDue is how many responses a client gets if all it asks is forwarded.
func (v *vector) answersDue() (n int) {
	for i := range v.Accept {
		if v.Accept[i].Do == "forward" {
			n = max(n, len(v.Accept[i].Reqs))
		}
	}
	return n
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// speak sends the steps. A write that fails ends them: the other side has had enough.
func speak(c net.Conn, steps []step, answered chan struct{}) {
	for i := range steps {
		s := &steps[i]
		switch {
		case s.Sleep > 0:
			time.Sleep(time.Duration(s.Sleep) * time.Millisecond)
		case s.Fin:
			_ = c.(interface{ CloseWrite() error }).CloseWrite()
		case s.Wait100 > 0:
			select {
			case <-answered:
			case <-time.After(time.Duration(s.Wait100) * time.Millisecond):
			}
		default:
			_ = c.SetWriteDeadline(time.Now().Add(3 * time.Second))
			if !dribble(c, s) {
				return
			}
		}
	}
}

// bystander sends an ordinary request on a connection of its own. It must get its own answer, whatever the vector did. It
// returns what is wrong, and the server connection that served it.
func bystander(t *testing.T, l *lane, path string) (bad, conn string) {
	p := l.dialAs(t)
	defer p.close()
	p.send("GET ", path, " HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
	deadline := time.Now().Add(patience)
	for !p.ended && p.more(deadline) {
	}
	o := look(p, &vector{})
	return ownEcho(o, path), first(o.finals, "X-Origin-Conn")
}

func first(m []*message, name string) string {
	if len(m) == 0 {
		return ""
	}
	return m[0].get(name)
}

// ownEcho holds what a client got to be exactly the echo of its own request.
func ownEcho(o *seen, path string) string {
	switch {
	case o.bad != "":
		return "malformed response: " + o.bad
	case len(o.finals) != 1:
		return fmt.Sprintf("%d responses, closed %v", len(o.finals), o.closed)
	case o.finals[0].status() != 200, o.finals[0].get("X-Echo") != path:
		return fmt.Sprintf("the answer is %s to %q", o.finals[0].start, o.finals[0].get("X-Echo"))
	}
	return ""
}

// bystanders runs two of them after a vector.
func bystanders(t *testing.T, l *lane, v *vector) (bad string, conns []string) {
	for i := range 2 {
		b, conn := bystander(t, l, fmt.Sprintf("/victim/%s-%d", v.ID, i))
		if b != "" {
			bad = "bystander: " + b
		}
		conns = append(conns, conn)
	}
	return bad, conns
}

// runRequest plays a vector of requests.json.
func runRequest(t *testing.T, l *lane, v *vector) (observed, bad string) {
	l.rec.begin(playing{})
	p := l.dialAs(t)
	o := converse(p, v.Send, v)
	p.close()
	bad, _ = bystanders(t, l, v)
	own := l.rec.own()
	observed = o.String() + describe(own)
	if bad != "" {
		return observed, bad
	}
	if f := l.rec.fault(); f != "" {
		return observed, "the server got what is no request: " + f
	}
	old := o.bad != "" && o.closed && len(o.finals) == 0 && !strings.HasPrefix(string(o.raw), "HTTP/")
	if o.bad != "" && !old {
		return observed, "the client got what is no response: " + o.bad
	}
	for _, m := range own {
		if !v.LegitSmuggled && strings.Contains(m.target(), "/smuggled") {
			return observed, "a smuggled request has reached the server"
		}
	}
	return observed, judge(v, func(a *outcome) string { return a.ofRequest(o, own) })
}

func describe(own []*recorded) string {
	s := " | server:"
	for i, m := range own {
		if i == 6 {
			return s + " …"
		}
		s += fmt.Sprintf(" <%s body=%q>", visible(m.start), clip(m.body))
	}
	return s
}

// judge returns "" if one of the accepted outcomes has come, else why each has not.
func judge(v *vector, match func(*outcome) string) string {
	var why []string
	for i := range v.Accept {
		bad := match(&v.Accept[i])
		if bad == "" {
			return ""
		}
		why = append(why, v.Accept[i].Do+": "+bad)
	}
	return strings.Join(why, "; ")
}

// runResponse plays a vector of responses.json.
func runResponse(t *testing.T, l *lane, v *vector) (observed, bad string) {
	path := "/r/" + v.ID
	l.rec.begin(playing{path: path, steps: v.Reply, atHead: v.At == "head"})
	p := l.dialAs(t)
	o := converse(p, v.asks(t, path), v)
	observed = o.String()
	if o.bad != "" {
		return observed, "the client got what is no response: " + o.bad
	}
	if len(o.finals) > 1 {
		return observed, "the client got a response that it has not asked for"
	}
	if !o.closed && len(o.finals) == 1 && o.finals[0].status() != 101 {
		if o.finals[0].status() != 504 {
			l.catchUp(t)
		}
		if bad := askAgain(p, "/after/"+v.ID); bad != "" {
			return observed, "the next request of the client: " + bad
		}
	}
	p.close()
	bad, conns := bystanders(t, l, v)
	if bad != "" {
		return observed, bad
	}
	if f := l.rec.fault(); f != "" {
		return observed, "the server got what is no request: " + f
	}
	for _, m := range l.rec.own() {
		if strings.Contains(m.target(), "/smuggled") {
			return observed, "bytes of a body have become a request"
		}
	}
	if v.VictimOther && (l.rec.played[conns[0]] || l.rec.played[conns[1]]) {
		return observed, "a bystander shares a connection that carries an identity"
	}
	if l.rec.attempts > max(v.MaxAttempts, 1) {
		return observed, fmt.Sprintf("the server was asked %d times", l.rec.attempts)
	}
	return observed, judge(v, func(a *outcome) string { return a.ofResponse(o, v) })
}

// asks is what the client of a response vector sends.
func (v *vector) asks(t *testing.T, path string) []step {
	t.Helper()
	text := "GET " + path + " HTTP/1.1\r\nHost: a.example\r\n\r\n"
	if len(v.Request) == 0 || json.Unmarshal(v.Request, &text) == nil {
		return []step{{B: &text}}
	}
	var steps []step
	if err := json.Unmarshal(v.Request, &steps); err != nil {
		t.Fatal(err)
	}
	return steps
}

// askAgain sends one more request on a connection that was left open. weir may have closed it meanwhile.
func askAgain(p *peer, path string) string {
	p.in = nil
	if p.trySend("GET ", path, " HTTP/1.1\r\nHost: a.example\r\n\r\n") != nil {
		return ""
	}
	deadline := time.Now().Add(patience)
	for {
		o := look(p, &vector{})
		switch {
		case len(o.finals) > 0 || o.bad != "":
			return ownEcho(o, path)
		case p.ended:
			return ""
		case !p.more(deadline):
			return "no answer"
		}
	}
}
