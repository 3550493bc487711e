package config

import (
	"testing"

	"pgregory.net/rapid"
)

func TestDidYouMean(t *testing.T) {
	keys := []string{"max-conn", "max-conn-rate", "pool-warm-conn", "http-keep-alive", "x-forwarded-for", "forwarded", "warn", "tls"}
	for word, want := range map[string]string{
		"max-con": "max-conn", "maxconn": "max-conn", "max_conn": "max-conn", "conn-max": "max-conn", "MAX-CONN": "max-conn",
		"http-keepalive": "http-keep-alive", "keep_alive_http": "http-keep-alive", "x-forwarded": "x-forwarded-for",
		"warning": "warn", "tsl": "tls", "pool-warm-conns": "pool-warm-conn", "forwrded": "forwarded",
		"colour": "", "": "", "zzz": "",
	} {
		if got := nearest(word, keys); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

// The distance is a metric where two words can be compared at all, and one typing error is one step.
func TestEditDistance(t *testing.T) {
	word := rapid.StringMatching(`[a-d]{0,8}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		d := editDistance(a, b)
		if (d == 0) != (a == b) {
			t.Fatalf("%q %q: %d", a, b, d)
		}
		if d != editDistance(b, a) {
			t.Fatalf("%q %q is not symmetric", a, b)
		}
		if d > max(len(a), len(b)) || d < len(a)-len(b) || d < len(b)-len(a) {
			t.Fatalf("%q %q: %d is out of bounds", a, b, d)
		}
		if i := rapid.IntRange(0, len(a)).Draw(t, "i"); editDistance(a, a[:i]+"x"+a[i:]) != 1 {
			t.Fatalf("an inserted letter is not one step")
		}
		if len(a) > 1 {
			i := rapid.IntRange(0, len(a)-2).Draw(t, "swap")
			s := a[:i] + string(a[i+1]) + string(a[i]) + a[i+2:]
			if a != s && editDistance(a, s) != 1 {
				t.Fatalf("%q %q: neighbours swapped are not one step", a, s)
			}
		}
	})
}
