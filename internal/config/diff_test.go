package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
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
	to := mustParse(t, strings.Replace(running, "workers = 2", "workers = 3\npin-cpus = false\naccess-log = \"stdout\"\nlog-level = \"debug\"\nruntime-socket = \"/x\"", 1))
	if got := NeedsRestart(from, to); fmt.Sprint(got) != "[pin-cpus runtime-socket workers]" {
		t.Errorf("%v", got)
	}
	KeepStartKeys(from, to)
	if got := NeedsRestart(from, to); len(got) != 0 || to.Global.LogLevel == from.Global.LogLevel {
		t.Errorf("%v, %+v", got, to.Global)
	}
	if got := NeedsRestart(from, from); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

func TestDiffTextSeesWhatDiffSees(t *testing.T) {
	a := newAuthority(t)
	a.issue("site", testNow.Add(-time.Hour), testNow.AddDate(1, 0, 0))
	a.write("sorry.html", []byte("sorry"))
	text := tlsFile("certificates = [{ cert = \"site.pem\", key = \"site.key\" }]") + "\n[frontend.g]\nbind = [{ address = \":81\" }]\nbackend = \"b\"\nerror-pages = { 503 = \"sorry.html\" }\n"
	from, r := a.parse(text)
	if !r.OK() {
		t.Fatal(r.Err())
	}
	check := func(step string) {
		t.Helper()
		to, r := a.parse(text)
		if !r.OK() {
			t.Fatal(r.Err())
		}
		got, err := DiffText(from.WriteTOML(), to)
		if err != nil {
			t.Fatal(err)
		}
		if want := Diff(from, to); summary(got) != summary(want) {
			t.Errorf("%s:\ngot  %s\nwant %s", step, summary(got), summary(want))
		}
		if changed := strings.Contains(summary(got), "change"); changed != (step != "nothing") {
			t.Errorf("%s: %s", step, summary(got))
		}
	}
	check("nothing")
	a.write("sorry.html", []byte("very sorry"))
	check("an error page")
	a.issue("site", testNow.Add(-time.Hour), testNow.AddDate(2, 0, 0))
	check("a renewed certificate")
	text = strings.Replace(text, "127.0.0.1:1", "127.0.0.1:2", 1)
	check("a server")

	if _, err := DiffText("[frontend.f]\nno-such-key = 1\n", from); err == nil {
		t.Error("a configuration of some other weir was understood")
	}
}

func summary(cs []Change) string {
	var b strings.Builder
	for _, c := range cs {
		keys := []string{}
		for _, k := range c.Keys {
			keys = append(keys, k.Key)
		}
		slices.Sort(keys)
		fmt.Fprintln(&b, c.Kind, c.Name, c.Action, keys, c.Note)
	}
	return b.String()
}

func TestRuntimeSocketOfAFileWithErrors(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"": "/run/weir/weir.sock", "[global]\nruntime-socket = \"/x\"\nwrong = 1\n[frontend.a]\nbind = 5\n": "/x",
		"[global]\nruntime-socket = \"w.sock\"\nbroken = \n": filepath.Join(dir, "w.sock"), "[global]\nruntime-socket = 5\n": "error",
	} {
		path := filepath.Join(dir, "weir.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := RuntimeSocket(path)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%q: %s %v", text, got, err)
		}
	}
	if _, err := RuntimeSocket(filepath.Join(dir, "none")); err == nil {
		t.Error("a missing file has a socket")
	}
}
