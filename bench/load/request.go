package load

import (
	"bytes"
	"fmt"
	"strconv"

	"golang.org/x/net/http2/hpack"
)

const host = "bench.test"

// browserFields is what a current browser sends with a sub-request of a page of a site that sets cookies.
var browserFields = [][2]string{
	{"sec-ch-ua", `"Chromium";v="130", "Google Chrome";v="130", "Not?A_Brand";v="99"`},
	{"sec-ch-ua-mobile", "?0"},
	{"sec-ch-ua-platform", `"Linux"`},
	{"user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"},
	{"accept", "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"},
	{"sec-fetch-site", "same-origin"},
	{"sec-fetch-mode", "no-cors"},
	{"sec-fetch-dest", "image"},
	{"referer", "https://bench.test/catalogue/outdoor/tents/four-season?sort=price&page=3"},
	{"accept-encoding", "gzip, deflate, br, zstd"},
	{"accept-language", "en-GB,en-US;q=0.9,en;q=0.8,de;q=0.7"},
	{"cookie", "session=9c1b6a0e4f7d4d0c8f2e7b51a3c6d8e9; _ga=GA1.2.1234567890.1712345678; consent=v3.essential.analytics; " +
		"cart=eyJpdGVtcyI6W3siaWQiOjEyMywicXR5IjoxfSx7ImlkIjo0NTYsInF0eSI6Mn1dfQ; theme=dark; ab=checkout-b.search-c.nav-a; " +
		"csrf=4f1a2b3c4d5e6f708192a3b4c5d6e7f8"},
	{"cache-control", "no-cache"},
	{"pragma", "no-cache"},
}

var plainFields = [][2]string{{"user-agent", "bench/1"}, {"accept", "*/*"}}

func (j *Job) fields() [][2]string {
	if j.Browser {
		return browserFields
	}
	return plainFields
}

// headH1 is a request head for HTTP/1.1.
func (j *Job) headH1() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", j.Method, j.Path, host)
	for _, f := range j.fields() {
		fmt.Fprintf(&b, "%s: %s\r\n", f[0], f[1])
	}
	switch {
	case j.Protocol == Socket:
		b.WriteString("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
	case j.Body > 0:
		fmt.Fprintf(&b, "Content-Type: application/octet-stream\r\nContent-Length: %d\r\n", j.Body)
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// blocksH2 are the header block of a connection's first request, which fills the dynamic table, and that of all others,
// which refers to it: what a browser's encoder comes to.
func (j *Job) blocksH2() (first, others []byte) {
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	scheme := "http"
	if j.TLS != Clear {
		scheme = "https"
	}
	write := func() []byte {
		b.Reset()
		for _, f := range [][2]string{{":method", j.Method}, {":scheme", scheme}, {":authority", host}, {":path", j.Path}} {
			enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
		for _, f := range j.fields() {
			enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
		if j.Body > 0 {
			enc.WriteField(hpack.HeaderField{Name: "content-length", Value: strconv.FormatInt(j.Body, 10)})
		}
		return bytes.Clone(b.Bytes())
	}
	return write(), write()
}

// messageFrame is a masked WebSocket message of n bytes (RFC 6455 section 5.2).
func messageFrame(n int) []byte {
	f := []byte{0x82}
	switch {
	case n < 126:
		f = append(f, 0x80|byte(n))
	case n < 1<<16:
		f = append(f, 0x80|126, byte(n>>8), byte(n))
	default:
		f = append(f, 0x80|127, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	key := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	f = append(f, key[:]...)
	for i := range n {
		f = append(f, byte('a'+i%26)^key[i&3])
	}
	return f
}
