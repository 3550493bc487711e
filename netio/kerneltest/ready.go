package kerneltest

import (
	"weir/internal/mono"
	"weir/netio"
)

// quietly waits for the bits and then until the wire is silent.
func (r *rig) quietly(tok netio.Token, bits netio.Ready) {
	r.Helper()
	r.expect(tok, bits)
	r.settle()
	clear(r.seen)
}

func oneEventForEachArrival(r *rig) {
	c, s := r.pair()
	r.quiet("nothing was sent")
	c.say("one")
	s.expect(netio.Readable)
	r.quiet("the arrival was reported already, though it was not read")
	c.say("two")
	s.expect(netio.Readable)
	s.hear("onetwo")
	s.recv(netio.Again)
	r.quiet("everything was read")
	c.say("three")
	s.expect(netio.Readable)
	s.hear("three")
}

// anEventSaysAll: an edge in one direction reports the other direction's readiness too (epoll_ctl(2): the state, not the
// change, is reported).
func anEventSaysAll(r *rig) {
	c, s := r.pair()
	c.say("x")
	s.expect(netio.Readable | netio.Writable)
	c.say("y")
	r.ShutdownSend(c.fd)
	s.expect(netio.Readable | netio.Writable | netio.PeerClosed)
}

func watchReportsWhatIsReady(r *rig) {
	c, s := r.pair()
	c.say("x")
	s.expect(netio.Readable)
	r.Unwatch(s.fd)
	s.tok = r.watch(s.fd)
	s.expect(netio.Readable | netio.Writable)
	r.ShutdownSend(c.fd)
	s.expect(netio.PeerClosed)
	r.Unwatch(s.fd)
	s.tok = r.watch(s.fd)
	s.expect(netio.Readable | netio.Writable | netio.PeerClosed)
}

func noEventAfterClose(r *rig) {
	c, s := r.pair()
	c.say("x")
	c.say("y")
	s.shut()
	c.expect(netio.HungUp)
	if _, ok := r.seen[s.tok]; ok {
		r.Fatal("an event of a closed descriptor")
	}
	c.shut()
	r.quiet("both ends are closed")
}

func noEventAfterUnwatch(r *rig) {
	c, s := r.pair()
	r.Unwatch(s.fd)
	c.say("x")
	r.quiet("the descriptor is not watched")
	s.hear("x")
}

// eventsThatDoNotFit has room for one event a turn and more than one ready: all come, none twice.
func eventsThatDoNotFit(r *rig) {
	l, tok, addr := r.listen()
	const n = 4
	var servers [n]end
	var clients [n]end
	for i := range n {
		clients[i], servers[i] = r.connect(l, tok, &netio.ConnectOptions{Addr: addr})
	}
	for i := range n {
		clients[i].say("x")
	}
	count := map[netio.Token]int{}
	var ev [1]netio.Event
	for deadline := r.Now().Add(patience); len(count) < n; {
		if r.Now() >= deadline {
			r.Fatalf("%d of %d events came", len(count), n)
		}
		if r.Wait(ev[:], deadline) == 1 {
			count[ev[0].Token]++
		}
	}
	r.quiet("all arrivals were reported")
	for i := range n {
		if count[servers[i].tok] != 1 {
			r.Fatalf("%d events for one arrival", count[servers[i].tok])
		}
	}
}

// connectionMoves is a takeover: one kernel lets go of a descriptor, the other reports what is ready.
func connectionMoves(a, b *rig) {
	c, s := a.pair()
	c.say("x")
	s.expect(netio.Readable)
	a.Unwatch(s.fd)
	a.give(b, s.fd)
	moved := end{b, s.fd, b.watch(s.fd)}
	moved.expect(netio.Readable | netio.Writable)
	moved.hear("x")
	c.say("y")
	moved.expect(netio.Readable)
	moved.hear("y")
	moved.say("z")
	c.expect(netio.Readable)
	c.hear("z")
	a.quiet("the connection belongs to the other kernel")
	moved.shut()
	c.expect(netio.PeerClosed)
}

func wake(r *rig) {
	r.Wake()
	var ev [8]netio.Event
	if n := r.Wait(ev[:], mono.Never); n != 0 {
		r.Fatalf("%d events: a wake is none", n)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Wake()
	}()
	if n := r.Wait(ev[:], mono.Never); n != 0 {
		r.Fatalf("%d events: a wake is none", n)
	}
	<-done
}

func deadlines(r *rig) {
	var ev [8]netio.Event
	r.Wait(ev[:], r.Now()-1) // a past deadline polls: on Linux a hang here fails the test
	for _, ms := range []mono.Time{0, 1, 3, 20} {
		deadline := r.Now() + ms*1_000_000 + 1000
		for r.Now() < deadline {
			if n := r.Wait(ev[:], deadline); n != 0 {
				r.Fatalf("%d events out of nothing", n)
			}
		}
	}
}
