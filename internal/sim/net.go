package sim

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"weir/internal/mono"
)

// Net is the simulated world: the wire, the clock, the descriptors of the one process whose workers are simulated. The
// exported fields are set before anything runs, or between steps.
type Net struct {
	Latency, Jitter time.Duration // of one way, each time: Latency plus up to Jitter
	SendBytes       int           // room of a socket for what is not acknowledged
	RecvBytes       int           // room of a socket for what is not read
	FilesMax        int           // descriptors of the process; 0: no limit
	Faults          Faults
	Trace           func(at mono.Time, line string) // told of everything that happens; nil: nobody

	now       mono.Time
	rnd       *rand.Rand
	queue     eventQueue
	kernels   []*Kernel
	last      *Kernel // whose Wait was called last
	driven    bool    // Drive sees to it that every worker gets its turns
	changes   uint64  // of the world: events, and turns in which a worker did something
	files     files
	listeners map[netip.AddrPort][]*socket
	flows     map[flow]struct{} // client ends that are open
	port      uint16
	routes    map[netip.Addr]Route
	failures  []error
}

// flow is what tells connections apart.
type flow struct{ from, to netip.AddrPort }

// Faults are the shares (0 to 1) of occasions on which something goes wrong that a network or kernel may do wrong.
type Faults struct {
	Fragment  float64 // a segment arrives in two parts, so that reads are short
	ShortSend float64 // a send takes only some of its bytes though there is room; a Writable event follows
	Spurious  float64 // a Wait reports some descriptor's readiness once more
	NoFiles   float64 // Accept or Connect is out of descriptors
	Reset     float64 // a segment is lost for good: both ends are reset
}

// Route is how an address is reached.
type Route struct {
	Latency     time.Duration // in place of the Net's, when not 0
	Unreachable bool          // a connect fails with Unreachable
	Blackhole   bool          // a connect is never answered, and times out as Linux would, after 127 seconds
}

// The defaults of a Net.
const (
	latencyDefault = 100 * time.Microsecond
	jitterDefault  = 50 * time.Microsecond
	roomDefault    = 64 << 10

	portMin, portMax = 32768, 60999 // net.ipv4.ip_local_port_range
)

// New makes an empty world. All that is random in it follows from the seed.
func New(seed uint64) *Net {
	return &Net{
		Latency: latencyDefault, Jitter: jitterDefault, SendBytes: roomDefault, RecvBytes: roomDefault,
		now:       mono.Time(time.Hour),
		rnd:       rand.New(rand.NewPCG(seed, 0x77656972)),
		listeners: map[netip.AddrPort][]*socket{},
		flows:     map[flow]struct{}{},
		routes:    map[netip.Addr]Route{},
		port:      portMax,
	}
}

// Now is the virtual time.
func (n *Net) Now() mono.Time { return n.now }

// Rand is the world's source of randomness, for scripts that want to be random and repeatable.
func (n *Net) Rand() *rand.Rand { return n.rnd }

// SetRoute says how addresses at ip are reached from now on.
func (n *Net) SetRoute(ip netip.Addr, r Route) { n.routes[ip] = r }

// After has f called when d has passed.
func (n *Net) After(d time.Duration, f func()) { n.at(n.now.Add(d), f) }

func (n *Net) at(t mono.Time, f func()) { n.queue.push(t, f) }

// Step moves time to the next event and lets it happen; false when there is none. No worker runs.
func (n *Net) Step() bool {
	e, ok := n.queue.pop()
	if !ok {
		return false
	}
	n.now = max(n.now, e.at)
	n.changes++
	e.do()
	return true
}

// Run lets everything happen up to a time, which it is then. No worker runs.
func (n *Net) Run(until mono.Time) {
	for n.queue.next() <= until {
		n.Step()
	}
	n.now = max(n.now, until)
}

// Drive runs workers: each turn is a worker's pass through its loop, which must call its kernel's Wait once. Which worker
// comes next is random, as it is on a real machine. It returns true as soon as done says so, and false when it has not
// by the virtual time until. Every kernel of the world must be driven.
func (n *Net) Drive(until mono.Time, done func() bool, turns ...func()) bool {
	n.driven = true
	defer func() { n.driven = false }()
	for still, since := 0, n.now; !done(); still++ {
		if n.now > until {
			return false
		}
		turns[n.rnd.IntN(len(turns))]()
		if n.now > since.Add(time.Millisecond) {
			still, since = 0, n.now
		}
		if still > 1_000_000 {
			panic("sim: a million turns and no millisecond has passed: a worker spins, or a kernel is not driven")
		}
		if n.dead() {
			return done()
		}
	}
	return true
}

// dead reports whether nothing will ever happen again: nothing is on its way and every worker sleeps without deadline.
func (n *Net) dead() bool {
	if n.queue.next() != mono.Never {
		return false
	}
	for _, k := range n.kernels {
		if k.runnable() || k.deadline != mono.Never {
			return false
		}
	}
	return true
}

// Fail notes that something in the world went otherwise than a script expected.
func (n *Net) Fail(format string, args ...any) {
	err := fmt.Errorf("at %v: %s", n.now.Sub(mono.Time(time.Hour)), fmt.Sprintf(format, args...))
	n.failures = append(n.failures, err)
	n.trace("failure: %v", err)
}

// Err is the first failure; nil when there was none.
func (n *Net) Err() error {
	if len(n.failures) == 0 {
		return nil
	}
	return n.failures[0]
}

// Files is the number of open descriptors of the process.
func (n *Net) Files() int { return n.files.open }

func (n *Net) trace(format string, args ...any) {
	if n.Trace != nil {
		n.Trace(n.now, fmt.Sprintf(format, args...))
	}
}

// happens draws whether a fault of that share happens now. A share of 0 draws nothing, so that turning one fault on does
// not change what the others do.
func (n *Net) happens(share float64) bool { return share > 0 && n.rnd.Float64() < share }

// delay is how long a way takes this time.
func (n *Net) delay(to netip.AddrPort) time.Duration {
	d := n.Latency
	if r, ok := n.routes[to.Addr()]; ok && r.Latency != 0 {
		d = r.Latency
	}
	if n.Jitter > 0 {
		d += time.Duration(n.rnd.Int64N(int64(n.Jitter)))
	}
	return d
}

// hosts are what the process's connections come from when nothing else is asked for.
var (
	loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	hostFour = netip.MustParseAddr("192.0.2.1")
	hostSix  = netip.MustParseAddr("2001:db8::1")
)

// sourceFor picks the local address of a connection: what was asked for, and a free port. ok is false when all ports
// towards to are taken.
func (n *Net) sourceFor(source, to netip.AddrPort) (from netip.AddrPort, ok bool) {
	ip := source.Addr()
	switch {
	case ip.IsValid() && !ip.IsUnspecified():
	case to.Addr().IsLoopback() && to.Addr().Is4():
		ip = loopback
	case to.Addr().IsLoopback():
		ip = to.Addr()
	case to.Addr().Is4():
		ip = hostFour
	default:
		ip = hostSix
	}
	if source.Port() != 0 {
		from = netip.AddrPortFrom(ip, source.Port())
		_, taken := n.flows[flow{from, to}]
		return from, !taken
	}
	for range portMax - portMin + 1 {
		if n.port++; n.port > portMax {
			n.port = portMin
		}
		from = netip.AddrPortFrom(ip, n.port)
		if _, taken := n.flows[flow{from, to}]; !taken && len(n.listeners[from]) == 0 {
			return from, true
		}
	}
	return from, false
}

// listenersAt are the listeners that a connection to an address reaches.
func (n *Net) listenersAt(to netip.AddrPort) []*socket {
	if ls := n.listeners[to]; len(ls) > 0 {
		return ls
	}
	any := netip.IPv4Unspecified()
	if to.Addr().Is6() {
		any = netip.IPv6Unspecified()
	}
	return n.listeners[netip.AddrPortFrom(any, to.Port())]
}
