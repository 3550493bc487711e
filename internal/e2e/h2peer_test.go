package e2e

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2Peer is one end of an HTTP/2 connection that a test speaks for, frame by frame. It acknowledges SETTINGS and PING, and
// keeps what comes on each stream until the test looks at it.
type h2Peer struct {
	t       *testing.T
	conn    net.Conn
	framer  *http2.Framer
	enc     *hpack.Encoder
	block   bytes.Buffer
	streams map[uint32]*h2Stream
	last    uint32 // highest stream that the other side has opened
	goaway  *http2.GoAwayFrame
	ended   bool
	err     error
	greedy  bool // windows are opened as data comes
	pongs   int
}

// h2Stream is what has come on a stream.
type h2Stream struct {
	interim  [][]hpack.HeaderField
	fields   []hpack.HeaderField
	trailers []hpack.HeaderField
	body     []byte
	ended    bool
	reset    *http2.ErrCode
}

func (s *h2Stream) get(name string) string     { return fieldOf(s.fields, name) }
func (s *h2Stream) trailer(name string) string { return fieldOf(s.trailers, name) }

func fieldOf(fields []hpack.HeaderField, name string) string {
	for _, f := range fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// dialH2 connects a client that speaks HTTP/2: by ALPN over TLS, else with prior knowledge.
func (w *weir) dialH2(t *testing.T, settings ...http2.Setting) *h2Peer {
	t.Helper()
	conn, err := net.DialTimeout("tcp", w.front(), patience)
	if err != nil {
		t.Fatal(err)
	}
	if w.over == tlsed {
		s := secured(t, conn, &tls.Config{RootCAs: roots, ServerName: "a.example", NextProtos: []string{"h2"}}).(*tls.Conn)
		if got := s.ConnectionState().NegotiatedProtocol; got != "h2" {
			t.Fatalf("ALPN has chosen %q", got)
		}
		conn = s
	}
	p := newH2Peer(t, conn)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	p.must(p.framer.WriteSettings(settings...))
	return p
}

func newH2Peer(t *testing.T, conn net.Conn) *h2Peer {
	p := &h2Peer{t: t, conn: conn, framer: http2.NewFramer(conn, conn), streams: map[uint32]*h2Stream{}, greedy: true}
	p.enc = hpack.NewEncoder(&p.block)
	p.framer.AllowIllegalWrites, p.framer.AllowIllegalReads = true, false
	p.framer.SetMaxReadFrameSize(1 << 20)
	p.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	p.framer.MaxHeaderListSize = 1 << 20
	t.Cleanup(func() { _ = conn.Close() })
	return p
}

// acceptH2 returns the next connection of a server that speaks HTTP/2.
func (o *origin) acceptH2(settings ...http2.Setting) *h2Peer {
	o.t.Helper()
	raw := o.accept()
	p := newH2Peer(o.t, raw.conn)
	got := make([]byte, len(http2.ClientPreface))
	_ = raw.conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(raw.conn, got); err != nil || string(got) != http2.ClientPreface {
		o.t.Fatalf("weir begins with %q: %v", got, err)
	}
	p.must(p.framer.WriteSettings(settings...))
	return p
}

func (p *h2Peer) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// encode makes a field block of name, value, name, value.
func (p *h2Peer) encode(fields ...string) []byte {
	p.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		_ = p.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return bytes.Clone(p.block.Bytes())
}

// head sends a field section on a stream: that of a request, an interim or final response, or trailers.
func (p *h2Peer) head(id uint32, end bool, fields ...string) {
	p.t.Helper()
	p.must(p.tryHead(id, end, p.encode(fields...)))
}

// tryHead sends a field block, over CONTINUATION frames if it is large.
func (p *h2Peer) tryHead(id uint32, end bool, block []byte) error {
	const most = 16000
	first := block[:min(len(block), most)]
	block = block[len(first):]
	err := p.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: first, EndStream: end, EndHeaders: len(block) == 0})
	for err == nil && len(block) > 0 {
		n := min(len(block), most)
		err = p.framer.WriteContinuation(id, n == len(block), block[:n])
		block = block[n:]
	}
	return err
}

// get asks for a path.
func (p *h2Peer) get(id uint32, path string, more ...string) {
	p.t.Helper()
	p.head(id, true, p.request("GET", path, more...)...)
}

// request is the field section of a request.
func (p *h2Peer) request(method, path string, more ...string) []string {
	scheme := "http"
	if _, ok := p.conn.(*tls.Conn); ok {
		scheme = "https"
	}
	return append([]string{":method", method, ":path", path, ":scheme", scheme, ":authority", "a.example"}, more...)
}

func (p *h2Peer) data(id uint32, end bool, body string) {
	p.t.Helper()
	p.must(p.framer.WriteData(id, end, []byte(body)))
}

// stream is what has come on a stream so far.
func (p *h2Peer) stream(id uint32) *h2Stream {
	s := p.streams[id]
	if s == nil {
		s = &h2Stream{}
		p.streams[id] = s
	}
	return s
}

// step takes one frame. It reports false when none came before the deadline.
func (p *h2Peer) step(deadline time.Time) bool {
	if p.ended {
		return false
	}
	_ = p.conn.SetReadDeadline(deadline)
	f, err := p.framer.ReadFrame()
	var bad http2.StreamError
	switch {
	case errors.As(err, &bad):
		p.err = err
		code := bad.Code
		p.stream(bad.StreamID).reset = &code
	case errors.Is(err, os.ErrDeadlineExceeded):
		return false
	case err != nil:
		p.ended = true
		if !errors.Is(err, io.EOF) {
			p.err = err
		}
	default:
		p.take(f)
	}
	return true
}

func (p *h2Peer) take(f http2.Frame) {
	switch f := f.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			_ = p.framer.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if f.IsAck() {
			p.pongs++
		} else {
			_ = p.framer.WritePing(true, f.Data)
		}
	case *http2.MetaHeadersFrame:
		p.takeHead(f)
	case *http2.DataFrame:
		s := p.stream(f.StreamID)
		s.body = append(s.body, f.Data()...)
		s.ended = f.StreamEnded()
		if n := f.Length; p.greedy && n > 0 {
			_ = p.framer.WriteWindowUpdate(0, n)
			if !s.ended {
				_ = p.framer.WriteWindowUpdate(f.StreamID, n)
			}
		}
	case *http2.RSTStreamFrame:
		code := f.ErrCode
		p.stream(f.StreamID).reset = &code
	case *http2.GoAwayFrame:
		g := *f
		p.goaway = &g
	}
}

func (p *h2Peer) takeHead(f *http2.MetaHeadersFrame) {
	s := p.stream(f.StreamID)
	p.last = max(p.last, f.StreamID)
	fields := append([]hpack.HeaderField(nil), f.Fields...)
	switch status := fieldOf(fields, ":status"); {
	case s.fields != nil:
		s.trailers = fields
	case strings.HasPrefix(status, "1"):
		s.interim = append(s.interim, fields)
	default:
		s.fields = fields
	}
	s.ended = f.StreamEnded()
}

// until takes frames until something has come.
func (p *h2Peer) until(what string, came func() bool) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for !came() {
		if !p.step(deadline) {
			p.t.Fatalf("%s: it does not come (ended %v, %v, goaway %v)", what, p.ended, p.err, p.goaway)
		}
	}
}

// whole waits until a stream has ended and returns what came on it.
func (p *h2Peer) whole(id uint32) *h2Stream {
	p.t.Helper()
	s := p.stream(id)
	p.until("the end of the stream", func() bool { return s.ended || s.reset != nil })
	if s.reset != nil {
		p.t.Fatalf("stream %d was reset: %v (%v)", id, *s.reset, p.err)
	}
	return s
}

// headOf waits for a stream's field section.
func (p *h2Peer) headOf(id uint32) *h2Stream {
	p.t.Helper()
	s := p.stream(id)
	p.until("a head", func() bool { return s.fields != nil || s.reset != nil })
	return s
}

// resetOf waits until a stream is reset and returns the code.
func (p *h2Peer) resetOf(id uint32) http2.ErrCode {
	p.t.Helper()
	s := p.stream(id)
	p.until("a reset", func() bool { return s.reset != nil })
	return *s.reset
}

// end waits for the end of the connection.
func (p *h2Peer) end() {
	p.t.Helper()
	p.until("the end", func() bool { return p.ended })
}
