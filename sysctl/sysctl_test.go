package sysctl

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"weir/internal/config"
)

// small is what a kernel has by default, in a tree of its own.
var small = map[string]string{
	"net.core.somaxconn": "128", "net.ipv4.tcp_max_syn_backlog": "128", "net.ipv4.ip_local_port_range": "32768\t60999",
	"net.ipv4.ip_local_reserved_ports": "", "net.ipv4.tcp_tw_reuse": "2", "net.ipv4.tcp_slow_start_after_idle": "1",
	"net.ipv4.tcp_notsent_lowat": "4294967295", "net.core.rmem_max": "212992", "net.core.wmem_max": "212992",
	"fs.nr_open": "1024", "fs.file-max": "9223372036854775807",
}

func newTree(t *testing.T, values map[string]string) Tree {
	t.Helper()
	tree := Tree(t.TempDir())
	for name, v := range values {
		if err := os.MkdirAll(filepath.Dir(tree.path(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(tree.path(name), []byte(v+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return tree
}

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, r := config.Parse("test.toml", []byte(text), t.TempDir())
	if !r.OK() {
		t.Fatal(r.Err())
	}
	return c
}

const proxy = `
[global]
limits = "edge"
[limits.edge]
max-conn = 50000
max-conn-rate = 3000
[limits.back]
max-conn = 40000
[frontend.web]
bind = [{ address = "127.0.0.1:8080" }, { address = "127.0.0.1:8081" }]
backend = "api"
[backend.api]
servers = [{ address = "192.0.2.1:9001" }]
limits = "back"
`

func TestNeedsFollowTheConfiguration(t *testing.T) {
	n := NeedsOf(parse(t, proxy), 4)
	want := Needs{
		Clients: 50000, Servers: 40000, PerServer: 40000, Backlog: 3000, Listeners: 8, Workers: 4,
		Ports: []int{8080, 8081, 9911}, Multiplexed: true,
	}
	if !slices.Equal(n.Ports, want.Ports) {
		t.Errorf("ports %v", n.Ports)
	}
	n.Ports, want.Ports = nil, nil
	if n.Clients != want.Clients || n.Servers != want.Servers || n.PerServer != want.PerServer || n.Backlog != want.Backlog ||
		n.Listeners != want.Listeners || n.Multiplexed != want.Multiplexed || n.QUIC || n.Local {
		t.Errorf("got %+v", n)
	}
	if got := n.Files(); got < 90000 || got > 91000 {
		t.Errorf("%d files", got)
	}
}

func TestCheckSaysWhatFallsShort(t *testing.T) {
	tree := newTree(t, small)
	got := map[string]Setting{}
	for _, s := range tree.Check(NeedsOf(parse(t, proxy), 4)) {
		got[s.Name] = s
		if s.For == "" || s.Breaks == "" || s.Wanted == "" && s.Name != "net.ipv4.ip_local_reserved_ports" {
			t.Errorf("says too little: %+v", s)
		}
	}
	for name, want := range map[string]string{
		"net.core.somaxconn": "3000", "net.ipv4.tcp_max_syn_backlog": "3000", "net.ipv4.ip_local_port_range": "10240\t65535",
		"net.ipv4.ip_local_reserved_ports": "8080-8081,9911", "net.ipv4.tcp_tw_reuse": "1",
		"net.ipv4.tcp_slow_start_after_idle": "0", "net.ipv4.tcp_notsent_lowat": "131072",
	} {
		if s := got[name]; s.OK || s.Wanted != want || s.Current != small[name] {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if s := got["fs.file-max"]; !s.OK {
		t.Errorf("file-max: %+v", s)
	}
	if s := got["fs.nr_open"]; s.OK {
		t.Errorf("nr_open: %+v", s)
	}
	for _, name := range []string{"net.core.rmem_max", "net.netfilter.nf_conntrack_max", "net.core.busy_poll"} {
		if s, ok := got[name]; ok {
			t.Errorf("%s does not concern this configuration: %+v", name, s)
		}
	}
}

func TestApplyWritesWhatIsShortAndNothingTwice(t *testing.T) {
	tree := newTree(t, small)
	needs := NeedsOf(parse(t, proxy), 2)
	short := Short(tree.Check(needs))
	changed, err := tree.Apply(tree.Check(needs))
	if err != nil || len(changed) != len(short) || len(short) == 0 {
		t.Fatalf("changed %d of %d: %v", len(changed), len(short), err)
	}
	for _, s := range tree.Check(needs) {
		if !s.OK {
			t.Errorf("still short: %+v", s)
		}
	}
	if b, _ := os.ReadFile(tree.path("net.core.somaxconn")); string(b) != "3000\n" {
		t.Errorf("somaxconn holds %q", b)
	}
	if b, _ := os.ReadFile(tree.path("fs.file-max")); string(b) != small["fs.file-max"]+"\n" {
		t.Errorf("what was enough was written: %q", b)
	}
	if changed, err := tree.Apply(tree.Check(needs)); err != nil || len(changed) != 0 {
		t.Errorf("the second time changed %v: %v", changed, err)
	}
}

func TestApplyGoesOnAfterAFailure(t *testing.T) {
	tree := newTree(t, small)
	if err := os.Remove(tree.path("net.core.somaxconn")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(tree.path("net.core.somaxconn"), 0o755); err != nil {
		t.Fatal(err)
	}
	needs := NeedsOf(parse(t, proxy), 2)
	changed, err := tree.Apply(tree.Check(needs))
	if err == nil || !strings.Contains(err.Error(), "net.core.somaxconn") {
		t.Errorf("error %v", err)
	}
	if !slices.ContainsFunc(changed, func(s Setting) bool { return s.Name == "net.ipv4.tcp_tw_reuse" }) {
		t.Errorf("changed %v", changed)
	}
}

func TestAMissingSettingIsAnErrorUnlessKernelsMayLackIt(t *testing.T) {
	for _, s := range newTree(t, nil).Check(NeedsOf(parse(t, proxy), 1)) {
		if s.OK || s.Error == "" {
			t.Errorf("%+v", s)
		}
	}
}

func TestPortRange(t *testing.T) {
	for _, c := range []struct {
		perServer     int
		current, want string
		enough        bool
	}{
		{100, "32768\t60999", "32768\t60999", true},
		{28000, "32768\t60999", "10240\t65535", false},
		{28000, "1024\t50000", "1024\t50000", true},
		{100000, "1024\t65535", "1024\t65535", true},
		{40000, "1024\t40000", "1024\t65535", false},
		{1, "", "10240\t65535", false},
	} {
		if got, enough := portRange(&Needs{PerServer: c.perServer}, c.current); got != c.want || enough != c.enough {
			t.Errorf("%+v: %q %v", c, got, enough)
		}
	}
}

func TestReservedPorts(t *testing.T) {
	for _, c := range []struct {
		ports         []int
		current, want string
		enough        bool
	}{
		{[]int{80}, "", "80", false},
		{[]int{80, 81, 443}, "82", "80-82,443", false},
		{[]int{80}, "70-90", "70-90", true},
		{[]int{8080, 8080}, "nonsense,5", "5,8080", false},
	} {
		if got, enough := reservedPorts(&Needs{Ports: c.ports}, c.current); got != c.want || enough != c.enough {
			t.Errorf("%+v: %q %v", c, got, enough)
		}
	}
}

func TestQUICAndConntrackAreAskedForWhenThere(t *testing.T) {
	values := map[string]string{"net.netfilter.nf_conntrack_max": "10", "net.core.busy_poll": "50"}
	for k, v := range small {
		values[k] = v
	}
	n := NeedsOf(parse(t, proxy), 1)
	n.QUIC = true
	short := Short(newTree(t, values).Check(n))
	for _, name := range []string{"net.core.rmem_max", "net.core.wmem_max", "net.netfilter.nf_conntrack_max", "net.core.busy_poll"} {
		if !slices.ContainsFunc(short, func(s Setting) bool { return s.Name == name }) {
			t.Errorf("%s is not asked for", name)
		}
	}
}

func TestFormatIsASysctlFile(t *testing.T) {
	text := Format(newTree(t, small).Check(NeedsOf(parse(t, proxy), 1)))
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if name, value, ok := strings.Cut(line, " = "); !strings.HasPrefix(line, "# ") && (!ok || name == "" || value == "") {
			t.Errorf("line %q", line)
		}
	}
	if !strings.Contains(text, "\nnet.core.somaxconn = 3000\n") && !strings.Contains(text, "(is 128)\nnet.core.somaxconn = 3000\n") {
		t.Errorf("%s", text)
	}
}

func TestRaiseNoFile(t *testing.T) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	})
	low := unix.Rlimit{Cur: before.Max / 2, Max: before.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	got, err := RaiseNoFile()
	if err != nil || got != before.Max {
		t.Errorf("raised to %d of %d: %v", got, before.Max, err)
	}
	var now unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &now); err != nil || now.Cur != before.Max {
		t.Errorf("now %+v: %v", now, err)
	}
	if s := NoFile(Needs{Clients: 1}); s.Current == "" || s.Error != "" {
		t.Errorf("%+v", s)
	}
}
