package h2

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
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
