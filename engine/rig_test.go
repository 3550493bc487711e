package engine

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/valyala/bytebufferpool"

	"weir/internal/config"
	"weir/internal/limit"
	"weir/internal/mono"
	"weir/internal/sim"
	"weir/internal/stats"
	"weir/netio"
	"weir/netio/tlsio"
)

// rig is a whole proxy in a simulated world: its workers share one thread, one clock and one seed, and take their turns in
// an order that is random and repeatable. After every turn the books are compared with what there is (verify_test.go).
type rig struct {
	t     testing.TB
	seed  uint64
	net   *sim.Net
	e     *Engine
	ws    []*worker
	turns int
	lines []logLine           // the access log, in order
	every int                 // turns between two verifications; 0: none
	files int                 // descriptors that belong to listeners
	waits map[string]idleWait // what waits beside what would serve it
	exact bool                // no limit has been lowered: no count may be above its maximum
}

// The addresses of every simulated world.
var (
	frontAddr = netip.MustParseAddrPort("192.0.2.1:80")
	serverOne = netip.MustParseAddrPort("203.0.113.1:8080")
	serverTwo = netip.MustParseAddrPort("203.0.113.2:8080")
)

// logLine is what the tests want to know of a line of the access log.
type logLine struct {
	Client   string `json:"client"`
	Frontend string `json:"frontend"`
	Server   string `json:"server"`
	Method   string `json:"method"`
	Path     string `json:"path"`
	Status   int    `json:"status"`
	BytesIn  int64  `json:"bytes_in"`
	BytesOut int64  `json:"bytes_out"`
	Reused   bool   `json:"conn_reused"`
	Retries  int    `json:"retries"`
	Reason   string `json:"reason"`
	Axis     string `json:"limit_axis"`
	TQueue   int64  `json:"t_queue"`
	TTotal   int64  `json:"t_total"`
	Worker   int    `json:"worker"`
}

// parseConfig reads a configuration, which must be right.
func parseConfig(t testing.TB, text string) *config.Config {
	t.Helper()
	cfg, report := config.Parse("test.toml", []byte(text), t.TempDir())
	if cfg != nil {
		cfg.Global.AccessLog = "stdout" // the rig reads its lines
		return cfg
	}
	var b strings.Builder
	report.WriteTo(&b)
	t.Fatalf("the configuration is refused:\n%s\n%s", b.String(), text)
	return nil
}

// newRig makes a proxy of some workers in a new world. Nothing runs until drive.
func newRig(t testing.TB, seed uint64, workers int, text string) *rig {
	t.Helper()
	r := &rig{t: t, seed: seed, net: sim.New(seed), every: 1 + int(seed%8)}
	if os.Getenv("WEIR_TRACE") != "" {
		r.net.Trace = func(at mono.Time, line string) { fmt.Printf("%v %s\n", at.Sub(mono.Time(time.Hour)), line) }
	}
	r.e = &Engine{
		log: slog.New(slog.DiscardHandler), started: time.Now(), tickets: tlsio.NewTicketStore(),
		access: &accessLog{queue: make(chan *bytebufferpool.ByteBuffer, accessQueue)}, // nobody writes: the rig takes the lines
		shared: &shared{table: limit.NewTable(workers), fds: limit.NewFDs()},
	}
	for i := range workers {
		w, err := r.e.newWorker(i, func(int) (netio.Kernel, error) { return r.net.Kernel(), nil })
		if err != nil {
			t.Fatal(err)
		}
		w.rand.state = mix(seed + uint64(i))
		w.ids = requestIDs{prefix: mix(seed ^ uint64(i))}
		r.ws = append(r.ws, w)
		r.e.shared.workers = r.ws
		r.e.cells = append(r.e.cells, &stats.Cells{})
	}
	p := r.prepare(text)
	for _, w := range r.ws {
		w.apply(p)
	}
	r.commit(p)
	r.files = r.net.Files()
	return r
}

// prepare makes a plan and does what Engine.commit does before the workers take it over.
func (r *rig) prepare(text string) *plan {
	r.t.Helper()
	p, err := r.e.prepare(parseConfig(r.t, text))
	if err != nil {
		r.t.Fatalf("seed %d: %v", r.seed, err)
	}
	r.e.generation++
	p.generation = r.e.generation
	r.e.unsettle(r.e.plan, p)
	return p
}

// commit is what it does when they have.
func (r *rig) commit(p *plan) {
	r.e.settle(p)
	r.e.detachMissing(r.e.plan, p)
	r.e.cfg, r.e.plan, r.e.live = p.cfg, p, map[string]*config.Limits{}
}

// reload posts another configuration to the workers, each of which takes it over at a moment of its own. It is over when
// done is called; no other may begin before.
func (r *rig) reload(text string, done func()) {
	r.t.Helper()
	p := r.prepare(text)
	left := len(r.ws)
	r.onWorkers(func(w *worker) {
		w.apply(p)
		if left--; left == 0 {
			r.commit(p)
			done()
		}
	})
}

// onWorkers has f run on every worker, some time.
func (r *rig) onWorkers(f func(*worker)) {
	for _, w := range r.ws {
		w.mail.Post(do(f))
	}
}

// drain is what Engine.Drain has the workers do.
func (r *rig) drain(hard time.Duration) {
	r.files = 0
	r.onWorkers(func(w *worker) { w.drain(hard) })
}

// drive runs the world until done, at most for d. It reports whether done became true.
func (r *rig) drive(d time.Duration, done func() bool) bool {
	r.t.Helper()
	turns := make([]func(), len(r.ws))
	for i, w := range r.ws {
		turns[i] = func() { r.turn(w) }
	}
	r.net.After(d, func() {}) // so that time does not go beyond it to the next event
	ok := r.net.Drive(r.net.Now().Add(d), done, turns...)
	r.verify()
	return ok
}

// run lets d pass.
func (r *rig) run(d time.Duration) {
	r.t.Helper()
	r.drive(d, func() bool { return false })
}

// must drives the world until what has happened, within d.
func (r *rig) must(what string, d time.Duration, happened func() bool) {
	r.t.Helper()
	if !r.drive(d, happened) {
		r.t.Fatalf("seed %d: it does not happen within %v that %s\n%s", r.seed, d, what, r.state())
	}
	if err := r.net.Err(); err != nil {
		r.t.Fatalf("seed %d: %v", r.seed, err)
	}
}

func (r *rig) turn(w *worker) {
	w.turn()
	r.takeLines()
	if r.turns++; r.every > 0 && r.turns%r.every == 0 {
		r.verify()
	}
}

// takeLines is the access log's writer.
func (r *rig) takeLines() {
	for {
		select {
		case b := <-r.e.access.queue:
			for line := range strings.Lines(string(b.B)) {
				var l logLine
				if err := json.Unmarshal([]byte(line), &l); err != nil {
					r.t.Fatalf("seed %d: the access log has a line that is no JSON: %v\n%s", r.seed, err, line)
				}
				r.lines = append(r.lines, l)
			}
			r.e.access.pool.Put(b)
		default:
			return
		}
	}
}

// linesOf are the log lines of a path.
func (r *rig) linesOf(path string) (lines []logLine) {
	for _, l := range r.lines {
		if l.Path == path {
			lines = append(lines, l)
		}
	}
	return lines
}

// server is the first worker's copy of a server, for its counters and its shard use serverOn.
func (r *rig) serverOn(worker int, backend, name string) *server {
	return r.ws[worker].view.backend(backend).server(name)
}

// opened is how many connections were opened to a server, over all workers.
func (r *rig) opened(backend, name string) (n uint64) {
	for _, w := range r.ws {
		for _, o := range w.stats.Server(backend, name).Opened {
			n += o
		}
	}
	return n
}

// closed is how many connections to a server were closed for a cause.
func (r *rig) closed(backend, name string, why stats.Cause) (n uint64) {
	for _, w := range r.ws {
		n += w.stats.Server(backend, name).Closed[why]
	}
	return n
}

// finish ends the world: clients have left or are sent away, servers are left, and nothing may remain.
func (r *rig) finish() {
	r.t.Helper()
	r.drain(0)
	empty := func() bool {
		for _, w := range r.ws {
			if w.stats.Loop.Conns > 0 || w.exchanges.live > 0 {
				return false
			}
		}
		return r.net.Files() == 0
	}
	r.must("everything is closed", 2*time.Minute, empty)
	r.run(10 * time.Millisecond) // letters that are still under way
	r.verify()
	r.verifyEmpty()
}

// state is what there is, for a message.
func (r *rig) state() string {
	var b strings.Builder
	for _, w := range r.ws {
		w.conns.each(func(c *conn) {
			switch o := c.owner.(type) {
			case *session:
				fmt.Fprintf(&b, "worker %d: client %v stage %d h1 %d flags %b in %d out %d", w.id, o.peer, o.stage, o.h1.state, c.flags, c.in.Len(), c.out.Len())
				if x := o.h1.x; x != nil {
					fmt.Fprintf(&b, ": %s place %d req %d rsp %d", x.req.head.Bytes(x.req.head.Target), x.place, x.req.state, x.rsp.state)
				}
			case *backConn:
				fmt.Fprintf(&b, "worker %d: server %s stage %d gauge %d flags %b in %d out %d busy %v", w.id, o.srv.cfg.Name, o.stage, o.gauge, c.flags, c.in.Len(), c.out.Len(), o.h1.x != nil)
			}
			b.WriteByte('\n')
		})
		fmt.Fprintf(&b, "worker %d: %d exchanges\n", w.id, w.exchanges.live)
	}
	fmt.Fprintf(&b, "%d descriptors\n", r.net.Files())
	return b.String()
}
