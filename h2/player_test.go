package h2

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"weir/internal/msg"
)

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
