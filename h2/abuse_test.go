package h2

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/internal/mono"
	"weir/internal/msg"
)

// flood is an attack: setup once, then one round over and over.
type flood struct {
	name   string
	client bool // we are the client, the server attacks
	setup  string
	round  func(p *peer, i uint32)
	most   int // rounds until the connection must be over
}

func lines(p *peer, text string, args ...any) {
	for l := range strings.SplitSeq(fmt.Sprintf(text, args...), "\n") {
		if err := p.line(l); err != nil {
			panic(err)
		}
	}
}

func id(i uint32) uint32 { return 2*i + 1 }

// Every flood ends its connection with ENHANCE_YOUR_CALM, before it has got far, though the caller answers nothing and
// gives streams up as soon as it is told to, and though the peer reads nothing of what we send.
var floods = []flood{
	{name: "CVE-2023-44487 rapid reset", most: 201, round: func(p *peer, i uint32) {
		lines(p, "headers %d end : @get\nreset %d 8", id(i), id(i))
	}},
	{name: "CVE-2025-8671 made you reset: zero increment", most: 101, round: func(p *peer, i uint32) {
		lines(p, "headers %d end : @get\nwindow %d 0", id(i), id(i))
	}},
	{name: "CVE-2025-8671 made you reset: window overflow", most: 101, round: func(p *peer, i uint32) {
		lines(p, "headers %d end : @get\nwindow %d 2147483647", id(i), id(i))
	}},
	{name: "CVE-2025-8671 made you reset: DATA behind END_STREAM", most: 101, round: func(p *peer, i uint32) {
		lines(p, "headers %d end : @get\ndata %d x", id(i), id(i))
	}},
	{name: "CVE-2025-8671 made you reset: HEADERS behind END_STREAM", most: 101, round: func(p *peer, i uint32) {
		lines(p, "headers %d end : @get\nheaders %d end : @get", id(i), id(i))
	}},
	{name: "CVE-2025-8671 made you reset: PRIORITY of four bytes", most: 101, round: func(p *peer, i uint32) {
		lines(p, "headers %d end : @get\nframe 2 0 %d 00000000", id(i), id(i))
	}},
	{name: "CVE-2025-8671 made you reset: self dependency", most: 101, round: func(p *peer, i uint32) {
		lines(p, "headers %d end : @get\npriority %d %d", id(i), id(i), id(i))
	}},
	{name: "CVE-2025-8671 made you reset: content-length", most: 101, round: func(p *peer, i uint32) {
		lines(p, "headers %d : @post | content-length=1\ndata %d end xx", id(i), id(i))
	}},
	{name: "CVE-2025-8671 made you reset: malformed requests", most: 101, round: func(p *peer, i uint32) {
		lines(p, "headers %d end : @get | X=y", id(i))
	}},
	{name: "CVE-2019-9516 empty field names", most: 101, round: func(p *peer, i uint32) {
		lines(p, "headers %d end : @get | =x | =x | =x", id(i))
	}},
	{name: "CVE-2024-27316 CONTINUATION, empty", most: 64, setup: "headers 1 open end : @get", round: func(p *peer, i uint32) {
		lines(p, "cont 1 open :")
	}},
	{name: "CVE-2024-27316 CONTINUATION, full", most: 8, setup: "headers 1 open end : @get", round: func(p *peer, i uint32) {
		p.frame(frameContinuation, 0, 1, make([]byte, 16384))
	}},
	{name: "CVE-2019-9515 SETTINGS", most: 33, round: func(p *peer, i uint32) { lines(p, "settings 3=100") }},
	{name: "CVE-2019-9512 PING", most: 101, round: func(p *peer, i uint32) { lines(p, "ping 12345678") }},
	{name: "CVE-2019-9513 PRIORITY", most: 301, round: func(p *peer, i uint32) { lines(p, "priority 3 1") }},
	{name: "CVE-2019-9513 PRIORITY_UPDATE", most: 301, round: func(p *peer, i uint32) { lines(p, "update 3 u=1") }},
	{name: "CVE-2019-9514 RST_STREAM on a closed stream", most: 2001, setup: "headers 1 : @post\nreset 1 8",
		round: func(p *peer, i uint32) { lines(p, "reset 1 8") }},
	{name: "CVE-2019-9518 empty DATA", most: 251, setup: "headers 1 : @post", round: func(p *peer, i uint32) { lines(p, "data 1") }},
	{name: "DATA that is nearly all padding", most: 251, setup: "headers 1 : @post", round: func(p *peer, i uint32) { lines(p, "data 1 pad=255 x") }},
	{name: "WINDOW_UPDATE of one for the connection", most: 126, round: func(p *peer, i uint32) { lines(p, "window 0 1") }},
	{name: "WINDOW_UPDATE for a stream", most: 1001, setup: "headers 1 end : @get", round: func(p *peer, i uint32) { lines(p, "window 1 100") }},
	{name: "unknown frames", most: 2001, round: func(p *peer, i uint32) { lines(p, "frame 0xfa 0 0 0000") }},
	{name: "PING acknowledgements are free, SETTINGS acknowledgements are not", most: 2001,
		round: func(p *peer, i uint32) { lines(p, "settings-ack") }},
	{name: "streams above the limit", most: 1129, round: func(p *peer, i uint32) { lines(p, "headers %d : @post", id(i)) }},
	{name: "CVE-2016-6581 expansion: one entry named again and again", most: 1,
		setup: "headers 1 end : @get | x-bomb=" + strings.Repeat("a", 3900),
		round: func(p *peer, i uint32) { p.frame(frameHeaders, 5, 3, []byte(strings.Repeat("\xbe", 16000))) }},
	{name: "sections above the limit, one after another", most: 101, setup: "headers 1 end : @get | x-bomb=" + strings.Repeat("a", 3900),
		round: func(p *peer, i uint32) { p.frame(frameHeaders, 5, id(i)+2, []byte(strings.Repeat("\xbe", 20))) }},
	{name: "GOAWAY", most: 33, round: func(p *peer, i uint32) { lines(p, "goaway 5 0") }},
	{name: "interim responses", client: true, most: 101, round: func(p *peer, i uint32) { lines(p, "headers 1 : :status=103") }},
	{name: "CVE-2019-9512 PING from a server", client: true, most: 101, round: func(p *peer, i uint32) { lines(p, "ping 12345678") }},
}

func TestFloods(t *testing.T) {
	for _, f := range floods {
		t.Run(f.name, func(t *testing.T) {
			cfg := DefaultConfig(!f.client)
			pl, p := newPlayer(&cfg), newPeer()
			if f.client {
				lines(p, "settings\nsettings-ack")
			} else {
				lines(p, "preface\nsettings\nsettings-ack")
			}
			if f.setup != "" {
				lines(p, "%s", f.setup)
			}
			pl.feedDeaf(p.out.Next(p.out.Len()))
			if f.client {
				pl.act("request GET end")
			}
			rounds := uint32(0)
			for ; pl.c.Err() == nil; rounds++ {
				if rounds > uint32(f.most) {
					t.Fatalf("alive after %d rounds", rounds)
				}
				f.round(p, rounds)
				pl.feedDeaf(p.out.Next(p.out.Len()))
			}
			if err := pl.c.Err(); err.Code != EnhanceYourCalm {
				t.Fatalf("ended with %v after %d rounds", err, rounds)
			}
			if n := len(pl.c.out.buf); n > int(cfg.Limits.PendingBytes)+100 {
				t.Errorf("%d bytes of replies piled up", n)
			}
			if int(rounds) < f.most/2 {
				t.Errorf("ended after %d rounds, long before %d", rounds, f.most)
			}
		})
	}
}

// feedDeaf is feed for a peer that does not read.
func (p *player) feedDeaf(b []byte) {
	p.input = append(p.input, b...)
	for p.c.Err() == nil {
		ev, n, err := p.c.Recv(p.input, &p.h, 1)
		p.input = p.input[n:]
		if ev.Kind == EventData {
			p.c.Consumed(ev.Stream, len(ev.Data))
		}
		if s := ev.Stream; s != nil && s.Closed() {
			p.c.Forget(s)
		}
		if err == nil && ev.Kind == EventNone {
			return
		}
	}
}

// The bound on replies holds whatever the budgets are.
func TestPendingRepliesAreBounded(t *testing.T) {
	cfg := DefaultConfig(true)
	cfg.Limits.Pings = 1 << 30
	pl, p := newPlayer(&cfg), newPeer()
	lines(p, "preface\nsettings")
	for range 2000 {
		lines(p, "ping 12345678")
	}
	pl.feedDeaf(p.out.Bytes())
	if pl.c.Err() != errPendingReplies {
		t.Fatalf("ended with %v", pl.c.Err())
	}
	if n := len(pl.c.out.buf); n > int(cfg.Limits.PendingBytes)+100 {
		t.Errorf("%d bytes piled up", n)
	}
}

// honest is traffic that must never meet a budget: what it sends for each request, and how many requests a second.
type honest struct {
	name  string
	each  func(p *peer, i uint32)
	pause time.Duration
	count uint32
}

var honestTraffic = []honest{
	{"a load generator at full speed, updates for every response", func(p *peer, i uint32) {
		lines(p, "headers %d end : @get\nwindow 0 100\nwindow %d 100\nping 12345678", id(i), id(i))
	}, time.Microsecond, 20000},
	{"a client that gives each response of two bytes back at once", func(p *peer, i uint32) {
		lines(p, "headers %d end : @get\nwindow 0 2\nwindow %d 2", id(i), id(i))
	}, time.Microsecond, 20000},
	{"a browser that uses PRIORITY_UPDATE and greases", func(p *peer, i uint32) {
		lines(p, "headers %d end prio=0 : @get\nupdate %d u=4, i\nframe 0x2a 0 0 00", id(i), id(i))
	}, time.Millisecond, 5000},
	{"a client that gives up one request in three", func(p *peer, i uint32) {
		if i%3 == 0 {
			lines(p, "headers %d : @post\nreset %d 8", id(i), id(i))
			return
		}
		lines(p, "headers %d end : @get", id(i))
	}, time.Microsecond, 20000},
	{"a quiet client that pings every few seconds for hours", func(p *peer, i uint32) {
		lines(p, "ping 12345678\nsettings")
	}, 3 * time.Second, 5000},
	{"an upload with an empty frame now and then", func(p *peer, i uint32) {
		lines(p, "headers %d : @post\ndata %d *100\ndata %d\ndata %d end", id(i), id(i), id(i), id(i))
	}, time.Microsecond, 5000},
}

func TestHonestTrafficMeetsNoBudget(t *testing.T) {
	for _, tt := range honestTraffic {
		t.Run(tt.name, func(t *testing.T) {
			cfg := DefaultConfig(true)
			pl, p := newPlayer(&cfg), newPeer()
			lines(p, "preface\nsettings\nsettings-ack")
			now := mono.Time(1)
			rsp := headOf("", 200, []string{"server=x"})
			for i := range tt.count {
				tt.each(p, i)
				now = now.Add(tt.pause)
				for in := p.out.Next(p.out.Len()); ; {
					ev, n, err := pl.c.Recv(in, &pl.h, now)
					if err != nil {
						t.Fatalf("request %d: %v", i, err)
					}
					in = in[n:]
					if ev.Kind == EventNone {
						break
					}
					answer(pl.c, ev, rsp)
				}
				pl.c.AppendPending(nil)
			}
		})
	}
}

// answer is a caller that answers whole requests with two bytes.
func answer(c *Conn, ev Event, rsp *msg.Head) {
	s := ev.Stream
	if ev.Kind == EventData {
		c.Consumed(s, len(ev.Data))
	}
	if ev.End {
		out := c.AppendHead(nil, s, rsp, false)
		if _, n := c.AppendData(out, s, []byte("ok"), true); n != 2 {
			panic("no room for two bytes")
		}
	}
	if s != nil && s.Closed() {
		c.Forget(s)
	}
}

// A server may refuse, and send several interim responses, as often as we ask it: that is bounded by our asking.
func TestHonestServerMeetsNoBudget(t *testing.T) {
	cfg := DefaultConfig(false)
	pl, p := newPlayer(&cfg), newPeer()
	lines(p, "settings\nsettings-ack")
	for i := range uint32(5000) {
		pl.act("request GET end")
		if i%2 == 0 {
			lines(p, "reset %d 7", id(i))
		} else {
			lines(p, "headers %d : :status=102\nheaders %d : :status=103\nheaders %d : :status=103\nheaders %d end : :status=200",
				id(i), id(i), id(i), id(i))
		}
		if pl.feed(p.out.Next(p.out.Len())); pl.c.Err() != nil {
			t.Fatalf("request %d: %v", i, pl.c.Err())
		}
	}
}

// Budgets are whole again after their period.
func TestBudgetsRecover(t *testing.T) {
	cfg := DefaultConfig(true)
	c := New(&cfg, &Slab{})
	c.AppendPreface(nil, 1)
	c.now = 1
	for a := range abuseCount {
		m := &c.budget.meters[a]
		for range m.max {
			if err := c.charge(a, 1); err != nil {
				t.Fatalf("budget %d: spent early", a)
			}
		}
		if c.charge(a, 1) == nil {
			t.Fatalf("budget %d: not spent", a)
		}
	}
	c.now = c.now.Add(cfg.Limits.Period / 2)
	for a := range abuseCount {
		m := &c.budget.meters[a]
		n := int32(0)
		for c.charge(a, 1) == nil {
			n++
		}
		if n < m.max/2-2 || n > m.max/2+2 {
			t.Errorf("budget %d: %d of %d back after half the period", a, n, m.max)
		}
	}
	c.now = c.now.Add(cfg.Limits.Period)
	for a := range abuseCount {
		m := &c.budget.meters[a]
		if err := c.charge(a, m.max); err != nil {
			t.Errorf("budget %d: not whole after the period", a)
		}
	}
}
