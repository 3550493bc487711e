package h3

import (
	"bytes"
	"io"
	"testing"

	"github.com/quic-go/qpack"
	"golang.org/x/net/http2/hpack"

	"weir/internal/msg"
)

// libraryRead is what quic-go/qpack makes of a block.
func libraryRead(block []byte) (fields []qpack.HeaderField, ok bool) {
	next := qpack.NewDecoder().Decode(block)
	for {
		f, err := next()
		if err == io.EOF {
			return fields, true
		}
		if err != nil {
			return fields, false
		}
		fields = append(fields, f)
	}
}

func BenchmarkLibraryDecode(b *testing.B) {
	block := fields(browserHead...)
	b.ReportAllocs()
	for b.Loop() {
		next := qpack.NewDecoder().Decode(block)
		for {
			if _, err := next(); err != nil {
				break
			}
		}
	}
}

func BenchmarkLibraryEncode(b *testing.B) {
	h := benchResponse()
	var out bytes.Buffer
	e := qpack.NewEncoder(&out)
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		e.WriteField(qpack.HeaderField{Name: ":status", Value: "200"})
		for i := range h.Fields {
			f := &h.Fields[i]
			e.WriteField(qpack.HeaderField{Name: string(bytes.ToLower(h.Bytes(f.Name))), Value: string(h.Bytes(f.Value))})
		}
		e.Close()
	}
}

func BenchmarkDecode(b *testing.B) {
	block := fields(browserHead...)
	var h msg.Head
	b.ReportAllocs()
	for b.Loop() {
		h.Reset()
		rest, ok := beginBlock(block)
		for l := (line{}); ok && len(rest) > 0; {
			rest, ok = l.read(rest, &h)
		}
		if !ok {
			b.Fatal("refused")
		}
	}
}

func BenchmarkHuffman(b *testing.B) {
	src := hpack.AppendHuffmanString(nil, "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36")
	dst := make([]byte, 0, 256)
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			appendHuffman(dst, src)
		}
	})
	b.Run("library", func(b *testing.B) {
		for b.Loop() {
			hpack.HuffmanDecodeToString(src)
		}
	})
}
