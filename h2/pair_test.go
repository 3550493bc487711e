package h2

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/internal/mono"
	"weir/internal/msg"
)

// side is one end of a connection between two codecs, and a caller that sends and consumes as it is told.
type side struct {
	t       *rapid.T
	name    string
	c       *Conn
	other   *side
	wire    []byte // sent to the other side, not delivered yet
	input   []byte // delivered, not taken yet
	h       msg.Head
	streams map[uint32]*talk
	order   []uint32
	now     mono.Time
}

// talk is one message pair as one side sees it.
type talk struct {
	s          *Stream // nil: forgotten
	id         uint32
	sent, got  int // body bytes
	left       int // of the body that is still to be sent
	held       int
	headSent   bool
	endSent    bool
	gotHead    bool
	gotEnd     bool
	gotTrailer bool
	trailers   bool // ends with trailers
	cut        bool // reset by either side
}

func newSide(t *rapid.T, name string, server bool) *side {
	cfg := DefaultConfig(server)
	cfg.InitialWindow = int32(rapid.SampledFrom([]int{1, 50, 1000, 65535, 100000}).Draw(t, name+" window"))
	cfg.ConnWindow = int32(rapid.SampledFrom([]int{8 << 10, 70000, 128 << 10}).Draw(t, name+" holds"))
	cfg.MaxConcurrentStreams = 4
	cfg.MaxHeaderList = 2048
	cfg.Limits.WindowUpdate, cfg.Limits.Resets, cfg.Limits.Ignored = 1<<20, 1<<20, 1<<20 // not what is tested here
	d := &side{t: t, name: name, c: New(&cfg, &Slab{}), streams: map[uint32]*talk{}}
	d.now = 1
	d.wire = d.c.AppendPreface(nil, d.now)
	return d
}

// pattern is byte i of a body in the direction from a side.
func (d *side) pattern(id uint32, i int) byte { return byte(int(id)*31 + i*7 + len(d.name)) }

// deliver moves up to n bytes to this side and has them read.
func (d *side) deliver(n int) {
	n = min(n, len(d.other.wire))
	d.input = append(d.input, d.other.wire[:n]...)
	d.other.wire = d.other.wire[n:]
	for {
		ev, used, err := d.c.Recv(d.input, &d.h, d.now)
		if err != nil {
			d.t.Fatalf("%s: %v", d.name, err)
		}
		d.on(ev)
		d.input = d.input[used:]
		d.c.verify()
		if ev.Kind == EventNone {
			return
		}
	}
}

func (d *side) on(ev Event) {
	if ev.Kind == EventRefused && ev.Code != RefusedStream { // the client did not know the limit yet
		d.t.Fatalf("%s: refused %d: %v", d.name, ev.ID, ev.Cause)
	}
	if ev.Stream == nil {
		return
	}
	k := d.streams[ev.Stream.ID]
	switch ev.Kind {
	case EventHead:
		if k == nil {
			k = &talk{s: ev.Stream, id: ev.Stream.ID}
			d.streams[k.id] = k
			d.order = append(d.order, k.id)
		}
		k.gotHead = true
		if want := fmt.Sprintf("/%d", k.id); d.c.cfg.Server && string(d.h.Bytes(d.h.Target)) != want {
			d.t.Fatalf("path %s on stream %d", d.h.Bytes(d.h.Target), k.id)
		}
	case EventTrailers:
		k.gotTrailer = true
	case EventData:
		for i, b := range ev.Data {
			if b != d.other.pattern(k.id, k.got+i) {
				d.t.Fatalf("%s: byte %d of stream %d differs", d.name, k.got+i, k.id)
			}
		}
		k.got += len(ev.Data)
		k.held += len(ev.Data)
	case EventReset:
		k.cut = true
	}
	k.gotEnd = k.gotEnd || ev.End
	d.settle(k)
}

// settle forgets a stream that is over.
func (d *side) settle(k *talk) {
	if k.s != nil && k.s.Closed() {
		d.c.Forget(k.s)
		k.s = nil
	}
}

func (d *side) flush() { d.wire = d.c.AppendPending(d.wire) }

// open starts a request.
func (d *side) open() {
	s, ok := d.c.Open(nil)
	if !ok {
		return
	}
	k := &talk{s: s}
	h := &msg.Head{Scheme: msg.SchemeHTTPS, Method: msg.MethodPost}
	h.Name = h.PutString("POST")
	h.Authority = h.PutString("a.example")
	h.Target = h.PutString(fmt.Sprintf("/%d", d.c.streams.nextID))
	d.sendHead(k, h)
	k.id = s.ID
	d.streams[k.id] = k
	d.order = append(d.order, k.id)
}

// sendHead sends a head, whose body is still to come unless it has none.
func (d *side) sendHead(k *talk, h *msg.Head) {
	k.left = rapid.SampledFrom([]int{0, 0, 1, 10, 1000, 70000, 200000}).Draw(d.t, "body")
	k.left = min(k.left, 40*int(d.other.c.cfg.InitialWindow)) // or it takes for ever, a byte each round trip
	k.trailers = rapid.Bool().Draw(d.t, "trailers")
	h.Framing = msg.BodyStream
	if rapid.Bool().Draw(d.t, "length") {
		h.Framing, h.Length = msg.BodyLength, int64(k.left)
	}
	for i := range rapid.IntRange(0, 3).Draw(d.t, "fields") {
		h.Add(0, fmt.Sprintf("x-%d", i), bytes.Repeat([]byte("v"), rapid.SampledFrom([]int{0, 5, 300}).Draw(d.t, "size")))
	}
	end := k.left == 0 && !k.trailers
	d.wire = d.c.AppendHead(d.wire, k.s, h, end)
	k.headSent, k.endSent = true, end
	d.settle(k)
}

func (d *side) respond(k *talk) {
	if k.s != nil && !k.headSent && d.c.cfg.Server {
		if rapid.IntRange(0, 3).Draw(d.t, "interim") == 0 {
			d.wire = d.c.AppendHead(d.wire, k.s, &msg.Head{Status: 103}, false)
		}
		d.sendHead(k, &msg.Head{Status: 200})
	}
}

// send sends up to n bytes of a body, and its end when all of it is out.
func (d *side) send(k *talk, n int) {
	if k.s == nil || !k.headSent || k.endSent {
		return
	}
	n = min(n, k.left)
	body := make([]byte, n)
	for i := range body {
		body[i] = d.pattern(k.id, k.sent+i)
	}
	end := n == k.left && !k.trailers
	room := d.c.SendRoom(k.s)
	var took int
	d.wire, took = d.c.AppendData(d.wire, k.s, body, end)
	if took != min(n, room) {
		d.t.Fatalf("%s: took %d of %d with room for %d", d.name, took, n, room)
	}
	k.sent += took
	k.left -= took
	k.endSent = end && took == n
	if k.left == 0 && k.trailers && !k.endSent {
		h := &msg.Head{}
		h.Add(0, "x-checksum", []byte("0"))
		d.wire = d.c.AppendTrailers(d.wire, k.s, h)
		k.endSent = true
	}
	d.settle(k)
}

func (d *side) consume(k *talk, n int) {
	if n = min(n, k.held); k.s != nil && n > 0 {
		d.c.Consumed(k.s, n)
		k.held -= n
	}
}

func (d *side) giveUp(k *talk, reset bool) {
	if k.s == nil {
		return
	}
	k.cut = true
	if reset {
		d.wire = d.c.AppendReset(d.wire, k.s, Cancel)
	}
	d.c.Forget(k.s)
	k.s = nil
}

// pick draws one of the side's streams, or nil.
func (d *side) pick() *talk {
	if len(d.order) == 0 {
		return nil
	}
	return d.streams[rapid.SampledFrom(d.order).Draw(d.t, "stream")]
}

func (d *side) step() {
	d.now = d.now.Add(rapid.SampledFrom([]time.Duration{0, time.Millisecond, tightFor}).Draw(d.t, "time"))
	switch rapid.IntRange(0, 9).Draw(d.t, d.name) {
	case 0:
		if !d.c.cfg.Server {
			d.open()
		}
	case 1, 2, 3:
		d.deliver(rapid.SampledFrom([]int{1, 7, 9, 100, 5000, 1 << 20}).Draw(d.t, "bytes"))
	case 4:
		d.flush()
	case 5:
		d.wire = d.c.AppendPing(d.wire, [8]byte{})
	default:
		k := d.pick()
		if k == nil {
			return
		}
		switch rapid.IntRange(0, 15).Draw(d.t, "act") {
		case 0:
			d.giveUp(k, true)
		case 1:
			d.giveUp(k, false)
		case 2, 3, 4, 5:
			d.consume(k, rapid.SampledFrom([]int{1, 30, 1 << 20}).Draw(d.t, "n"))
		case 6, 7, 8:
			d.respond(k)
		default:
			d.send(k, rapid.SampledFrom([]int{0, 1, 100, 20000, 1 << 20}).Draw(d.t, "n"))
		}
	}
	d.c.verify()
}

// drain lets everything under way come to its end; false: nothing moved.
func (d *side) drain() (moved bool) {
	moved = len(d.other.wire) > 0
	d.deliver(1 << 30)
	for _, id := range d.order {
		k := d.streams[id]
		before := k.sent + k.held
		d.respond(k)
		d.send(k, 1<<30)
		d.consume(k, 1<<30)
		moved = moved || k.sent+k.held != before
	}
	d.flush()
	return moved || len(d.wire) > 0
}

// Two codecs that talk to each other in any order, in any pieces, giving up where they like: nothing is an error, no byte
// is lost or changed, no window leaks, and everything that was not given up ends.
func TestPair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := newSide(t, "client", false), newSide(t, "the server", true)
		a.other, b.other = b, a
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "who") {
				a.step()
			} else {
				b.step()
			}
		}
		for moved := true; moved; {
			moved = a.drain()
			moved = b.drain() || moved
		}
		for _, id := range a.order {
			x, y := a.streams[id], b.streams[id]
			if x.cut || y != nil && y.cut {
				continue
			}
			if y == nil || !x.gotEnd || !y.gotEnd || x.got != y.sent || y.got != x.sent || x.left+y.left > 0 ||
				x.gotTrailer != y.trailers || y.gotTrailer != x.trailers {
				t.Fatalf("stream %d: client %+v, server %+v", id, x, y)
			}
		}
		for _, d := range []*side{a, b} {
			if d.c.Streams() != 0 {
				t.Fatalf("%s holds %d streams", d.name, d.c.Streams())
			}
			w := d.c.flow.recv
			if w.left+w.credit != w.size || d.other.c.flow.send != w.left {
				t.Fatalf("%s: %+v of the connection's window, the other side has %d", d.name, w, d.other.c.flow.send)
			}
		}
	})
}
