package sim

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/internal/mono"
	"weir/netio"
)

func TestEventsHappenInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q eventQueue
		type plan struct {
			at  mono.Time
			seq int
		}
		var want []plan
		var last plan
		seq := 0
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				p := plan{mono.Time(rapid.IntRange(0, 20).Draw(t, "at")), seq}
				seq++
				want = append(want, p)
				q.push(p.at, func() { last = p })
			},
			"pop": func(t *rapid.T) {
				e, ok := q.pop()
				if ok != (len(want) > 0) {
					t.Fatalf("popped: %v, with %d events", ok, len(want))
				}
				if !ok {
					return
				}
				slices.SortFunc(want, func(a, b plan) int {
					if a.at != b.at {
						return int(a.at - b.at)
					}
					return a.seq - b.seq
				})
				e.do()
				if last != want[0] || e.at != last.at {
					t.Fatalf("popped %v, want %v", last, want[0])
				}
				want = want[1:]
			},
		})
	})
}

func TestLowestDescriptorIsGivenOut(t *testing.T) {
	var f files
	var s [5]socket
	for i := range s {
		if fd := f.add(&s[i]); fd != i+3 {
			t.Fatalf("descriptor %d, want %d", fd, i+3)
		}
	}
	f.remove(&s[1])
	f.remove(&s[3])
	if f.get(4) != nil || f.get(6) != nil || f.get(2) != nil || f.get(100) != nil || f.open != 3 {
		t.Error("a descriptor that is not open was found")
	}
	var again [3]socket
	for i, want := range []int{4, 6, 8} {
		if fd := f.add(&again[i]); fd != want {
			t.Errorf("descriptor %d, want %d", fd, want)
		}
	}
}

// verify checks what must always hold of a socket.
func (s *socket) verify(fail func(string, ...any)) {
	x := &s.send
	switch {
	case x.flight < 0 || x.unacked < x.flight:
		fail("%d bytes in flight, %d not acknowledged", x.flight, x.unacked)
	case len(x.bytes)+x.unacked > x.max && s.state == stateOpen:
		fail("the send buffer holds %d of %d bytes", len(x.bytes)+x.unacked, x.max)
	case len(s.recv.bytes) > s.recv.max:
		fail("the receive buffer holds %d of %d bytes", len(s.recv.bytes), s.recv.max)
	case x.finSent && len(x.bytes) > 0:
		fail("%d bytes are behind the FIN", len(x.bytes))
	}
}

// TestWireModel: whatever two ends do to each other, each receives a prefix of what the other sent, all of it when the
// other closed in order, and is told how it ended.
func TestWireModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := New(rapid.Uint64().Draw(t, "seed"))
		n.SendBytes = rapid.IntRange(1, 300).Draw(t, "send room")
		n.RecvBytes = rapid.IntRange(1, 300).Draw(t, "recv room")
		n.Faults = Faults{Fragment: 0.2, ShortSend: 0.2, Reset: rapid.SampledFrom([]float64{0, 0, 0.05}).Draw(t, "reset")}
		k := n.Kernel()
		l, err := k.Listen(&netio.ListenOptions{Addr: netip.MustParseAddrPort("127.0.0.1:80")})
		if err != nil {
			t.Fatal(err)
		}
		fd, _ := k.Connect(&netio.ConnectOptions{Addr: k.LocalAddr(l)})
		n.Run(n.now.Add(time.Second))
		conn, _, _ := k.Accept(l)
		fds := [2]int{fd, conn}
		var sent, got [2][]byte
		var done, shut [2]bool
		killed := false
		end := rapid.IntRange(0, 1)
		next := byte(0)
		recv := func(t *rapid.T, i, size int) {
			b := make([]byte, size)
			m, io := k.Recv(fds[i], b)
			got[i] = append(got[i], b[:m]...)
			switch {
			case io == netio.EOF && !killed && n.Faults.Reset == 0 && !shut[1-i]:
				t.Fatal("an end that nobody made")
			case io == netio.EOF && n.Faults.Reset == 0 && !killed && !bytes.Equal(got[i], sent[1-i]):
				t.Fatalf("the end came after %d of %d bytes", len(got[i]), len(sent[1-i]))
			case io == netio.Reset && !killed && n.Faults.Reset == 0:
				t.Fatal("a reset that nobody made")
			}
			done[i] = done[i] || io == netio.EOF || io == netio.Reset
		}
		t.Repeat(map[string]func(*rapid.T){
			"send": func(t *rapid.T) {
				i := end.Draw(t, "end")
				b := make([]byte, rapid.IntRange(1, 500).Draw(t, "size"))
				for j := range b {
					next++
					b[j] = next
				}
				if killed {
					t.Skip("closed")
				}
				m, _ := k.Send(fds[i], b)
				sent[i] = append(sent[i], b[:m]...)
			},
			"recv": func(t *rapid.T) {
				if killed {
					t.Skip("closed")
				}
				recv(t, end.Draw(t, "end"), rapid.IntRange(1, 500).Draw(t, "size"))
			},
			"shut": func(t *rapid.T) {
				if killed {
					t.Skip("closed")
				}
				i := end.Draw(t, "end")
				k.ShutdownSend(fds[i])
				shut[i] = true
			},
			"time": func(t *rapid.T) {
				n.Run(n.now.Add(time.Duration(rapid.IntRange(0, 300_000).Draw(t, "ns"))))
			},
			"": func(t *rapid.T) {
				for i := range fds {
					n.files.get(fds[i]).verify(t.Fatalf)
					if !bytes.HasPrefix(sent[1-i], got[i]) {
						t.Fatal("other bytes came than were sent")
					}
				}
			},
		})
		// In the end both ends close; without faults everything arrives.
		for i := range fds {
			k.ShutdownSend(fds[i])
			shut[i] = true
		}
		for range 100_000 {
			n.Step()
			recv(t, 0, 500)
			recv(t, 1, 500)
			if done[0] && done[1] {
				break
			}
		}
		if !done[0] || !done[1] {
			t.Fatal("the ends never came")
		}
		k.Close(fd)
		k.Close(conn)
		k.Close(l)
		if n.Files() != 0 || len(n.flows) != 0 || len(n.listeners) != 0 {
			t.Fatal("something is left open")
		}
	})
}

// connecting starts a connect in a world of its own and returns its outcome and when it was known.
func connecting(t *testing.T, prepare func(n *Net, to netip.AddrPort)) (how netio.IO, after time.Duration) {
	n := New(1)
	to := netip.MustParseAddrPort("203.0.113.5:80")
	prepare(n, to)
	k := n.Kernel()
	start := n.now
	fd, _ := k.Connect(&netio.ConnectOptions{Addr: to})
	k.Watch(fd, 1)
	var ev [1]netio.Event
	if k.Wait(ev[:], start.Add(time.Hour)) != 1 {
		t.Fatal("a connect had no outcome")
	}
	return k.Connected(fd), n.now.Sub(start)
}

func TestConnectOutcomes(t *testing.T) {
	for name, c := range map[string]struct {
		prepare   func(n *Net, to netip.AddrPort)
		want      netio.IO
		low, high time.Duration
	}{
		"nobody listens": {func(*Net, netip.AddrPort) {}, netio.Refused, 200 * time.Microsecond, 400 * time.Microsecond},
		"a server":       {func(n *Net, to netip.AddrPort) { n.Server(to, Echo) }, netio.OK, 200 * time.Microsecond, 400 * time.Microsecond},
		"a server at every address": {func(n *Net, to netip.AddrPort) {
			n.Server(netip.AddrPortFrom(netip.IPv4Unspecified(), to.Port()), Echo)
		}, netio.OK, 200 * time.Microsecond, 400 * time.Microsecond},
		"a far server": {func(n *Net, to netip.AddrPort) {
			n.Server(to, Echo)
			n.SetRoute(to.Addr(), Route{Latency: time.Second})
		}, netio.OK, 2 * time.Second, 2001 * time.Millisecond},
		"no route": {func(n *Net, to netip.AddrPort) { n.SetRoute(to.Addr(), Route{Unreachable: true}) },
			netio.Unreachable, 200 * time.Microsecond, 400 * time.Microsecond},
		"a black hole": {func(n *Net, to netip.AddrPort) { n.SetRoute(to.Addr(), Route{Blackhole: true}) },
			netio.TimedOut, 127 * time.Second, 128 * time.Second},
		"a server whose queue is full for five seconds": {func(n *Net, to netip.AddrPort) {
			v := n.Server(to, Echo)
			v.Backlog(0)
			n.After(5*time.Second, func() { v.Backlog(10) })
		}, netio.OK, 7 * time.Second, 8 * time.Second},
		"a server that goes away during the handshake": {func(n *Net, to netip.AddrPort) {
			v := n.Server(to, Echo)
			n.After(10*time.Microsecond, v.Close)
		}, netio.Refused, 200 * time.Microsecond, 400 * time.Microsecond},
	} {
		how, after := connecting(t, c.prepare)
		if how != c.want || after < c.low || after > c.high {
			t.Errorf("%s: %v after %v, want %v", name, how, after, c.want)
		}
	}
}

func TestPortsRunOut(t *testing.T) {
	n := New(1)
	k := n.Kernel()
	o := &netio.ConnectOptions{Addr: netip.MustParseAddrPort("203.0.113.5:80")}
	for range portMax - portMin + 1 {
		if _, io := k.Connect(o); io != netio.Again {
			t.Fatal(io)
		}
	}
	if fd, io := k.Connect(o); io != netio.Unreachable || fd != -1 {
		t.Errorf("a connection more than there are ports: %v", io)
	}
	other := &netio.ConnectOptions{Addr: netip.MustParseAddrPort("203.0.113.6:80")}
	if _, io := k.Connect(other); io != netio.Again {
		t.Errorf("the ports towards another server: %v", io)
	}
	k.Close(100)
	if fd, io := k.Connect(o); io != netio.Again || fd != 100 {
		t.Errorf("a port that is free again: %v, descriptor %d", io, fd)
	}
}

func TestMisuseOfDescriptorsPanics(t *testing.T) {
	n := New(1)
	a, b := n.Kernel(), n.Kernel()
	l, _ := a.Listen(&netio.ListenOptions{Addr: netip.MustParseAddrPort("127.0.0.1:80")})
	fd, _ := a.Connect(&netio.ConnectOptions{Addr: a.LocalAddr(l)})
	a.Watch(l, 1)
	for name, f := range map[string]func(){
		"Recv of a closed descriptor":            func() { a.Recv(99, make([]byte, 1)) },
		"Recv into nothing":                      func() { a.Recv(fd, nil) },
		"Send to a closed descriptor":            func() { a.Send(2, nil) },
		"Accept from a connection":               func() { a.Accept(fd) },
		"Connected before the answer":            func() { a.Connected(fd) },
		"Watch of what is watched":               func() { b.Watch(l, 2) },
		"Unwatch of what another worker watches": func() { b.Unwatch(l) },
		"Close of what another worker watches":   func() { b.Close(l) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("no panic: %s", name)
				}
			}()
			f()
		}()
	}
}
