package h3

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// The last places are held, in order; where a client may have few streams, none is.
func TestCreditIsHeld(t *testing.T) {
	streams := make([]*quic.Stream, 20)
	for i := range streams {
		streams[i] = new(quic.Stream)
	}
	for _, most := range []int{0, 1, 3, creditsHeldMax} {
		c := credit{most: most}
		for i, s := range streams {
			old := c.put(s)
			if i < most && old != nil || i >= most && old != streams[i-most] {
				t.Errorf("%d held, stream %d: a wrong one is given back", most, i)
			}
		}
	}
}

// However a request ends, its client gets the place back: it can go on for as long as it likes.
func TestCreditComesBack(t *testing.T) {
	for _, most := range []int{1, 7, 16} {
		r := newRig(t, 1, func(c *Config) { c.MaxStreams = most })
		for why, act := range map[string]func(s *quic.Stream){
			"answered":   func(s *quic.Stream) { s.Write(head("GET", "/bytes/3")); s.Close() },
			"a long one": func(s *quic.Stream) { s.Write(head("GET", "/bytes/50000")); s.Close() },
			"a body": func(s *quic.Stream) {
				s.Write(join(head("POST", "/echo"), frame(frameData, []byte("hello"))))
				s.Close()
			},
			"early answer": func(s *quic.Stream) {
				s.Write(join(head("POST", "/early"), frame(frameData, []byte("hello"))))
				s.Close()
			},
			"too large": func(s *quic.Stream) { s.Write(head("GET", "/", "x-a", string(make([]byte, 70_000)))); s.Close() },
			"malformed": func(s *quic.Stream) { s.Write(head("GET", "/", "X", "y")); s.Close() },
			"empty":     func(s *quic.Stream) { s.Close() },
			"taken back": func(s *quic.Stream) {
				s.Write(head("GET", "/hold"))
				s.CancelWrite(quic.StreamErrorCode(RequestCancelled))
				s.CancelRead(quic.StreamErrorCode(RequestCancelled))
			},
			"taken back at once": func(s *quic.Stream) {
				s.Write([]byte{1})
				s.CancelWrite(quic.StreamErrorCode(RequestCancelled))
				s.CancelRead(quic.StreamErrorCode(RequestCancelled))
			},
		} {
			client := r.settled()
			for i := range 3*most + 10 {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				s, err := client.q.OpenStreamSync(ctx)
				cancel()
				if err != nil {
					t.Fatalf("%s, at most %d at once: stream %d: %v", why, most, i, err)
				}
				act(s)
				s.SetReadDeadline(time.Now().Add(patience))
				if _, err := io.Copy(io.Discard, s); err != nil && isTimeout(err) {
					t.Fatalf("%s, at most %d at once: stream %d gets no answer", why, most, i)
				}
			}
			client.wantAlive(why)
			client.q.CloseWithError(0x100, "")
		}
	}
}
