package h2

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	xhpack "golang.org/x/net/http2/hpack"

	"weir/internal/msg"
)

// A testdata/*.wire file holds cases. "-- NAME" begins one. The lines of a case:
//
//	role server|client     the role of the codec; server is the default, and its preface and SETTINGS are then given first
//	bare                   they are not
//	set KEY VALUE          a field of Config or Limits
//	> FRAME …              bytes given to Recv; see peer.line
//	! ACTION …             what the caller does; see player.act
//	= EVENT …              an expected event
//	< FRAME …              an expected frame, of those that come out (the codec's own preface and SETTINGS apart)
//
// Consecutive DATA events of a stream are logged as one. Every case runs four times: with the bytes given whole, one by
// one, and in two random cuttings. Events and frames are each compared in their order.
type wireCase struct {
	file, name string
	server     bool
	bare       bool
	cfg        Config
	steps      []string
	want       []string // "= …" and "< …" without the mark, events first
	wantSent   []string
}

func loadWire(t *testing.T) (cases []*wireCase) {
	files, err := filepath.Glob("testdata/*.wire")
	if err != nil || len(files) == 0 {
		t.Fatalf("no wire files: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var c *wireCase
		for i, line := range strings.Split(string(text), "\n") {
			line = strings.TrimSpace(line)
			if name, ok := strings.CutPrefix(line, "-- "); ok {
				c = &wireCase{file: filepath.Base(file), name: name, server: true, cfg: DefaultConfig(true)}
				cases = append(cases, c)
				continue
			}
			if line == "" || line[0] == '#' {
				continue
			}
			if c == nil || !c.line(line) {
				t.Fatalf("%s:%d: %q", file, i+1, line)
			}
		}
	}
	return cases
}

func (c *wireCase) line(line string) bool {
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "role":
		c.server = rest == "server"
		c.cfg = DefaultConfig(c.server)
	case "bare":
		c.bare = true
	case "set":
		key, v, _ := strings.Cut(rest, " ")
		n, err := strconv.Atoi(v)
		return err == nil && c.set(key, n)
	case ">", "!":
		c.steps = append(c.steps, line)
	case "=":
		c.want = append(c.want, rest)
	case "<":
		c.wantSent = append(c.wantSent, rest)
	default:
		return false
	}
	return true
}

func (c *wireCase) set(key string, n int) bool {
	switch key {
	case "streams":
		c.cfg.MaxConcurrentStreams = uint32(n)
	case "window":
		c.cfg.InitialWindow = int32(n)
	case "list":
		c.cfg.MaxHeaderList = uint32(n)
	case "connect":
		c.cfg.EnableConnect = n == 1
	case "madeus":
		c.cfg.Limits.MadeUs = int32(n)
	case "frames":
		c.cfg.Limits.BlockFrames = int32(n)
	default:
		return false
	}
	return true
}

// peer makes the bytes of the other side.
type peer struct {
	out   bytes.Buffer
	block bytes.Buffer
	enc   *xhpack.Encoder
}

func newPeer() *peer {
	p := &peer{}
	p.enc = xhpack.NewEncoder(&p.block)
	return p
}

func (p *peer) frame(kind frameKind, flags uint8, id uint32, payload []byte) {
	p.out.Write(appendFrame(nil, len(payload), kind, flags, id))
	p.out.Write(payload)
}

func (p *peer) fields(list string) []byte {
	p.block.Reset()
	for f := range strings.SplitSeq(list, "|") {
		if f = strings.TrimSpace(f); f == "" {
			continue
		}
		name, value, _ := strings.Cut(f, "=")
		value, _ = strconv.Unquote(`"` + value + `"`)
		name, _ = strconv.Unquote(`"` + name + `"`)
		p.enc.WriteField(xhpack.HeaderField{Name: name, Value: value})
	}
	return bytes.Clone(p.block.Bytes())
}

// request is what "GET" and the like stand for in a field list.
var shorthands = strings.NewReplacer(
	"@get", ":method=GET|:scheme=http|:authority=a.example|:path=/x",
	"@post", ":method=POST|:scheme=http|:authority=a.example|:path=/x",
)

func u32(v uint64) []byte { return binary.BigEndian.AppendUint32(nil, uint32(v)) }

// line appends the bytes of one "> …" line:
//
//	preface | settings [ID=VALUE …] | settings-ack
//	headers ID [end] [open] [pad=N] [prio=DEP] : FIELDS      open: no END_HEADERS; FIELDS: name=value | …
//	cont ID [open] : FIELDS          continue ID [open] HEX
//	data ID [end] [pad=N] TEXT|*N    reset ID CODE    window ID N    ping [ack] TEXT    goaway LAST CODE
//	priority ID DEP                  update ID VALUE  (PRIORITY_UPDATE)
//	frame TYPE FLAGS ID [HEX]        raw HEX
func (p *peer) line(line string) error {
	line, list, _ := strings.Cut(line, " : ")
	w := strings.Fields(line)
	num := func(i int) uint64 {
		if i >= len(w) {
			return 0
		}
		n, err := strconv.ParseUint(w[i], 0, 64)
		if err != nil {
			panic(fmt.Sprintf("%q: %v", line, err))
		}
		return n
	}
	switch w[0] {
	case "preface":
		p.out.WriteString(preface)
	case "settings":
		var b []byte
		for _, kv := range w[1:] {
			k, v, _ := strings.Cut(kv, "=")
			id, _ := strconv.ParseUint(k, 0, 16)
			n, _ := strconv.ParseUint(v, 0, 32)
			b = appendSetting(b, uint16(id), uint32(n))
		}
		p.frame(frameSettings, 0, 0, b)
	case "settings-ack":
		p.frame(frameSettings, flagAck, 0, nil)
	case "headers", "cont":
		p.headers(w, p.fields(shorthands.Replace(list)), uint32(num(1)))
	case "data":
		p.data(w, uint32(num(1)))
	case "reset":
		p.frame(frameReset, 0, uint32(num(1)), u32(num(2)))
	case "window":
		p.frame(frameWindow, 0, uint32(num(1)), u32(num(2)))
	case "ping":
		flags := uint8(0)
		if w[1] == "ack" {
			flags = flagAck
		}
		p.frame(framePing, flags, 0, []byte(w[len(w)-1]))
	case "goaway":
		p.frame(frameGoAway, 0, 0, append(append(u32(num(1)), u32(num(2))...), "debug"...))
	case "priority":
		p.frame(framePriority, 0, uint32(num(1)), append(u32(num(2)), 10))
	case "update":
		p.frame(framePriorityUpdate, 0, 0, append(u32(num(1)), strings.Join(w[2:], " ")...))
	case "frame":
		var payload []byte
		if len(w) > 4 {
			var err error
			if payload, err = hex.DecodeString(w[4]); err != nil {
				return err
			}
		}
		p.frame(frameKind(num(1)), uint8(num(2)), uint32(num(3)), payload)
	case "raw":
		b, err := hex.DecodeString(strings.Join(w[1:], ""))
		p.out.Write(b)
		return err
	default:
		return fmt.Errorf("unknown frame %q", line)
	}
	return nil
}

func (p *peer) headers(w []string, block []byte, id uint32) {
	kind, flags, pad, prefix := frameHeaders, uint8(flagEndHeaders), -1, []byte(nil)
	if w[0] == "cont" {
		kind = frameContinuation
	}
	for _, o := range w[2:] {
		k, v, _ := strings.Cut(o, "=")
		n, _ := strconv.Atoi(v)
		switch k {
		case "end":
			flags |= flagEndStream
		case "open":
			flags &^= flagEndHeaders
		case "pad":
			flags |= flagPadded
			pad = n
		case "prio":
			flags |= flagPriority
			prefix = append(u32(uint64(n)), 15)
		}
	}
	block = append(prefix, block...)
	if pad >= 0 {
		block = append(append([]byte{byte(pad)}, block...), make([]byte, pad)...)
	}
	p.frame(kind, flags, id, block)
}

func (p *peer) data(w []string, id uint32) {
	var text []byte
	flags, pad := uint8(0), -1
	for _, o := range w[2:] {
		switch {
		case o == "end":
			flags |= flagEndStream
		case strings.HasPrefix(o, "pad="):
			pad, _ = strconv.Atoi(o[4:])
			flags |= flagPadded
		case o[0] == '*':
			n, _ := strconv.Atoi(o[1:])
			text = bytes.Repeat([]byte("d"), n)
		default:
			text = []byte(o)
		}
	}
	if pad >= 0 {
		text = append(append([]byte{byte(pad)}, text...), make([]byte, pad)...)
	}
	p.frame(frameData, flags, id, text)
}

// player is a codec and a caller that does as the script says.
type player struct {
	c     *Conn
	h     msg.Head
	input []byte // not taken yet
	log   []string
	sent  bytes.Buffer
	held  map[uint32]int
	keep  bool // streams that are over are not forgotten by themselves
}

func newPlayer(cfg *Config) *player {
	p := &player{c: New(cfg, &Slab{}), held: map[uint32]int{}}
	p.c.AppendPreface(nil, 1)
	return p
}

// feed gives bytes and logs what comes of them.
func (p *player) feed(b []byte) {
	p.input = append(p.input, b...)
	for p.c.Err() == nil {
		ev, n, err := p.c.Recv(p.input, &p.h, 1)
		p.on(ev)
		p.input = p.input[n:]
		if err != nil {
			p.log = append(p.log, "error "+err.Code.String())
		} else if p.c.verify(); ev.Kind == EventNone {
			break
		}
	}
	p.flush()
}

func (p *player) flush() { p.sent.Write(p.c.AppendPending(nil)) }

func (p *player) on(ev Event) {
	line := describe(ev, &p.h)
	if line == "" {
		return
	}
	last := len(p.log) - 1
	if prefix := fmt.Sprintf("data %d ", streamID(ev)); ev.Kind == EventData && last >= 0 &&
		strings.HasPrefix(p.log[last], prefix) && !strings.HasSuffix(p.log[last], " end") {
		p.log[last] += strings.TrimPrefix(line, prefix)
	} else {
		p.log = append(p.log, line)
	}
	if ev.Kind == EventData {
		p.held[ev.Stream.ID] += len(ev.Data)
	}
	if s := ev.Stream; s != nil && s.Closed() && !p.keep {
		p.forget(s)
	}
}

func (p *player) forget(s *Stream) {
	delete(p.held, s.ID)
	p.c.Forget(s)
}

func streamID(ev Event) uint32 {
	if ev.Stream == nil {
		return ev.ID
	}
	return ev.Stream.ID
}

// describe is the line of the log for an event.
func describe(ev Event, h *msg.Head) string {
	end := ""
	if ev.End {
		end = " end"
	}
	id := streamID(ev)
	switch ev.Kind {
	case EventNone:
		return ""
	case EventHead:
		if ev.TooLarge {
			return fmt.Sprintf("head %d too-large%s", id, end)
		}
		return fmt.Sprintf("head %d %s%s", id, headText(h), end)
	case EventTrailers:
		return fmt.Sprintf("trailers %d%s", id, fieldsText(h))
	case EventData:
		return fmt.Sprintf("data %d %s%s", id, ev.Data, end)
	case EventReset:
		by := "peer"
		if ev.Cause != nil {
			by = "us: " + ev.Cause.Reason
		}
		return fmt.Sprintf("reset %d %v by %s", id, ev.Code, by)
	case EventRefused:
		return fmt.Sprintf("refused %d %v: %s", id, ev.Code, ev.Cause.Reason)
	case EventGoAway:
		return fmt.Sprintf("goaway %d %v", id, ev.Code)
	case EventPong:
		return "pong " + string(ev.Data)
	}
	return map[Kind]string{EventWindow: "window", EventSettings: "settings"}[ev.Kind]
}

var framingNames = [...]string{msg.BodyNone: "none", msg.BodyLength: "length", msg.BodyStream: "stream", msg.BodyTunnel: "tunnel"}

func headText(h *msg.Head) string {
	framing := framingNames[h.Framing]
	if h.Framing == msg.BodyLength {
		framing += fmt.Sprint(h.Length)
	}
	if h.Status != 0 {
		return fmt.Sprintf("%d %s%s", h.Status, framing, fieldsText(h))
	}
	scheme := [...]string{"-", "http", "https"}[h.Scheme]
	s := fmt.Sprintf("%s %s %s %s %s", h.Bytes(h.Name), scheme, h.Bytes(h.Authority), h.Bytes(h.Target), framing)
	if h.Protocol.Len() > 0 {
		s += " protocol:" + string(h.Bytes(h.Protocol))
	}
	return s + fieldsText(h)
}

func fieldsText(h *msg.Head) (s string) {
	for i := range h.Fields {
		f := &h.Fields[i]
		mark := ""
		if f.Sensitive {
			mark = "!"
		}
		if want := msg.LookupField(h.Bytes(f.Name)); f.ID != want {
			mark += "(wrong identity)"
		}
		value := strconv.QuoteToASCII(string(h.Bytes(f.Value)))
		s += fmt.Sprintf(" %s%s:%s", mark, h.Bytes(f.Name), value[1:len(value)-1])
	}
	return s
}

// act does one "! …" line:
//
//	respond ID STATUS [end] [FIELDS]   request METHOD [end] [FIELDS]   send ID [end] TEXT|*N    trailers ID FIELDS
//	consume ID [N]     forget ID     reset ID CODE     goaway LAST CODE     ping TEXT     keep     writable
func (p *player) act(line string) {
	w := strings.Fields(line)
	var out []byte
	var s *Stream
	id := 0
	if len(w) > 1 {
		if id, _ = strconv.Atoi(w[1]); id != 0 {
			s = p.c.Find(uint32(id))
		}
	}
	end := len(w) > 2 && (w[2] == "end" || len(w) > 3 && w[3] == "end")
	switch w[0] {
	case "respond":
		status, _ := strconv.Atoi(w[2])
		out = p.c.AppendHead(nil, s, headOf("", status, w[3:]), end)
	case "request":
		s, ok := p.c.Open(nil)
		if !ok {
			p.log = append(p.log, "no stream")
			return
		}
		out = p.c.AppendHead(nil, s, headOf(w[1], 0, w[2:]), end)
	case "send":
		text := []byte(w[len(w)-1])
		if text[0] == '*' {
			n, _ := strconv.Atoi(w[len(w)-1][1:])
			text = bytes.Repeat([]byte("d"), n)
		}
		var n int
		if out, n = p.c.AppendData(nil, s, text, end); n < len(text) {
			p.log = append(p.log, fmt.Sprintf("sent %d of %d", n, len(text)))
		}
	case "trailers":
		out = p.c.AppendTrailers(nil, s, headOf("", 0, w[2:]))
	case "consume":
		n := p.held[s.ID]
		if len(w) > 2 {
			n, _ = strconv.Atoi(w[2])
		}
		p.held[s.ID] -= n
		p.c.Consumed(s, n)
	case "forget":
		p.forget(s)
	case "reset":
		code, _ := strconv.Atoi(w[2])
		out = p.c.AppendReset(nil, s, ErrCode(code))
	case "goaway":
		code, _ := strconv.Atoi(w[2])
		out = p.c.AppendGoAway(nil, uint32(id), ErrCode(code))
	case "ping":
		out = p.c.AppendPing(nil, [8]byte([]byte(w[1])))
	case "keep":
		p.keep = true
	case "writable":
		if s := p.c.NextWritable(); s != nil {
			p.log = append(p.log, fmt.Sprintf("writable %d", s.ID))
		} else {
			p.log = append(p.log, "writable none")
		}
	default:
		panic("unknown action " + line)
	}
	p.sent.Write(out)
	if s != nil && w[0] != "forget" && s.Closed() && !p.keep && p.c.Find(uint32(id)) == s {
		p.forget(s)
	}
	p.c.verify()
	p.flush()
}

// headOf makes a head from name=value words. length=N sets its framing.
func headOf(method string, status int, words []string) *msg.Head {
	h := &msg.Head{Version: msg.HTTP11, Status: uint16(status), Framing: msg.BodyStream}
	if method != "" {
		h.Name, h.Method, h.Scheme = h.PutString(method), msg.LookupMethod([]byte(method)), msg.SchemeHTTP
		h.Authority, h.Target = h.PutString("a.example"), h.PutString("/x")
	}
	for _, w := range words {
		name, value, ok := strings.Cut(w, "=")
		switch {
		case !ok:
			h.Framing = msg.BodyNone // "end"
		case name == "length":
			h.Framing = msg.BodyLength
			h.Length, _ = strconv.ParseInt(value, 10, 64)
		case name == "protocol":
			h.Protocol = h.PutString(value)
		default:
			h.Add(msg.LookupField([]byte(name)), name, []byte(value))
		}
	}
	return h
}

// sentText lists the frames in b.
func sentText(t testing.TB, b []byte) (lines []string) {
	dec := xhpack.NewDecoder(4096, nil)
	var block []byte
	for len(b) > 0 {
		f := parseFrame(b)
		p := b[frameHeaderBytes : frameHeaderBytes+f.length]
		b = b[frameHeaderBytes+f.length:]
		end := ""
		if f.has(flagEndStream) {
			end = " end"
		}
		switch f.kind {
		case frameData:
			lines = append(lines, fmt.Sprintf("data %d %d%s", f.id, len(p), end))
		case frameHeaders, frameContinuation:
			block = append(block, p...)
			if !f.has(flagEndHeaders) {
				lines = append(lines, fmt.Sprintf("open %d%s", f.id, end))
				continue
			}
			fields, err := dec.DecodeFull(block)
			if err != nil {
				t.Fatalf("we sent a block that cannot be decoded: %v", err)
			}
			block = nil
			line := fmt.Sprintf("headers %d%s", f.id, end)
			for _, f := range fields {
				line += " " + f.Name + "=" + f.Value
			}
			lines = append(lines, line)
		case frameReset:
			lines = append(lines, fmt.Sprintf("reset %d %v", f.id, ErrCode(binary.BigEndian.Uint32(p))))
		case frameSettings:
			lines = append(lines, map[bool]string{true: "settings-ack", false: fmt.Sprintf("settings %x", p)}[f.has(flagAck)])
		case framePing:
			lines = append(lines, fmt.Sprintf("ping %s%s", map[bool]string{true: "ack ", false: ""}[f.has(flagAck)], p))
		case frameGoAway:
			lines = append(lines, fmt.Sprintf("goaway %d %v", binary.BigEndian.Uint32(p), ErrCode(binary.BigEndian.Uint32(p[4:]))))
		case frameWindow:
			lines = append(lines, fmt.Sprintf("window %d %d", f.id, binary.BigEndian.Uint32(p)))
		default:
			t.Fatalf("we sent a frame of type %d", f.kind)
		}
	}
	return lines
}

// run plays a case with the input cut by cut, which gets what is left and says how much to give next.
func (c *wireCase) run(t *testing.T, cut func(n int) int) {
	cfg := c.cfg
	p, from := newPlayer(&cfg), newPeer()
	steps := c.steps
	if !c.bare {
		setup := []string{"> preface", "> settings", "> settings-ack"}
		if !c.server {
			setup = setup[1:]
		}
		steps = append(setup, steps...)
	}
	for i, step := range steps {
		if action, ok := strings.CutPrefix(step, "! "); ok {
			p.act(action)
			continue
		}
		if err := from.line(step[2:]); err != nil {
			t.Fatal(err)
		}
		if i+1 < len(steps) && steps[i+1][0] == '>' {
			continue // give adjoining frames together, so that cuts go across them
		}
		for b := from.out.Next(from.out.Len()); len(b) > 0; {
			n := cut(len(b))
			p.feed(b[:n:n])
			b = b[n:]
		}
	}
	want, sent := c.want, c.wantSent
	if !c.bare {
		want, sent = append([]string{"settings"}, want...), append([]string{"settings-ack"}, sent...)
	}
	compare(t, "events", shorten(p.log), want)
	compare(t, "frames sent", sentText(t, p.sent.Bytes()), sent)
}

// shorten writes the d's that "*N" stands for as "@N".
func shorten(log []string) []string {
	for i, line := range log {
		if n := strings.Count(line, "d"); n > 100 {
			all := strings.Repeat("d", n-1) // "data" has one of its own
			log[i] = strings.Replace(line, " "+all, fmt.Sprintf(" @%d", n-1), 1)
			if strings.HasSuffix(line, " end") {
				log[i] = strings.Replace(line, " "+all[1:], fmt.Sprintf(" @%d", n-2), 1)
			}
		}
	}
	return log
}

func compare(t *testing.T, what string, got, want []string) {
	t.Helper()
	if g, w := strings.Join(got, "\n  "), strings.Join(want, "\n  "); g != w {
		t.Errorf("%s:\n  %s\nwant:\n  %s", what, g, w)
	}
}

func TestWire(t *testing.T) {
	for _, c := range loadWire(t) {
		t.Run(c.file+"/"+c.name, func(t *testing.T) {
			for _, way := range []struct {
				name string
				cut  func(n int) int
			}{
				{"whole", func(n int) int { return n }},
				{"by bytes", func(int) int { return 1 }},
				{"at random", randomCut(1)},
				{"at random again", randomCut(2)},
			} {
				if !t.Run(way.name, func(t *testing.T) { c.run(t, way.cut) }) {
					return
				}
			}
		})
	}
}

func randomCut(seed uint64) func(int) int {
	r := rand.New(rand.NewPCG(seed, seed))
	return func(n int) int { return 1 + r.IntN(min(n, 40)) }
}
