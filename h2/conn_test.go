package h2

import (
	"fmt"
	"testing"
	"time"
	"unsafe"

	"weir/internal/mono"
	"weir/internal/msg"
)

// An idle front connection costs its record and nothing else until its tables learn something.
func TestIdleFootprint(t *testing.T) {
	if n := unsafe.Sizeof(Conn{}); n > 1024 {
		t.Errorf("a Conn has %d bytes", n)
	}
	if n := unsafe.Sizeof(Stream{}); n > 192 {
		t.Errorf("a Stream has %d bytes", n)
	}
	cfg := DefaultConfig(true)
	slab := &Slab{}
	pl := newPlayer(&cfg)
	pl.c = New(&cfg, slab)
	pl.c.AppendPreface(nil, 1)
	p := newPeer()
	lines(p, "preface\nsettings\nsettings-ack\nheaders 1 end : @get | user-agent=x\nping 12345678")
	pl.feed(p.out.Bytes())
	pl.act("respond 1 200 end server=x")
	c := pl.c
	if c.Streams() != 0 || c.in.block.buf != nil || c.out.buf != nil || c.streams.buckets != nil {
		t.Error("an idle connection holds memory for what is over")
	}
}

// The written sum is what a connection can hold.
func TestMemorySum(t *testing.T) {
	cfg := DefaultConfig(true)
	if n := cfg.ConnBytesMax(); n < 150<<10 || n > 300<<10 {
		t.Errorf("ConnBytesMax is %d", n)
	}
	if n := cfg.HeadBytesMax(); n < 128<<10 || n > 160<<10 {
		t.Errorf("HeadBytesMax is %d", n)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for i, spoil := range []func(*Config){
		func(c *Config) { c.InitialWindow = 0 },
		func(c *Config) { c.ConnWindow = 1000 },
		func(c *Config) { c.MaxFrame = 100 },
		func(c *Config) { c.MaxFrame = 1 << 24 },
		func(c *Config) { c.MaxHeaderList = 100 },
		func(c *Config) { c.MaxConcurrentStreams = 0 },
		func(c *Config) { c.Limits.Period = 0 },
	} {
		cfg := DefaultConfig(true)
		spoil(&cfg)
		wantPanic(t, fmt.Sprint("config ", i), func() { New(&cfg, &Slab{}) })
	}
}

func wantPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: no panic", what)
		}
	}()
	f()
}

// What the codec times: SETTINGS not acknowledged, and frames and field blocks that do not end. Bodies it does not.
func TestDeadlines(t *testing.T) {
	const begin = mono.Time(1000)
	head := begin.Add(10 * time.Second)
	for _, tt := range []struct {
		name  string
		input string // frames; "~" cuts off the last three bytes of what stands before it
		want  mono.Time
		err   *Error
	}{
		{"nothing came", "", head, errHeadTimeout},
		{"acknowledged", "preface\nsettings\nsettings-ack", mono.Never, nil},
		{"not acknowledged", "preface\nsettings", head, errSettingsTimeout},
		{"half a preface", "preface~", head, errHeadTimeout},
		{"a block without an end", "preface\nsettings\nsettings-ack\nheaders 1 open : @get", head, errHeadTimeout},
		{"half a HEADERS", "preface\nsettings\nsettings-ack\nheaders 1 : @get~", head, errHeadTimeout},
		{"half a PING", "preface\nsettings\nsettings-ack\nping 12345678~", head, errHeadTimeout},
		{"half a frame header", "preface\nsettings\nsettings-ack\nsettings~", head, errHeadTimeout},
		{"half an unknown frame", "preface\nsettings\nsettings-ack\nframe 0xfa 0 0 00000000~", head, errHeadTimeout},
		{"half a DATA", "preface\nsettings\nsettings-ack\nheaders 1 : @post\ndata 1 hello~", mono.Never, nil},
		{"a whole request", "preface\nsettings\nsettings-ack\nheaders 1 : @post", mono.Never, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := DefaultConfig(true)
			c := New(&cfg, &Slab{})
			c.AppendPreface(nil, begin)
			b := script(tt.input)
			var h msg.Head
			for {
				ev, n, err := c.Recv(b, &h, begin)
				if err != nil {
					t.Fatal(err)
				}
				if b = b[n:]; ev.Kind == EventNone {
					break
				}
			}
			if got := c.Deadline(); got != tt.want {
				t.Errorf("deadline %d, want %d", got, tt.want)
			}
			if err := c.Expire(head - 1); err != nil {
				t.Errorf("expired early: %v", err)
			}
			if err := c.Expire(head); err != tt.err {
				t.Errorf("expired with %v, want %v", err, tt.err)
			}
			if tt.err != nil && (!c.Pending() || c.Deadline() != mono.Never || c.Expire(head) != tt.err) {
				t.Error("no GOAWAY collected, or the deadline stays")
			}
		})
	}
}

// script turns frame lines into bytes.
func script(text string) []byte {
	p := newPeer()
	cut := 0
	if n := len(text); n > 0 && text[n-1] == '~' {
		text, cut = text[:n-1], 3
	}
	if text != "" {
		lines(p, "%s", text)
	}
	return p.out.Bytes()[:p.out.Len()-cut]
}

// A deadline is not put off by coming a little further, and is new for the next thing.
func TestDeadlineStays(t *testing.T) {
	cfg := DefaultConfig(true)
	pl := newPlayer(&cfg)
	var in []byte
	at := mono.Time(1)
	for _, step := range []struct {
		input string
		want  time.Duration // behind the start; 0: none
	}{
		{"preface\nsettings\nsettings-ack", 0},
		{"headers 1 open : @get", 2 * time.Second},
		{"cont 1 open : x-a=b", 2 * time.Second},
		{"cont 1 open :", 2 * time.Second},
		{"cont 1 :~", 2 * time.Second},
		{"raw 000001", 0}, // the end of the frame before
		{"headers 3 open end : @get", 7 * time.Second},
		{"cont 3 :", 0},
	} {
		at = at.Add(time.Second)
		for in = append(in, script(step.input)...); ; {
			ev, n, err := pl.c.Recv(in, &pl.h, at)
			if err != nil {
				t.Fatalf("%s: %v", step.input, err)
			}
			if in = in[n:]; ev.Kind == EventNone {
				break
			}
		}
		want := mono.Never
		if step.want != 0 {
			want = mono.Time(1).Add(step.want + cfg.HeadTimeout)
		}
		if got := pl.c.Deadline(); got != want {
			t.Errorf("%s: deadline %d, want %d", step.input, got, want)
		}
	}
}

// Open respects the peer's limit, GOAWAY, the end of the identifiers and the end of the connection.
func TestOpen(t *testing.T) {
	cfg := DefaultConfig(false)
	start := func() (*Conn, *msg.Head) {
		c := New(&cfg, &Slab{})
		c.AppendPreface(nil, 1)
		return c, headOf("GET", 0, []string{"end"})
	}
	c, get := start()
	if n := c.FreeStreams(); n != maxStreamsAssumed {
		t.Errorf("%d streams before SETTINGS", n)
	}
	if s, ok := c.Open("mine"); !ok || s.User != "mine" || s.ID != 0 || c.FreeStreams() != maxStreamsAssumed-1 {
		t.Error("no stream")
	}
	c.streams.nextID = MaxStreamID - 2
	s, _ := c.Open(nil)
	c.AppendHead(nil, s, get, true)
	if s.ID != MaxStreamID-2 || c.FreeStreams() != 0 { // the one opened first will need the last
		t.Errorf("stream %d, %d left", s.ID, c.FreeStreams())
	}
	first := c.streams.first
	c.AppendHead(nil, first, get, true)
	if _, ok := c.Open(nil); ok || first.ID != MaxStreamID || !c.Draining() {
		t.Error("the identifiers are used up")
	}
	c.verify()

	c, get = start()
	a, _ := c.Open(nil)
	b, _ := c.Open(nil)
	c.AppendHead(nil, b, get, true)
	c.AppendHead(nil, a, get, true)
	if b.ID != 1 || a.ID != 3 {
		t.Errorf("identifiers %d and %d do not go up on the wire", b.ID, a.ID)
	}
	c.Forget(a)
	c.Forget(b)
	s, _ = c.Open(nil)
	c.Forget(s) // never sent
	c.verify()
	if got := sentText(t, c.AppendPending(nil)); len(got) != 2 {
		t.Errorf("sent %v", got)
	}
	c.fail(errClosed)
	if _, ok := c.Open(nil); ok {
		t.Error("a stream on a connection that is over")
	}
}

// Walk allows forgetting; Close gives everything back.
func TestWalkAndClose(t *testing.T) {
	cfg := DefaultConfig(true)
	slab := &Slab{}
	c := New(&cfg, slab)
	c.AppendPreface(nil, 1)
	var h msg.Head
	var ids []uint32
	for b := script("preface\nsettings\nheaders 1 : @post\nheaders 3 : @post\nheaders 5 : @post\nheaders 7 open : @post"); ; {
		ev, n, err := c.Recv(b, &h, 1)
		if err != nil {
			t.Fatal(err)
		}
		if b = b[n:]; ev.Kind == EventNone {
			break
		}
	}
	c.Walk(func(s *Stream) {
		if ids = append(ids, s.ID); s.ID == 3 {
			c.Forget(s)
		}
	})
	c.Walk(func(s *Stream) { ids = append(ids, s.ID) })
	if fmt.Sprint(ids) != "[1 3 5 1 5]" || c.LastID() != 7 {
		t.Errorf("walked %v, last %d", ids, c.LastID())
	}
	c.Close()
	free := 0
	for s := slab.free; s != nil; s = s.live.next {
		free++
	}
	if free != slabStreams || len(slab.blocks) != 2 {
		t.Errorf("%d records and %d blocks came back", free, len(slab.blocks))
	}
	if _, _, err := c.Recv(nil, &h, 1); err != errClosed || c.FreeStreams() != 0 || c.Deadline() != mono.Never {
		t.Error("a closed connection works")
	}
}

// The caller's own mistakes panic; what a reset that has not been reported yet explains does not.
func TestMisuse(t *testing.T) {
	pl := newPlayer(&[]Config{DefaultConfig(true)}[0])
	pl.keep = true
	pl.feed(script("preface\nsettings\nheaders 1 : @post\nheaders 3 end : @get\ndata 1 hello"))
	c, rsp := pl.c, headOf("", 200, nil)
	s := c.Find(1)
	wantPanic(t, "body before head", func() { c.AppendData(nil, s, []byte("x"), false) })
	wantPanic(t, "trailers before head", func() { c.AppendTrailers(nil, s, headOf("", 0, []string{"a=b"})) })
	wantPanic(t, "interim end", func() { c.AppendHead(nil, s, headOf("", 103, nil), true) })
	wantPanic(t, "101", func() { c.AppendHead(nil, s, headOf("", 101, nil), false) })
	wantPanic(t, "more consumed than came", func() { c.Consumed(s, 6) })
	c.AppendHead(nil, s, rsp, false)
	wantPanic(t, "second head", func() { c.AppendHead(nil, s, rsp, false) })
	wantPanic(t, "more than the window", func() { c.AppendDataHeader(nil, s, 65536, false) })
	if out, n := c.AppendData(nil, s, nil, false); len(out)+n != 0 {
		t.Error("nothing to send, and something was")
	}
	c.AppendReset(nil, s, Cancel)
	if out := c.AppendReset(nil, s, Cancel); len(out) != 0 {
		t.Error("reset twice")
	}
	if out, n := c.AppendData(nil, s, []byte("abc"), true); len(out) != 0 || n != 3 {
		t.Error("DATA on a reset stream")
	}
	if out := c.AppendTrailers(c.AppendHead(nil, s, rsp, true), s, nil); len(out) != 0 {
		t.Error("frames on a reset stream")
	}
	if c.SendRoom(s) != 0 || s.Whole() || !s.Closed() {
		t.Error("room on a reset stream")
	}
	whole := c.Find(3)
	c.AppendHead(nil, whole, rsp, true)
	if !whole.Whole() {
		t.Error("not whole")
	}
	wantPanic(t, "head behind the end", func() { c.AppendHead(nil, whole, rsp, true) })
}

// SETTINGS_MAX_HEADER_LIST_SIZE is advice: the caller may ask before it sends.
func TestFits(t *testing.T) {
	cfg := DefaultConfig(false)
	pl := newPlayer(&cfg)
	h := headOf("GET", 0, []string{"a=b"})
	if !pl.c.Fits(h) || pl.c.PeerReady() || pl.c.PeerConnect() {
		t.Error("a limit that nobody has set")
	}
	pl.feed(script("settings 6=250 8=1"))
	if !pl.c.Fits(h) || !pl.c.PeerReady() || !pl.c.PeerConnect() {
		t.Error("does not fit")
	}
	h.Add(0, "x-big", make([]byte, 200))
	if pl.c.Fits(h) {
		t.Error("fits")
	}
	h.Fields[1].Drop = true
	if !pl.c.Fits(h) {
		t.Error("what is dropped counts")
	}
}
