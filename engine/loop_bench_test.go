package engine

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"testing"

	"weir/internal/config"
	"weir/internal/mono"
	"weir/netio"
)

// playedKernel plays clients and origins from memory, so that a benchmark measures what weir itself costs: a system call is
// a function that copies a few bytes. As soon as a client has its answer another one asks, each in its turn.
type playedKernel struct {
	clients int
	asking  int   // how many of them take part
	at      int   // how many of those ask at a time
	resting []int // who takes part and does not ask now, as descriptors; who has rested longest asks next
	clock   mono.Time
	events  []netio.Event // those before next have been reported
	next    int
	fds     []playedFD
	left    int // requests still to be asked
	flying  int
	begin   chan int
	done    chan struct{}
	woken   chan struct{}
	accepts int
	calls   int
}

type playedFD struct {
	kind  playedKind
	token netio.Token
	ready bool // input is there
}

type playedKind uint8

const (
	playedListener playedKind = iota
	playedClient
	playedServer
)

func newPlayedKernel(clients int) *playedKernel {
	return &playedKernel{clients: clients, asking: clients, at: 64, clock: 1 << 40, begin: make(chan int), done: make(chan struct{}, 1), woken: make(chan struct{}, 1)}
}

func (k *playedKernel) open(kind playedKind) int {
	k.fds = append(k.fds, playedFD{kind: kind})
	return len(k.fds) - 1
}

func (k *playedKernel) happen(fd int, r netio.Ready) {
	f := &k.fds[fd]
	f.ready = true
	k.events = append(k.events, netio.Event{Token: f.token, Ready: r | netio.Writable})
}

func (k *playedKernel) Now() mono.Time { return k.clock }

func (k *playedKernel) Wait(ev []netio.Event, deadline mono.Time) int {
	k.clock += 100_000
	if k.left == 0 && k.flying == 0 && k.calls > 0 {
		k.calls = 0
		k.done <- struct{}{}
	}
	if k.next == len(k.events) && deadline != 0 {
		select {
		case n := <-k.begin:
			k.left, k.calls, k.resting = n, 1, k.resting[:0]
			for fd := range k.fds {
				if k.fds[fd].kind == playedClient && len(k.resting) < k.asking {
					k.resting = append(k.resting, fd)
				}
			}
			for range min(k.at, k.asking) {
				k.ask()
			}
		case <-k.woken:
		}
	}
	n := copy(ev, k.events[k.next:])
	if k.next += n; k.next == len(k.events) {
		k.events, k.next = k.events[:0], 0
	}
	return n
}

func (k *playedKernel) Wake() {
	select {
	case k.woken <- struct{}{}:
	default:
	}
}

func (k *playedKernel) Listen(*netio.ListenOptions) (int, error) { return k.open(playedListener), nil }

func (k *playedKernel) Accept(int) (int, netip.AddrPort, netio.IO) {
	if k.accepts == k.clients {
		return -1, netip.AddrPort{}, netio.Again
	}
	k.accepts++
	return k.open(playedClient), netip.MustParseAddrPort("127.0.0.1:4000"), netio.OK
}

func (k *playedKernel) Connect(*netio.ConnectOptions) (int, netio.IO) {
	return k.open(playedServer), netio.Again
}
func (k *playedKernel) Connected(int) netio.IO { return netio.OK }
func (k *playedKernel) Watch(fd int, t netio.Token) netio.IO {
	k.fds[fd].token = t
	k.events = append(k.events, netio.Event{Token: t, Ready: netio.Writable})
	return netio.OK
}
func (k *playedKernel) Unwatch(int) {}

func (k *playedKernel) Recv(fd int, p []byte) (int, netio.IO) {
	f := &k.fds[fd]
	if !f.ready {
		return 0, netio.Again
	}
	f.ready = false
	if f.kind == playedClient {
		return copy(p, playedRequest), netio.OK
	}
	return copy(p, playedResponse), netio.OK
}

func (k *playedKernel) Send(fd int, p []byte) (int, netio.IO) {
	k.sent(fd)
	return len(p), netio.OK
}

func (k *playedKernel) SendV(fd int, pieces [][]byte) (n int, io netio.IO) {
	for _, p := range pieces {
		n += len(p)
	}
	k.sent(fd)
	return n, netio.OK
}

func (k *playedKernel) sent(fd int) {
	if k.fds[fd].kind == playedServer {
		k.happen(fd, netio.Readable)
		return
	}
	k.flying--
	k.resting = append(k.resting, fd)
	k.ask()
}

// ask has the next client ask.
func (k *playedKernel) ask() {
	if k.left == 0 {
		return
	}
	k.left--
	k.flying++
	k.happen(k.resting[0], netio.Readable)
	k.resting = k.resting[1:]
}

func (k *playedKernel) ShutdownSend(int)             {}
func (k *playedKernel) Close(int)                    {}
func (k *playedKernel) Abort(int)                    {}
func (k *playedKernel) LocalAddr(int) netip.AddrPort { return netip.AddrPort{} }

var (
	playedRequest  = []byte("GET /index.html HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: bench/1\r\nAccept: */*\r\n\r\n")
	playedResponse = []byte("HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nhello world\n")
)

// playedEngine runs one worker between the clients and the origins of k.
func playedEngine(b *testing.B, k *playedKernel, frontend string) (play func(n int)) {
	b.Helper()
	text := fmt.Sprintf(`
[global]
workers = 1
pin-cpus = false
[timeouts.web]
http-keep-alive = "24h"
[frontend.web]
bind = [{ address = "127.0.0.1:1" }]
backend = "api"
timeouts = "web"
%s
[backend.api]
servers = [{ name = "s1", address = "127.0.0.1:2" }]
`, frontend)
	cfg, rep := config.Parse("bench.toml", []byte(text), b.TempDir())
	if cfg == nil {
		rep.WriteTo(os.Stderr)
		b.Fatal("configuration")
	}
	e, err := Start(cfg, Options{Files: 1 << 22, Kernel: func(int) (netio.Kernel, error) { return k, nil }})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(e.Stop)
	e.onWorkers(func(w *worker) { w.acceptFrom(w.view.listeners[0]) })
	return func(n int) { k.begin <- n; <-k.done }
}

// BenchmarkExchange is a keep-alive h1 exchange through a whole worker, without the kernel's part.
func BenchmarkExchange(b *testing.B) {
	for _, c := range []struct{ name, frontend string }{{"bare", `forwarded = "off"`}, {"default", ""}} {
		b.Run(c.name, func(b *testing.B) {
			play := playedEngine(b, newPlayedKernel(64), c.frontend)
			play(10000)
			b.ReportAllocs()
			b.ResetTimer()
			play(b.N)
		})
	}
}

// BenchmarkConnectStorm is the first requests of many clients at once, each of which opens a server connection. What one costs
// must not grow with their number.
func BenchmarkConnectStorm(b *testing.B) {
	for _, clients := range []int{100, 10_000} {
		b.Run(strconv.Itoa(clients), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				k := newPlayedKernel(clients)
				k.at = clients
				play := playedEngine(b, k, "")
				b.StartTimer()
				play(clients)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*clients), "ns/client")
		})
	}
}

// BenchmarkExchangeAmongIdle is the same with 64 clients while others are idle, each of which has had a request served. It
// reports the heap that a connection holds, the played kernel's own 30 bytes or so included.
func BenchmarkExchangeAmongIdle(b *testing.B) {
	for _, idle := range []int{0, 100_000, 1_000_000} {
		b.Run(strconv.Itoa(idle), func(b *testing.B) {
			k := newPlayedKernel(64 + idle)
			play := playedEngine(b, k, "")
			before := liveHeap()
			play(64 + idle)
			each := float64(liveHeap()-before) / float64(64+idle)
			k.asking = 64
			play(10000)
			b.ReportAllocs()
			b.ResetTimer()
			play(b.N)
			b.ReportMetric(each, "B/conn")
		})
	}
}

// liveHeap is what lives on the heap after a collection.
func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
