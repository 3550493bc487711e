package sim_test

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"strings"
	"testing"
	"time"

	"weir/internal/buf"
	"weir/internal/mono"
	"weir/internal/sim"
	"weir/netio"
)

// relay is the smallest worker there is: it passes bytes between each client and a connection to the server, both ways,
// with the loop, the wheel, the mailbox and the queues that the real one uses.
type relay struct {
	k        netio.Kernel
	wheel    *netio.Wheel
	mail     *netio.Mailbox[int]
	pool     *buf.Pool
	listener int
	server   netip.AddrPort
	ends     map[uint32]*relayEnd
	next     uint32
	retry    netio.Timer // of accepting, when descriptors ran out
	mails    int
	stalled  int
}

// relayEnd is one connection of a pair.
type relayEnd struct {
	fd         int
	tok        netio.Token
	to         *relayEnd
	out        buf.Queue
	connecting bool
	eof, shut  bool
	full       bool
}

var (
	frontAddr  = netip.MustParseAddrPort("192.0.2.1:80")
	originAddr = netip.MustParseAddrPort("203.0.113.9:8080")
)

func newRelay(n *sim.Net) *relay {
	k := n.Kernel()
	r := &relay{k: k, wheel: netio.NewWheel(k.Now()), mail: netio.NewMailbox[int](k), pool: buf.NewPool(0),
		server: originAddr, ends: map[uint32]*relayEnd{}}
	r.listener, _ = k.Listen(&netio.ListenOptions{Addr: frontAddr})
	k.Watch(r.listener, 0)
	return r
}

func (r *relay) turn() {
	var ev [4]netio.Event
	deadline := mono.Time(0)
	if r.mail.PrepareSleep() {
		deadline = r.wheel.Next()
	}
	n := r.k.Wait(ev[:], deadline)
	r.mail.Awake()
	for _, e := range ev[:n] {
		if e.Token.Index() == 0 {
			r.accept()
		} else if end := r.ends[e.Token.Index()]; end != nil && end.tok == e.Token {
			r.onEvent(end, e.Ready)
		}
	}
	for {
		if _, ok := r.mail.Take(); !ok {
			break
		}
		r.mails++
	}
	r.wheel.Advance(r.k.Now(), func(*netio.Timer) { r.accept() })
}

func (r *relay) accept() {
	for {
		fd, _, io := r.k.Accept(r.listener)
		switch io {
		case netio.OK:
		case netio.NoFiles:
			r.stalled++
			r.wheel.Arm(&r.retry, r.k.Now().Add(10*time.Millisecond))
			return
		default:
			return
		}
		out, io := r.k.Connect(&netio.ConnectOptions{Addr: r.server})
		if io != netio.Again {
			r.k.Abort(fd)
			continue
		}
		front, back := &relayEnd{fd: fd}, &relayEnd{fd: out, connecting: true}
		front.to, back.to = back, front
		for _, e := range []*relayEnd{front, back} {
			r.next++
			e.tok = netio.NewToken(r.next, r.next)
			e.out.Init(r.pool)
			r.ends[r.next] = e
			r.k.Watch(e.fd, e.tok)
		}
	}
}

func (r *relay) onEvent(e *relayEnd, ready netio.Ready) {
	if e.connecting {
		if r.k.Connected(e.fd) != netio.OK {
			r.drop(e)
			return
		}
		e.connecting = false
	}
	if ready&netio.Writable != 0 {
		e.full = false
		if !r.flush(e) {
			return
		}
	}
	if ready&(netio.Readable|netio.PeerClosed|netio.HungUp) != 0 {
		r.read(e, ready)
	}
}

func (r *relay) read(e *relayEnd, ready netio.Ready) {
	for !e.eof {
		p := e.to.out.Room(700)
		n, io := r.k.Recv(e.fd, p)
		e.to.out.Commit(n)
		switch {
		case io == netio.EOF:
			e.eof = true
		case io == netio.Again, io == netio.OK && n < len(p) && ready&(netio.PeerClosed|netio.HungUp) == 0:
			r.flush(e.to)
			return
		case io != netio.OK:
			r.drop(e)
			return
		}
	}
	r.flush(e.to)
}

// flush sends what it can and passes the end on; false when that was the end of the pair.
func (r *relay) flush(e *relayEnd) bool {
	var pieces [8][]byte
	for e.out.Len() > 0 && !e.full && !e.connecting {
		n, io := r.k.SendV(e.fd, e.out.Pieces(pieces[:0]))
		e.out.Consume(n)
		if io == netio.Again {
			e.full = true
		} else if io != netio.OK {
			r.drop(e)
			return false
		}
	}
	if e.to.eof && e.out.Len() == 0 && !e.shut && !e.connecting {
		e.shut = true
		r.k.ShutdownSend(e.fd)
	}
	if e.shut && e.to.shut {
		r.end(e, false)
		return false
	}
	return true
}

// drop aborts a pair of which one connection broke.
func (r *relay) drop(e *relayEnd) { r.end(e, true) }

func (r *relay) end(e *relayEnd, reset bool) {
	for _, e := range []*relayEnd{e, e.to} {
		e.out.Reset()
		delete(r.ends, e.tok.Index())
		e.tok = ^netio.Token(1)
		if reset {
			r.k.Abort(e.fd)
		} else {
			r.k.Close(e.fd)
		}
	}
}

// world runs clients through two relays to a server and returns the run's trace as a number.
func world(t *testing.T, seed uint64, faults sim.Faults, server func() sim.Script) (done, broken int, trace uint64) {
	t.Helper()
	n := sim.New(seed)
	n.Faults = faults
	n.SendBytes, n.RecvBytes = 1000+int(seed*997%5000), 1000+int(seed*499%9000)
	sum := fnv.New64()
	n.Trace = func(at mono.Time, line string) { fmt.Fprintln(sum, at, line) }
	n.Server(originAddr, server)
	relays := []*relay{newRelay(n), newRelay(n)}
	var surfers []*sim.Surfer
	for i := range 20 {
		body := strings.Repeat(fmt.Sprint(i), 1+i*300)
		s := &sim.Surfer{Think: time.Duration(i) * time.Millisecond, Check: func(p *sim.Peer, j int, m *sim.Message) {
			if want := fmt.Sprintf("POST /%d\n%s", j, body); m.Body != want {
				n.Fail("response %d of client %d: %.60q", j, i, m.Body)
			}
		}}
		for j := range 5 {
			s.Requests = append(s.Requests, fmt.Sprintf("POST /%d HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s", j, len(body), body))
		}
		surfers = append(surfers, s)
		n.After(time.Duration(n.Rand().IntN(1e6)), func() { n.Client(frontAddr, s) })
	}
	finished := func() bool {
		for _, s := range surfers {
			if !s.Done() && s.Ended == netio.OK {
				return false
			}
		}
		return len(relays[0].ends)+len(relays[1].ends) == 0
	}
	if !n.Drive(n.Now().Add(time.Minute), finished, relays[0].turn, relays[1].turn) {
		t.Fatalf("seed %d: it hangs; %d and %d ends are open", seed, len(relays[0].ends), len(relays[1].ends))
	}
	if err := n.Err(); err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	for _, r := range relays {
		if r.pool.InUse() != 0 {
			t.Fatalf("seed %d: %d bytes leaked", seed, r.pool.InUse())
		}
	}
	if n.Files() != 2 {
		t.Fatalf("seed %d: %d descriptors are open, want the listeners", seed, n.Files())
	}
	for _, s := range surfers {
		if s.Done() {
			done++
		} else {
			broken++
		}
	}
	return done, broken, sum.Sum64()
}

// TestRelayUnderFaults: no fault that loses nothing makes a client notice, for many seeds.
func TestRelayUnderFaults(t *testing.T) {
	for seed := range uint64(40) {
		faults := sim.Faults{Fragment: 0.2, ShortSend: 0.1, Spurious: 0.1}
		if done, broken, _ := world(t, seed, faults, sim.Echo); broken != 0 {
			t.Fatalf("seed %d: %d clients were served, %d not", seed, done, broken)
		}
	}
}

// TestRelayUnderLosses: what is lost is told, and nothing hangs or leaks.
func TestRelayUnderLosses(t *testing.T) {
	lost := 0
	for seed := range uint64(40) {
		faults := sim.Faults{Fragment: 0.2, ShortSend: 0.1, Spurious: 0.1, Reset: 0.002, NoFiles: 0.05}
		_, broken, _ := world(t, seed, faults, sim.HangsUp(4))
		lost += broken
	}
	if lost == 0 {
		t.Error("no fault ever hit: this test shows nothing")
	}
}

func TestARunIsItsSeed(t *testing.T) {
	faults := sim.Faults{Fragment: 0.2, ShortSend: 0.1, Spurious: 0.1, Reset: 0.002, NoFiles: 0.05}
	traces := map[uint64]uint64{}
	for seed := range uint64(5) {
		_, _, first := world(t, seed, faults, sim.Echo)
		if _, _, second := world(t, seed, faults, sim.Echo); first != second {
			t.Errorf("two runs of seed %d differ", seed)
		}
		if other, ok := traces[first]; ok {
			t.Errorf("seeds %d and %d run alike", seed, other)
		}
		traces[first] = seed
	}
}

// TestWorkersKeepTheirDeadlines: each of two workers wakes at its own times, though either one's Wait moves the clock.
func TestWorkersKeepTheirDeadlines(t *testing.T) {
	n := sim.New(3)
	ks := [2]*sim.Kernel{n.Kernel(), n.Kernel()}
	every := [2]time.Duration{3 * time.Millisecond, 7 * time.Millisecond}
	var next [2]mono.Time
	var count [2]int
	turn := func(i int) func() {
		return func() {
			if next[i] == 0 {
				next[i] = n.Now().Add(every[i])
			}
			ks[i].Wait(nil, next[i])
			if now := n.Now(); now >= next[i] {
				if late := now.Sub(next[i]); late > 100*time.Microsecond {
					t.Fatalf("worker %d woke %v late", i, late)
				}
				count[i]++
				next[i] = next[i].Add(every[i])
			}
		}
	}
	n.Drive(n.Now().Add(time.Second), func() bool { return false }, turn(0), turn(1))
	if count[0] < 330 || count[1] < 140 {
		t.Errorf("the workers woke %d and %d times in a second", count[0], count[1])
	}
}

func TestMailWakesASleepingWorker(t *testing.T) {
	n := sim.New(1)
	a, b := newRelay(n), newRelay(n)
	n.After(time.Second, func() { a.mail.Post(1) })
	if !n.Drive(n.Now().Add(time.Minute), func() bool { return a.mails == 1 }, a.turn, b.turn) {
		t.Error("the letter was never taken")
	}
}

func TestDescriptorsRunOut(t *testing.T) {
	n := sim.New(1)
	n.FilesMax = 5 // the listener and two pairs
	n.Server(originAddr, sim.Echo)
	r := newRelay(n)
	const clients = 10
	var surfers []*sim.Surfer
	for range clients {
		s := &sim.Surfer{Requests: []string{"GET / HTTP/1.1\r\n\r\n"}}
		surfers = append(surfers, s)
		n.Client(frontAddr, s)
	}
	all := func() bool {
		for _, s := range surfers {
			if !s.Done() && s.Ended == netio.OK {
				return false
			}
		}
		return true
	}
	if !n.Drive(n.Now().Add(time.Minute), all, r.turn) || r.stalled == 0 {
		t.Errorf("clients hang, or descriptors never ran out (%d times)", r.stalled)
	}
}

func TestDriveEndsWhenNothingCanHappen(t *testing.T) {
	n := sim.New(1)
	r := newRelay(n)
	start := n.Now()
	if n.Drive(start.Add(time.Hour), func() bool { return false }, r.turn) {
		t.Error("it says that it is done")
	}
	if n.Now() > start.Add(time.Second) {
		t.Error("it waited for nothing")
	}
}

func TestAWorkerThatSpinsIsFound(t *testing.T) {
	n := sim.New(1)
	n.Kernel()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	n.Drive(n.Now().Add(time.Hour), func() bool { return false }, func() {})
}
