package netio

import (
	"net"
	"net/netip"
	"os"
	"os/signal"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func openOne(tb testing.TB) *Linux {
	tb.Helper()
	k, err := NewLinux()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(k.Shut)
	return k
}

// openPair is an accepted connection and its client, with keep-alive on both.
func openPair(tb testing.TB, k *Linux, addr string) (client, server int) {
	tb.Helper()
	ka := KeepAlive{Idle: 61, Interval: 11, Count: 7}
	l, err := k.Listen(&ListenOptions{Addr: netip.MustParseAddrPort(addr), KeepAlive: ka, Backlog: 16})
	if err != nil {
		tb.Fatal(err)
	}
	defer k.Close(l)
	client, io := k.Connect(&ConnectOptions{Addr: k.LocalAddr(l), KeepAlive: ka})
	if io != OK && io != Again {
		tb.Fatal(io)
	}
	k.Watch(client, 1)
	var ev [4]Event
	k.Wait(ev[:], k.Now().Add(1e9))
	server, peer, io := k.Accept(l)
	if io != OK || peer != k.LocalAddr(client) {
		tb.Fatalf("Accept: %v, peer %v, client %v", io, peer, k.LocalAddr(client))
	}
	k.Watch(server, 2)
	k.Wait(ev[:], k.Now().Add(1e9))
	tb.Cleanup(func() { k.Close(client); k.Close(server) })
	return client, server
}

func TestOptionsOfBothSides(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		if l, err := net.Listen("tcp", addr); err != nil && addr != "127.0.0.1:0" {
			t.Log("no IPv6: ", err)
			continue
		} else if err == nil {
			l.Close()
		}
		k := openOne(t)
		client, server := openPair(t, k, addr)
		for side, fd := range map[string]int{"client": client, "accepted": server} {
			for name, o := range map[string]struct{ level, option, want int }{
				"TCP_NODELAY":   {unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
				"SO_KEEPALIVE":  {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
				"TCP_KEEPIDLE":  {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 61},
				"TCP_KEEPINTVL": {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 11},
				"TCP_KEEPCNT":   {unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 7},
			} {
				if got, err := unix.GetsockoptInt(fd, o.level, o.option); err != nil || got != o.want {
					t.Errorf("%s, %s socket: %s is %d (%v), want %d", addr, side, name, got, err, o.want)
				}
			}
			if f, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil || f&unix.O_NONBLOCK == 0 {
				t.Errorf("%s: the %s socket would block", addr, side)
			}
			if f, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || f&unix.FD_CLOEXEC == 0 {
				t.Errorf("%s: the %s socket would leak into programs that are started", addr, side)
			}
		}
	}
}

// TestBothFamiliesOnOnePort: the wildcard addresses of IPv4 and IPv6 do not get into each other's way.
func TestBothFamiliesOnOnePort(t *testing.T) {
	k := openOne(t)
	four, err := k.Listen(&ListenOptions{Addr: netip.MustParseAddrPort("0.0.0.0:0")})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close(four)
	six, err := k.Listen(&ListenOptions{Addr: netip.AddrPortFrom(netip.IPv6Unspecified(), k.LocalAddr(four).Port())})
	if err != nil {
		t.Fatal(err)
	}
	k.Close(six)
}

func TestListenSaysWhatFailed(t *testing.T) {
	k := openOne(t)
	for _, addr := range []string{"192.0.2.1:80", "[2001:db8::1]:80"} {
		before := openFiles(t)
		if fd, err := k.Listen(&ListenOptions{Addr: netip.MustParseAddrPort(addr)}); err == nil {
			t.Errorf("listens on %s, which is not ours, as %d", addr, fd)
		}
		if openFiles(t) != before {
			t.Errorf("a descriptor leaked when listening on %s failed", addr)
		}
	}
	if _, err := k.Listen(&ListenOptions{}); err == nil {
		t.Error("listens on no address at all")
	}
}

func TestAdoptRefuses(t *testing.T) {
	k := openOne(t)
	client, _ := openPair(t, k, "127.0.0.1:0")
	if k.Adopt(client, &ListenOptions{Addr: k.LocalAddr(client)}) == nil {
		t.Error("adopted a socket that does not listen")
	}
	l, err := k.Listen(&ListenOptions{Addr: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close(l)
	if k.Adopt(l, &ListenOptions{Addr: netip.MustParseAddrPort("127.0.0.1:1")}) == nil {
		t.Error("adopted a listener of another address")
	}
}

func TestConnectFailures(t *testing.T) {
	k := openOne(t)
	before := openFiles(t)
	lo := netip.MustParseAddrPort("127.0.0.1:1")
	for name, c := range map[string]struct {
		o    ConnectOptions
		want IO
	}{
		"no address":                    {ConnectOptions{}, Failed},
		"source of the other family":    {ConnectOptions{Addr: lo, Source: netip.MustParseAddrPort("[::1]:0")}, Failed},
		"source that is not ours":       {ConnectOptions{Addr: lo, Source: netip.MustParseAddrPort("192.0.2.1:0")}, Unreachable},
		"broadcast, without permission": {ConnectOptions{Addr: netip.MustParseAddrPort("255.255.255.255:1")}, Unreachable},
	} {
		if fd, io := k.Connect(&c.o); io != c.want || fd != -1 {
			t.Errorf("%s: %d, %v, want %v", name, fd, io, c.want)
		}
	}
	if openFiles(t) != before {
		t.Error("a connect that failed leaked its descriptor")
	}
}

// TestTransparentSource opens a connection from an address that is not ours. It needs CAP_NET_ADMIN.
func TestTransparentSource(t *testing.T) {
	k := openOne(t)
	for _, c := range [][2]string{{"127.0.0.1:9", "192.0.2.7:0"}, {"[::1]:9", "[2001:db8::7]:0"}} {
		o := &ConnectOptions{Addr: netip.MustParseAddrPort(c[0]), Source: netip.MustParseAddrPort(c[1]), Transparent: true}
		fd, io := k.Connect(o)
		if io == Failed && os.Geteuid() != 0 {
			t.Skip("not permitted")
		}
		// There is no way back to such an address here: it neither answers nor is refused, or no route leads there.
		if io == Unreachable {
			continue
		}
		if io != Again || k.LocalAddr(fd).Addr() != o.Source.Addr() {
			t.Fatalf("%v: %v, source %v", o.Source, io, k.LocalAddr(fd))
		}
		k.Abort(fd)
	}
}

// TestManyConnectionsFromOneSource: the port is chosen at connect, so one source address can have the same port towards
// two servers.
func TestSourcePortIsChosenByConnect(t *testing.T) {
	k := openOne(t)
	client, _ := openPair(t, k, "127.0.0.1:0")
	port := k.LocalAddr(client)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	o := &ConnectOptions{Source: netip.AddrPortFrom(port.Addr(), 0)}
	if e := k.bindSource(fd, unix.AF_INET, o); e != 0 {
		t.Fatal(e)
	}
	if got := k.LocalAddr(fd).Port(); got != 0 {
		t.Errorf("bind took port %d already", got)
	}
}

// TestNoSignalFromABrokenConnection: a send to a connection that is gone must not raise SIGPIPE. The other signal marks
// the end of the sends: it has a higher number and comes later, so it cannot overtake a SIGPIPE.
func TestNoSignalFromABrokenConnection(t *testing.T) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGPIPE, unix.SIGWINCH)
	defer signal.Stop(signals)
	k := openOne(t)
	client, _ := openPair(t, k, "127.0.0.1:0")
	k.ShutdownSend(client)
	if _, io := k.Send(client, []byte("x")); io != Reset {
		t.Fatal(io)
	}
	if _, io := k.SendV(client, [][]byte{[]byte("x"), []byte("y")}); io != Reset {
		t.Fatal(io)
	}
	if err := unix.Kill(unix.Getpid(), unix.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	if s := <-signals; s != unix.SIGWINCH {
		t.Errorf("a send raised %v", s)
	}
	if _, err := unix.Write(client, []byte("x")); err != unix.EPIPE {
		t.Fatal(err)
	}
	if s := <-signals; s != unix.SIGPIPE {
		t.Errorf("write raised %v: this test shows nothing", s)
	}
}

func TestWordsForErrno(t *testing.T) {
	for e, want := range map[unix.Errno]IO{
		0: OK, unix.EAGAIN: Again, unix.EINPROGRESS: Again, unix.ECONNRESET: Reset, unix.EPIPE: Reset,
		unix.ECONNREFUSED: Refused, unix.ETIMEDOUT: TimedOut, unix.EHOSTUNREACH: Unreachable, unix.ENETUNREACH: Unreachable,
		unix.EADDRNOTAVAIL: Unreachable, unix.EMFILE: NoFiles, unix.ENFILE: NoFiles, unix.ENOBUFS: NoFiles, unix.ENOMEM: NoFiles,
		unix.EBADF: Failed, unix.EPERM: Failed, unix.EACCES: Failed,
	} {
		if got := ioOf(e); got != want {
			t.Errorf("%v is %v, want %v", e, got, want)
		}
	}
}

// TestOutOfFiles: EMFILE is told as such, the connection stays in the queue, and nothing leaks.
func TestOutOfFiles(t *testing.T) {
	k := openOne(t)
	l, err := k.Listen(&ListenOptions{Addr: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close(l)
	c, err := net.Dial("tcp", k.LocalAddr(l).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	none := old
	none.Cur = 0
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	_, _, accepted := k.Accept(l)
	_, connected := k.Connect(&ConnectOptions{Addr: k.LocalAddr(l)})
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if accepted != NoFiles || connected != NoFiles {
		t.Errorf("out of descriptors: Accept %v, Connect %v", accepted, connected)
	}
	conn, _, io := k.Accept(l)
	if io != OK {
		t.Errorf("the connection is lost: %v", io)
	}
	k.Close(conn)
}

func TestSockaddrRoundTrip(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1:65535":       "",
		"[2001:db8::1]:443":     "",
		"[::ffff:192.0.2.1]:80": "192.0.2.1:80",
		"[fe80::1%7]:80":        "",
		"[fe80::1%lo]:80":       "[fe80::1%1]:80",
		"[fe80::1%nosuch]:80":   "[fe80::1]:80",
	} {
		if want == "" {
			want = in
		}
		var s sockaddr
		s.put(netip.MustParseAddrPort(in))
		if got := s.get().String(); got != want {
			t.Errorf("%s became %s, want %s", in, got, want)
		}
	}
	if (&sockaddr{}).get().IsValid() {
		t.Error("no family, yet an address")
	}
}

func TestClock(t *testing.T) {
	a := Now()
	if b := Now(); b < a || a <= 0 {
		t.Errorf("the clock went from %d to %d", a, b)
	}
}

func TestWakeAfterShut(t *testing.T) {
	k, err := NewLinux()
	if err != nil {
		t.Fatal(err)
	}
	k.Shut()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0) // takes the numbers that are free now
	if err != nil {
		t.Fatal(err)
	}
	k.Wake()
	for _, fd := range fds {
		if _, err := unix.Read(fd, make([]byte, 8)); err != unix.EAGAIN {
			t.Error("a wake was written into another descriptor")
		}
	}
	unix.Close(fds[0])
	unix.Close(fds[1])
}

// TestWakeWhileShut has goroutines wake a kernel that is being shut. Under -race it shows that the descriptor is not
// closed under a wake.
func TestWakeWhileShut(t *testing.T) {
	for range 50 {
		k, err := NewLinux()
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 20 {
					k.Wake()
				}
			})
		}
		k.Shut()
		wg.Wait()
		if got := k.shared.wakers.Load(); got != wakersClosed {
			t.Fatalf("%d wakers are left", got-wakersClosed)
		}
	}
}

func TestReadyInWords(t *testing.T) {
	if got := (Readable | HungUp).String(); got != "readable, hung up" || Ready(0).String() != "nothing" {
		t.Errorf("it says %q", got)
	}
}

// TestMillisFallback: kernels before 5.11 have no epoll_pwait2; the wait in milliseconds must not end early.
func TestMillisFallback(t *testing.T) {
	k := openOne(t)
	k.hasNanos = false
	deadline := k.Now().Add(1_500_001)
	var ev [1]Event
	if n := k.Wait(ev[:], deadline); n != 0 || k.Now() < deadline {
		t.Errorf("%d events, %v before the deadline", n, deadline.Sub(k.Now()))
	}
	for nanos, want := range map[int64]int64{1: 1, 1_000_000: 1, 1_000_001: 2, 1 << 62: 1<<31 - 1} {
		if got := millis(nanos); got != want {
			t.Errorf("%d ns are %d ms, want %d", nanos, got, want)
		}
	}
}

func TestKernelAllocs(t *testing.T) {
	k := openOne(t)
	client, server := openPair(t, k, "127.0.0.1:0")
	msg, buf := []byte("request"), make([]byte, 4096)
	pieces := [][]byte{msg, msg, msg}
	ev := make([]Event, 64)
	n := testing.AllocsPerRun(200, func() {
		k.Send(client, msg)
		k.Wait(ev, k.Now().Add(1e9))
		k.Recv(server, buf)
		k.SendV(server, pieces)
		k.Wait(ev, k.Now().Add(1e9))
		k.Recv(client, buf)
		k.Recv(client, buf)
		k.LocalAddr(client)
		k.Connected(client)
		k.Unwatch(client)
		k.Watch(client, 1)
		k.Wake()
	})
	if n != 0 {
		t.Errorf("a turn allocates %v times", n)
	}
	l, err := k.Listen(&ListenOptions{Addr: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close(l)
	o := &ConnectOptions{Addr: k.LocalAddr(l), KeepAlive: KeepAlive{Idle: 1}}
	if n := testing.AllocsPerRun(100, func() {
		fd, _ := k.Connect(o)
		conn, _, io := k.Accept(l)
		if io != OK {
			t.Fatal(io)
		}
		k.Abort(fd)
		k.Close(conn)
	}); n != 0 {
		t.Errorf("connect and accept allocate %v times", n)
	}
}

// openFiles counts the process's descriptors.
func openFiles(t *testing.T) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}
