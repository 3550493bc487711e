package h2

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	xhpack "golang.org/x/net/http2/hpack"

	"weir/internal/msg"
)

// vector is one of testdata/h2requests.json: field sections as a client sends them, and what may become of them.
type vector struct {
	ID, Desc string
	Steps    []struct {
		H    [][2]string
		D    *string
		End  bool
		Bomb int
	}
	Accept []struct {
		Do   string
		Reqs []struct {
			Method, Target string
			Body           *string
			Hdr            map[string]string
			Nohdr          []string
		}
	}
}

// outcome is what crossed the codec and the vetting behind it.
type outcome struct {
	refused bool // by the codec, or by a status the caller was told to give
	vetted  bool // refused by msg.VetRequest
	head    msg.Head
	body    []byte
}

// latin1 turns code points into octets, which is how the vectors write them.
func latin1(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		b = append(b, byte(r))
	}
	return string(b)
}

func (v *vector) wire() []byte {
	p := newPeer()
	lines(p, "preface\nsettings\nsettings-ack")
	for _, step := range v.Steps {
		end := uint8(0)
		if step.End {
			end = flagEndStream
		}
		switch {
		case step.Bomb > 0:
			block := p.fields(shorthands.Replace("@get | x-bomb=" + strings.Repeat("a", 3900)))
			v.split(p, append(block, bytes.Repeat([]byte{0xbe}, step.Bomb)...), flagEndStream)
		case step.D != nil:
			p.frame(frameData, end, 1, []byte(latin1(*step.D)))
		case step.H != nil:
			p.block.Reset()
			for _, kv := range step.H {
				p.enc.WriteField(xhpack.HeaderField{Name: latin1(kv[0]), Value: latin1(kv[1])})
			}
			v.split(p, bytes.Clone(p.block.Bytes()), end)
		}
	}
	return p.out.Bytes()
}

// split sends a block in frames of 16000 bytes.
func (v *vector) split(p *peer, block []byte, flags uint8) {
	kind := frameHeaders
	for len(block) > 16000 {
		p.frame(kind, flags, 1, block[:16000])
		block, kind, flags = block[16000:], frameContinuation, 0
	}
	p.frame(kind, flags|flagEndHeaders, 1, block)
}

func (v *vector) run() (o outcome) {
	cfg := DefaultConfig(true)
	c := New(&cfg, &Slab{})
	c.AppendPreface(nil, 1)
	var h msg.Head
	for b := v.wire(); ; {
		ev, n, err := c.Recv(b, &h, 1)
		if err != nil {
			o.refused = true
			return o
		}
		b = b[n:]
		switch ev.Kind {
		case EventNone:
			return o
		case EventRefused, EventReset:
			o.refused = true
		case EventHead:
			o.refused = ev.TooLarge
			o.vetted = msg.VetRequest(&h) != nil
			o.head.CopyFrom(&h)
		case EventData:
			o.body = append(o.body, ev.Data...)
		}
	}
}

func TestCorpus(t *testing.T) {
	text, err := os.ReadFile("testdata/h2requests.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Count   int
		Vectors []vector
	}
	if err := json.Unmarshal(text, &file); err != nil || len(file.Vectors) != file.Count {
		t.Fatalf("%d vectors of %d: %v", len(file.Vectors), file.Count, err)
	}
	for _, v := range file.Vectors {
		t.Run(v.ID, func(t *testing.T) {
			o := v.run()
			for i := range v.Accept {
				if v.matches(i, &o) {
					return
				}
			}
			t.Errorf("%s: refused %v, vetted %v, %s, body %q", v.Desc, o.refused, o.vetted, headText(&o.head), o.body)
		})
	}
}

// onlyVetted are the vectors that the codec passes on purpose: a CONNECT is well formed, and not for a reverse proxy.
var onlyVetted = map[string]bool{"ps40": true}

func (v *vector) matches(i int, o *outcome) bool {
	switch v.Accept[i].Do {
	case "reject":
		return o.refused || o.vetted && onlyVetted[v.ID]
	case "forward_any":
		return !o.refused && !o.vetted && o.head.Name.Len() > 0
	case "forward":
		want := v.Accept[i].Reqs[0]
		h := &o.head
		if o.refused || o.vetted || string(h.Bytes(h.Name)) != want.Method || string(h.Bytes(h.Target)) != want.Target {
			return false
		}
		if want.Body != nil && string(o.body) != latin1(*want.Body) {
			return false
		}
		for _, name := range want.Nohdr {
			if bytes.Contains(h.Buf, []byte(name)) {
				return false
			}
		}
		return want.Hdr["host"] == "" || want.Hdr["host"] == string(h.Bytes(h.Authority))
	}
	return false
}
