package h2

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"testing"

	xhpack "golang.org/x/net/http2/hpack"
)

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
		p.out.WriteString(Preface)
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
