package config

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

const minimal = `
[frontend.web]
bind = [{ address = "127.0.0.1:8080" }]
backend = "api"

[backend.api]
servers = [{ name = "s1", address = "127.0.0.1:9001" }]
`

func TestMinimalFileIsComplete(t *testing.T) {
	c := mustParse(t, minimal)
	if c.Global != (Global{
		PinCPUs: true, Limits: c.Global.Limits, RuntimeSocket: "/run/weir/weir.sock",
		Admin: netip.MustParseAddrPort("127.0.0.1:9911"), HardStopAfter: 30 * time.Second, AccessLog: "off",
	}) {
		t.Errorf("global: %+v", c.Global)
	}
	f, b := c.Frontends[0], c.Backends[0]
	want := &Frontend{
		Name: "web", Binds: []*Bind{{Address: netip.MustParseAddrPort("127.0.0.1:8080"), ALPN: []string{"h2", "http/1.1"}}},
		Backend: b, Limits: f.Limits, Timeouts: f.Timeouts, H2MaxConcurrentStreams: 128, MaxHeadSize: 65536,
		Forwarded: ForwardedX, Via: "weir", RequestID: true, RetryAfter: time.Second,
	}
	if !reflect.DeepEqual(f, want) {
		t.Errorf("frontend: %+v", f)
	}
	wantB := &Backend{
		Name: "api", Servers: []*Server{{Name: "s1", Address: "127.0.0.1:9001", Addr: netip.MustParseAddrPort("127.0.0.1:9001"), Host: "127.0.0.1", Port: 9001, Weight: 1}},
		Reuse: ReuseSafe, ReuseMethods: ReuseMethodsSafe, Multiplex: true, ForwardClose: true, PoolMaxConn: -1, PoolPurgeDelay: 5 * time.Second,
		PoolMaxAge: time.Hour, MaxErrors: 3, SessionCache: 1000, Resolve: 10 * time.Second,
		Health: Health{Interval: 2 * time.Second, Rise: 2, Fall: 3}, Limits: b.Limits, Timeouts: b.Timeouts,
	}
	if !reflect.DeepEqual(b, wantB) {
		t.Errorf("backend: %+v", b)
	}
}

// behaviour: where no profile is attached nothing is limited, but for buffer size and retries; the queue keeps its bounds.
func TestNoProfileMeansNoLimits(t *testing.T) {
	c := mustParse(t, minimal)
	want := Limits{MaxBufferSize: 131072, MaxRetries: 3, QueueDepth: 1024, QueueTimeout: 5 * time.Second}
	for _, l := range []*Limits{c.Global.Limits, c.Frontends[0].Limits, c.Backends[0].Limits} {
		if *l != want {
			t.Errorf("got %+v", *l)
		}
	}
	wantT := Timeouts{
		HTTPRequest: 10 * time.Second, HTTPKeepAlive: time.Minute, Client: 30 * time.Second, ClientFin: 5 * time.Second,
		ServerFin: 5 * time.Second, Connect: 3 * time.Second, Server: 30 * time.Second, Tunnel: time.Hour,
		TCPKeepAlive: KeepAlive{Idle: time.Minute, Interval: 10 * time.Second, Count: 6},
	}
	for _, tm := range []*Timeouts{c.Frontends[0].Timeouts, c.Backends[0].Timeouts} {
		if *tm != wantT {
			t.Errorf("got %+v", *tm)
		}
	}
}

func TestEmptyProfileHasTheDefaultsOfEachAxis(t *testing.T) {
	c := mustParse(t, minimal+"[limits.edge]\n")
	want := Limits{
		Name: "edge", MaxConn: 20000, MaxConnRate: 10000, MaxSessRate: 10000, RateLimitSessions: 5000, MaxSSLConn: 5000,
		MaxSSLRate: 2000, MaxBufferSize: 131072, MaxRetries: 3, QueueDepth: 1024, QueueTimeout: 5 * time.Second,
	}
	if *c.Limits["edge"] != want {
		t.Errorf("got %+v", *c.Limits["edge"])
	}
}

// behaviour section 4: the table of modes and its overrides.
func TestReuseModesAndOverrides(t *testing.T) {
	for _, c := range []struct {
		keys    string
		methods ReuseMethods
		first   ReuseFirst
	}{
		{`reuse = "never"`, ReuseMethodsNone, ReuseFirstNever},
		{``, ReuseMethodsSafe, ReuseFirstNever},
		{`reuse = "safe"`, ReuseMethodsSafe, ReuseFirstNever},
		{`reuse = "aggressive"`, ReuseMethodsAll, ReuseFirstProven},
		{`reuse = "always"`, ReuseMethodsAll, ReuseFirstAny},
		{"reuse-methods = \"idempotent\"", ReuseMethodsIdempotent, ReuseFirstNever},
		{"reuse-first-request = \"any\"\nreuse = \"safe\"", ReuseMethodsSafe, ReuseFirstAny},
		{"reuse = \"always\"\nreuse-first-request = \"never\"\nreuse-methods = \"safe\"", ReuseMethodsSafe, ReuseFirstNever},
		{"reuse = \"never\"\nreuse-first-request = \"any\"\nreuse-methods = \"all\"", ReuseMethodsNone, ReuseFirstNever},
	} {
		b := mustParse(t, minimal+c.keys).Backends[0]
		if b.ReuseMethods != c.methods || b.ReuseFirst != c.first {
			t.Errorf("%q: %v, %v", c.keys, b.ReuseMethods, b.ReuseFirst)
		}
	}
}

// TestForwardCloseIsShownAsWritten: where multiplex gives it no meaning the engine does not look at it.
func TestForwardCloseIsShownAsWritten(t *testing.T) {
	for keys, want := range map[string]bool{
		"": true, "multiplex = false": true, "multiplex = false\nforward-close = false": false,
		"multiplex = true\nforward-close = true": true, "forward-close = false": false,
	} {
		if got := mustParse(t, minimal+keys).Backends[0].ForwardClose; got != want {
			t.Errorf("%q: %v", keys, got)
		}
	}
}

// TestAnEmptyFileIsRefused: it is what a reload finds while somebody writes the file.
func TestAnEmptyFileIsRefused(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing yet\n"} {
		if _, r := parseText(t, text); r.Errors != 1 || r.Err().Error() != "weir.toml:1:1: error: the file is empty" {
			t.Errorf("%q: %v", text, r.Err())
		}
	}
	mustParse(t, "[global]\n")
}

// TestAByteOrderMarkIsNoText: editors of other systems put it at the start of a file.
func TestAByteOrderMarkIsNoText(t *testing.T) {
	mustParse(t, "\ufeff"+minimal)
	_, r := parseText(t, "\ufeff[globl]\n"+minimal)
	if r.OK() || !strings.HasPrefix(r.Err().Error(), "weir.toml:1:2: error: unknown table [globl]") {
		t.Errorf("%v", r.Err())
	}
	if _, r = parseText(t, "[global]\n\ufeff"+minimal); r.OK() {
		t.Error("it was taken where it is no mark")
	}
}

func TestAdminListenerNeedsRoom(t *testing.T) {
	for _, c := range []struct{ admin, bind, want string }{
		{"127.0.0.1:80", "127.0.0.1:80", "admin: 127.0.0.1:80 is taken by [frontend.f] on line 4"},
		{"127.0.0.1:80", ":80", "admin: 127.0.0.1:80 is taken with 0.0.0.0:80 by [frontend.f] on line 4"},
		{"0.0.0.0:80", "127.0.0.1:80", "is taken"}, {"[::]:80", "127.0.0.1:80", "is taken"}, {"[::1]:80", "[::]:80", "is taken"},
		{"", ":9911", "address: 0.0.0.0:9911 takes 127.0.0.1:9911 too, which is where the admin listener is by default"},
		{"127.0.0.1:80", "127.0.0.2:80", ""}, {"127.0.0.1:80", "[::]:80", ""}, {"127.0.0.1:80", ":81", ""}, {"off", ":9911", ""},
	} {
		admin := ""
		if c.admin != "" {
			admin = fmt.Sprintf("admin = %q", c.admin)
		}
		_, r := parseText(t, fmt.Sprintf("[global]\n%s\n[frontend.f]\nbind = [{ address = %q }]\nbackend = \"b\"\n[backend.b]\n", admin, c.bind))
		if got := fmt.Sprint(r.Err()); r.OK() != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("admin %q, bind %q: %s", c.admin, c.bind, got)
		}
	}
}

func TestRuntimeSocketFitsIntoAnAddress(t *testing.T) {
	for n, ok := range map[int]bool{93: true, 94: false} { // and ".weir-4194304" beside it
		dir := "/" + strings.Repeat("d", n-1)
		_, r := parseText(t, fmt.Sprintf("[global]\nruntime-socket = %q\n", dir+"/s"))
		if r.OK() != ok || !ok && !strings.Contains(r.Err().Error(), "weir.toml:2:18: error: runtime-socket: the path "+dir+"/s is 1 bytes too long") {
			t.Errorf("a directory of %d bytes: %v", n, r.Err())
		}
	}
}

func TestBackendH2FollowsTLS(t *testing.T) {
	for keys, want := range map[string]BackendH2{
		"":                                 BackendH2Off,
		"h2 = true":                        BackendH2Off,
		"h2 = \"h2c\"":                     BackendH2C,
		"h2 = true\ntls = {enabled=true}":  BackendH2ALPN,
		"h2 = false\ntls = {enabled=true}": BackendH2Off,
		"h2 = \"h2c\"\ntls.enabled = true": BackendH2ALPN,
	} {
		if got := mustParse(t, minimal+keys).Backends[0].H2; got != want {
			t.Errorf("%q: %v", keys, got)
		}
	}
}

func TestServerAddresses(t *testing.T) {
	for text, want := range map[string]Server{
		"127.0.0.1:80":        {Host: "127.0.0.1", Port: 80, Addr: netip.MustParseAddrPort("127.0.0.1:80")},
		"[::1]:80":            {Host: "::1", Port: 80, Addr: netip.MustParseAddrPort("[::1]:80")},
		"[::ffff:10.0.0.1]:1": {Host: "::ffff:10.0.0.1", Port: 1, Addr: netip.MustParseAddrPort("10.0.0.1:1")},
		"app.example.com:443": {Host: "app.example.com", Port: 443},
		"localhost:65535":     {Host: "localhost", Port: 65535},
	} {
		want.Name, want.Address, want.Weight = text, text, 1
		c := mustParse(t, "[backend.b]\nservers = [{ address = \""+text+"\" }]")
		if got := *c.Backends[0].Servers[0]; got != want {
			t.Errorf("%s: %+v", text, got)
		}
	}
	for _, text := range []string{"", ":80", "a", "a:0", "a:65536", "a:http", "::1:80", "[::1]", "[1.2.3.4]:80", "0.0.0.0:80", "10.0.0.256:80", "a b:80", "-a:80", "unix:/run/x"} {
		if c, _ := parseText(t, "[backend.b]\nservers = [{ address = \""+text+"\" }]"); c != nil {
			t.Errorf("%q was accepted: %+v", text, c.Backends[0].Servers[0])
		}
	}
}

func TestListenAddresses(t *testing.T) {
	for text, want := range map[string]string{
		"*:80": "0.0.0.0:80", ":80": "0.0.0.0:80", "localhost:80": "127.0.0.1:80", "[::]:80": "[::]:80", "[::ffff:1.2.3.4]:80": "1.2.3.4:80",
	} {
		if got, err := parseListen(text); err != nil || got.String() != want {
			t.Errorf("%s: %v %v", text, got, err)
		}
	}
	for _, text := range []string{"", "80", "example.com:80", "1.2.3.4:0", "1.2.3.4:", "::1:80"} {
		if got, err := parseListen(text); err == nil {
			t.Errorf("%q was accepted: %v", text, got)
		}
	}
}

func TestTablesMayBeWrittenInAnyStyle(t *testing.T) {
	one := mustParse(t, `
[backend.b]
servers = [{ name = "a", address = "127.0.0.1:1", weight = 2 }]
health = { path = "/h", rise = 4 }
persistence = { type = "header", name = "X" }`)
	two := mustParse(t, `
[[backend.b.servers]]
name = "a"
address = "127.0.0.1:1"
weight = 2
[backend.b.health]
path = "/h"
rise = 4
[backend.b.persistence]
type = "header"
name = "X"`)
	three := mustParse(t, `
backend.b.servers = [{ name = "a", address = "127.0.0.1:1", weight = 2 }]
backend.b.health.path = "/h"
backend.b.health.rise = 4
backend.b.persistence = { type = "header", name = "X" }`)
	for _, c := range []*Config{two, three} {
		if !one.Backends[0].Same(c.Backends[0]) {
			t.Errorf("%v", Diff(one, c))
		}
	}
}

func TestFilesAreFoundBesideTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sorry.json"), []byte(`{"sorry":true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "weir.toml")
	text := "[global]\nruntime-socket = \"weir.sock\"\naccess-log = \"access.log\"\n[frontend.f]\nbind = [{address=\":1\"}]\nbackend = \"b\"\nerror-pages = { 503 = \"sorry.json\" }\n[backend.b]\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, r := Load(path)
	if !r.OK() {
		t.Fatal(r.Err())
	}
	if c.Global.RuntimeSocket != filepath.Join(dir, "weir.sock") || c.Global.AccessLog != filepath.Join(dir, "access.log") {
		t.Errorf("%+v", c.Global)
	}
	want := ErrorPage{File: "sorry.json", ContentType: "application/json", Body: []byte(`{"sorry":true}`)}
	if got := c.Frontends[0].ErrorPages[503]; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestLoadReportsAFileThatIsNotThere(t *testing.T) {
	c, r := Load(filepath.Join(t.TempDir(), "none.toml"))
	if c != nil || r.Errors != 1 || !strings.Contains(r.Err().Error(), "no such file") {
		t.Errorf("%v %v", c, r)
	}
}

// takes is what a route means, as plainly as can be said: the oracle for the lint about routes that nothing reaches.
func (r *Route) takes(host, path string) bool {
	named := r.Host == "" || r.Host == host
	if suffix, ok := strings.CutPrefix(r.Host, "*"); ok {
		named = len(host) > len(suffix) && strings.HasSuffix(host, suffix)
	}
	return named && strings.HasPrefix(path, r.PathPrefix)
}

// Every route that a lint calls shadowed must really never match first, whatever the request.
func TestCoversAgreesWithWhatRoutesTake(t *testing.T) {
	hosts := []string{"", "a.b", "*.b", "*.a.b", "x.a.b", "b"}
	paths := []string{"", "/", "/i", "/im", "/im/"}
	var routes []Route
	for _, h := range hosts {
		for _, p := range paths {
			routes = append(routes, Route{Host: h, PathPrefix: p})
		}
	}
	requests := []string{"b", "a.b", "x.a.b", "y.x.a.b", "c", "z.b"}
	targets := []string{"/", "/i", "/im", "/im/", "/im/x", "/j"}
	for _, r := range routes {
		for _, o := range routes {
			counter := ""
			for _, h := range requests {
				for _, p := range targets {
					if o.takes(h, p) && !r.takes(h, p) {
						counter = h + p
					}
				}
			}
			if got := r.covers(&o); got != (counter == "") {
				t.Errorf("%+v covers %+v: %v, counterexample %q", r, o, got, counter)
			}
		}
	}
}

func TestLimitsWith(t *testing.T) {
	base := DefaultLimits("edge")
	for _, c := range []struct {
		key, text string
		want      func(*Limits)
	}{
		{"max-conn", "5", func(l *Limits) { l.MaxConn = 5 }},
		{"max-conn", "0", func(l *Limits) { l.MaxConn = 0 }},
		{"max-ssl-rate", "7/s", func(l *Limits) { l.MaxSSLRate = 7 }},
		{"max-buffer-size", "64KiB", func(l *Limits) { l.MaxBufferSize = 65536 }},
		{"max-buffer-size", "65536", func(l *Limits) { l.MaxBufferSize = 65536 }},
		{"queue-timeout", "250ms", func(l *Limits) { l.QueueTimeout = 250 * time.Millisecond }},
		{"queue-timeout", "0", func(l *Limits) { l.QueueTimeout = 0 }},
	} {
		want := *base
		c.want(&want)
		got, err := base.With(c.key, c.text)
		if err != nil || *got != want {
			t.Errorf("%s %s: %+v %v", c.key, c.text, got, err)
		}
	}
	for key, text := range map[string]string{"max-conn": "-1", "max-retries": "many", "queue-timeout": "5", "max-con": "5", "": ""} {
		if got, err := base.With(key, text); err == nil {
			t.Errorf("%s %s was accepted: %+v", key, text, got)
		}
	}
	if *base != *DefaultLimits("edge") {
		t.Error("the profile itself changed")
	}
}

func TestReportOfGarbageIsBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("[global]\nx = { ")
	for i := range 5000 {
		fmt.Fprintf(&b, "k%d = 1, ", i)
	}
	b.WriteString("}\n")
	for i := range 5000 {
		fmt.Fprintf(&b, "k%d = 1\n", i)
	}
	_, r := parseText(t, b.String())
	if r.OK() || len(r.Problems) > problemsMax+3 || !strings.Contains(r.Problems[0].Message, "not listed") {
		t.Errorf("%d problems, the first %q", len(r.Problems), r.Problems[0].Message)
	}
	_, r = parseText(t, "[global]\nworkers = \""+strings.Repeat("x", 5000)+"\"\n")
	for i := range r.Problems {
		if p := &r.Problems[i]; p.Source != "" && len(p.Source) > sourceBytesMax {
			t.Errorf("a line of %d bytes is shown", len(p.Source))
		}
	}
	if !strings.Contains(r.Err().Error(), "workers must be an integer") {
		t.Error(r.Err())
	}
}

// Whoever writes every default down is not told that most of them have no effect.
func TestDefaultsAreNotWarnedAbout(t *testing.T) {
	c := mustParse(t, minimal)
	_, r := parseText(t, c.WriteTOML())
	if len(r.Problems) != 1 || !strings.Contains(r.Problems[0].Message, "[global] has no limits") {
		t.Errorf("%v", r.Problems)
	}
}
