package report

import (
	"strings"
	"testing"
)

// What one scenario saves over another is a figure of its own, for every contender that has both.
func TestSavings(t *testing.T) {
	r := sample(1, 1, 1)
	thrifty := sample(1, 0.5, 1).Scenarios[0] // half the CPU for weir, the same for the others
	thrifty.Name, thrifty.Saves, thrifty.Over = "h1-again", "CPU saved by coming again", "h1"
	thrifty.Rows[2].Fail("broke")
	r.Scenarios = append(r.Scenarios, thrifty)
	var out strings.Builder
	r.WriteSavings(&out)
	got := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(got) != 3 || got[0] != "CPU saved by coming again (h1-again against h1)" {
		t.Fatalf("%q", got)
	}
	for i, want := range []string{"weir 50 % (", "haproxy 0 % (0 µs of"} {
		if line := strings.Join(strings.Fields(got[i+1]), " "); !strings.HasPrefix(line, want) {
			t.Errorf("%q, want %q", line, want)
		}
	}
	var b strings.Builder
	r.savingsMarkdown(&b)
	if text := b.String(); !strings.Contains(text, "CPU saved by coming again (`h1-again` against `h1`):\n\n- weir: 50 % (") {
		t.Errorf("%s", text)
	}
	out.Reset()
	r.Scenarios = r.Scenarios[1:] // the other scenario did not run
	if r.WriteSavings(&out); out.Len() > 0 {
		t.Errorf("%s", out.String())
	}
}
