package h3

import (
	"bytes"
	"context"
	"net"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// What is wrong with a request stream (RFC 9114 section 4.1). Zero code: nothing.
func TestRequestFrames(t *testing.T) {
	r := newRig(t, 1, nil)
	get := head("GET", "/bytes/3")
	post := head("POST", "/echo")
	data := frame(frameData, []byte("hello"))
	grease := frame(0x21+0x1f*3, []byte("whatever"))
	for why, c := range map[string]struct {
		bytes []byte
		code  Code
	}{
		"DATA first":                {data, FrameUnexpected},
		"SETTINGS":                  {frame(frameSettings, nil), FrameUnexpected},
		"GOAWAY":                    {append(get, frame(frameGoAway, []byte{0})...), FrameUnexpected},
		"MAX_PUSH_ID":               {frame(frameMaxPushID, []byte{0}), FrameUnexpected},
		"CANCEL_PUSH":               {frame(frameCancelPush, []byte{0}), FrameUnexpected},
		"PUSH_PROMISE":              {frame(framePushPromise, []byte{0}), FrameUnexpected},
		"PRIORITY_UPDATE":           {frame(framePriorityUpdate, []byte{0}), FrameUnexpected},
		"PRIORITY of HTTP/2":        {frame(0x02, nil), FrameUnexpected},
		"PING of HTTP/2":            {frame(0x06, nil), FrameUnexpected},
		"WINDOW_UPDATE of HTTP/2":   {frame(0x08, nil), FrameUnexpected},
		"CONTINUATION of HTTP/2":    {frame(0x09, nil), FrameUnexpected},
		"DATA after trailers":       {join(post, data, frame(frameHeaders, fields("x-t", "1")), data), FrameUnexpected},
		"a third section":           {join(post, frame(frameHeaders, fields("x-t", "1")), frame(frameHeaders, fields("x-t", "1"))), FrameUnexpected},
		"a block without a prefix":  {frame(frameHeaders, nil), DecompressionFailed},
		"a block that is cut":       {frame(frameHeaders, []byte{0, 0, 0x50}), DecompressionFailed},
		"the dynamic table":         {frame(frameHeaders, []byte{2, 0, 0x80}), DecompressionFailed},
		"an index that is not":      {frame(frameHeaders, []byte{0, 0, 0xff, 0xff, 0x07}), DecompressionFailed},
		"bad Huffman":               {frame(frameHeaders, []byte{0, 0, 0x2a, 0xff, 0xff, 0x00}), DecompressionFailed},
		"a truncated frame":         {get[:len(get)-2], FrameError},
		"a truncated frame header":  {append(get, 0x40), FrameError},
		"a truncated DATA":          {join(post, data[:4]), FrameError},
		"a frame of a terabyte":     {append(appendVarint(appendVarint(nil, 0x21), 1<<40), 0), ExcessiveLoad},
		"a head of a terabyte":      {append(appendVarint(appendVarint(nil, frameHeaders), 1<<40), 0), ExcessiveLoad},
		"a thousand empty DATA":     {join(post, bytes.Repeat(frame(frameData, nil), 1000)), ExcessiveLoad},
		"a thousand unknown frames": {bytes.Repeat(grease, 1000), ExcessiveLoad},
		"trailers on a CONNECT": {join(frame(frameHeaders, fields(":method", "CONNECT", ":scheme", "https", ":authority", "a.example", ":path", "/",
			":protocol", "websocket")), frame(frameHeaders, fields("x-t", "1"))), FrameUnexpected},
	} {
		client := r.settled()
		s := client.request(c.bytes)
		s.Close()
		client.wantClosed(why, c.code)
	}
	client := r.settled()
	for why, b := range map[string][]byte{
		"grease before the head": join(grease, get),
		"grease after the head":  join(get, grease),
		"empty DATA":             join(head("POST", "/bytes/3"), frame(frameData, nil)),
		"long integers":          join([]byte{0xc0, 0, 0, 0, 0, 0, 0, 0x21, 0x80, 0, 0, 0}, get),
	} {
		s := client.request(b)
		s.Close()
		if status, body := client.answer(why, s); status != "200" || len(body) != 3 {
			t.Errorf("%s: %s, %d bytes", why, status, len(body))
		}
	}
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// Every way to cut a request into packets comes to the same.
func TestRequestInPieces(t *testing.T) {
	r := newRig(t, 1, nil)
	client := r.settled()
	whole := join(frame(0x21, []byte("g")), head("POST", "/echo"), frame(frameData, []byte("hello")), frame(0x40, nil),
		frame(frameData, []byte(" world")), frame(frameHeaders, fields("x-t", "1")))
	for cut := 1; cut < len(whole); cut += 3 {
		s := client.request(whole[:cut])
		s.Write(whole[cut:])
		s.Close()
		if status, body := client.answer("cut", s); status != "200" || string(body) != "hello world" {
			t.Fatalf("cut at %d: %s %q", cut, status, body)
		}
	}
	s := client.request()
	for i := range whole {
		s.Write(whole[i : i+1])
	}
	s.Close()
	if status, body := client.answer("byte by byte", s); status != "200" || string(body) != "hello world" {
		t.Fatalf("byte by byte: %s %q", status, body)
	}
}

// A block that grows as it is decoded is not decoded to its end: two bytes of it stand for a field of 150.
func TestBomb(t *testing.T) {
	r := newRig(t, 1, nil)
	client := r.settled()
	bomb := bytes.Repeat([]byte{0xff, 22}, 16000)
	s := client.request(frame(frameHeaders, append(fields(":method", "GET"), bomb...)))
	s.Close()
	if status, _ := client.answer("a bomb", s); status != "431" {
		t.Errorf("status %s", status)
	}
	s = client.request(head("POST", "/hold"), frame(frameHeaders, append([]byte{0, 0}, bomb...)))
	client.wantReset("a bomb in trailers", s, ExcessiveLoad)
}

// An empty DATA frame with the end of the stream, or the end alone, completes a request.
func TestLateEnd(t *testing.T) {
	r := newRig(t, 1, nil)
	client := r.settled()
	for why, last := range map[string][]byte{"nothing": nil, "empty DATA": frame(frameData, nil)} {
		s := client.request(head("POST", "/echo"), frame(frameData, []byte("x")))
		r.want(why, "POST /echo")
		s.Write(last)
		s.Close()
		if status, body := client.answer(why, s); status != "200" || string(body) != "x" {
			t.Errorf("%s: %s %q", why, status, body)
		}
	}
}

// What is wrong with a message ends its stream alone (RFC 9114 section 4.1.2).
func TestMalformedRequests(t *testing.T) {
	r := newRig(t, 1, nil)
	client := r.settled()
	ok := []string{":method", "GET", ":scheme", "https", ":authority", "a.example", ":path", "/bytes/3"}
	with := func(more ...string) []byte {
		return frame(frameHeaders, fields(append(append([]string(nil), ok...), more...)...))
	}
	without := func(i int) []byte {
		l := append(append([]string(nil), ok[:i]...), ok[i+2:]...)
		return frame(frameHeaders, fields(l...))
	}
	for why, c := range map[string][]byte{
		"upper case":             with("X-A", "b"),
		"a space in a name":      with("x a", "b"),
		"an empty name":          with("", "b"),
		"a newline":              with("x-a", "b\nc"),
		"a leading space":        with("x-a", " b"),
		"connection":             with("connection", "close"),
		"keep-alive":             with("keep-alive", "x"),
		"proxy-connection":       with("proxy-connection", "x"),
		"transfer-encoding":      with("transfer-encoding", "chunked"),
		"upgrade":                with("upgrade", "h2c"),
		"te":                     with("te", "gzip"),
		"two lengths":            with("content-length", "0", "content-length", "0"),
		"no length":              with("content-length", "x"),
		"two hosts":              with("host", "a.example", "host", "a.example"),
		"another host":           with("host", "b.example"),
		"no method":              without(0),
		"no scheme":              without(2),
		"no authority":           without(4),
		"no path":                without(6),
		"a pseudo-header late":   join(frame(frameHeaders, fields(":method", "GET", "x-a", "b", ":scheme", "https", ":authority", "a", ":path", "/"))),
		"a pseudo-header twice":  with(":path", "/"),
		"an unknown one":         with(":x", "/"),
		":status":                with(":status", "200"),
		"an empty path":          frame(frameHeaders, fields(":method", "GET", ":scheme", "https", ":authority", "a", ":path", "")),
		"a scheme of nobody":     frame(frameHeaders, fields(":method", "GET", ":scheme", "ftp", ":authority", "a", ":path", "/")),
		"a CONNECT with a path":  frame(frameHeaders, fields(":method", "CONNECT", ":authority", "a", ":path", "/")),
		":protocol with GET":     with(":protocol", "websocket"),
		"content that is short":  join(head("POST", "/echo", "content-length", "6"), frame(frameData, []byte("hello"))),
		"content that is long":   join(head("POST", "/echo", "content-length", "4"), frame(frameData, []byte("hello"))),
		"no content at all":      head("POST", "/echo", "content-length", "4"),
		"a pseudo in trailers":   join(head("POST", "/hold"), frame(frameHeaders, fields(":path", "/"))),
		"a length in trailers":   join(head("POST", "/hold"), frame(frameHeaders, fields("content-length", "0"))),
		"upper case in trailers": join(head("POST", "/hold"), frame(frameHeaders, fields("X-T", "0"))),
	} {
		s := client.request(c)
		s.Close()
		client.wantReset(why, s, MessageError)
	}
	s := client.request()
	s.Close()
	client.wantReset("no request", s, RequestIncomplete)
}

// awaitControl waits until the server knows which stream is the client's control stream.
func (r *rig) awaitControl(client *rawClient) {
	r.t.Helper()
	for over := time.Now().Add(patience); time.Now().Before(over); time.Sleep(time.Millisecond) {
		known := false
		for _, w := range r.workers {
			w.sync(func() {
				for c := range w.conns {
					c.shared.mu.Lock()
					known = known || c.shared.opened[streamControl] && portOf(c.q.RemoteAddr()) == portOf(client.q.LocalAddr())
					c.shared.mu.Unlock()
				}
			})
		}
		if known {
			return
		}
	}
	r.t.Fatal("the server has not seen the control stream")
}

// Control and QPACK streams (RFC 9114 sections 6.2 and 7.2, RFC 9204 section 4).
func TestControlStreams(t *testing.T) {
	r := newRig(t, 1, nil)
	settings := frame(frameSettings, nil)
	for why, c := range map[string]struct {
		play func(c *rawClient)
		code Code
	}{
		"no SETTINGS":    {func(c *rawClient) { c.uni(streamControl, frame(frameMaxPushID, []byte{1})) }, MissingSettings},
		"SETTINGS twice": {func(c *rawClient) { c.uni(streamControl, join(settings, settings)) }, FrameUnexpected},
		"control twice":  {func(c *rawClient) { c.uni(streamControl, settings); c.uni(streamControl, settings) }, StreamCreationError},
		"encoder twice":  {func(c *rawClient) { c.uni(streamEncoder, nil); c.uni(streamEncoder, nil) }, StreamCreationError},
		"decoder twice":  {func(c *rawClient) { c.uni(streamDecoder, nil); c.uni(streamDecoder, nil) }, StreamCreationError},
		"a push stream":  {func(c *rawClient) { c.uni(streamPush, []byte{0}) }, StreamCreationError},
		"control closed": {func(c *rawClient) { c.uni(streamControl, settings).Close() }, ClosedCriticalStream},
		"control reset": {func(c *rawClient) {
			s := c.uni(streamControl, settings)
			r.awaitControl(c) // a reset may overtake what was sent
			s.CancelWrite(1)
		}, ClosedCriticalStream},
		"encoder closed":  {func(c *rawClient) { c.uni(streamEncoder, nil).Close() }, ClosedCriticalStream},
		"decoder closed":  {func(c *rawClient) { c.uni(streamDecoder, nil).Close() }, ClosedCriticalStream},
		"DATA":            {func(c *rawClient) { c.uni(streamControl, join(settings, frame(frameData, nil))) }, FrameUnexpected},
		"HEADERS":         {func(c *rawClient) { c.uni(streamControl, join(settings, frame(frameHeaders, nil))) }, FrameUnexpected},
		"PUSH_PROMISE":    {func(c *rawClient) { c.uni(streamControl, join(settings, frame(framePushPromise, nil))) }, FrameUnexpected},
		"PING of HTTP/2":  {func(c *rawClient) { c.uni(streamControl, join(settings, frame(6, nil))) }, FrameUnexpected},
		"a setting twice": {func(c *rawClient) { c.uni(streamControl, frame(frameSettings, []byte{6, 1, 6, 1})) }, SettingsError},
		"one of HTTP/2":   {func(c *rawClient) { c.uni(streamControl, frame(frameSettings, []byte{2, 0})) }, SettingsError},
		"a bad CONNECT":   {func(c *rawClient) { c.uni(streamControl, frame(frameSettings, []byte{8, 2})) }, SettingsError},
		"half a setting":  {func(c *rawClient) { c.uni(streamControl, frame(frameSettings, []byte{6})) }, FrameError},
		"huge SETTINGS":   {func(c *rawClient) { c.uni(streamControl, frame(frameSettings, make([]byte, 70_000))) }, ExcessiveLoad},
		"a long GOAWAY":   {func(c *rawClient) { c.uni(streamControl, join(settings, frame(frameGoAway, []byte{0, 0}))) }, FrameError},
		"an empty GOAWAY": {func(c *rawClient) { c.uni(streamControl, join(settings, frame(frameGoAway, nil))) }, FrameError},
		"GOAWAY raised": {func(c *rawClient) {
			c.uni(streamControl, join(settings, frame(frameGoAway, []byte{0}), frame(frameGoAway, []byte{4})))
		}, IDError},
		"MAX_PUSH_ID lower": {func(c *rawClient) {
			c.uni(streamControl, join(settings, frame(frameMaxPushID, []byte{4}), frame(frameMaxPushID, []byte{3})))
		}, IDError},
		"CANCEL_PUSH": {func(c *rawClient) { c.uni(streamControl, join(settings, frame(frameCancelPush, []byte{0}))) }, IDError},
		"priority of a uni": {func(c *rawClient) {
			c.uni(streamControl, join(settings, frame(framePriorityUpdate, []byte{2, 'u', '=', '1'})))
		}, IDError},
		"priority of push":  {func(c *rawClient) { c.uni(streamControl, join(settings, frame(framePriorityPush, []byte{0}))) }, IDError},
		"a flood":           {func(c *rawClient) { c.uni(streamControl, join(settings, bytes.Repeat(frame(0x21, nil), 5000))) }, ExcessiveLoad},
		"a table":           {func(c *rawClient) { c.uni(streamEncoder, []byte{0x3f, 0xe1, 0x1f}) }, EncoderStreamError},
		"an insertion":      {func(c *rawClient) { c.uni(streamEncoder, []byte{0xc0, 1, 'a'}) }, EncoderStreamError},
		"an acknowledgment": {func(c *rawClient) { c.uni(streamDecoder, []byte{0x80}) }, DecoderStreamError},
		"an increment":      {func(c *rawClient) { c.uni(streamDecoder, []byte{0x01}) }, DecoderStreamError},
		"a long integer":    {func(c *rawClient) { c.uni(streamDecoder, bytes.Repeat([]byte{0x7f, 0xff}, 12)) }, DecoderStreamError},
	} {
		client := r.raw()
		c.play(client)
		client.wantClosed(why, c.code)
	}
	client := r.raw()
	client.uni(streamControl, join(frame(frameSettings, []byte{6, 0x50, 0, 0x33, 1, 0x21, 5}), frame(0x21, []byte("grease")),
		frame(frameMaxPushID, []byte{3}), frame(frameGoAway, []byte{4}), frame(frameGoAway, []byte{0}),
		frame(framePriorityUpdate, []byte("\x00u=1"))))
	client.uni(streamEncoder, []byte{0x20})
	client.uni(streamDecoder, []byte{0x44, 0x7f, 0x80, 0x01})
	client.uni(0x21, []byte("grease"))
	client.uni(0x40, nil).Close()
	client.wantAlive("all that is allowed")
}

// PRIORITY_UPDATE reaches requests that are open and those that are to come.
func TestPriorityUpdate(t *testing.T) {
	r := newRig(t, 1, nil)
	client := r.raw()
	control := client.uni(streamControl, frame(frameSettings, nil))
	s := client.request(head("GET", "/hold", "priority", "u=5, i"))
	s.Close()
	r.want("the request", "GET /hold")
	control.Write(frame(framePriorityUpdate, []byte("\x00u=2")))
	r.want("its update", "priority 0 2")
}

// A client that takes requests back as fast as it makes them is stopped (CVE-2023-44487); its neighbours do not notice.
func TestRapidReset(t *testing.T) {
	r := newRig(t, 1, nil)
	other := r.settled()
	other.wantAlive("before")
	client := r.settled()
	for {
		s, err := client.q.OpenStreamSync(context.Background())
		if err != nil {
			break
		}
		s.Write(head("GET", "/hold"))
		s.CancelWrite(quic.StreamErrorCode(RequestCancelled))
		s.CancelRead(quic.StreamErrorCode(RequestCancelled))
	}
	client.wantClosed("rapid reset", ExcessiveLoad)
	other.wantAlive("after")
}

// So is one whose requests are all malformed.
func TestMalformedFlood(t *testing.T) {
	r := newRig(t, 1, nil)
	client := r.settled()
	for {
		s, err := client.q.OpenStreamSync(context.Background())
		if err != nil {
			break
		}
		s.Write(head("GET", "/", "X", "y"))
		s.Close()
		s.CancelRead(0)
	}
	client.wantClosed("a flood of malformed requests", ExcessiveLoad)
}

// After GOAWAY later requests are rejected, so that they can be sent again elsewhere (RFC 9114 section 5.2).
func TestGoAway(t *testing.T) {
	r := newRig(t, 1, nil)
	client := r.settled()
	client.wantAlive("before")
	client.request(head("POST", "/hold"))
	r.want("a request", "POST /hold")
	w := r.workers[0]
	w.sync(func() {
		for c := range w.conns {
			c.WarnAway()
			c.GoAway()
		}
	})
	q, err := client.q.AcceptUniStream(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var b []byte
	want := appendGoAway(appendGoAway(appendSettings(nil, r.cfg.MaxFieldSection), streamMax), 8)
	for buf := make([]byte, 100); len(b) < len(want); {
		n, err := q.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, buf[:n]...)
	}
	if !bytes.Equal(b, want) {
		t.Errorf("control stream %x, want %x", b, want)
	}
	s := client.request(head("GET", "/bytes/1"))
	var reset *quic.StreamError
	if _, err := s.Read(make([]byte, 1)); !asReset(err, &reset) || Code(reset.ErrorCode) != RequestRejected {
		t.Error("a late request:", err)
	}
}

func asReset(err error, to **quic.StreamError) bool {
	r, ok := err.(*quic.StreamError)
	*to = r
	return ok && r.Remote
}

// portOf is the port alone: a client's socket is bound to no address.
func portOf(a net.Addr) int { return a.(*net.UDPAddr).Port }
