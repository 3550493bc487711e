package h1

import (
	"bufio"
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"weir/internal/msg"
)

var update = flag.Bool("update", false, "write what the reader does into testdata/*.wire")

// A wireCase is one case of a .wire file:
//
//	# what it shows, and the section that asks for it
//	requests                      (or: responses GET HEAD CONNECT GET+upgrade, the requests answered; then maybe: eof)
//	"bytes\r\n"                   (Go strings, one after the other)
//	=>
//	event log
type wireCase struct {
	title  string
	setup  string
	stream []byte
	quoted []string
	want   string
}

func loadWire(t testing.TB, file string) (cases []*wireCase) {
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var c *wireCase
	log := false
	for lines := bufio.NewScanner(bytes.NewReader(raw)); lines.Scan(); {
		l := lines.Text()
		switch {
		case strings.HasPrefix(l, "# "):
			c, log = &wireCase{title: l}, false
			cases = append(cases, c)
		case l == "":
		case log:
			c.want += l + "\n"
		case l == "=>":
			log = true
		case l[0] == '"':
			s, err := strconv.Unquote(l)
			if err != nil {
				t.Fatalf("%s: %s: %v", file, l, err)
			}
			c.quoted = append(c.quoted, l)
			c.stream = append(c.stream, s...)
		default:
			c.setup = l
		}
	}
	return cases
}

// asked reads the case's second line.
func (c *wireCase) asked(t testing.TB) (asked []request, eof bool) {
	words := strings.Fields(c.setup)
	if len(words) > 0 && words[len(words)-1] == "eof" {
		eof = true
		words = words[:len(words)-1]
	}
	switch {
	case len(words) == 1 && words[0] == "requests":
		return nil, eof
	case len(words) == 0 || words[0] != "responses":
		t.Fatalf("%s: what is %q?", c.title, c.setup)
	}
	asked = []request{}
	for _, w := range words[1:] {
		name, upgrade := strings.CutSuffix(w, "+upgrade")
		asked = append(asked, request{msg.LookupMethod([]byte(name)), upgrade})
	}
	return asked, eof
}

func wireFiles(t testing.TB) []string {
	files, err := filepath.Glob("testdata/*.wire")
	if err != nil || len(files) == 0 {
		t.Fatal("no .wire files", err)
	}
	return files
}

func TestWire(t *testing.T) {
	for _, file := range wireFiles(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".wire"), func(t *testing.T) {
			cases := loadWire(t, file)
			for _, c := range cases {
				t.Run(c.title[2:], func(t *testing.T) { runWire(t, c) })
			}
			if *update {
				writeWire(t, file, cases)
			}
		})
	}
}

func runWire(t *testing.T, c *wireCase) {
	asked, eof := c.asked(t)
	got := sameForAnyCut(t, c.stream, asked, eof)
	s := got.String()
	if *update {
		c.want = s
	} else if s != c.want {
		t.Errorf("got\n%swant\n%s", s, c.want)
	}
	if got.err != nil || eof || !got.r.Idle() || got.used < len(c.stream) {
		return
	}
	// A message that went well leaves the reader as it was: the same again must read the same.
	twice := sameForAnyCut(t, slices.Concat(c.stream, c.stream), slices.Concat(asked, asked), false)
	if got := twice.String(); got != s+s {
		t.Errorf("the second time\n%sthe first time\n%s", got, s)
	}
}

func writeWire(t *testing.T, file string, cases []*wireCase) {
	var b bytes.Buffer
	for i, c := range cases {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(c.title + "\n" + c.setup + "\n" + strings.Join(c.quoted, "\n") + "\n=>\n" + c.want)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
