package msg

import (
	"net/netip"
	"strings"
	"testing"
)

func TestValidAuthority(t *testing.T) {
	for _, good := range []string{
		"a", "a.example", "A.Example:80", "127.0.0.1", "a.example:", "a.example:65535", "a-b_c~d", "xn--bcher-kva.example",
		"a!$&'()*+;=b", "%41.example", "a%2e:8", "[::1]", "[::1]:8080", "[::1]:", "[2001:db8::1]",
		"[::ffff:192.0.2.1]", "[1:2:3:4:5:6:7:8]",
	} {
		if !ValidAuthority([]byte(good)) {
			t.Errorf("%q refused", good)
		}
	}
	for _, bad := range []string{
		"", ":", ":80", "a.example:80:81", "a.example:99999", "a.example:65536", "a:000080", "a:8a", "a:-1", "u@a.example",
		"a.example b", " a", "a ", "a,b", "a/b", "a?b", "a#b", "a\\b", "a\x00b", "caf\xc3\xa9", "%4", "%", "a%zz", "%:80", "\"a\"",
		"[", "[]", "[::1", "::1", "[::1]x", "[::1]:x", "[::1]80", "[::g]", "[v1.fe]", "[fe80::1%25eth0]", "[1:2:3]",
	} {
		if ValidAuthority([]byte(bad)) {
			t.Errorf("%q accepted", bad)
		}
	}
}

// The oracle for IPv6 literals is net/netip.
func FuzzIPv6(f *testing.F) {
	for _, s := range []string{"::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1::3:4:5:6:7:8",
		":::", "1:::2", "::1::", ":1", "1:", "12345::", "::1.2.3.4", "1.2.3.4", "::1.2.3", "::1.2.3.4.5", "::256.1.1.1",
		"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:7:1.2.3.4", "::01.2.3.4", "::1.2.3.4:5", "::f.2.3.4", "1:2:3:4:5:6:7:8:9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := netip.ParseAddr(s)
		want := err == nil && a.Is6() && a.Zone() == "" && !strings.Contains(s, "%")
		if got := validIPv6([]byte(s)); got != want {
			t.Errorf("validIPv6(%q) = %v", s, got)
		}
	})
}
