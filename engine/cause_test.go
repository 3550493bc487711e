package engine

import (
	"slices"
	"strings"
	"testing"
)

// What operators match on: the reasons of the answers that weir makes for servers and limits, by status. Causes that share a word
// differ in the error type of Proxy-Status.
func TestReasonsOfAnswers(t *testing.T) {
	want := map[uint16][]string{
		429: {"limit:max-sess-rate", "limit:rate-limit-sessions"},
		502: {"bad-response", "server-closed", "stale-connection"},
		503: {"connect-failed", "connect-timeout", "draining", "no-server", "queue-full", "queue-timeout",
			"no-descriptors"}, // the process has run out of them: no limit of the configuration says so
		504: {"server-timeout"},
	}
	seen := map[uint16][]string{}
	for _, c := range causes {
		if want[c.status] == nil || c.status == 503 && strings.HasPrefix(c.word, "limit:") {
			continue
		}
		if !slices.Contains(seen[c.status], c.word) {
			seen[c.status] = append(seen[c.status], c.word)
		}
		if !strings.Contains(string(c.proxyStatus), `; details="`+c.word+`"`) {
			t.Errorf("%d %s is announced as %s", c.status, c.word, c.proxyStatus)
		}
	}
	for status, words := range want {
		slices.Sort(words)
		slices.Sort(seen[status])
		if !slices.Equal(seen[status], words) {
			t.Errorf("%d: %v, want %v", status, seen[status], words)
		}
	}
}
