package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The reference in docs/configuration.md names every key of every table with its type, default and range as they are
// here, in this order, and no other.
func TestReferenceIsTheSchema(t *testing.T) {
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, s := range Schema() {
		want = append(want, "## "+s.Name)
		for _, k := range s.Keys {
			def := k.Default
			switch {
			case k.Required:
				def = "required"
			case def != "":
				def = "`" + def + "`"
			}
			want = append(want, strings.Join([]string{"`" + k.Name + "`", k.Kind, def, k.Allowed}, " | "))
		}
	}
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, "## ") {
			got = append(got, line)
		}
		if cells := strings.Split(line, "|"); strings.HasPrefix(line, "| `") && len(cells) == 7 {
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			got = append(got, strings.Join(cells[1:5], " | "))
			if len(cells[5]) < 10 {
				t.Errorf("%s: the meaning is missing", cells[1])
			}
		}
	}
	for i := range max(len(want), len(got)) {
		w, g := "nothing", "nothing"
		if i < len(want) {
			w = want[i]
		}
		if i < len(got) {
			g = got[i]
		}
		if w != g {
			t.Fatalf("the reference has\n\t%s\nwhere the program has\n\t%s", g, w)
		}
	}
}

func TestExamplesAreValid(t *testing.T) {
	files, err := filepath.Glob("../../docs/examples/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, path := range append(files, "../../weir.toml") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, r := parse(path, text, t.TempDir(), testNow)
		for i := range r.Problems {
			// The files that an example names are the reader's.
			if p := &r.Problems[i]; !strings.Contains(p.Message, "cannot read") {
				t.Errorf("%s", p.Text())
			}
		}
	}
}
