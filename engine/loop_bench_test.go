package engine

import (
	"fmt"
	"net/netip"
	"os"
	"testing"

	"weir/internal/config"
	"weir/internal/mono"
	"weir/netio"
)

// playedKernel plays clients and origins from memory, so that a benchmark measures what weir itself costs: a system call is
// a function that copies a few bytes. Every client asks again as soon as it has its answer, until asked is used up.
type playedKernel struct {
	clients int
	clock   mono.Time
	events  []netio.Event
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
	return &playedKernel{clients: clients, clock: 1 << 40, begin: make(chan int), done: make(chan struct{}, 1), woken: make(chan struct{}, 1)}
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
	if len(k.events) == 0 && deadline != 0 {
		select {
		case n := <-k.begin:
			k.left, k.calls = n, 1
			for fd := range k.fds {
				if k.fds[fd].kind == playedClient && k.left > 0 {
					k.left--
					k.flying++
					k.happen(fd, netio.Readable)
				}
			}
		case <-k.woken:
		}
	}
	n := copy(ev, k.events)
	k.events = append(k.events[:0], k.events[n:]...)
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
	if k.left > 0 {
		k.left--
		k.flying++
		k.happen(fd, netio.Readable)
	}
}

func (k *playedKernel) ShutdownSend(int)             {}
func (k *playedKernel) Close(int)                    {}
func (k *playedKernel) Abort(int)                    {}
func (k *playedKernel) LocalAddr(int) netip.AddrPort { return netip.AddrPort{} }

var (
	playedRequest  = []byte("GET /index.html HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: bench/1\r\nAccept: */*\r\n\r\n")
	playedResponse = []byte("HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nhello world\n")
)

// BenchmarkExchange is a keep-alive h1 exchange through a whole worker, without the kernel's part.
func BenchmarkExchange(b *testing.B) {
	for _, c := range []struct{ name, frontend string }{{"bare", `forwarded = "off"`}, {"default", ""}} {
		b.Run(c.name, func(b *testing.B) {
			k := newPlayedKernel(64)
			text := fmt.Sprintf(`
[global]
workers = 1
pin-cpus = false
[frontend.web]
bind = [{ address = "127.0.0.1:1" }]
backend = "api"
%s
[backend.api]
servers = [{ name = "s1", address = "127.0.0.1:2" }]
`, c.frontend)
			cfg, rep := config.Parse("bench.toml", []byte(text), b.TempDir())
			if cfg == nil {
				rep.WriteTo(os.Stderr)
				b.Fatal("configuration")
			}
			e, err := Start(cfg, Options{Files: 1 << 20, Kernel: func(int) (netio.Kernel, error) { return k, nil }})
			if err != nil {
				b.Fatal(err)
			}
			defer e.Stop()
			e.onWorkers(func(w *worker) { w.acceptFrom(w.view.listeners[0]) })
			play := func(n int) { k.begin <- n; <-k.done }
			play(10000)
			b.ReportAllocs()
			b.ResetTimer()
			play(b.N)
		})
	}
}
