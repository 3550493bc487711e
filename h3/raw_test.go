package h3

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go"
)

// rawClient speaks QUIC and leaves HTTP/3 to the test, mistakes and all.
type rawClient struct {
	t *testing.T
	q *quic.Conn
}

func (r *rig) raw() *rawClient {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	q, err := quic.DialAddr(ctx, r.e.Addr().String(), clientTLS(), &quic.Config{HandshakeIdleTimeout: patience, MaxIdleTimeout: patience})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { q.CloseWithError(0x100, "") })
	return &rawClient{t: r.t.(*testing.T), q: q}
}

// settled is a client that has opened its control stream properly.
func (r *rig) settled() *rawClient {
	c := r.raw()
	c.uni(streamControl, frame(frameSettings, nil))
	return c
}

// uni opens a unidirectional stream of a type and writes to it.
func (c *rawClient) uni(kind uint64, b []byte) *quic.SendStream {
	c.t.Helper()
	s, err := c.q.OpenUniStream()
	if err != nil {
		c.t.Fatal(err)
	}
	s.Write(append(appendVarint(nil, kind), b...))
	return s
}

// request opens a request stream and writes to it.
func (c *rawClient) request(b ...[]byte) *quic.Stream {
	c.t.Helper()
	s, err := c.q.OpenStreamSync(context.Background())
	if err != nil {
		c.t.Fatal(err)
	}
	s.Write(bytes.Join(b, nil))
	return s
}

func frame(kind uint64, payload []byte) []byte {
	return append(appendVarint(appendVarint(nil, kind), uint64(len(payload))), payload...)
}

// fields is a field block.
func fields(pairs ...string) []byte {
	var b bytes.Buffer
	e := qpack.NewEncoder(&b)
	for i := 0; i < len(pairs); i += 2 {
		e.WriteField(qpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return b.Bytes()
}

// head is the head of a good request, and what is added to it.
func head(method, path string, more ...string) []byte {
	return frame(frameHeaders, fields(append([]string{":method", method, ":scheme", "https", ":authority", "a.example", ":path", path}, more...)...))
}

// wantClosed waits until the connection is closed with a code.
func (c *rawClient) wantClosed(why string, code Code) {
	c.t.Helper()
	select {
	case <-c.q.Context().Done():
	case <-time.After(patience):
		c.t.Fatalf("%s: the connection lives", why)
	}
	var app *quic.ApplicationError
	if err := context.Cause(c.q.Context()); !errors.As(err, &app) || !app.Remote || Code(app.ErrorCode) != code {
		c.t.Errorf("%s: %v, want %x", why, err, code)
	}
}

// wantReset reads a stream until the endpoint resets it with a code.
func (c *rawClient) wantReset(why string, s *quic.Stream, code Code) {
	c.t.Helper()
	s.SetReadDeadline(time.Now().Add(patience))
	_, err := io.ReadAll(s)
	var reset *quic.StreamError
	if !errors.As(err, &reset) || !reset.Remote || Code(reset.ErrorCode) != code {
		c.t.Errorf("%s: %v, want %x", why, err, code)
	}
	c.wantAlive(why)
}

// wantAlive asks for something on the same connection.
func (c *rawClient) wantAlive(why string) {
	c.t.Helper()
	s := c.request(head("GET", "/bytes/3"))
	s.Close()
	if status, body := c.answer(why, s); status != "200" || len(body) != 3 {
		c.t.Errorf("%s: afterwards %s and %d bytes", why, status, len(body))
	}
}

// answer reads a whole response.
func (c *rawClient) answer(why string, s *quic.Stream) (status string, body []byte) {
	c.t.Helper()
	s.SetReadDeadline(time.Now().Add(patience))
	b, err := io.ReadAll(s)
	if err != nil {
		c.t.Fatalf("%s: %v", why, err)
	}
	for len(b) > 0 {
		kind, length, n := readFrameHeader(b)
		if n == 0 || uint64(len(b)-n) < length {
			c.t.Fatalf("%s: frames that do not end: %x", why, b)
		}
		payload := b[n : n+int(length)]
		b = b[n+int(length):]
		switch kind {
		case frameHeaders:
			if s := statusIn(frame(frameHeaders, payload)); s != "" {
				status = s
			}
		case frameData:
			body = append(body, payload...)
		default:
			c.t.Fatalf("%s: frame %x", why, kind)
		}
	}
	return status, body
}

// statusIn is the :status of the head that b begins with.
func statusIn(b []byte) string {
	_, length, n := readFrameHeader(b)
	next := qpack.NewDecoder().Decode(b[n : n+int(length)])
	for {
		f, err := next()
		if err != nil {
			return ""
		}
		if f.Name == ":status" {
			return f.Value
		}
	}
}
