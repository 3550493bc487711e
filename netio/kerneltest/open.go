package kerneltest

import (
	"net/netip"

	"weir/netio"
)

func connectAndAccept(r *rig) {
	c, s := r.pair()
	c.say("ping")
	s.expect(netio.Readable)
	s.hear("ping")
	s.say("pong")
	c.expect(netio.Readable)
	c.hear("pong")
}

func acceptUntilAgain(r *rig) {
	l, tok, addr := r.listen()
	if _, _, io := r.Accept(l); io != netio.Again {
		r.Fatalf("Accept with nobody waiting: %v", io)
	}
	const n = 5
	for range n {
		fd, io := r.Connect(&netio.ConnectOptions{Addr: addr})
		if io != netio.OK && io != netio.Again {
			r.Fatalf("Connect: %v", io)
		}
		r.expect(r.watch(fd), netio.Writable)
	}
	r.quietly(tok, netio.Readable)
	seen := map[netip.AddrPort]bool{}
	for {
		conn, peer, io := r.Accept(l)
		if io == netio.Again {
			break
		}
		if io != netio.OK || seen[peer] {
			r.Fatalf("Accept of %v: %v", peer, io)
		}
		seen[peer] = true
		r.Close(conn)
	}
	if len(seen) != n {
		r.Fatalf("accepted %d of %d", len(seen), n)
	}
}

// refusedAt connects to an address that nobody listens on.
func refusedAt(r *rig, addr netip.AddrPort) {
	r.Helper()
	fd, io := r.Connect(&netio.ConnectOptions{Addr: addr})
	if io == netio.Refused && fd == -1 {
		return
	}
	if io != netio.Again {
		r.Fatalf("Connect: %v", io)
	}
	r.expect(r.watch(fd), netio.HungUp|netio.Writable)
	if io := r.Connected(fd); io != netio.Refused {
		r.Fatalf("Connected: %v", io)
	}
	r.Close(fd)
}

func refused(r *rig) {
	c, s := r.pair()
	addr := r.LocalAddr(c.fd) // in use by a connection, but not a listener's
	c.shut()
	s.shut()
	refusedAt(r, addr)
}

func closedListenerRefuses(r *rig) {
	l, _, addr := r.listen()
	waiting, io := r.Connect(&netio.ConnectOptions{Addr: addr})
	if io != netio.OK && io != netio.Again {
		r.Fatalf("Connect: %v", io)
	}
	tok := r.watch(waiting)
	r.expect(tok, netio.Writable)
	r.Close(l)
	r.expect(tok, netio.HungUp) // it was never accepted: reset
	if _, io := r.Recv(waiting, make([]byte, 1)); io != netio.Reset {
		r.Fatalf("Recv on a connection whose listener closed: %v", io)
	}
	refusedAt(r, addr)
}

func sourceAddress(r *rig) {
	l, tok, addr := r.listen()
	source := netip.MustParseAddrPort("127.0.0.2:0")
	c, _ := r.connect(l, tok, &netio.ConnectOptions{Addr: addr, Source: source})
	if got := r.LocalAddr(c.fd); got.Addr() != source.Addr() || got.Port() == 0 {
		r.Fatalf("the source is %v, want %v and a port", got, source)
	}
}

func bytesBeforeAccept(r *rig) {
	l, tok, addr := r.listen()
	fd, _ := r.Connect(&netio.ConnectOptions{Addr: addr})
	c := end{r, fd, r.watch(fd)}
	c.expect(netio.Writable)
	c.say("early")
	r.ShutdownSend(fd)
	r.quietly(tok, netio.Readable)
	conn, _, io := r.Accept(l)
	if io != netio.OK {
		r.Fatalf("Accept: %v", io)
	}
	s := end{r, conn, r.watch(conn)}
	s.expect(netio.Readable | netio.Writable | netio.PeerClosed)
	s.hear("early")
	s.recv(netio.EOF)
}

// listenersShare opens two listeners at one address in two kernels; either may get a connection, none is lost.
func listenersShare(a, b *rig) {
	l0, t0, addr := a.listen()
	l1, err := b.Listen(&netio.ListenOptions{Addr: addr})
	if err != nil {
		a.Fatal(err)
	}
	b.open[l1] = true
	t1 := b.watch(l1)
	const n = 32
	for range n {
		fd, _ := a.Connect(&netio.ConnectOptions{Addr: addr})
		a.expect(a.watch(fd), netio.Writable)
	}
	accepted := func(r *rig, l int, tok netio.Token) (count int) {
		r.quietly(tok, netio.Readable)
		for {
			if _, _, io := r.Accept(l); io != netio.OK {
				return count
			}
			count++
		}
	}
	if x, y := accepted(a, l0, t0), accepted(b, l1, t1); x+y != n || x == 0 || y == 0 {
		a.Fatalf("the listeners got %d and %d of %d connections", x, y, n)
	}
}
