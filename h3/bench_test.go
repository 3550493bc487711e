package h3

import (
	"io"
	"testing"

	"github.com/quic-go/quic-go"

	"weir/internal/msg"
)

// BenchmarkRequest is a small request and its response over one connection: the endpoint, the test's worker and a client
// that writes raw frames, all in this process. Allocations are those of both sides; see the memory profile for ours.
func BenchmarkRequest(b *testing.B) {
	r := newRig(b, 1, nil)
	c := r.bench()
	get := head("GET", "/bytes/100", "accept", "*/*", "user-agent", "Mozilla/5.0 (X11; Linux x86_64)", "accept-encoding", "gzip, br")
	buf := make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		s, err := c.OpenStream()
		if err != nil {
			b.Fatal(err)
		}
		s.Write(get)
		s.Close()
		for {
			if _, err := s.Read(buf); err == io.EOF {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkDownload is 1 MiB down.
func BenchmarkDownload(b *testing.B) {
	r := newRig(b, 1, nil)
	c := r.bench()
	get := head("GET", "/bytes/1048576")
	buf := make([]byte, 64<<10)
	b.ReportAllocs()
	b.SetBytes(1 << 20)
	for b.Loop() {
		s, err := c.OpenStream()
		if err != nil {
			b.Fatal(err)
		}
		s.Write(get)
		s.Close()
		for {
			if _, err := s.Read(buf); err == io.EOF {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
	}
}

// bench is a client connection that is not shared and not limited by its own windows.
func (r *rig) bench() *quic.Conn {
	q, err := quic.DialAddr(r.t.Context(), r.e.Addr().String(), clientTLS(), &quic.Config{
		InitialStreamReceiveWindow: 4 << 20, InitialConnectionReceiveWindow: 16 << 20, MaxStreamReceiveWindow: 4 << 20})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { q.CloseWithError(0x100, "") })
	u, err := q.OpenUniStream()
	if err != nil {
		r.t.Fatal(err)
	}
	u.Write(append(appendVarint(nil, streamControl), frame(frameSettings, nil)...))
	return q
}

// BenchmarkSection is decoding and judging a browser's head, without the stream.
func BenchmarkSection(b *testing.B) {
	block := fields(browserHead...)
	b.ReportAllocs()
	for b.Loop() {
		sec := section{fields: msg.NewSection(takeHead(), msg.RequestSection), max: 64 << 10}
		if err := sec.read(block); err != nil {
			b.Fatal(err)
		}
		if err := sec.finish(true); err != nil {
			b.Fatal(err)
		}
		freeHead(sec.fields.Head)
	}
}

var browserHead = []string{":method", "GET", ":scheme", "https", ":authority", "a.example", ":path", "/img/logo.svg?v=12",
	"user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", "accept", "image/avif,image/webp,*/*;q=0.8",
	"accept-encoding", "gzip, deflate, br, zstd", "accept-language", "en-GB,en;q=0.9", "referer", "https://a.example/",
	"sec-fetch-dest", "image", "sec-fetch-mode", "no-cors", "priority", "u=2", "cookie", "id=0123456789abcdef; theme=dark"}

// BenchmarkEncode is the block of a response head as a worker makes it.
func BenchmarkEncode(b *testing.B) {
	e := NewEncoder()
	h := benchResponse()
	b.ReportAllocs()
	for b.Loop() {
		e.head(h)
	}
}

func benchResponse() *msg.Head {
	return response(200, msg.BodyLength, 1234, "Server: nginx", "Date: Sat, 21 Nov 2026 14:00:00 GMT", "Content-Type: text/html; charset=utf-8",
		"Cache-Control: max-age=3600", "ETag: \"5f3-6a\"", "X-Cache-Status: HIT", "Vary: Accept-Encoding")
}

// BenchmarkParse is the frames of a request with a body.
func BenchmarkParse(b *testing.B) {
	block := fields(browserHead...)
	wire := join(frame(frameHeaders, block), frame(frameData, make([]byte, 1000)), frame(frameData, make([]byte, 1000)))
	b.ReportAllocs()
	b.SetBytes(int64(len(wire)))
	for b.Loop() {
		p := reqParser{blockMax: 64 << 10}
		for rest := wire; len(rest) > 0; {
			_, _, n, err := p.next(rest)
			if err != nil {
				b.Fatal(err)
			}
			rest = rest[n:]
		}
	}
}
