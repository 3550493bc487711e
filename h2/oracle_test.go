package h2

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	xhpack "golang.org/x/net/http2/hpack"
	"pgregory.net/rapid"

	"weir/internal/msg"
)

// Whatever head we append, however it is split, x/net reads the same fields from it, and it is whole.
func TestHeadsAreReadByXNet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := DefaultConfig(false)
		pl := newPlayer(&cfg)
		most := rapid.SampledFrom([]int{16384, 16385, 20000}).Draw(t, "max frame")
		pl.feed(script(fmt.Sprintf("settings 5=%d", most)))
		var wire bytes.Buffer
		framer := http2.NewFramer(io.Discard, &wire)
		framer.ReadMetaHeaders = xhpack.NewDecoder(4096, nil)
		framer.MaxHeaderListSize = 1 << 20
		framer.SetMaxReadFrameSize(uint32(most))
		for range rapid.IntRange(1, 4).Draw(t, "heads") {
			h := headOf("GET", 0, nil)
			want := []string{":method: GET", ":scheme: http", ":path: /x", ":authority: a.example"}
			for range rapid.IntRange(0, 30).Draw(t, "fields") {
				name := rapid.StringMatching(`[XY]-[a-zA-Z]{1,3}`).Draw(t, "name")
				value := strings.Repeat("v", rapid.SampledFrom([]int{0, 1, 100, 5000, 16000}).Draw(t, "size"))
				h.Add(0, name, []byte(value))
				want = append(want, strings.ToLower(name)+": "+value)
			}
			s, _ := pl.c.Open(nil)
			end := rapid.Bool().Draw(t, "end")
			wire.Write(pl.c.AppendHead(nil, s, h, end))
			f, err := framer.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			got := f.(*http2.MetaHeadersFrame)
			if got.StreamID != s.ID || got.StreamEnded() != end || len(got.Fields) != len(want) || got.Truncated {
				t.Fatalf("stream %d, end %v, %d fields, want %d", got.StreamID, got.StreamEnded(), len(got.Fields), len(want))
			}
			for i, f := range got.Fields {
				if f.Name+": "+f.Value != want[i] {
					t.Fatalf("field %d is %q, want %q", i, f, want[i])
				}
			}
		}
		if wire.Len() > 0 {
			t.Fatalf("%d bytes behind the heads", wire.Len())
		}
	})
}

// Whatever frames x/net's Framer writes that are legal for a client with one upload under way, we read as they were meant.
func TestFramesOfXNetAreRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := DefaultConfig(true)
		cfg.ConnWindow, cfg.InitialWindow = 1<<20, 1<<20
		pl := newPlayer(&cfg)
		var wire, block bytes.Buffer
		wire.WriteString(Preface)
		framer := http2.NewFramer(&wire, nil)
		enc := xhpack.NewEncoder(&block)
		for _, f := range []xhpack.HeaderField{{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "https"},
			{Name: ":path", Value: "/x"}, {Name: ":authority", Value: "a.example"}} {
			enc.WriteField(f)
		}
		framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
		framer.WriteSettingsAck()
		framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true,
			PadLength: uint8(rapid.IntRange(0, 255).Draw(t, "pad")), Priority: http2.PriorityParam{Weight: 3}})
		want := []string{"settings", "head 1 POST https a.example /x stream"}
		body := ""
		for range rapid.IntRange(0, 20).Draw(t, "frames") {
			switch rapid.IntRange(0, 4).Draw(t, "kind") {
			case 0:
				framer.WritePing(true, [8]byte([]byte("abcdefgh")))
				want = append(want, "pong abcdefgh")
			case 1:
				framer.WriteWindowUpdate(1, 100)
			case 2:
				framer.WritePriority(1, http2.PriorityParam{StreamDep: 3})
			case 3:
				framer.WriteDataPadded(1, false, []byte("padded"), make([]byte, rapid.IntRange(0, 255).Draw(t, "pad")))
				want = append(want, "data 1 padded")
				body += "padded"
			case 4:
				framer.WriteData(1, false, []byte("plain"))
				want = append(want, "data 1 plain")
				body += "plain"
			}
		}
		framer.WriteRSTStream(1, http2.ErrCodeCancel)
		want = append(want, "reset 1 CANCEL by peer")
		for wire.Len() > 0 {
			pl.feed(wire.Next(rapid.IntRange(1, 200).Draw(t, "cut")))
		}
		got, wanted := strings.Join(pl.log, "\n"), strings.Join(joinData(want), "\n")
		if got != wanted {
			t.Fatalf("got:\n%s\nwant:\n%s", got, wanted)
		}
	})
}

// joinData joins consecutive lines of data, as the player does.
func joinData(log []string) (joined []string) {
	for _, line := range log {
		text, isData := strings.CutPrefix(line, "data 1 ")
		if n := len(joined); isData && n > 0 && strings.HasPrefix(joined[n-1], "data 1 ") {
			joined[n-1] += text
			continue
		}
		joined = append(joined, line)
	}
	return joined
}

// A head that just fits a frame, and one that is larger by a byte (RFC 9113 section 6.10).
func TestHeadSplitsAtMaxFrame(t *testing.T) {
	for over := -1; over <= 1; over++ {
		cfg := DefaultConfig(true)
		pl := newPlayer(&cfg)
		pl.feed(script("preface\nsettings\nheaders 1 end : @get"))
		h := &msg.Head{Status: 200}
		// One octet of :status, one for the representation, four for the name, three for the value's length.
		h.Add(0, "x-a", make([]byte, frameBytesMin-9+over))
		out := pl.c.AppendHead(nil, pl.c.Find(1), h, true)
		f := parseFrame(out)
		frames := 1
		if over > 0 {
			frames = 2
		}
		if got := len(sentText(t, out)); got != frames || f.length != uint32(min(frameBytesMin, frameBytesMin+over)) {
			t.Errorf("%+d: %d frames, the first of %d bytes", over, got, f.length)
		}
	}
}
