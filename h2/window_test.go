package h2

import (
	"testing"
	"time"

	"weir/internal/mono"
)

// tightened is a server role whose client has filled the window of stream 1, which nobody reads, and has acknowledged that
// the windows are small now. Stream 3 is open too.
func tightened(t *testing.T) *player {
	t.Helper()
	cfg := DefaultConfig(true)
	pl := newPlayer(&cfg)
	pl.keep = true
	window(pl, "preface\nsettings\nsettings-ack\nheaders 1 : @post\nheaders 3 : @post\ndata 1 *16000\ndata 1 *16000\ndata 1 *16000")
	if !pl.c.own.waiting || pl.c.own.next != cfg.share() {
		t.Fatal("48000 bytes wait, and the windows stay large")
	}
	window(pl, "settings-ack")
	if w := pl.c.flow.recv; w.mode != modeTight || w.size != cfg.ConnWindow {
		t.Fatalf("%+v", w)
	}
	return pl
}

// An empty frame ends a stream whatever its window (RFC 9113 section 6.9.1).
func TestNothingFitsIntoANegativeWindow(t *testing.T) {
	pl := tightened(t)
	if n := pl.c.Find(1).recv.left; n >= 0 {
		t.Fatalf("the window is %d", n)
	}
	pl.log = nil
	window(pl, "data 1 end *0")
	if len(pl.log) != 1 || pl.c.Find(1).state != stateHalfRemote {
		t.Errorf("%v", pl.log)
	}
}

// A client that does not mind smaller windows is served as far as the connection's window goes.
func TestSmallerWindowsMayBeOverlooked(t *testing.T) {
	pl := tightened(t)
	window(pl, "data 3 *16000")
	if s := pl.c.Find(3); s.Closed() || s.recv.held != 16000 {
		t.Errorf("%v", pl.log)
	}
	pl.c.Consumed(pl.c.Find(3), 16000)
	pl.c.verify()
}

// When what was held has left, the windows are large again after a while, and not before.
func TestWindowsAreLargeAgain(t *testing.T) {
	pl := tightened(t)
	c := pl.c
	s := c.Find(1)
	c.Consumed(s, int(s.recv.held))
	for _, now := range []mono.Time{2, mono.Time(1).Add(tightFor - time.Second)} {
		_, _, _ = c.Recv(nil, &pl.h, now)
		if c.flow.recv.mode != modeTight {
			t.Fatal("the windows change back at once")
		}
	}
	_, _, _ = c.Recv(nil, &pl.h, mono.Time(1).Add(2*tightFor))
	if c.flow.recv.mode != modeOpen || s.recv.size != c.cfg.InitialWindow {
		t.Errorf("%+v, stream %+v", c.flow.recv, s.recv)
	}
	c.verify()
}
