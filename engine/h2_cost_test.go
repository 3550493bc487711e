package engine

import (
	"encoding/binary"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"weir/h2"
)

// The frames of a conversation that learns nothing: no field enters a compression table. :method GET, :scheme http, :path /
// and :authority a.example; and :status 200 with two bytes of body.
var (
	costSettings = []byte{0, 0, 0, 4, 0, 0, 0, 0, 0}
	costAck      = []byte{0, 0, 0, 4, 1, 0, 0, 0, 0}
	costGet      = append([]byte{0x82, 0x86, 0x84, 0x01, 9}, "a.example"...)
	costFound    = []byte{0x88}
	costPreface  = []byte(h2.Preface)
)

func costFrame(dst []byte, kind, flags byte, id uint32, payload []byte) []byte {
	dst = append(dst, 0, byte(len(payload)>>8), byte(len(payload)), kind, flags)
	return append(binary.BigEndian.AppendUint32(dst, id), payload...)
}

// frames calls f for every whole frame in b and returns what is left of b.
func frames(b []byte, f func(kind, flags byte, id uint32)) []byte {
	for len(b) >= 9 {
		n := int(b[1])<<8 | int(b[2])
		if len(b) < 9+n {
			break
		}
		f(b[3], b[4], binary.BigEndian.Uint32(b[5:]))
		b = b[9+n:]
	}
	return b
}

// serveCostH2 is serveCost on a connection that has begun with the preface of HTTP/2.
func serveCostH2(c net.Conn, got []byte) {
	buf, out := make([]byte, 1<<16), append(make([]byte, 0, 1<<16), costSettings...)
	answer := func(kind, flags byte, id uint32) {
		switch {
		case kind == 4 && flags == 0:
			out = append(out, costAck...)
		case kind == 1:
			out = costFrame(out, 1, 4, id, costFound)
			out = costFrame(out, 0, 1, id, []byte("ok"))
		}
	}
	n := copy(buf, got[len(h2.Preface):])
	for {
		n = copy(buf, frames(buf[:n], answer))
		if _, err := c.Write(out); err != nil {
			return
		}
		out = out[:0]
		m, err := c.Read(buf[n:])
		if err != nil {
			return
		}
		n += m
	}
}

// costClient is a client of HTTP/2 that allocates nothing while it asks.
type costClient struct {
	t    testing.TB
	fd   int
	id   uint32
	buf  [1 << 14]byte
	out  []byte
	n    int
	over uint32 // the last stream that has ended
	seen func(kind, flags byte, id uint32)
}

func (r *costRig) connectH2(t testing.TB) *costClient {
	c := &costClient{t: t, fd: r.connect(t), id: 1, out: make([]byte, 0, 1<<10)}
	c.seen = func(kind, flags byte, id uint32) {
		if kind == 0 && flags&1 != 0 {
			c.over = id
		}
	}
	c.out = append(append(append(c.out, h2.Preface...), costSettings...), costAck...)
	return c
}

func (c *costClient) exchange() {
	c.out = costFrame(c.out, 1, 5, c.id, costGet)
	if _, err := unix.Write(c.fd, c.out); err != nil {
		c.t.Fatal(err)
	}
	c.out = c.out[:0]
	for c.over != c.id {
		m, err := unix.Read(c.fd, c.buf[c.n:])
		if err != nil || m == 0 {
			c.t.Fatal(m, err)
		}
		rest := frames(c.buf[:c.n+m], c.seen)
		c.n = copy(c.buf[:], rest)
	}
	c.id += 2
}

func TestH2ExchangeAllocatesNothing(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates")
	}
	for _, c := range []struct{ name, backend string }{{"h2 to h1", ""}, {"h2 to h2", "h2 = \"h2c\""}} {
		t.Run(c.name, func(t *testing.T) {
			r := newCostRig(t, "", "reuse = \"always\"\n"+c.backend)
			client := r.connectH2(t)
			defer unix.Close(client.fd)
			const n = 2000
			run := func() {
				for range n {
					client.exchange()
				}
			}
			run()
			if got := r.allocated(run); got > n/20 {
				t.Errorf("%d exchanges allocate %d objects", n, got)
			}
		})
	}
}
