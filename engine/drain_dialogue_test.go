package engine

import (
	"encoding/binary"
	"testing"
	"time"

	"weir/internal/mono"
	"weir/internal/sim"
	"weir/netio"
)

// leaver is a client that asks once, stays, and notes how it is sent away.
type leaver struct {
	h2      bool
	now     func() mono.Time
	heard   []byte
	goaways []uint32 // last stream of each
	left    mono.Time
}

// Open implements sim.Script.
func (l *leaver) Open(p *sim.Peer) {
	if !l.h2 {
		p.Send(get("/1"))
		return
	}
	frame := func(kind, flags byte, stream uint32, payload string) string {
		b := binary.BigEndian.AppendUint32(nil, uint32(len(payload)))
		return string(binary.BigEndian.AppendUint32(append(b[1:], kind, flags), stream)) + payload
	}
	p.Send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, "") + frame(1, 5, 1, "\x82\x86\x84\x41\x01a")) // GET http / a
}

// Data implements sim.Script.
func (l *leaver) Data(_ *sim.Peer, b []byte) {
	l.heard = append(l.heard, b...)
	for l.h2 && len(l.heard) >= 9 {
		n := 9 + int(binary.BigEndian.Uint32(l.heard)>>8)
		if len(l.heard) < n {
			return
		}
		if l.heard[3] == 7 {
			l.goaways = append(l.goaways, binary.BigEndian.Uint32(l.heard[9:]))
		}
		l.heard = l.heard[n:]
	}
}

// End implements sim.Script.
func (l *leaver) End(p *sim.Peer, _ netio.IO) {
	l.left = l.now()
	p.Close()
}

// TestDrainSpreadsIdleClients: they leave over a quarter of hard-stop-after, not all at once, and none at the first moment.
// Over h2 each gets its two GOAWAYs.
func TestDrainSpreadsIdleClients(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		r := newRig(t, 1, 2, simple("").text())
		r.net.Server(serverOne, sim.Echo)
		var all []*leaver
		for range 40 {
			l := &leaver{h2: h2, now: r.net.Now}
			all = append(all, l)
			r.net.Client(frontAddr, l)
		}
		r.run(500 * time.Millisecond)
		began := r.net.Now()
		r.drain(4 * time.Second)
		r.must("all have left", 4*time.Second, func() bool {
			for _, l := range all {
				if l.left.IsZero() {
					return false
				}
			}
			return true
		})
		moments := map[time.Duration]bool{}
		for _, l := range all {
			after := l.left.Sub(began)
			moments[after.Round(10*time.Millisecond)] = true
			if after < time.Second/8 || after > time.Second+10*time.Millisecond {
				t.Errorf("h2 %v: one left after %v", h2, after)
			}
			if h2 && (len(l.goaways) != 2 || l.goaways[0] != 1<<31-1 || l.goaways[1] != 1) {
				t.Errorf("GOAWAYs %v", l.goaways)
			}
		}
		if len(moments) < 10 {
			t.Errorf("h2 %v: 40 clients left at %d moments", h2, len(moments))
		}
		r.finish()
	}
}
