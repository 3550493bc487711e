package config

import (
	"fmt"
	"strings"
	"testing"
)

const running = `
[global]
limits = "edge"
workers = 2
[limits.edge]
[timeouts.web]
[frontend.web]
bind = [{ address = "127.0.0.1:80" }, { address = "127.0.0.1:81" }]
backend = "api"
timeouts = "web"
[frontend.old]
bind = [{ address = "127.0.0.1:82" }]
backend = "api"
[backend.api]
servers = [{ name = "a", address = "127.0.0.1:1" }, { name = "b", address = "127.0.0.1:2" }]
`

func diffText(t *testing.T, from, to string) string {
	t.Helper()
	var b strings.Builder
	for _, c := range Diff(mustParse(t, from), mustParse(t, to)) {
		if c.Action != Keep {
			fmt.Fprintf(&b, "%s %s %s", c.Action, c.Kind, c.Name)
			for _, k := range c.Keys {
				fmt.Fprintf(&b, " %s:%s>%s", k.Key, k.Old, k.New)
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func TestDiff(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"nothing", "", "", ""},
		{"a comment and the order of keys", "[limits.edge]", "# new\n[limits.edge]", ""},
		{"a weight", `"127.0.0.1:2" }`, `"127.0.0.1:2", weight = 5 }`,
			"change backend api servers:[{ name = \"a\", address = \"127.0.0.1:1\", weight = 1, max-conn = 0 }, { name = \"b\", address = \"127.0.0.1:2\", weight = 1, max-conn = 0 }]>" +
				"[{ name = \"a\", address = \"127.0.0.1:1\", weight = 1, max-conn = 0 }, { name = \"b\", address = \"127.0.0.1:2\", weight = 5, max-conn = 0 }]\n" +
				"change server api/b weight:1>5\n"},
		{"a limit", "[limits.edge]", "[limits.edge]\nmax-conn = 5", "change limits edge max-conn:20000>5\n"},
		{"a timeout reaches who uses it", "[timeouts.web]", "[timeouts.web]\nclient = \"1s\"",
			"change timeouts web client:\"30s\">\"1s\"\nchange frontend web timeouts.client:\"30s\">\"1s\"\n"},
		{"a frontend goes, another comes", "[frontend.old]\nbind = [{ address = \"127.0.0.1:82\"", "[frontend.new]\nbind = [{ address = \"127.0.0.1:83\"",
			"add frontend new\ndrain frontend old\ndrain listener 127.0.0.1:82\nadd listener 127.0.0.1:83\n"},
		{"a listener moves", "127.0.0.1:82", "127.0.0.1:84",
			"change frontend old bind:[{ address = \"127.0.0.1:82\", alpn = [\"h2\", \"http/1.1\"], h3 = false }]>[{ address = \"127.0.0.1:84\", alpn = [\"h2\", \"http/1.1\"], h3 = false }]\n" +
				"drain listener 127.0.0.1:82\nadd listener 127.0.0.1:84\n"},
		{"workers", "workers = 2", "workers = 3", "change global  workers:2>3\n"},
	} {
		if got := diffText(t, running, strings.Replace(running, c.old, c.new, 1)); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestSameConnections(t *testing.T) {
	base := mustParse(t, running).Backends[0]
	for keys, want := range map[string]bool{
		"":                            true,
		"balance = \"least-conn\"":    true,
		"pool-warm-conn = 3":          true,
		"reuse = \"always\"":          true,
		"reuse = \"never\"":           false,
		"multiplex = false":           false,
		"h2 = \"h2c\"":                false,
		"tls = { enabled = true }":    false,
		"source = \"127.0.0.9\"":      false,
		"send-proxy = \"v1\"":         false,
		"[backend.b]\nh2 = \"h2c\"\n": true,
	} {
		if got := base.SameConnections(mustParse(t, running+keys).Backends[0]); got != want {
			t.Errorf("%q: %v", keys, got)
		}
	}
}

func TestNeedsRestart(t *testing.T) {
	from := mustParse(t, running)
	to := mustParse(t, strings.Replace(running, "workers = 2", "workers = 3\nlog-level = \"debug\"\nruntime-socket = \"/x\"", 1))
	if got := NeedsRestart(from, to); fmt.Sprint(got) != "[runtime-socket workers]" {
		t.Errorf("%v", got)
	}
	if got := NeedsRestart(from, from); len(got) != 0 {
		t.Errorf("%v", got)
	}
}
