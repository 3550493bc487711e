package kerneltest

import (
	"net/netip"
	"testing"
	"time"

	"weir/internal/mono"
	"weir/netio"
)

// patience is how long an expected event may take: real time on Linux, virtual time in the simulation.
const patience = 10 * time.Second

// rig is a test's view of one kernel.
type rig struct {
	*testing.T
	netio.Kernel
	next uint32
	seen map[netio.Token]netio.Ready // what was reported since it was last asked for
	open map[int]bool                // descriptors to close after the test
}

func newRig(t *testing.T, k netio.Kernel) *rig {
	r := &rig{T: t, Kernel: k, seen: map[netio.Token]netio.Ready{}, open: map[int]bool{}}
	t.Cleanup(func() {
		for fd := range r.open {
			k.Close(fd)
		}
	})
	return r
}

// Connect, Accept, Close and Abort are the kernel's, with an account of what is open.

func (r *rig) Connect(o *netio.ConnectOptions) (fd int, io netio.IO) {
	if fd, io = r.Kernel.Connect(o); fd >= 0 {
		r.open[fd] = true
	}
	return fd, io
}

func (r *rig) Accept(l int) (fd int, peer netip.AddrPort, io netio.IO) {
	if fd, peer, io = r.Kernel.Accept(l); fd >= 0 {
		r.open[fd] = true
	}
	return fd, peer, io
}

func (r *rig) Close(fd int) { delete(r.open, fd); r.Kernel.Close(fd) }
func (r *rig) Abort(fd int) { delete(r.open, fd); r.Kernel.Abort(fd) }

// give hands a descriptor to another rig.
func (r *rig) give(to *rig, fd int) { delete(r.open, fd); to.open[fd] = true }

// loopback is where the tests listen; the kernel picks the port.
var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// listen opens and watches a listener.
func (r *rig) listen() (fd int, tok netio.Token, addr netip.AddrPort) {
	r.Helper()
	fd, err := r.Listen(&netio.ListenOptions{Addr: loopback})
	if err != nil {
		r.Fatal(err)
	}
	r.open[fd] = true
	return fd, r.watch(fd), r.LocalAddr(fd)
}

// watch registers fd under a token of its own.
func (r *rig) watch(fd int) netio.Token {
	r.Helper()
	r.next++
	tok := netio.NewToken(r.next, 0xffffffff-r.next)
	if io := r.Watch(fd, tok); io != netio.OK {
		r.Fatalf("Watch: %v", io)
	}
	return tok
}

// connect opens a connection to a listener and returns both ends, watched and with their first events taken.
func (r *rig) connect(listener int, ltok netio.Token, o *netio.ConnectOptions) (client, server end) {
	r.Helper()
	fd, io := r.Connect(o)
	if io != netio.OK && io != netio.Again {
		r.Fatalf("Connect: %v", io)
	}
	client = end{r, fd, r.watch(fd)}
	client.expect(netio.Writable)
	if io := r.Connected(fd); io != netio.OK {
		r.Fatalf("Connected: %v", io)
	}
	r.expect(ltok, netio.Readable)
	conn, peer, io := r.Accept(listener)
	if io != netio.OK {
		r.Fatalf("Accept: %v", io)
	}
	if local := r.LocalAddr(fd); peer != local || !local.IsValid() {
		r.Fatalf("accepted %v from a client that is %v", peer, local)
	}
	if r.LocalAddr(conn) != o.Addr {
		r.Fatalf("accepted on %v, connected to %v", r.LocalAddr(conn), o.Addr)
	}
	server = end{r, conn, r.watch(conn)}
	server.expect(netio.Writable)
	return client, server
}

// pair is two ends of a fresh connection.
func (r *rig) pair() (client, server end) {
	r.Helper()
	listener, tok, addr := r.listen()
	return r.connect(listener, tok, &netio.ConnectOptions{Addr: addr})
}

// turn waits once and notes what it reports.
func (r *rig) turn(deadline mono.Time) {
	var ev [8]netio.Event
	for _, e := range ev[:r.Wait(ev[:], deadline)] {
		r.seen[e.Token] |= e.Ready
	}
}

// expect waits until all of the bits were reported, and forgets them.
func (r *rig) expect(tok netio.Token, bits netio.Ready) {
	r.Helper()
	for deadline := r.Now().Add(patience); r.seen[tok]&bits != bits; {
		if r.Now() >= deadline {
			r.Fatalf("event %04b of token %x never came; reported: %04b", bits, tok, r.seen[tok])
		}
		r.turn(deadline)
	}
	delete(r.seen, tok)
}

// settle lets everything that is on its way arrive.
func (r *rig) settle() {
	for deadline := r.Now().Add(patience / 1000); r.Now() < deadline; {
		r.turn(deadline)
	}
}

// quiet fails when anything is reported within a moment. It asserts that something does not happen, so it cannot wait
// for the something; a moment is far more than the loopback or a simulated wire takes.
func (r *rig) quiet(why string) {
	r.Helper()
	for deadline := r.Now().Add(patience / 1000); r.Now() < deadline; {
		r.turn(deadline)
	}
	for tok, bits := range r.seen {
		r.Fatalf("%s, but token %x reported %04b", why, tok, bits)
	}
}

// end is one end of a connection.
type end struct {
	*rig
	fd  int
	tok netio.Token
}

func (e end) expect(bits netio.Ready) { e.Helper(); e.rig.expect(e.tok, bits) }

// say sends all of s, which must fit the socket.
func (e end) say(s string) {
	e.Helper()
	if n, io := e.Send(e.fd, []byte(s)); n != len(s) || io != netio.OK {
		e.Fatalf("sent %d of %d bytes: %v", n, len(s), io)
	}
}

// hear receives until s is complete.
func (e end) hear(s string) {
	e.Helper()
	var got []byte
	buf := make([]byte, 64<<10)
	for len(got) < len(s) {
		n, io := e.Recv(e.fd, buf[:min(len(buf), len(s)-len(got))])
		switch io {
		case netio.OK:
			got = append(got, buf[:n]...)
		case netio.Again:
			e.expect(netio.Readable)
		default:
			e.Fatalf("received %q, then %v; want %q", got, io, s)
		}
	}
	if string(got) != s {
		e.Fatalf("received %q, want %q", got, s)
	}
}

// recv expects the outcome of one Recv that moves nothing.
func (e end) recv(want netio.IO) {
	e.Helper()
	if n, io := e.Recv(e.fd, make([]byte, 100)); n != 0 || io != want {
		e.Fatalf("Recv: %d bytes, %v; want %v", n, io, want)
	}
}

// send expects the outcome of one Send that moves nothing.
func (e end) send(want netio.IO) {
	e.Helper()
	if n, io := e.Send(e.fd, []byte("x")); n != 0 || io != want {
		e.Fatalf("Send: %d bytes, %v; want %v", n, io, want)
	}
}

// shut closes the descriptor, whose token must not be reported any more.
func (e end) shut() { e.Close(e.fd); delete(e.seen, e.tok) }
