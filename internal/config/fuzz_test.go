package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

// FuzzParse checks what holds for any file: the loader does not fail, every problem points into the file, there is a
// Config exactly when there are no errors, what TOML forbids is an error, and the effective configuration written as a
// file means the same again.
func FuzzParse(f *testing.F) {
	for _, dir := range []string{"testdata/check", "testdata/good"} {
		files, err := filepath.Glob(dir + "/*.toml")
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range files {
			text, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<14 {
			return
		}
		c, r := parse("fuzz.toml", text, dir, testNow)
		checkReport(t, c, r, text)
		var any map[string]any
		if err := toml.Unmarshal(text, &any); err != nil && r.OK() {
			t.Errorf("accepted, though it is not TOML: %v", err)
		}
		if c == nil {
			return
		}
		c.WriteJSON() // panics when it is none
		again, r := parse("again.toml", []byte(c.WriteTOML()), dir, testNow)
		if !r.OK() {
			t.Fatalf("the effective configuration is not accepted: %v\n%s", r.Err(), c.WriteTOML())
		}
		for _, ch := range Diff(c, again) {
			if ch.Action != Keep {
				t.Errorf("%+v", ch)
			}
		}
	})
}

func checkReport(t *testing.T, c *Config, r *Report, text []byte) {
	t.Helper()
	if (c == nil) != (r.Errors > 0) || r.OK() != (c != nil) {
		t.Fatalf("%d errors and config %v", r.Errors, c != nil)
	}
	lines := strings.Count(string(text), "\n") + 1
	for i := range r.Problems {
		p := &r.Problems[i]
		if p.Line < 1 || p.Line > lines || p.Column < 1 || p.Message == "" {
			t.Errorf("problem without a place: %+v", p)
		}
		if p.Width > 0 && p.Column > len([]rune(p.Source))+2 {
			t.Errorf("the caret stands outside of the line: %+v", p)
		}
		if strings.ContainsAny(p.String(), "\n\r\x00") || strings.ContainsAny(p.Source, "\n\x00") {
			t.Errorf("a problem must be one line: %q", p.String())
		}
		if !strings.Contains(p.Text(), p.Message) {
			t.Errorf("no message in %q", p.Text())
		}
	}
}

// FuzzTree compares the tree with the decoder of the TOML library: both refuse the same files.
func FuzzTree(f *testing.F) {
	for _, text := range []string{
		"a = 1\nb.c = 2\nb.d.e = [1, {x = 1}]\n[t.u]\nv = 'x'\n[t]\nw = 1\n[[l]]\nm = 1\n[[l]]\n[l.n]\n",
		"[a.b]\n[a]\nb.c = 1\n", "a.b = 1\n[a]\n", "[[a]]\n[a]\n", "a = {b = 1}\na.c = 2\n", "[a]\nb.c=1\n[a.b]\n", "[a]\nb.c=1\n[a.b.d]\n",
		"[a.b.c]\nz=9\n[a]\nb.c.t=1\n", "a=[{b=1}]\n[[a]]\n", "[[a.b]]\n[a]\nb=1\n", "a = {b.c=1, b.d=2}\n", "[a]\n[a.b]\n[a]\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<12 {
			return
		}
		l := &loader{src: newSource("f", text), report: &Report{}}
		l.parseTree()
		var any map[string]any
		err := toml.Unmarshal(text, &any)
		if (err != nil) != (len(l.report.Problems) > 0) {
			// Values out of range (dates, integers) are a matter of the decoder; the schema has no use for them.
			if err != nil && outOfRange(err.Error()) {
				return
			}
			t.Errorf("library: %v, tree: %v", err, l.report.Problems)
		}
	})
}

func outOfRange(s string) bool {
	for _, w := range []string{"range", "too large", "invalid date", "date", "time", "overflow", "day", "month", "hour", "second", "minute", "offset"} {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}
