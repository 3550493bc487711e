package kerneltest

import (
	"bytes"
	"math/rand/v2"

	"weir/netio"
)

// noise is n bytes that show any loss, doubling or swap.
func noise(n int) []byte {
	b, rnd := make([]byte, n), rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

// fill sends noise until the socket is full, and returns what went in.
func (e end) fill() []byte {
	e.Helper()
	src, sent := noise(64<<10), []byte(nil)
	for {
		n, io := e.Send(e.fd, src)
		sent = append(sent, src[:n]...)
		if io == netio.Again {
			// The other end's window may still open while the socket settles; then there is more room.
			e.settle()
			if e.seen[e.tok]&netio.Writable == 0 {
				clear(e.seen)
				return sent
			}
			delete(e.seen, e.tok)
			continue
		}
		if io != netio.OK {
			e.Fatalf("Send: %v", io)
		}
		if len(sent) > 1<<30 {
			e.Fatal("the socket never fills")
		}
	}
}

func shortWriteAndWritable(r *rig) {
	c, s := r.pair()
	sent := c.fill()
	r.quiet("the socket is full")
	var got []byte
	buf := make([]byte, 64<<10)
	for len(got) < len(sent) {
		n, io := r.Recv(s.fd, buf)
		got = append(got, buf[:n]...)
		if io == netio.Again {
			s.expect(netio.Readable)
		} else if io != netio.OK {
			r.Fatalf("Recv: %v", io)
		}
	}
	if !bytes.Equal(got, sent) {
		r.Fatal("other bytes came than were sent")
	}
	c.expect(netio.Writable)
	c.say("more")
	s.hear("more")
}

// fullSocketClosed: bytes that were accepted by Send still arrive after Close.
func fullSocketClosed(r *rig) {
	c, s := r.pair()
	sent := c.fill()
	c.shut()
	s.hear(string(sent))
	s.settle() // the end may have come with the last bytes, or not yet
	s.recv(netio.EOF)
}

func sendPieces(r *rig) {
	c, s := r.pair()
	src := noise(1000)
	var pieces [][]byte
	var want []byte
	for i := range 40 {
		p := src[i : 2*i]
		pieces = append(pieces, p)
		want = append(want, p...)
	}
	n, io := r.SendV(c.fd, pieces)
	if n != len(want) || io != netio.OK {
		r.Fatalf("sent %d of %d bytes: %v", n, len(want), io)
	}
	s.hear(string(want))
	if n, io := r.SendV(c.fd, [][]byte{[]byte("alone")}); n != 5 || io != netio.OK {
		r.Fatalf("sent %d bytes: %v", n, io)
	}
	s.hear("alone")

	many := make([][]byte, 100)
	for i := range many {
		many[i] = []byte{byte(i)}
	}
	n, io = r.SendV(c.fd, many)
	if n != 64 || io != netio.OK {
		r.Fatalf("sent %d of 100 pieces of one byte: %v; 64 are the most", n, io)
	}
	s.hear(string(bytes.Join(many[:64], nil)))
}

func sendNothing(r *rig) {
	c, _ := r.pair()
	if n, io := r.Send(c.fd, nil); n != 0 || io != netio.OK {
		r.Fatalf("%d, %v", n, io)
	}
	if n, io := r.SendV(c.fd, nil); n != 0 || io != netio.OK {
		r.Fatalf("%d, %v", n, io)
	}
	r.quiet("nothing was sent")
}

// stream is one direction of a large transfer, driven by edges alone: each side stops at Again, a short read or a short
// write, and goes on only when an event says so. A missed edge hangs it.
type stream struct {
	from, to end
	src, got []byte
	rnd      *rand.Rand
	done     bool
}

func (x *stream) send() {
	for len(x.src) > 0 {
		n := 1 + x.rnd.IntN(min(len(x.src), 200_000))
		sent, io := x.from.Send(x.from.fd, x.src[:n])
		x.src = x.src[sent:]
		if io == netio.Again || sent < n && io == netio.OK {
			return
		}
		if io != netio.OK {
			x.from.Fatalf("Send: %v", io)
		}
	}
	x.from.ShutdownSend(x.from.fd)
}

func (x *stream) recv(r netio.Ready) {
	buf := make([]byte, 1+x.rnd.IntN(200_000))
	for {
		n, io := x.to.Recv(x.to.fd, buf)
		x.got = append(x.got, buf[:n]...)
		switch {
		case io == netio.EOF:
			x.done = true
			return
		case io == netio.Again, io == netio.OK && n < len(buf) && r&netio.PeerClosed == 0:
			return
		case io != netio.OK:
			x.to.Fatalf("Recv: %v", io)
		}
	}
}

func largeTransfer(r *rig) {
	c, s := r.pair()
	data, rnd := noise(4<<20), rand.New(rand.NewPCG(3, 4))
	up := &stream{from: c, to: s, src: data, rnd: rnd}
	down := &stream{from: s, to: c, src: data[1:], rnd: rnd}
	up.send()
	down.send()
	var ev [8]netio.Event
	for deadline := r.Now().Add(patience); !up.done || !down.done; {
		n := r.Wait(ev[:], deadline)
		if r.Now() >= deadline {
			r.Fatalf("it hangs with %d bytes up and %d down; an edge was missed", len(up.got), len(down.got))
		}
		for _, e := range ev[:n] {
			out, in := up, down
			if e.Token == s.tok {
				out, in = down, up
			}
			if e.Ready&netio.Writable != 0 && len(out.src) > 0 {
				out.send()
			}
			if e.Ready&(netio.Readable|netio.PeerClosed) != 0 && !in.done {
				in.recv(e.Ready)
			}
		}
	}
	if !bytes.Equal(up.got, data) || !bytes.Equal(down.got, data[1:]) {
		r.Fatal("other bytes came than were sent")
	}
}
