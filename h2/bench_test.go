package h2

import (
	"bytes"
	"encoding/binary"
	"testing"

	xhpack "golang.org/x/net/http2/hpack"

	"weir/internal/msg"
)

var browserFields = [][2]string{
	{":method", "GET"}, {":scheme", "https"}, {":authority", "www.example.com"}, {":path", "/assets/site.css?v=20240417"},
	{"user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36"},
	{"accept", "text/css,*/*;q=0.1"}, {"accept-encoding", "gzip, deflate, br, zstd"}, {"accept-language", "en-GB,en;q=0.9"},
	{"cookie", "session=3f1e9c0a5b7d4e6f8a9b0c1d2e3f4a5b"}, {"referer", "https://www.example.com/"}, {"priority", "u=0"},
}

var serverFields = [][2]string{
	{":status", "200"}, {"date", "Mon, 21 Oct 2013 20:13:21 GMT"}, {"content-type", "text/html; charset=utf-8"},
	{"server", "origin"}, {"cache-control", "max-age=3600, public"}, {"vary", "Accept-Encoding"}, {"content-length", "1024"},
}

// rig is a codec in its steady state and the bytes of one more exchange, whose stream identifier is patched in.
type rig struct {
	c        *Conn
	h, reply msg.Head
	in       []byte
	ids      []int // offsets of identifiers in in
	out      []byte
	body     []byte
	next     uint32
}

func (r *rig) patch() {
	for _, at := range r.ids {
		binary.BigEndian.PutUint32(r.in[at:], r.next)
	}
	r.next += 2
}

// newRig makes the peer's frames: a head with the given fields, with or without 1 KB of DATA behind it. reply is the head
// that we send.
func newRig(server bool, fields [][2]string, data bool, reply msg.Head) *rig {
	cfg := DefaultConfig(server)
	cfg.ConnWindow, cfg.InitialWindow = 1<<20, 1<<20
	r := &rig{c: New(&cfg, &Slab{}), reply: reply, body: make([]byte, 1024), out: make([]byte, 0, 4096), next: 1}
	r.c.AppendPreface(nil, 1)
	start := "settings\nsettings-ack\nwindow 0 1000000"
	if server {
		start = "preface\n" + start
	}
	r.recv(script(start))
	var block bytes.Buffer
	enc := xhpack.NewEncoder(&block)
	for round := range 2 {
		block.Reset()
		for _, kv := range fields {
			enc.WriteField(xhpack.HeaderField{Name: kv[0], Value: kv[1]})
		}
		p := newPeer()
		flags := uint8(flagEndHeaders | flagEndStream)
		if data {
			flags = flagEndHeaders
		}
		p.frame(frameHeaders, flags, 1, block.Bytes())
		r.ids = []int{5}
		if data {
			r.ids = append(r.ids, p.out.Len()+5)
			p.frame(frameData, flagEndStream, 1, r.body)
		}
		p.frame(frameWindow, 0, 0, u32(1024))
		r.in = bytes.Clone(p.out.Bytes())
		if round == 0 { // the first block teaches the tables
			r.patch()
			r.exchange()
		}
	}
	return r
}

func (r *rig) recv(in []byte) {
	for {
		ev, n, err := r.c.Recv(in, &r.h, 1)
		if err != nil {
			panic(err)
		}
		in = in[n:]
		s := ev.Stream
		switch ev.Kind {
		case EventNone:
			return
		case EventHead:
			if r.c.cfg.Server {
				r.out = r.c.AppendHead(r.out[:0], s, &r.reply, false)
				r.out, _ = r.c.AppendData(r.out, s, r.body, true)
			}
		case EventData:
			r.c.Consumed(s, len(ev.Data))
		}
		if s != nil && s.Closed() {
			r.c.Forget(s)
		}
	}
}

// exchange is one request and its response.
func (r *rig) exchange() {
	if !r.c.cfg.Server {
		s, ok := r.c.Open(nil)
		if !ok {
			panic("no stream")
		}
		r.out = r.c.AppendHead(r.out[:0], s, &r.reply, true)
	}
	r.recv(r.in)
	r.out = r.c.AppendPending(r.out)
}

func headFromFields(fields [][2]string) (h msg.Head) {
	for _, kv := range fields {
		switch kv[0] {
		case ":method":
			h.Method, h.Name = msg.MethodGet, h.PutString(kv[1])
		case ":scheme":
			h.Scheme = msg.SchemeHTTPS
		case ":authority":
			h.Authority = h.PutString(kv[1])
		case ":path":
			h.Target = h.PutString(kv[1])
		case ":status":
			h.Status = 200
		case "content-length":
			h.Framing, h.Length = msg.BodyLength, 1024
		default:
			h.Add(msg.LookupField([]byte(kv[0])), kv[0], []byte(kv[1]))
		}
	}
	return h
}

func serverRig() *rig { return newRig(true, browserFields, false, headFromFields(serverFields)) }

func clientRig() *rig { return newRig(false, serverFields, true, headFromFields(browserFields)) }

// A request in the steady state costs no allocation, in either role.
func TestExchangeAllocs(t *testing.T) {
	for name, r := range map[string]*rig{"server": serverRig(), "client": clientRig()} {
		for range 100 { // until the tables and the slab have their sizes
			r.patch()
			r.exchange()
		}
		if n := testing.AllocsPerRun(1000, func() { r.patch(); r.exchange() }); n != 0 {
			t.Errorf("%s: %v allocations an exchange", name, n)
		}
	}
}

// upload is a server with one request body under way.
func upload() (r *rig, frame []byte) {
	r = serverRig()
	p := newPeer()
	p.frame(frameHeaders, flagEndHeaders, r.next, p.fields(shorthands.Replace("@post")))
	r.in = bytes.Clone(p.out.Bytes())
	for b := r.in; len(b) > 0; {
		_, n, err := r.c.Recv(b, &r.h, 1)
		if err != nil {
			panic(err)
		}
		b = b[n:]
	}
	frame = appendFrame(nil, 16000, frameData, 0, r.next)
	return r, append(frame, make([]byte, 16000)...)
}

// Nor do uploads, whose windows are opened again and again, nor frames that come in pieces.
func TestPiecesAllocs(t *testing.T) {
	r, frame := upload()
	if n := testing.AllocsPerRun(200, func() {
		r.recv(frame)
		r.out = r.c.AppendPending(r.out[:0])
	}); n != 0 {
		t.Errorf("%v allocations a DATA frame", n)
	}
	r = serverRig()
	pieces := func() {
		r.patch()
		cut := len(r.in) - 22 // the middle of the field block; a window update follows it
		for _, part := range [2][]byte{r.in[:cut], r.in[cut:]} {
			r.recv(part)
		}
		r.out = r.c.AppendPending(r.out[:0])
	}
	pieces()
	if n := testing.AllocsPerRun(200, pieces); n != 0 {
		t.Errorf("%v allocations a head in pieces", n)
	}
}

func BenchmarkServerExchange(b *testing.B) {
	r := serverRig()
	b.ReportAllocs()
	for b.Loop() {
		r.patch()
		r.exchange()
	}
}

func BenchmarkClientExchange(b *testing.B) {
	r := clientRig()
	b.ReportAllocs()
	for b.Loop() {
		r.patch()
		r.exchange()
	}
}

// One DATA frame of 16000 bytes, consumed at once.
func BenchmarkRecvData(b *testing.B) {
	r, frame := upload()
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		r.recv(frame)
		r.out = r.c.AppendPending(r.out[:0])
	}
}

// Nothing but reading frames: a thousand PRIORITY frames, which have no effect.
func BenchmarkRecvFrames(b *testing.B) {
	cfg := DefaultConfig(true)
	cfg.Limits.Priorities = 1 << 30
	c := New(&cfg, &Slab{})
	c.AppendPreface(nil, 1)
	var h msg.Head
	c.Recv(script("preface\nsettings\nsettings-ack"), &h, 1)
	p := newPeer()
	for range 1000 {
		p.frame(framePriority, 0, 3, []byte{0, 0, 0, 1, 10})
	}
	in := p.out.Bytes()
	b.ReportAllocs()
	for b.Loop() {
		c.budget.meters[abusePriority].used = 0
		for rest := in; len(rest) > 0; {
			_, n, err := c.Recv(rest, &h, 1)
			if err != nil {
				b.Fatal(err)
			}
			rest = rest[n:]
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/frame")
}
