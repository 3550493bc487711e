package e2e

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// flood is something that a hostile client does again and again.
type flood struct {
	name     string
	settings []http2.Setting
	first    func(f *flooder)
	again    func(f *flooder, i int) // the i-th time
	frames   int                     // how many times at most
	stalls   bool                    // it ends with the client's timeout instead
}

// stillThere stands for a connection that has not ended in time.
const stillThere = 1 << 40

// flooder writes frames without looking at what comes back, and counts what comes.
type flooder struct {
	conn  net.Conn
	buf   bytes.Buffer
	away  atomic.Int64 // code of the GOAWAY + 1
	ended chan struct{}
}

const (
	typeData, typeHeaders, typePriority, typeReset, typeSettings, typePing, typeWindow, typeContinuation = 0, 1, 2, 3, 4, 6, 8, 9
	endStream, endHeaders, padded                                                                        = 1, 4, 8
)

func (f *flooder) frame(kind, flags byte, id uint32, payload []byte) {
	n := len(payload)
	f.buf.Write([]byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags})
	f.buf.Write([]byte{byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)})
	f.buf.Write(payload)
}

var (
	getBlock  = append([]byte{0x82, 0x86, 0x84, 0x01, 9}, "a.example"...)
	postBlock = append([]byte{0x83, 0x86, 0x84, 0x01, 9}, "a.example"...)
	cancel    = []byte{0, 0, 0, 8}
)

func joined(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func (f *flooder) open(i int, flags byte, block []byte) uint32 {
	id := uint32(2*i + 1)
	f.frame(typeHeaders, endHeaders|flags, id, block)
	return id
}

// made is a flood of requests, each with a frame behind it that makes weir reset the stream (CVE-2025-8671).
func made(name string, kind, flags byte, payload []byte) flood {
	return flood{name: name, frames: 20000, again: func(f *flooder, i int) { f.frame(kind, flags, f.open(i, endStream, getBlock), payload) }}
}

func repeated(name string, kind, flags byte, id uint32, payload []byte, first func(*flooder)) flood {
	return flood{name: name, frames: 300000, first: first, again: func(f *flooder, _ int) { f.frame(kind, flags, id, payload) }}
}

func posted(f *flooder) { f.open(0, 0, postBlock) }

var floods = []flood{
	made("rapid reset", typeReset, 0, cancel),
	made("reset by a window update of nothing", typeWindow, 0, make([]byte, 4)),
	made("reset by a window overflow", typeWindow, 0, []byte{0x7f, 0xff, 0xff, 0xff}),
	made("reset by DATA behind the end", typeData, 0, []byte("x")),
	made("reset by HEADERS behind the end", typeHeaders, endStream|endHeaders, getBlock),
	made("reset by PRIORITY of a wrong size", typePriority, 0, make([]byte, 4)),
	{name: "malformed requests", frames: 20000, again: func(f *flooder, i int) {
		f.open(i, endStream, joined(getBlock, []byte{0, 1, 'X', 1, 'v'}))
	}},
	{name: "lengths that lie", frames: 20000, again: func(f *flooder, i int) {
		f.frame(typeData, endStream, f.open(i, 0, joined(postBlock, []byte{0x0f, 0x0d, 1, '1'})), []byte("xx"))
	}},
	{name: "empty names", frames: 20000, again: func(f *flooder, i int) {
		f.open(i, endStream, joined(getBlock, bytes.Repeat([]byte{0x40, 0, 0}, 50)))
	}},
	repeated("CONTINUATION", typeContinuation, 0, 1, joined([]byte{0, 1, 'x', 0x7f, 0xf5, 0x06}, bytes.Repeat([]byte("a"), 1000)), func(f *flooder) {
		f.frame(typeHeaders, endStream, 1, getBlock)
	}),
	repeated("empty CONTINUATION", typeContinuation, 0, 1, nil, func(f *flooder) { f.frame(typeHeaders, endStream, 1, getBlock) }),
	repeated("SETTINGS", typeSettings, 0, 0, []byte{0, 3, 0, 0, 0, 100}, nil),
	repeated("PING", typePing, 0, 0, make([]byte, 8), nil),
	repeated("PRIORITY", typePriority, 0, 3, []byte{0, 0, 0, 1, 10}, nil),
	repeated("WINDOW_UPDATE by one", typeWindow, 0, 0, []byte{0, 0, 0, 1}, nil),
	repeated("unknown frames", 0xfa, 0, 0, make([]byte, 16), nil),
	repeated("empty DATA", typeData, 0, 1, nil, posted),
	repeated("padding", typeData, padded, 1, joined([]byte{255, 'x'}, make([]byte, 255)), posted),
	repeated("resets of a closed stream", typeReset, 0, 1, cancel, func(f *flooder) { f.open(0, endStream, getBlock) }),
	{name: "header bombs", frames: 2000, again: func(f *flooder, i int) {
		field := joined([]byte{0x40, 6}, []byte("x-bomb"), []byte{0x7f, 0xbd, 0x1d}, bytes.Repeat([]byte("a"), 3900))
		f.open(i, endStream, joined(getBlock, field, bytes.Repeat([]byte{0xbe}, 8000)))
	}},
	{name: "windows of nothing", frames: 120, stalls: true, settings: []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 0}}, again: func(f *flooder, i int) {
		f.open(i, endStream, joined([]byte{0x82, 0x86, 0x04, 4}, []byte("/big"), []byte{0x01, 9}, []byte("a.example")))
	}},
	{name: "bodies that never come", frames: 120, stalls: true, again: func(f *flooder, i int) { f.open(i, 0, postBlock) }},
}

func TestH2Floods(t *testing.T) {
	t.Parallel()
	o := goOrigin(t, protocols{over: plain, h1: true}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/big" {
			_, _ = io.Copy(w, noise(1, 10*megabyte))
			return
		}
		sayHello(w, r)
	}))
	for i := range floods {
		t.Run(floods[i].name, func(t *testing.T) {
			t.Parallel()
			w := start(t, setup{over: plain, servers: []*origin{o}, frontend: `timeouts = "short"`, tables: "[timeouts.short]\nclient = \"700ms\"\nhttp-request = \"700ms\"\nhttp-keep-alive = \"4s\"\nclient-fin = \"500ms\"\n"})
			w.bear(t, &floods[i])
		})
	}
}

// bear has weir stand a flood while another client goes on.
func (w *weir) bear(t *testing.T, fl *flood) {
	bystander := w.dial()
	visit := func() {
		bystander.ask("GET / HTTP/1.1", host)
		bystander.response().want(t, ok, "", "hello")
	}
	visit()
	before := w.rss()
	f := w.flooder(t, fl.settings)
	go f.run(fl)
	most := 0
	for over := false; !over; {
		select {
		case <-f.ended:
			over = true
		case <-time.After(5 * time.Millisecond):
		}
		visit()
		most = max(most, w.rss())
	}
	visit()
	if most-before > 24*megabyte {
		t.Errorf("%d MiB of memory more than before", (most-before)/megabyte)
	}
	if f.away.Load() == stillThere {
		t.Error("the connection does not end")
	} else if code := f.away.Load() - 1; !fl.stalls && code != int64(http2.ErrCodeEnhanceYourCalm) {
		t.Errorf("the connection ends with GOAWAY %d, want ENHANCE_YOUR_CALM", code)
	}
}

func (w *weir) flooder(t *testing.T, settings []http2.Setting) *flooder {
	t.Helper()
	conn, err := net.DialTimeout("tcp", w.front(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	f := &flooder{conn: conn, ended: make(chan struct{})}
	fr := http2.NewFramer(&f.buf, conn)
	f.buf.WriteString(http2.ClientPreface)
	_ = fr.WriteSettings(settings...)
	_ = conn.SetDeadline(time.Now().Add(patience))
	go f.listen(fr)
	return f
}

// listen reads until the connection ends or says that it will.
func (f *flooder) listen(fr *http2.Framer) {
	defer close(f.ended)
	for {
		frame, err := fr.ReadFrame()
		if g, ok := frame.(*http2.GoAwayFrame); ok {
			f.away.Store(int64(g.ErrCode) + 1)
			if g.ErrCode != http2.ErrCodeNo {
				return
			}
		}
		var unknown http2.ConnectionError
		if err != nil && !errors.As(err, &unknown) {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				f.away.Store(stillThere)
			}
			return
		}
	}
}

func (f *flooder) run(fl *flood) {
	if fl.first != nil {
		fl.first(f)
	}
	for i := range fl.frames {
		fl.again(f, i)
		if f.buf.Len() < 16<<10 && i+1 < fl.frames {
			continue
		}
		_, err := f.conn.Write(f.buf.Bytes())
		f.buf.Reset()
		if err != nil {
			return
		}
		select {
		case <-f.ended:
			return
		default:
		}
	}
}
