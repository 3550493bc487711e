package h3

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/sys/unix"
)

// listenRig is a rig on an address that may be taken over.
func listenRig(t *testing.T, addr netip.AddrPort, workers int, before *Handover) *rig {
	t.Helper()
	r := &rig{t: t, cfg: DefaultConfig(serverTLS())}
	secret := NewSecret()
	e, err := Listen(addr, workers, &r.cfg, &secret, before)
	if err != nil {
		t.Fatal(err)
	}
	r.e = e
	var sinks []Sink
	for range workers {
		w := newTestWorker()
		t.Cleanup(func() { close(w.done) })
		r.workers = append(r.workers, w)
		sinks = append(sinks, w)
	}
	if err := e.Serve(sinks); err != nil {
		t.Fatal(err)
	}
	return r
}

// takeOver makes it the process that new clients come to.
func (r *rig) takeOver() *rig {
	r.t.Helper()
	if err := r.e.TakeOver(); err != nil {
		r.t.Fatal(err)
	}
	return r
}

// passed is a handover as the other process gets it: with descriptors of its own.
func passed(t *testing.T, e *Endpoint) *Handover {
	t.Helper()
	h, err := e.Handover()
	if err != nil {
		t.Fatal(err)
	}
	for i, fd := range h.Sockets {
		if h.Sockets[i], err = unix.Dup(fd); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// opened is how many connections the workers of a rig have had.
func (r *rig) opened() (n int) {
	for _, w := range r.workers {
		w.sync(func() { n += w.opened })
	}
	return n
}

// Three processes follow one another at an address. Connections stay with the process that they began with, new clients
// reach the last one, and what is left of a process that has ended is told so by one that has as many workers.
func TestHandover(t *testing.T) {
	first := listenRig(t, netip.MustParseAddrPort("127.0.0.1:0"), 3, nil)
	dial := func(r *rig, n int) (list []*rawClient) {
		for range n {
			c := first.settled() // the address is the same
			c.wantAlive("at first")
			list = append(list, c)
		}
		if got := r.opened(); got != n {
			t.Fatalf("%d of %d new clients came to the right process", got, n)
		}
		return list
	}
	all := func(why string, lists ...[]*rawClient) {
		t.Helper()
		for _, l := range lists {
			for _, c := range l {
				c.wantAlive(why)
			}
		}
	}
	ones := dial(first, 8)
	second := listenRig(t, first.e.Addr(), 2, passed(t, first.e))
	for range 8 { // it is not ready
		c := first.settled()
		c.wantAlive("with the first")
		ones = append(ones, c)
	}
	if n := second.opened(); n != 0 {
		t.Errorf("%d clients came to a process that is not ready", n)
	}
	second.takeOver()
	twos := dial(second, 8)
	all("beside the second", ones, twos)
	third := listenRig(t, first.e.Addr(), 3, passed(t, second.e)).takeOver()
	threes := dial(third, 8)
	all("beside the third", ones, twos, threes)

	for _, p := range first.e.ports { // the first one ends without a goodbye
		p.tr.Close()
	}
	first.e.Close(NoError)
	if err := second.e.Forget(); err != nil { // it has handed over: it leaves that to the third
		t.Fatal(err)
	}
	all("after the first has ended", twos, threes)
	second.e.Close(NoError)
	for _, c := range twos {
		<-c.q.Context().Done()
	}
	if err := third.e.Forget(); err != nil {
		t.Fatal(err)
	}
	all("after all others have ended", threes)
	for i, at := range third.e.group.own.At {
		if at >= 3 {
			t.Errorf("worker %d is at place %d of three", i, at)
		}
	}
	fours := third.more(8)
	all("new ones", threes, fours)
	for _, c := range ones {
		s, err := c.q.OpenStream()
		if err == nil {
			s.Write(head("GET", "/bytes/1"))
		}
		select {
		case <-c.q.Context().Done():
		case <-time.After(patience):
			t.Fatal("a client of the first process was not told")
		}
		var reset *quic.StatelessResetError
		if err := context.Cause(c.q.Context()); !errors.As(err, &reset) {
			t.Error(err)
		}
	}
	third.e.Close(NoError)
}

// more makes clients of a process that has had some.
func (r *rig) more(n int) (list []*rawClient) {
	for range n {
		c := r.settled()
		c.wantAlive("at first")
		list = append(list, c)
	}
	return list
}

// When the process that was to come next has failed, this one goes on as if nothing had been.
func TestReclaim(t *testing.T) {
	r := listenRig(t, netip.MustParseAddrPort("127.0.0.1:0"), 2, nil)
	before := r.settled()
	before.wantAlive("before")
	failed := listenRig(t, r.e.Addr(), 3, passed(t, r.e)).takeOver()
	failed.e.Close(NoError)
	before.wantAlive("after")
	if err := r.e.Reclaim(); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		r.settled().wantAlive("a new one")
	}
	r.e.Close(NoError)
}
