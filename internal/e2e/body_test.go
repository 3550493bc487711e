package e2e

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

const megabyte = 1 << 20

// bigBytes is the size of a large body.
func bigBytes() int64 {
	if os.Getenv("WEIR_E2E_BIG") != "" {
		return 1 << 30
	}
	return 10 * megabyte
}

// noise is n bytes that look random and are the same for the same seed.
func noise(seed byte, n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{seed}), n)
}

// sum reads everything and says what it was.
func sum(r io.Reader) (string, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	return fmt.Sprintf("%d bytes %x", n, h.Sum(nil)[:8]), err
}

func sumOfNoise(seed byte, n int64) string {
	s, _ := sum(noise(seed, n))
	return s
}

// transfer runs both sides of a conversation at once, as large messages need it, and waits for both.
func transfer(t *testing.T, sides ...func() error) {
	t.Helper()
	errs := make(chan error)
	for _, f := range sides {
		go func() { errs <- f() }()
	}
	for range sides {
		select {
		case err := <-errs:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * patience):
			t.Fatal("the transfer does not end")
		}
	}
}

// TestBigBodies moves a large request and a large response, whose lengths are known or not.
func TestBigBodies(t *testing.T) {
	t.Parallel()
	for _, over := range []transport{plain, tlsed} {
		for _, coding := range []string{"length", "chunked", "until-close"} {
			t.Run(string(over)+"/"+coding, func(t *testing.T) {
				t.Parallel()
				bigBody(t, over, coding)
			})
		}
	}
}

func bigBody(t *testing.T, over transport, coding string) {
	back := listen(t, over)
	client := start(t, setup{over: over, servers: []*origin{back}}).dial()
	size := bigBytes()
	known := int64(-1) // net/http makes chunks
	if coding == "length" {
		known = size
	}
	transfer(t, func() error {
		r, err := http.NewRequest("PUT", "http://a.example/", io.NopCloser(noise(1, size)))
		if err != nil {
			return err
		}
		r.ContentLength = known
		return r.Write(client.conn)
	}, func() error {
		r, err := http.ReadResponse(bufio.NewReader(client.conn), nil)
		if err != nil {
			return err
		}
		return wantSum("response", r.Body, 2, size)
	}, func() error {
		server := back.accept()
		defer server.close()
		r, err := http.ReadRequest(bufio.NewReader(server.conn))
		if err != nil {
			return err
		}
		if err := wantSum("request", r.Body, 1, size); err != nil {
			return err
		}
		if coding == "until-close" {
			if _, err := io.WriteString(server.conn, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
				return err
			}
			_, err = io.Copy(server.conn, noise(2, size))
			return err
		}
		rsp := http.Response{StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, ContentLength: known, Body: io.NopCloser(noise(2, size))}
		if known < 0 {
			rsp.TransferEncoding = []string{"chunked"}
		}
		return rsp.Write(server.conn)
	})
}

func wantSum(what string, r io.Reader, seed byte, size int64) error {
	got, err := sum(r)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if want := sumOfNoise(seed, size); got != want {
		return fmt.Errorf("%s: %s, want %s", what, got, want)
	}
	return nil
}

// counted counts what is read from it, or written to it.
type counted struct {
	io.Reader
	n atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// Write counts what is written, as the other end of a TeeReader.
func (c *counted) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// stallTime is how long a sender must have made no progress to be taken for blocked.
const stallTime = 250 * time.Millisecond

// pauses waits until a sender has made no progress for a while.
func (c *counted) pauses(while time.Duration) {
	for last, since := int64(-1), time.Now(); time.Since(since) < while; time.Sleep(5 * time.Millisecond) {
		if n := c.n.Load(); n != last {
			last, since = n, time.Now()
		}
	}
}

// stalls waits until a sender is blocked, which it must be before it has sent everything.
func (c *counted) stalls(t *testing.T, size int64) {
	t.Helper()
	c.pauses(stallTime)
	if c.n.Load() == size {
		t.Errorf("all %d bytes were taken, though nobody reads", size)
	}
}

// wantGrowth bounds how much memory the process holds more than before.
func (w *weir) wantGrowth(before, most int) {
	w.t.Helper()
	if grown := w.rss() - before; grown > most {
		w.t.Errorf("%d KiB of memory more than before, at most %d KiB were due", grown>>10, most>>10)
	}
}

// A client that does not read stops its server, and costs weir the bound of its buffer and no more.
func TestSlowReader(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		const size = 48 * megabyte
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}})
		client := w.dial()
		client.ask("GET / HTTP/1.1", host)
		server := back.accept()
		server.request()
		server.send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size))
		before := w.rss()
		body := &counted{Reader: noise(3, size)}
		transfer(t, func() error {
			_, err := io.Copy(server.conn, body)
			return err
		}, func() error {
			body.stalls(t, size)
			w.wantGrowth(before, 4*megabyte)
			r, err := http.ReadResponse(bufio.NewReader(client.conn), nil)
			if err != nil {
				return err
			}
			return wantSum("response", r.Body, 3, size)
		})
		w.wantGrowth(before, 4*megabyte)
	})
}

// A server that does not read stops its client in the same way.
func TestSlowServer(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		const size = 48 * megabyte
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}})
		client := w.dial()
		client.send(fmt.Sprintf("PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\n\r\n", size))
		server := back.accept()
		before := w.rss()
		body := &counted{Reader: noise(4, size)}
		transfer(t, func() error {
			_, err := io.Copy(client.conn, body)
			return err
		}, func() error {
			body.stalls(t, size)
			w.wantGrowth(before, 4*megabyte)
			r, err := http.ReadRequest(bufio.NewReader(server.conn))
			if err != nil {
				return err
			}
			if err := wantSum("request", r.Body, 4, size); err != nil {
				return err
			}
			return server.trySend("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		})
		client.asked = []string{"PUT"}
		client.response().want(t, ok)
		w.wantGrowth(before, 4*megabyte)
	})
}
