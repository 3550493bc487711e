package origin

import (
	"bytes"
	"testing"
	"time"
)

// play feeds in to a new connection in pieces of cut bytes and returns all that comes out, timers fired at once.
func play(in []byte, cut int) []byte {
	c := &conn{srv: &server{replies: replies{}, counters: new(Counters)}}
	var waiting []uint32
	c.after = func(_ time.Duration, stream uint32) { waiting = append(waiting, stream) }
	var out []byte
	drain := func() {
		for range 1 << 10 { // A body of 2 GiB may be asked for; its first piece is enough.
			if b := c.nextBulk(); b != nil {
				n := min(len(b), 64)
				out = append(out, b[:n]...)
				out = c.sentBulk(len(b), out)
				continue
			}
			if len(waiting) == 0 {
				return
			}
			stream := waiting[0]
			waiting = waiting[1:]
			out = c.due(stream, out)
		}
		c.mode = modeEnded
	}
	for len(in) > 0 && c.mode != modeEnded {
		n := min(cut, len(in))
		out = c.recv(in[:n], out)
		in = in[n:]
		drain()
	}
	return out
}

// Whatever arrives, nothing panics, and over h1 and WebSockets the cuts between reads make no difference. (Over h2 they
// may: frames of several streams are interleaved as they come.)
func FuzzConn(f *testing.F) {
	f.Add([]byte("GET /10 HTTP/1.1\r\n\r\nPOST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"))
	f.Add([]byte("GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n\x82\x81\x01\x02\x03\x04a"))
	f.Add([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x06\x01\x05\x00\x00\x00\x01\x82\x86\x04\x02/1"))
	f.Fuzz(func(t *testing.T, in []byte) {
		whole, single := play(in, len(in)), play(in, 1)
		if !bytes.HasPrefix(in, []byte("PRI")) && !bytes.Equal(whole, single) {
			t.Errorf("whole: %q\nbyte by byte: %q", whole, single)
		}
	})
}
