package h2

import (
	"testing"

	"weir/internal/mono"
	"weir/internal/msg"
)

// download is a server role with a stream whose response has begun, the length of its body being known or not.
func download(t *testing.T, length int64) (*player, *Stream) {
	t.Helper()
	cfg := DefaultConfig(true)
	pl, p := newPlayer(&cfg), newPeer()
	lines(p, "preface\nsettings\nsettings-ack\nheaders 1 end : @get")
	pl.feed(p.out.Bytes())
	s := pl.c.Find(1)
	h := &msg.Head{Status: 200, Framing: msg.BodyChunked}
	if length > 0 {
		h.Framing, h.Length = msg.BodyLength, length
	}
	pl.c.AppendHead(nil, s, h, false)
	return pl, s
}

func window(pl *player, lines0 string) {
	p := newPeer()
	lines(p, "%s", lines0)
	pl.feed(p.out.Bytes())
}

// A small remainder of a window waits for the rest of it, but not for ever: the client may wait for us.
func TestSmallWindowsWaitForMore(t *testing.T) {
	pl, s := download(t, 0)
	c := pl.c
	if _, n := c.AppendData(nil, s, make([]byte, 65000), false); n != 65000 {
		t.Fatalf("%d bytes went out", n)
	}
	c.Want(s, 5)
	if n := c.SendRoom(s); n != 0 || c.NextWritable() != nil {
		t.Fatalf("535 bytes of window are used: room %d", n)
	}
	by := c.Deadline()
	if want := mono.Time(5).Add(lullMax); by != want {
		t.Fatalf("deadline %v, want %v", by, want)
	}
	window(pl, "window 0 30000\nwindow 1 30000")
	if n := c.SendRoom(s); n != 30535 || c.NextWritable() != s || c.Expire(by) != nil || c.Deadline() != mono.Never {
		t.Fatalf("room %d, deadline %v", n, c.Deadline())
	}
	for i := range lullsMax + 1 {
		_, _ = c.AppendData(nil, s, make([]byte, c.SendRoom(s)-500), false)
		c.Want(s, 5)
		if i == lullsMax { // this client opens its windows only when they are used up
			if c.SendRoom(s) != 500 || c.NextWritable() != s {
				t.Error("a client that was seen to wait is waited for")
			}
			break
		}
		if c.SendRoom(s) != 0 || c.Expire(c.Deadline()) != nil || c.SendRoom(s) != 500 || c.NextWritable() != s {
			t.Fatalf("lull %d: room %d", i, c.SendRoom(s))
		}
		_, _ = c.AppendData(nil, s, make([]byte, 500), false)
		window(pl, "window 0 30000\nwindow 1 30000")
	}
}

func TestTheLastBytesNeedNoLargerWindow(t *testing.T) {
	pl, s := download(t, 65300)
	_, _ = pl.c.AppendData(nil, s, make([]byte, 65000), false)
	pl.c.Want(s, 5)
	if n := pl.c.SendRoom(s); n != 535 || pl.c.NextWritable() != s {
		t.Errorf("room %d for the last 300 bytes", n)
	}
}

// Frames of one message have one size, so that none is small.
func TestFramesAreOfOneSize(t *testing.T) {
	pl, s := download(t, 0)
	out, _ := pl.c.AppendData(nil, s, make([]byte, 2*DataFrameMax+10), false)
	for len(out) > 0 {
		f := parseFrame(out)
		if f.kind == frameData && f.length < DataFrameMax/2 {
			t.Errorf("a frame of %d bytes", f.length)
		}
		out = out[frameHeaderBytes+int(f.length):]
	}
}

// What ends the haste of a lull is heard of by the stream that it was for.
func TestAStreamIsToldOfItsWindowAfterALull(t *testing.T) {
	pl, s := download(t, 0)
	c := pl.c
	window(pl, "window 0 60000")
	_, _ = c.AppendData(nil, s, make([]byte, 65000), false)
	c.Want(s, 5)
	if c.Expire(c.Deadline()) != nil || c.NextWritable() != s {
		t.Fatal("535 bytes of window stay unused")
	}
	_, _ = c.AppendData(nil, s, make([]byte, 535), false)
	c.Want(s, 5)
	pl.log = nil
	window(pl, "window 1 30000")
	if len(pl.log) != 1 || pl.log[0] != "window" || c.NextWritable() != s {
		t.Errorf("events %v", pl.log)
	}
}

// One stream's window that opens is not another's.
func TestALullIsEachStreamsOwn(t *testing.T) {
	pl, s := download(t, 0)
	c := pl.c
	_, _ = c.AppendData(nil, s, make([]byte, 65000), false)
	window(pl, "window 0 60000")
	c.Want(s, 5)
	window(pl, "window 0 60000")
	if c.Expire(c.Deadline()) != nil || c.NextWritable() != s {
		t.Error("the connection's update has ended the stream's lull")
	}
}
