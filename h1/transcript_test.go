package h1

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"weir/internal/msg"
)

const testHeadMax = 32 << 10

// message is what a test remembers of one message.
type message struct {
	head     msg.Head
	body     []byte
	trailers msg.Head
	complete bool
}

func (m *message) value(name string) (all []string) {
	for _, f := range m.head.Fields {
		if !f.Drop && strings.EqualFold(string(m.head.Bytes(f.Name)), name) {
			all = append(all, string(m.head.Bytes(f.Value)))
		}
	}
	return all
}

// transcript is everything that came out of a stream of bytes.
type transcript struct {
	messages []*message
	err      *Error
	used     int // bytes consumed
	eof      Kind
	r        Reader
	bare     bool       // heads are not vetted
	narrow   *rand.Rand // the caller has little room for data, or none; nil: always enough
}

// request is what a test response answers.
type request struct {
	method  msg.Method
	upgrade bool
}

// playNarrow is play for a caller who has hardly any room for data.
func playNarrow(stream []byte, cuts []int, asked []request, eof bool, headMax int) (t transcript) {
	t.narrow = rand.New(rand.NewPCG(uint64(len(stream)), 2))
	t.play(stream, cuts, asked, eof, headMax)
	return t
}

// play feeds stream to a reader in pieces: the reader sees one more piece whenever it wants more. cuts are the ascending
// offsets at which the pieces end; the last one is the stream's end. A reader of responses answers the requests asked.
func play(stream []byte, cuts []int, asked []request, eof bool, headMax int) (t transcript) {
	t.play(stream, cuts, asked, eof, headMax)
	return t
}

func (t *transcript) play(stream []byte, cuts []int, asked []request, eof bool, headMax int) {
	if asked == nil {
		t.r.InitRequests(headMax)
	} else {
		t.r.InitResponses(headMax)
	}
	stream = append([]byte(nil), stream...) // the reader may complete a target in place
	var cur *message
	var h msg.Head
	next := func() bool {
		if asked == nil || !t.r.Idle() {
			return true
		}
		if len(asked) == 0 {
			return false
		}
		t.r.Expect(asked[0].method, asked[0].upgrade)
		asked = asked[1:]
		return true
	}
	for _, end := range append(cuts, len(stream)) {
		for next() {
			room := end
			if t.narrow != nil {
				room = t.narrow.IntN(4)
			}
			ev, n, err := t.r.RecvUpTo(stream[t.used:end:end], room, &h)
			if err != nil {
				t.err = err
				return
			}
			if len(ev.Data) > room {
				panic("more Data than there is room for")
			}
			t.used += n
			if ev.Kind == None && n == 0 && (room > 0 || t.narrow == nil) {
				break
			}
			if !t.note(ev, &h, &cur) {
				return
			}
		}
	}
	if eof && t.err == nil {
		t.eof, t.err = t.r.EOF()
		if t.eof == End && cur != nil {
			cur.complete = true
		}
	}
}

// note takes one event down; it reports false when vetting refused the head.
func (t *transcript) note(ev Event, h *msg.Head, cur **message) bool {
	switch ev.Kind {
	case Head:
		m := &message{}
		m.head.CopyFrom(h)
		t.messages = append(t.messages, m)
		*cur = m
		switch {
		case t.bare:
		case t.r.request:
			t.err = msg.VetRequest(&m.head)
		default:
			t.err = msg.VetResponse(&m.head)
		}
		return t.err == nil
	case Data:
		if len(ev.Data) == 0 {
			panic("empty Data")
		}
		(*cur).body = append((*cur).body, ev.Data...)
	case End:
		(*cur).complete = true
		(*cur).trailers.Buf = append([]byte(nil), h.Buf...)
		(*cur).trailers.Fields = append([]msg.Field(nil), h.Fields...)
		if len(h.Fields) == 0 {
			(*cur).trailers.Buf = nil
		}
	}
	return true
}

// String is the event log of a transcript, one line an event, as testdata/*.wire has it.
func (t *transcript) String() string {
	var s strings.Builder
	for _, m := range t.messages {
		h := &m.head
		if h.Status == 0 {
			fmt.Fprintf(&s, "request %s %s %q %q", versionNames[h.Version], h.Bytes(h.Name), h.Bytes(h.Authority),
				h.Bytes(h.Target))
		} else {
			fmt.Fprintf(&s, "response %s %d %q", versionNames[h.Version], h.Status, h.Bytes(h.Reason))
		}
		fmt.Fprintf(&s, " %s", framingNames[h.Framing])
		if h.Framing == msg.BodyLength {
			fmt.Fprintf(&s, " %d", h.Length)
		}
		for i, name := range flagNames {
			if h.Flags.Has(1 << i) {
				fmt.Fprintf(&s, " +%s", name)
			}
		}
		s.WriteByte('\n')
		writeFields(&s, "  field", h)
		if len(m.body) > 0 {
			fmt.Fprintf(&s, "  body %q\n", m.body)
		}
		writeFields(&s, "  trailer", &m.trailers)
		if m.complete {
			s.WriteString("  end\n")
		}
	}
	if t.err != nil {
		fmt.Fprintf(&s, "refused %d %s: %s\n", t.err.Status, t.err.Reason, t.err.Detail)
	}
	return s.String()
}

func writeFields(s *strings.Builder, what string, h *msg.Head) {
	for _, f := range h.Fields {
		if f.Drop {
			fmt.Fprintf(s, "  dropped %s\n", h.Bytes(f.Name))
			continue
		}
		fmt.Fprintf(s, "%s %s %q\n", what, h.Bytes(f.Name), h.Bytes(f.Value))
	}
}

var (
	versionNames = []string{"?", "1.0", "1.1"}
	framingNames = []string{"none", "length", "chunked", "close", "stream", "tunnel"}
	flagNames    = []string{"keep-alive", "expect-100", "te-trailers", "upgrade", "ntlm", "early", "max-forwards", "close"}
)

// cutsOf are the ways in which every test stream is cut.
func cutsOf(n int, seed uint64) [][]int {
	every := make([]int, n)
	for i := range every {
		every[i] = i + 1
	}
	all := [][]int{nil, every}
	rnd := rand.New(rand.NewPCG(seed, 1))
	for range 6 {
		var cuts []int
		for at := rnd.IntN(1 + n/4); at < n; at += 1 + rnd.IntN(1+n/3) {
			cuts = append(cuts, at)
		}
		all = append(all, cuts)
	}
	return all
}

// sameForAnyCut plays a stream in every way and fails unless all come out like the first, which it returns.
func sameForAnyCut(t *testing.T, stream []byte, asked []request, eof bool) transcript {
	t.Helper()
	whole := play(stream, nil, asked, eof, testHeadMax)
	want := whole.String()
	for i, cuts := range cutsOf(len(stream), uint64(len(stream))) {
		if i == 1 && len(stream) > 50_000 {
			continue // byte by byte is for the small ones
		}
		got := play(stream, cuts, asked, eof, testHeadMax)
		if s := got.String(); s != want {
			t.Fatalf("cut at %v:\n%s\nwhole:\n%s", cuts, s, want)
		}
		narrow := playNarrow(stream, cuts, asked, eof, testHeadMax)
		if s := narrow.String(); s != want {
			t.Fatalf("cut at %v, with little room:\n%s\nwhole:\n%s", cuts, s, want)
		}
		if got.used != whole.used && got.err == nil {
			t.Fatalf("cut at %v: %d bytes used, whole %d", cuts, got.used, whole.used)
		}
	}
	return whole
}
