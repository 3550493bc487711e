package tlsio

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"weir/netio"
)

// traffic is a connection whose client sends at random and whose server receives at random, on two workers that pass
// both ends to each other.
type traffic struct {
	client, server *Conn
	workers        [2]*Worker
	told           bool // events are told; not when calls are cut short, since a short call means something then
	sent, got      []byte
}

// Whatever the sizes of pieces, buffers, calls and sockets: the bytes arrive, in order, and memory is bounded.
func TestRandomTraffic(t *testing.T) {
	bothVersions(t, func(t *testing.T, version uint16) {
		s := newSite(t, version, "p256")
		rapid.Check(t, func(r *rapid.T) {
			fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
			if err != nil {
				r.Fatal(err)
			}
			defer unix.Close(fds[0])
			defer unix.Close(fds[1])
			x := newTraffic(t, r, s, fds)
			r.Repeat(map[string]func(*rapid.T){
				"send": x.send, "sendv": x.sendV, "recv": x.recv, "move": x.move, "": x.verify,
				"flush": func(*rapid.T) { x.event(); x.client.Flush() },
				"idle":  func(*rapid.T) { x.client.Idle(); x.server.Idle() },
			})
			x.end(r)
		})
	})
}

func newTraffic(t *testing.T, r *rapid.T, s *site, fds [2]int) *traffic {
	k := &sockets{
		recvMax: rapid.SampledFrom([]int{0, 0, 1, 7, 1000}).Draw(r, "recvMax"),
		sendMax: rapid.SampledFrom([]int{0, 0, 3, 1500}).Draw(r, "sendMax"),
	}
	unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_SNDBUF, rapid.SampledFrom([]int{1, 20_000, 200_000}).Draw(r, "sndbuf"))
	x := &traffic{workers: [2]*Worker{newWorker(k), newWorker(k)}, told: k.recvMax == 0 && k.sendMax == 0}
	x.client, x.server = x.workers[0].Client(fds[0], s.peer), x.workers[0].Server(fds[1], s.server)
	drive(t, x.client, x.server)
	if n := rapid.SampledFrom([]int{0, 1, 16 << 10, 40_000, 1 << 20}).Draw(r, "bufferMax"); n > 0 {
		x.client.SetBufferMax(n)
		x.server.SetBufferMax(n)
	}
	return x
}

func (x *traffic) event() {
	if x.told {
		x.client.Ready(netio.Writable)
		x.server.Ready(netio.Readable)
	}
}

func (x *traffic) send(r *rapid.T) {
	b := pattern(byte(len(x.sent)), rapid.IntRange(1, 40_000).Draw(r, "n"))
	n, _ := x.client.Send(b)
	x.sent = append(x.sent, b[:n]...)
}

func (x *traffic) sendV(r *rapid.T) {
	var pieces [][]byte
	for _, n := range rapid.SliceOfN(rapid.IntRange(0, 17_000), 0, 6).Draw(r, "sizes") {
		pieces = append(pieces, pattern(byte(n), n))
	}
	n, _ := x.client.SendV(pieces)
	x.sent = append(x.sent, bytes.Join(pieces, nil)[:n]...)
}

func (x *traffic) recv(r *rapid.T) {
	x.event()
	x.recvInto(make([]byte, rapid.IntRange(1, 40_000).Draw(r, "n")))
}

func (x *traffic) recvInto(p []byte) {
	n, _ := x.server.Recv(p)
	x.got = append(x.got, p[:n]...)
}

func (x *traffic) move(r *rapid.T) {
	for _, c := range []*Conn{x.client, x.server} {
		from, to := c.w, x.workers[0]
		if from == to {
			to = x.workers[1]
		}
		if c.Detach() {
			c.Attach(to, int(c.fd))
		} else if c.w != from {
			r.Fatal("a refused Detach changed the worker")
		}
	}
}

func (x *traffic) verify(r *rapid.T) {
	if !bytes.HasPrefix(x.sent, x.got) {
		r.Fatalf("of %d bytes %d arrived, and not the same", len(x.sent), len(x.got))
	}
	backlog, recv := x.client.bounds.backlog(), x.client.bounds.recv()
	if x.client.Backlog() > backlog || x.client.Held() > backlog+recv || x.server.Held() > x.server.bounds.recv() {
		r.Fatalf("backlog %d, held %d and %d", x.client.Backlog(), x.client.Held(), x.server.Held())
	}
}

// end waits for what was sent and looks for what was left behind.
func (x *traffic) end(r *rapid.T) {
	for range 1_000_000 {
		x.event()
		if x.client.Flush(); len(x.got) == len(x.sent) {
			break
		}
		x.recvInto(make([]byte, 64<<10))
	}
	if !bytes.Equal(x.sent, x.got) {
		r.Fatalf("of %d bytes %d arrived", len(x.sent), len(x.got))
	}
	for _, c := range []*Conn{x.client, x.server} {
		if c.Recv(make([]byte, 1)); c.Held() != 0 {
			r.Errorf("%d bytes are held after all", c.Held())
		}
		c.Close()
	}
	if n := x.workers[0].blocks.InUse() + x.workers[1].blocks.InUse(); n != 0 {
		r.Errorf("%d bytes of blocks were not given back", n)
	}
}
