package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"
)

// hostileSetup is a weir with a bystander, whose request is under way all the time.
func hostileSetup(t *testing.T, more ...func(*setup)) (*weir, func()) {
	s := setup{over: tlsed, bind: "h3 = true", servers: []*origin{echoOrigin(t)}, backend: `reuse = "always"`}
	for _, f := range more {
		f(&s)
	}
	w := start(t, s)
	c := w.h3Client(t)
	u := c.upload(t)
	u.goesOn("before")
	return w, func() {
		t.Helper()
		u.goesOn("after")
		u.ends()
		if d := c.dials.Load(); d != 1 {
			t.Errorf("the bystander needed %d connections", d)
		}
		w.dialH3(t).wantAlive("a new client")
	}
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// What a client gets wrong is answered by the error that RFC 9114 and RFC 9204 have for it, on its stream or connection alone.
func TestH3Malformed(t *testing.T) {
	t.Parallel()
	w, unhurt := hostileSetup(t)
	good, settings := h3Request("GET", "/"), h3Frame(h3Settings, nil)
	data := h3Frame(h3Data, []byte("hello"))
	huge := append(quicvarint.Append(quicvarint.Append(nil, h3Headers), 1<<40), 0)
	request := func(b ...[]byte) func(*h3Peer) {
		return func(p *h3Peer) {
			p.uni(h3Control, settings)
			_ = p.stream(b...).Close()
		}
	}
	uni := func(kind uint64, b ...[]byte) func(*h3Peer) { return func(p *h3Peer) { p.uni(kind, join(b...)) } }
	for why, c := range map[string]struct {
		play func(*h3Peer)
		code http3.ErrCode
	}{
		"DATA before HEADERS":     {request(data), http3.ErrCodeFrameUnexpected},
		"SETTINGS on a request":   {request(good, settings), http3.ErrCodeFrameUnexpected},
		"DATA behind trailers":    {request(h3Request("POST", "/"), data, h3Head("x-t", "1"), data), http3.ErrCodeFrameUnexpected},
		"a frame that is cut":     {request(good[:len(good)-1]), http3.ErrCodeFrameError},
		"a terabyte of HEADERS":   {request(huge), http3.ErrCodeExcessiveLoad},
		"empty frames":            {request(h3Request("POST", "/"), bytes.Repeat(h3Frame(h3Data, nil), 2000)), http3.ErrCodeExcessiveLoad},
		"unknown frames":          {request(bytes.Repeat(h3Frame(0x21, nil), 2000)), http3.ErrCodeExcessiveLoad},
		"the dynamic table":       {request(h3Frame(h3Headers, []byte{2, 0, 0x80})), 0x200},
		"an index beyond":         {request(h3Frame(h3Headers, []byte{0, 0, 0xff, 0xff, 0x07})), 0x200},
		"bad Huffman":             {request(h3Frame(h3Headers, []byte{0, 0, 0x2a, 0xff, 0xff, 0})), 0x200},
		"an insertion":            {uni(h3Encoder, []byte{0xc0, 1, 'a'}), 0x201},
		"an acknowledgement":      {uni(h3Decoder, []byte{0x80}), 0x202},
		"no SETTINGS":             {uni(h3Control, h3Frame(h3GoAwayFrame, []byte{0})), http3.ErrCodeMissingSettings},
		"SETTINGS twice":          {uni(h3Control, settings, settings), http3.ErrCodeFrameUnexpected},
		"a setting of HTTP/2":     {uni(h3Control, h3Frame(h3Settings, []byte{2, 0})), http3.ErrCodeSettingsError},
		"a setting twice":         {uni(h3Control, h3Frame(h3Settings, []byte{6, 1, 6, 1})), http3.ErrCodeSettingsError},
		"a push stream":           {uni(h3Push, []byte{0}), http3.ErrCodeStreamCreationError},
		"a second control stream": {func(p *h3Peer) { p.uni(h3Control, settings); p.uni(h3Control, settings) }, http3.ErrCodeStreamCreationError},
		"an end of control":       {func(p *h3Peer) { _ = p.uni(h3Control, settings).Close() }, http3.ErrCodeClosedCriticalStream},
		"a flood on control":      {uni(h3Control, settings, bytes.Repeat(h3Frame(0x21, nil), 5000)), http3.ErrCodeExcessiveLoad},
	} {
		p := w.rawH3(t)
		c.play(p)
		p.wantClosed(why, c.code)
	}
	p := w.dialH3(t)
	for why, b := range map[string][]byte{
		"upper case":       h3Request("GET", "/", "X-A", "b"),
		"Connection":       h3Request("GET", "/", "connection", "close"),
		"a second :path":   h3Request("GET", "/", ":path", "/b"),
		"no :path":         h3Head(":method", "GET", ":scheme", "https", ":authority", "a.example"),
		"two lengths":      h3Request("POST", "/", "content-length", "0", "content-length", "1"),
		"a line break":     h3Request("GET", "/", "x-a", "b\r\nx-c: d"),
		"a short body":     append(h3Request("POST", "/", "content-length", "6"), data...),
		"a long body":      append(h3Request("POST", "/", "content-length", "4"), data...),
		"pseudo trailers":  append(h3Request("POST", "/"), h3Head(":path", "/")...),
		"a missing answer": nil,
	} {
		s := p.stream(b)
		_ = s.Close()
		code := http3.ErrCodeMessageError
		if b == nil {
			code = http3.ErrCodeRequestIncomplete
		}
		p.wantReset(why, s, code)
	}
	unhurt()
}

// A stream whose number is lower may come later; one that was skipped is still taken.
func TestH3StreamsOutOfOrder(t *testing.T) {
	t.Parallel()
	w, unhurt := hostileSetup(t)
	p := w.dialH3(t)
	var streams []*quic.Stream
	for range 5 {
		s, err := p.q.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, s)
	}
	for i := len(streams) - 1; i >= 0; i-- { // QUIC tells weir of all lower ones with the first of these
		s := streams[i]
		_, _ = s.Write(h3Request("GET", "/"))
		_ = s.Close()
		if status, _ := p.answer(s); status != "200" {
			t.Errorf("stream %d: %s", s.StreamID(), status)
		}
	}
	unhurt()
}

// Requests that are taken back as fast as they are made (CVE-2023-44487), and malformed ones without end, cost their client
// its connection.
func TestH3Floods(t *testing.T) {
	t.Parallel()
	w, unhurt := hostileSetup(t)
	for why, act := range map[string]func(*quic.Stream){
		"rapid reset": func(s *quic.Stream) {
			_, _ = s.Write(h3Request("GET", "/"))
			s.CancelWrite(quic.StreamErrorCode(http3.ErrCodeRequestCanceled))
			s.CancelRead(quic.StreamErrorCode(http3.ErrCodeRequestCanceled))
		},
		"malformed": func(s *quic.Stream) {
			_, _ = s.Write(h3Request("GET", "/", "X", "y"))
			_ = s.Close()
			s.CancelRead(0)
		},
	} {
		p := w.dialH3(t)
		for {
			s, err := p.q.OpenStreamSync(p.q.Context())
			if err != nil {
				break
			}
			act(s)
		}
		p.wantClosed(why, http3.ErrCodeExcessiveLoad)
	}
	unhurt()
}

// First packets from anywhere, that are no more than that, cost bounded memory.
func TestH3InitialFlood(t *testing.T) {
	t.Parallel()
	w, unhurt := hostileSetup(t)
	before := w.rss()
	conn, err := net.Dial("udp", w.front())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	packet := make([]byte, 1200)
	for range 20_000 {
		_, _ = rand.Read(packet)
		packet[0] = 0xc3
		copy(packet[1:], []byte{0, 0, 0, 1, 8}) // version 1, an ID of eight bytes
		packet[14], packet[15] = 0, 0           // no ID of its own, no token
		packet[16], packet[17] = 0x44, 0x9e     // the rest of the packet
		_, _ = conn.Write(packet)
	}
	unhurt()
	w.wantGrown(before, 64*megabyte)
}

// seesRetry notices when weir wants proof of an address.
type seesRetry struct {
	net.PacketConn
	retries atomic.Int32
}

func (c *seesRetry) ReadFrom(p []byte) (int, net.Addr, error) {
	n, a, err := c.PacketConn.ReadFrom(p)
	if n > 0 && p[0]&0xf0 == 0xf0 { // RFC 9000 section 17.2.5
		c.retries.Add(1)
	}
	return n, a, err
}

// While many handshakes get no further, new clients have to prove their address, and do (RFC 9000 section 8.1.2).
func TestH3Retry(t *testing.T) {
	t.Parallel()
	w, unhurt := hostileSetup(t)
	deaf := newPath(t, w.front())
	deaf.swallow(1 << 30)
	tc := asClient("a.example")
	tc.NextProtos = []string{"h3"}
	ctx, cancel := context.WithCancel(t.Context())
	from := udpTransport(t)
	var stuck sync.WaitGroup
	for range 200 {
		stuck.Go(func() {
			if _, err := from.Dial(ctx, deaf.addr(), tc, unhurried()); err == nil {
				t.Error("a client that hears nothing is connected")
			}
		})
	}
	to, _ := net.ResolveUDPAddr("udp4", w.front())
	eventually(t, "a client has to prove its address", func() bool {
		u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		sees := &seesRetry{PacketConn: u}
		tr := &quic.Transport{Conn: sees}
		defer tr.Close()
		q, err := tr.Dial(t.Context(), to, tc, unhurried())
		if err != nil {
			t.Fatal(err)
		}
		p := &h3Peer{t, q}
		p.uni(h3Control, h3Frame(h3Settings, nil))
		p.wantAlive("with a proven address")
		_ = q.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
		return sees.retries.Load() > 0
	})
	cancel()
	stuck.Wait()
	unhurt()
}

// A process that comes after a crash tells the clients of the one that is gone, by a reset that they believe.
func TestH3ResetAfterCrash(t *testing.T) {
	t.Parallel()
	o := echoOrigin(t)
	w := start(t, setup{over: tlsed, bind: "h3 = true", servers: []*origin{o}, backend: `reuse = "always"`, global: "workers = 3", leaves: true})
	var before []*h3Peer
	for range 6 {
		p := w.dialH3(t)
		p.wantAlive("before")
		before = append(before, p)
	}
	w.crash()
	for _, p := range before {
		deadline := time.After(patience)
		for gone := false; !gone; {
			if s, err := p.q.OpenStream(); err == nil {
				_, _ = s.Write(h3Request("GET", "/"))
			}
			select {
			case <-p.q.Context().Done():
				gone = true
			case <-time.After(20 * time.Millisecond):
			case <-deadline:
				t.Fatal("the client was not told")
			}
		}
		var reset *quic.StatelessResetError
		if err := context.Cause(p.q.Context()); !errors.As(err, &reset) {
			t.Error(err)
		}
	}
	w.dialH3(t).wantAlive("a new client")
}
