package e2e

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"
)

// h3Peer is a client that speaks QUIC and leaves HTTP/3 to the test, mistakes and all.
type h3Peer struct {
	t *testing.T
	q *quic.Conn
}

// Types of frames and unidirectional streams (RFC 9114 section 7.2, 6.2; RFC 9204 section 4.2).
const (
	h3Data, h3Headers, h3Settings, h3GoAwayFrame = 0, 1, 4, 7
	h3Control, h3Push, h3Encoder, h3Decoder      = 0, 1, 2, 3
)

// unhurried is how a client speaks QUIC that has as much patience as all others: five seconds for a handshake, which is what it
// has by default, are not enough among 200 others on a busy machine.
func unhurried() *quic.Config {
	return &quic.Config{HandshakeIdleTimeout: patience, MaxIdleTimeout: 4 * patience}
}

// rawH3 is a connection on which nothing was said.
func (w *weir) rawH3(t *testing.T, change ...func(*quic.Config)) *h3Peer {
	t.Helper()
	cfg := unhurried()
	for _, f := range change {
		f(cfg)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tc := asClient("a.example")
	tc.NextProtos = []string{"h3"}
	q, err := quic.DialAddr(ctx, w.front(), tc, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "") })
	return &h3Peer{t, q}
}

// dialH3 is a connection whose control stream has begun as it should.
func (w *weir) dialH3(t *testing.T, change ...func(*quic.Config)) *h3Peer {
	t.Helper()
	p := w.rawH3(t, change...)
	p.uni(h3Control, h3Frame(h3Settings, nil))
	return p
}

// uni opens a unidirectional stream of a kind and writes to it.
func (p *h3Peer) uni(kind uint64, b []byte) *quic.SendStream {
	p.t.Helper()
	s, err := p.q.OpenUniStream()
	if err != nil {
		p.t.Fatal(err)
	}
	_, _ = s.Write(append(quicvarint.Append(nil, kind), b...))
	return s
}

// stream opens a request stream and writes to it.
func (p *h3Peer) stream(parts ...[]byte) *quic.Stream {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	s, err := p.q.OpenStreamSync(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	_, _ = s.Write(bytes.Join(parts, nil)) // weir may have ended it already
	return s
}

func h3Frame(kind uint64, payload []byte) []byte {
	return append(quicvarint.Append(quicvarint.Append(nil, kind), uint64(len(payload))), payload...)
}

// h3Head is a HEADERS frame of name, value, name, value.
func h3Head(fields ...string) []byte {
	var b bytes.Buffer
	e := qpack.NewEncoder(&b)
	for i := 0; i < len(fields); i += 2 {
		must(e.WriteField(qpack.HeaderField{Name: fields[i], Value: fields[i+1]}))
	}
	return h3Frame(h3Headers, b.Bytes())
}

// h3Request is the head of a good request, and what is added to it.
func h3Request(method, path string, more ...string) []byte {
	return h3Head(append([]string{":method", method, ":scheme", "https", ":authority", "a.example", ":path", path}, more...)...)
}

// get asks for something and returns the status.
func (p *h3Peer) get(path string) (status string, body []byte) {
	p.t.Helper()
	s := p.stream(h3Request("GET", path))
	_ = s.Close()
	return p.answer(s)
}

// answer reads a response to its end.
func (p *h3Peer) answer(s *quic.Stream) (status string, body []byte) {
	p.t.Helper()
	_ = s.SetReadDeadline(time.Now().Add(patience))
	b, err := io.ReadAll(s)
	if err != nil {
		p.t.Errorf("a response: %v", err)
		return "", nil
	}
	for r := bytes.NewReader(b); r.Len() > 0; {
		kind, err1 := quicvarint.Read(r)
		n, err2 := quicvarint.Read(r)
		if err1 != nil || err2 != nil || n > uint64(r.Len()) {
			p.t.Fatalf("a response of %q", b)
		}
		payload := make([]byte, n)
		_, _ = io.ReadFull(r, payload)
		switch kind {
		case h3Data:
			body = append(body, payload...)
		case h3Headers:
			next := qpack.NewDecoder().Decode(payload)
			for f, err := next(); err == nil; f, err = next() {
				if f.Name == ":status" {
					status = f.Value
				}
			}
		}
	}
	return status, body
}

// wantAlive asks for something on the same connection.
func (p *h3Peer) wantAlive(why string) {
	p.t.Helper()
	if status, _ := p.get("/alive"); status != "200" {
		p.t.Errorf("%s: the connection answers %q", why, status)
	}
}

// wantClosed waits until weir closes the connection with a code.
func (p *h3Peer) wantClosed(why string, code http3.ErrCode) {
	p.t.Helper()
	select {
	case <-p.q.Context().Done():
	case <-time.After(patience):
		p.t.Fatalf("%s: the connection lives", why)
	}
	var app *quic.ApplicationError
	if err := context.Cause(p.q.Context()); !errors.As(err, &app) || !app.Remote || http3.ErrCode(app.ErrorCode) != code {
		p.t.Errorf("%s: %v, want %v", why, err, code)
	}
}

// wantReset waits until weir resets a stream with a code. The connection goes on.
func (p *h3Peer) wantReset(why string, s *quic.Stream, code http3.ErrCode) {
	p.t.Helper()
	_ = s.SetReadDeadline(time.Now().Add(patience))
	_, err := io.ReadAll(s)
	var reset *quic.StreamError
	if !errors.As(err, &reset) || !reset.Remote || http3.ErrCode(reset.ErrorCode) != code {
		p.t.Errorf("%s: %v, want %v", why, err, code)
	}
	p.wantAlive(why)
}

// h3Stream is a stream whose two directions are used at once.
type h3Stream struct {
	p    *h3Peer
	s    *quic.Stream
	in   quicvarint.Reader
	left uint64 // of the DATA frame that is being read
}

// send sends a DATA frame.
func (s *h3Stream) send(text string) {
	s.p.t.Helper()
	if _, err := s.s.Write(h3Frame(h3Data, []byte(text))); err != nil {
		s.p.t.Error(err)
	}
}

// frame reads the beginning of the next frame that is known.
func (s *h3Stream) frame() (kind, length uint64, err error) {
	if s.in == nil {
		s.in = quicvarint.NewReader(s.s)
	}
	_ = s.s.SetReadDeadline(time.Now().Add(patience))
	for {
		if kind, err = quicvarint.Read(s.in); err != nil {
			return 0, 0, err
		}
		if length, err = quicvarint.Read(s.in); err != nil {
			return 0, 0, io.ErrUnexpectedEOF
		}
		if kind == h3Data || kind == h3Headers {
			return kind, length, nil
		}
		if _, err := io.CopyN(io.Discard, s.in, int64(length)); err != nil {
			return 0, 0, err
		}
	}
}

// head reads a HEADERS frame.
func (s *h3Stream) head() map[string]string {
	s.p.t.Helper()
	kind, n, err := s.frame()
	if err != nil || kind != h3Headers {
		s.p.t.Fatalf("a head: frame %d, %v", kind, err)
	}
	block := make([]byte, n)
	if _, err := io.ReadFull(s.in, block); err != nil {
		s.p.t.Fatal(err)
	}
	fields := map[string]string{}
	next := qpack.NewDecoder().Decode(block)
	for f, err := next(); err == nil; f, err = next() {
		fields[f.Name] = f.Value
	}
	return fields
}

// bytes reads that content and no more.
func (s *h3Stream) bytes(want string) {
	s.p.t.Helper()
	got := make([]byte, len(want))
	for n := 0; n < len(got); {
		if s.left == 0 {
			kind, length, err := s.frame()
			if err != nil || kind != h3Data {
				s.p.t.Fatalf("%d bytes of %q: frame %d, %v", n, want, kind, err)
			}
			s.left = length
		}
		m, err := io.ReadFull(s.in, got[n:min(len(got), n+int(s.left))])
		if err != nil {
			s.p.t.Fatalf("%d bytes of %q: %v", n, want, err)
		}
		n, s.left = n+m, s.left-uint64(m)
	}
	if string(got) != want {
		s.p.t.Errorf("got %q, want %q", got, want)
	}
}

// end reads the end of the stream.
func (s *h3Stream) end() {
	s.p.t.Helper()
	if kind, _, err := s.frame(); err != io.EOF || s.left > 0 {
		s.p.t.Errorf("frame %d, %v instead of the end", kind, err)
	}
}
