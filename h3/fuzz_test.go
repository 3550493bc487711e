package h3

import (
	"bytes"
	"fmt"
	"testing"

	"golang.org/x/net/http2/hpack"

	"weir/internal/msg"
)

// play runs bytes through a request parser in pieces of the given sizes and returns what happened, in words.
func play(b []byte, sizes func() int) string {
	var log bytes.Buffer
	p := reqParser{blockMax: 1024}
	var content []byte
	note := func() {
		if len(content) > 0 {
			fmt.Fprintf(&log, "data %x\n", content)
			content = content[:0]
		}
	}
	for len(b) > 0 {
		piece := b[:min(max(sizes(), 1), len(b))]
		b = b[len(piece):]
		for len(piece) > 0 {
			ev, got, n, err := p.next(piece)
			if err != nil {
				note()
				fmt.Fprintf(&log, "error %v\n", err)
				return log.String()
			}
			if n == 0 && ev == reqNone {
				panic("no progress")
			}
			piece = piece[n:]
			switch ev {
			case reqData:
				content = append(content, got...)
			case reqHead, reqTrailers:
				note()
				fmt.Fprintf(&log, "block %d %x\n", ev, got)
			case reqHeadHuge:
				fmt.Fprintf(&log, "huge\n")
			}
			if len(p.block) > p.blockMax {
				panic("more than a block is held")
			}
		}
	}
	note()
	if p.stage == stageHead {
		fmt.Fprintf(&log, "cut %v\n", p.cut())
	} else {
		fmt.Fprintf(&log, "end %v\n", p.end())
	}
	return log.String()
}

// However a request is cut, it comes to the same.
func FuzzRequest(f *testing.F) {
	f.Add(join(head("POST", "/"), frame(frameData, []byte("hello")), frame(frameHeaders, fields("x", "y"))), uint64(3))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		whole := play(b, func() int { return len(b) })
		single := play(b, func() int { return 1 })
		random := play(b, func() int {
			seed = seed*6364136223846793005 + 1442695040888963407
			return int(seed >> 60)
		})
		if whole != single || whole != random {
			t.Errorf("whole:\n%s\nbyte by byte:\n%s\nat random:\n%s", whole, single, random)
		}
	})
}

// A control stream comes to the same however it is cut, and holds no more than a frame.
func FuzzControl(f *testing.F) {
	f.Add(join(frame(frameSettings, []byte{6, 1}), frame(frameGoAway, []byte{0}), frame(framePriorityUpdate, []byte("\x00u=1"))))
	f.Fuzz(func(t *testing.T, b []byte) {
		run := func(size int) string {
			var log bytes.Buffer
			p := controlParser{onUpdated: func(id int64, pr Priority) *Error {
				fmt.Fprintln(&log, id, pr)
				return nil
			}}
			for rest := b; len(rest) > 0; {
				n := min(size, len(rest))
				if err := p.feed(rest[:n], 0); err != nil {
					fmt.Fprintln(&log, err)
					break
				}
				if len(p.payload) > settingsBytesMax {
					t.Fatal("more than a frame is held")
				}
				rest = rest[n:]
			}
			fmt.Fprintln(&log, p.settings, p.goAway, p.pushID)
			return log.String()
		}
		if whole, single := run(len(b)+1), run(1); whole != single {
			t.Errorf("whole:\n%s\nbyte by byte:\n%s", whole, single)
		}
		var d decoderParser
		d.feed(b, 0)
	})
}

// A block means to us what it means to quic-go/qpack; what we refuse of what the library takes are only integers beyond 31
// bits, and what it refuses of what we take is only a base that does not matter.
func FuzzBlock(f *testing.F) {
	f.Add(fields(browserHead...))
	f.Fuzz(func(t *testing.T, block []byte) {
		want, theirs := libraryRead(block)
		var h msg.Head
		rest, ours := beginBlock(block)
		i := 0
		for l := (line{}); ours && len(rest) > 0; i++ {
			if rest, ours = l.read(rest, &h); !ours {
				break
			}
			if theirs && (i >= len(want) || string(h.Bytes(l.name)) != want[i].Name || string(h.Bytes(l.value)) != want[i].Value) {
				t.Fatalf("line %d is %q: %q", i, h.Bytes(l.name), h.Bytes(l.value))
			}
		}
		if theirs && ours && i != len(want) {
			t.Errorf("%d lines, want %d", i, len(want))
		}
		if theirs != ours && !odd(block) {
			t.Errorf("taken by the library: %v, by us: %v", theirs, ours)
		}
	})
}

// odd reports whether a block has one of the two things that the library judges differently: a base, or an integer that
// goes on for four bytes and more.
func odd(b []byte) bool {
	if len(b) > 1 && b[0] == 0 && b[1] != 0 {
		return true
	}
	long := 0
	for _, c := range b {
		if c&0x80 == 0 {
			long = 0
		} else if long++; long >= 3 {
			return true
		}
	}
	return false
}

// Whatever a block says, the head that comes of it is one that HTTP/1 can carry.
func FuzzSection(f *testing.F) {
	f.Add(fields(browserHead...), true)
	f.Fuzz(func(t *testing.T, block []byte, ended bool) {
		sec := section{fields: msg.NewSection(&msg.Head{Version: msg.HTTP3}, msg.RequestSection), max: 4096}
		if sec.read(block) != nil || sec.large || sec.finish(ended) != nil {
			return
		}
		h := sec.fields.Head
		if !msg.ValidAuthority(h.Bytes(h.Authority)) || !msg.ValidToken(h.Bytes(h.Name)) {
			t.Errorf("%q %q", h.Bytes(h.Name), h.Bytes(h.Authority))
		}
		for i := range h.Fields {
			f := &h.Fields[i]
			if !msg.ValidFieldName(h.Bytes(f.Name)) || !msg.ValidFieldValue(h.Bytes(f.Value)) {
				t.Errorf("field %q: %q", h.Bytes(f.Name), h.Bytes(f.Value))
			}
		}
		if ended && h.Framing != msg.BodyNone {
			t.Errorf("a body after the end: %d", h.Framing)
		}
	})
}

// The Huffman code is the library's.
func FuzzHuffman(f *testing.F) {
	f.Add([]byte("Mozilla/5.0 \x00\xff\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		want, err := hpack.HuffmanDecodeToString(b)
		got, ok := appendHuffman(nil, b)
		if ok != (err == nil) || ok && string(got) != want {
			t.Errorf("decoded %q, %v; want %q, %v", got, ok, want, err)
		}
		coded := encodeHuffman(nil, b)
		if !bytes.Equal(coded, hpack.AppendHuffmanString(nil, string(b))) || len(coded) != huffmanBytes(b) {
			t.Errorf("%q encodes to %x", b, coded)
		}
		if back, ok := appendHuffman(nil, coded); !ok || !bytes.Equal(back, b) {
			t.Errorf("%q came back as %q", b, back)
		}
	})
}
