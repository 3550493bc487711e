package hpack

import (
	"bytes"
	"strings"
	"testing"

	xhpack "golang.org/x/net/http2/hpack"
)

// Every octet, alone and between others, decodes to itself (RFC 7541 appendix B).
func TestHuffmanOctets(t *testing.T) {
	for a := range 256 {
		for _, b := range []byte{'0', 'a', 'X', '!', '\\', 0, 0xf9, 10} {
			text := string([]byte{byte(a), b, byte(a), byte(a), b, b, byte(a)})
			for n := range len(text) + 1 {
				code := xhpack.AppendHuffmanString(nil, text[:n])
				got, ok := appendHuffman([]byte("<"), code)
				if !ok || string(got) != "<"+text[:n] {
					t.Fatalf("%q: got %q, %v", text[:n], got, ok)
				}
			}
		}
	}
}

// RFC 7541 section 5.2: padding longer than 7 bits, padding that is not ones, and EOS are errors.
func TestHuffmanMalformed(t *testing.T) {
	for _, code := range [][]byte{
		{0xff},                         // nothing but eight bits of padding
		{0x1f, 0xff},                   // "a" and eleven bits of padding
		{0x18},                         // "a" and zeros
		{0x1c},                         // "a" and 100
		{0xff, 0xff, 0xff, 0xff},       // EOS
		{0xff, 0xff, 0xff, 0xfc},       // EOS and zeros
		{0x1f, 0xff, 0xff, 0xff, 0xff}, // "a" and EOS
		{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	} {
		if got, ok := appendHuffman(nil, code); ok {
			t.Errorf("%x: accepted as %q", code, got)
		}
	}
}

// Any bytes: the verdict and the text are x/net's.
func FuzzHuffman(f *testing.F) {
	for _, s := range []string{"", "www.example.com", "no-cache", "Mon, 21 Oct 2013 20:13:21 GMT", "\x00\xff\\~"} {
		f.Add(xhpack.AppendHuffmanString(nil, s))
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, code []byte) {
		var want bytes.Buffer
		_, err := xhpack.HuffmanDecode(&want, code)
		got, ok := appendHuffman(nil, code)
		if ok != (err == nil) {
			t.Fatalf("%x: ok %v, oracle says %v", code, ok, err)
		}
		if ok && !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("%x: %q, oracle says %q", code, got, want.Bytes())
		}
	})
}

// The comparison is by octet of text: what a browser sends in a first request.
func BenchmarkHuffman(b *testing.B) {
	text := strings.Repeat("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0", 3) +
		"https://www.example.com/assets/site.css?v=20240417 Mon, 21 Oct 2013 20:13:21 GMT text/css,*/*;q=0.1 gzip, deflate"
	code := xhpack.AppendHuffmanString(nil, text)
	b.Run("weir", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		dst := make([]byte, 0, 1024)
		for b.Loop() {
			appendHuffman(dst, code)
		}
	})
	b.Run("xnet", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		var w bytes.Buffer
		for b.Loop() {
			w.Reset()
			xhpack.HuffmanDecode(&w, code)
		}
	})
}
