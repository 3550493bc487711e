package epoll

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pair is a connected pair of non-blocking TCP sockets: the dialled one, which the caller closes, and the accepted one.
func pair(t *testing.T, p *Poller) (client, server int) {
	t.Helper()
	listener, addr, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"), 16)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Close(listener) })
	if err := p.AddListener(listener, 7); err != nil {
		t.Fatal(err)
	}
	if client, err = Dial(addr, netip.MustParseAddr("127.0.0.9")); err != nil {
		t.Fatal(err)
	}
	wait(t, p, 7, In)
	server, e := Accept(listener)
	if e != 0 {
		t.Fatal(e)
	}
	if e := Failure(client); e != 0 {
		t.Fatal(e)
	}
	p.Remove(listener)
	t.Cleanup(func() { Close(server) })
	return client, server
}

// wait waits until the descriptor with this word reports the condition.
func wait(t *testing.T, p *Poller, word uint64, ready uint32) {
	t.Helper()
	for until := Now() + int64(10*time.Second); Now() < until; {
		for _, e := range p.Wait(time.Second) {
			if e.Word() == word && e.Ready()&ready != 0 {
				return
			}
		}
	}
	t.Fatalf("no event %#x for %#x", ready, word)
}

func TestSocketsAndEvents(t *testing.T) {
	p, err := NewPoller(8)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	client, server := pair(t, p)
	defer Close(client)
	const word = 0xfedcba9876543210
	if err := p.Add(server, word); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	if _, e := Read(server, buf); e != Again {
		t.Errorf("an empty socket says %v", e)
	}
	if n, e := Write(client, []byte("hello, world")); n != 12 || e != 0 {
		t.Fatal(n, e)
	}
	wait(t, p, word, In)
	if n, e := Discard(server, 7); n != 7 || e != 0 {
		t.Fatalf("discarded %d, %v", n, e)
	}
	if n, e := Read(server, buf); e != 0 || string(buf[:n]) != "world" {
		t.Errorf("read %q, %v", buf[:n], e)
	}
	ShutdownSend(client)
	wait(t, p, word, RdHup)
	if n, e := Read(server, buf); n != 0 || e != 0 {
		t.Errorf("after the end: %d, %v", n, e)
	}
}

func TestAbortResets(t *testing.T) {
	p, err := NewPoller(8)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	client, server := pair(t, p)
	if err := p.Add(server, 1); err != nil {
		t.Fatal(err)
	}
	Abort(client)
	wait(t, p, 1, Gone)
	if _, e := Read(server, make([]byte, 1)); e != unix.ECONNRESET {
		t.Errorf("read says %v", e)
	}
}

// A bound below a millisecond must be kept as such: the generator's schedule depends on it.
func TestWaitKeepsShortBounds(t *testing.T) {
	p, err := NewPoller(8)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	shortest := time.Hour
	for range 50 {
		began := Now()
		if got := p.Wait(200 * time.Microsecond); len(got) != 0 {
			t.Fatalf("events %v out of nothing", got)
		}
		shortest = min(shortest, time.Duration(Now()-began))
	}
	if shortest < 200*time.Microsecond {
		t.Errorf("woke after %v", shortest)
	}
	if got := p.Wait(0); len(got) != 0 {
		t.Errorf("events %v out of nothing", got)
	}
}

func TestDialRefused(t *testing.T) {
	listener, addr, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"), 1)
	if err != nil {
		t.Fatal(err)
	}
	Close(listener)
	p, err := NewPoller(8)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	fd, err := Dial(addr, netip.Addr{})
	if err == unix.ECONNREFUSED {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer Close(fd)
	if err := p.Add(fd, 3); err != nil {
		t.Fatal(err)
	}
	wait(t, p, 3, Gone)
	if e := Failure(fd); e != unix.ECONNREFUSED {
		t.Errorf("failure %v", e)
	}
}
