package h1

import (
	"testing"

	"weir/internal/msg"
)

const (
	smallRequest = "GET /api/v1/items/42 HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: curl/8.5.0\r\n" +
		"Accept: */*\r\nX-Trace: 0123456789abcdef\r\nAccept-Encoding: gzip\r\n\r\n"
	browserRequest = "GET /shop/category/shoes?page=2&sort=price&colour=blue HTTP/1.1\r\n" +
		"Host: www.example.com\r\nConnection: keep-alive\r\n" +
		"sec-ch-ua: \"Chromium\";v=\"128\", \"Not;A=Brand\";v=\"24\", \"Google Chrome\";v=\"128\"\r\n" +
		"sec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\nUpgrade-Insecure-Requests: 1\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36\r\n" +
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\n" +
		"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n" +
		"Referer: https://www.example.com/shop/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n" +
		"Accept-Language: en-GB,en-US;q=0.9,en;q=0.8\r\nCookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\r\n"
	smallResponse = "HTTP/1.1 200 OK\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\nServer: origin\r\n" +
		"Content-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"ok\":\"yes\"}\n"
	chunkedResponse = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
)

func mustRecv(tb testing.TB, r *Reader, b []byte, h *msg.Head, want Kind) (Event, int) {
	ev, n, err := r.Recv(b, h)
	if err != nil || ev.Kind != want {
		tb.Fatalf("event %d, error %v; want event %d", ev.Kind, err, want)
	}
	return ev, n
}

// exchangeRequest reads, vets and appends one request without a body.
func exchangeRequest(tb testing.TB, r *Reader, b []byte, h *msg.Head, dst []byte) []byte {
	_, n := mustRecv(tb, r, b, h, Head)
	if err := msg.VetRequest(h); err != nil {
		tb.Fatal(err)
	}
	dst = AppendRequest(dst[:0], h, RequestOptions{})
	mustRecv(tb, r, b[n:], h, End)
	return dst
}

func exchangeResponse(tb testing.TB, r *Reader, b []byte, h *msg.Head, dst []byte) []byte {
	r.Expect(msg.MethodGet, false)
	_, n := mustRecv(tb, r, b, h, Head)
	if err := msg.VetResponse(h); err != nil {
		tb.Fatal(err)
	}
	dst = AppendResponse(dst[:0], h, ResponseOptions{Version: msg.HTTP11})
	for {
		ev, k, err := r.Recv(b[n:], h)
		n += k
		switch {
		case err != nil || ev.Kind == None:
			tb.Fatalf("event %d, error %v", ev.Kind, err)
		case ev.Kind == End:
			return dst
		case h.Framing == msg.BodyLength:
			dst = append(dst, ev.Data...)
		default:
			dst = AppendChunkHead(dst, len(ev.Data))
			dst = append(dst, ev.Data...)
			dst = AppendChunkEnd(dst)
		}
	}
}

func chunkedStream(chunk, count int) []byte {
	b := []byte(chunkedResponse)
	for range count {
		b = AppendChunkHead(b, chunk)
		b = append(b, make([]byte, chunk)...)
		b = AppendChunkEnd(b)
	}
	return AppendLastChunk(b, nil)
}

func benchmarkParse(b *testing.B, in string) {
	var r Reader
	var h msg.Head
	r.InitRequests(testHeadMax)
	buf := []byte(in)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		_, n := mustRecv(b, &r, buf, &h, Head)
		if msg.VetRequest(&h) != nil {
			b.Fatal("refused")
		}
		mustRecv(b, &r, buf[n:], &h, End)
	}
}

func BenchmarkParseSmallRequest(b *testing.B)   { benchmarkParse(b, smallRequest) }
func BenchmarkParseBrowserRequest(b *testing.B) { benchmarkParse(b, browserRequest) }

func benchmarkExchangeRequest(b *testing.B, in string) {
	var r Reader
	var h msg.Head
	var dst []byte
	r.InitRequests(testHeadMax)
	buf := []byte(in)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		dst = exchangeRequest(b, &r, buf, &h, dst)
	}
}

func BenchmarkSmallRequest(b *testing.B)   { benchmarkExchangeRequest(b, smallRequest) }
func BenchmarkBrowserRequest(b *testing.B) { benchmarkExchangeRequest(b, browserRequest) }

func benchmarkExchangeResponse(b *testing.B, in []byte) {
	var r Reader
	var h msg.Head
	var dst []byte
	r.InitResponses(testHeadMax)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		dst = exchangeResponse(b, &r, in, &h, dst)
	}
}

func BenchmarkSmallResponse(b *testing.B) { benchmarkExchangeResponse(b, []byte(smallResponse)) }
func BenchmarkChunked4K(b *testing.B)     { benchmarkExchangeResponse(b, chunkedStream(4096, 16)) }
func BenchmarkChunked16B(b *testing.B)    { benchmarkExchangeResponse(b, chunkedStream(16, 256)) }

func BenchmarkAppendRequest(b *testing.B) {
	var r Reader
	var h msg.Head
	var dst []byte
	r.InitRequests(testHeadMax)
	mustRecv(b, &r, []byte(browserRequest), &h, Head)
	if msg.VetRequest(&h) != nil {
		b.Fatal("refused")
	}
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendRequest(dst[:0], &h, RequestOptions{})
	}
}

// BenchmarkDrip feeds a head byte by byte: the time for each byte must not grow with the head (compare the sizes).
func BenchmarkDrip(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10} {
		b.Run(map[int]string{1 << 10: "1K", 16 << 10: "16K"}[size], func(b *testing.B) {
			stream := []byte("GET / HTTP/1.1\r\nHost: a\r\n")
			for len(stream) < size {
				stream = append(stream, "X-Field: 0123456789012345678901234567890123456789012345678901234567890123456789\r\n"...)
			}
			stream = append(stream, crlf...)
			var r Reader
			var h msg.Head
			r.InitRequests(2 * size)
			b.SetBytes(int64(len(stream)))
			for b.Loop() {
				for end := 1; end < len(stream); end++ {
					mustRecv(b, &r, stream[:end], &h, None)
				}
				mustRecv(b, &r, stream, &h, Head)
				mustRecv(b, &r, nil, &h, End)
			}
		})
	}
}

// What is on every request's path must not allocate once its memory has grown.
func TestNoAllocations(t *testing.T) {
	var req, rsp Reader
	var h msg.Head
	req.InitRequests(testHeadMax)
	rsp.InitResponses(testHeadMax)
	dst := make([]byte, 0, 64<<10)
	for _, in := range []string{smallRequest, browserRequest} {
		b := []byte(in)
		exchangeRequest(t, &req, b, &h, dst)
		if n := testing.AllocsPerRun(100, func() { exchangeRequest(t, &req, b, &h, dst) }); n != 0 {
			t.Errorf("%v allocations for a request", n)
		}
	}
	for _, b := range [][]byte{[]byte(smallResponse), chunkedStream(100, 10)} {
		if n := testing.AllocsPerRun(100, func() { exchangeResponse(t, &rsp, b, &h, dst) }); n != 0 {
			t.Errorf("%v allocations for a response", n)
		}
	}
}
