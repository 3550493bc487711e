package h2

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"weir/internal/msg"
)

// fuzzPlayer reacts to events in a way that does not depend on how the input was cut: it consumes bodies when they have
// ended, answers whole requests, and gives up streams that are over.
type fuzzPlayer struct {
	*player
	server bool
}

func newFuzzPlayer(server bool) *fuzzPlayer {
	cfg := DefaultConfig(server)
	cfg.InitialWindow, cfg.MaxHeaderList, cfg.MaxConcurrentStreams = 2000, 2048, 5
	p := &fuzzPlayer{newPlayer(&cfg), server}
	if !server {
		for _, method := range []string{"GET", "HEAD", "POST", "GET"} {
			p.act("request " + method + map[bool]string{true: "", false: " end"}[method == "POST"])
		}
		p.act("forget 7")
	}
	return p
}

// play gives the input in pieces and returns everything that came of it.
func (p *fuzzPlayer) play(input []byte, cut func(n int) int) string {
	for len(input) > 0 && p.c.Err() == nil {
		n := cut(len(input))
		p.piece(input[:n:n])
		input = input[n:]
	}
	p.flush()
	return strings.Join(p.log, "\n")
}

func (p *fuzzPlayer) piece(b []byte) {
	p.input = append(p.input, b...)
	for p.c.Err() == nil {
		ev, n, err := p.c.Recv(p.input, &p.h, 1)
		if n > len(p.input) || ev.Kind == EventNone && err == nil && len(p.input)-n > RecvBytesMin {
			panic(fmt.Sprintf("took %d of %d bytes", n, len(p.input)))
		}
		p.input = p.input[n:]
		if err != nil {
			p.log = append(p.log, "error "+err.Error())
			return
		}
		p.react(ev)
		p.c.verify()
		if ev.Kind == EventNone {
			return
		}
	}
}

func (p *fuzzPlayer) react(ev Event) {
	s := ev.Stream
	if ev.End && s != nil {
		p.c.Consumed(s, p.held[s.ID]+len(ev.Data))
		p.held[s.ID] = -len(ev.Data)
	}
	p.on(ev)
	if len(p.h.Buf) > 2*int(p.c.cfg.MaxHeaderList) || len(p.h.Fields) > msg.SectionLinesMax {
		panic("head above its bound")
	}
	if ev.End && p.server && p.c.Find(s.ID) == s && s.sendable() {
		p.act(fmt.Sprintf("respond %d 200", s.ID))
		p.act(fmt.Sprintf("send %d end hello", s.ID))
	}
	if ev.Kind == EventWindow || ev.Kind == EventSettings {
		for s := p.c.NextWritable(); s != nil; s = p.c.NextWritable() {
			p.act(fmt.Sprintf("send %d end *%d", s.ID, min(5, p.c.SendRoom(s))))
		}
	}
}

func fuzzRecv(t *testing.T, server bool, input []byte) {
	if len(input) > 20000 {
		return // nothing new, and the logs are compared byte by byte
	}
	whole := newFuzzPlayer(server).play(input, func(n int) int { return n })
	r := rand.New(rand.NewPCG(uint64(len(input)), 1))
	for name, cut := range map[string]func(int) int{
		"byte by byte": func(int) int { return 1 },
		"at random":    func(n int) int { return 1 + r.IntN(min(n, 100)) },
	} {
		if got := newFuzzPlayer(server).play(input, cut); got != whole {
			t.Fatalf("%s:\n%s\nwhole:\n%s", name, got, whole)
		}
	}
}

// seeds are the inputs of all wire cases of a role, so that fuzzing starts from every state there is.
func seeds(f *testing.F, server bool) {
	t := &testing.T{}
	for _, c := range loadWire(t) {
		if c.server != server {
			continue
		}
		p := newPeer()
		if !c.bare {
			if server {
				lines(p, "preface")
			}
			lines(p, "settings\nsettings-ack")
		}
		for _, step := range c.steps {
			if frame, ok := strings.CutPrefix(step, "> "); ok {
				p.line(frame)
			}
		}
		if p.out.Len() < 20000 {
			f.Add(p.out.Bytes())
		}
	}
}

// Any bytes to a server: no panic, balanced books, and the same events however the bytes are cut.
func FuzzServerRecv(f *testing.F) {
	seeds(f, true)
	f.Fuzz(func(t *testing.T, input []byte) { fuzzRecv(t, true, input) })
}

// Any bytes to a client with requests under way.
func FuzzClientRecv(f *testing.F) {
	seeds(f, false)
	f.Fuzz(func(t *testing.T, input []byte) { fuzzRecv(t, false, input) })
}
