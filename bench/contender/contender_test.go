package contender

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/bench/measure"
)

func TestParseSpec(t *testing.T) {
	for text, want := range map[string]Spec{
		"weir":                   {"weir", "weir", ""},
		"haproxy=/opt/haproxy":   {"haproxy", "haproxy", "/opt/haproxy"},
		"old=weir:/tmp/old-weir": {"old", "weir", "/tmp/old-weir"},
		"again=floor:":           {"again", "floor", ""},
	} {
		if got, err := ParseSpec(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "squid", "old=/tmp/x", "weir=", "=weir:/x", "old=squid:/x"} {
		if got, err := ParseSpec(bad); err == nil {
			t.Errorf("%q gave %+v", bad, got)
		}
	}
}

// setups are all the shapes that scenarios ask for.
func setups() (all []Setup) {
	for _, front := range []Front{FrontH1, FrontTLS, FrontH2, FrontH3} {
		for _, back := range []Back{BackH1, BackH2} {
			for _, reuse := range []Reuse{ReuseNever, ReuseSafe, ReuseAggressive, ReuseAlways} {
				all = append(all, Setup{Front: front, Back: back, Reuse: reuse, Conns: 100})
			}
		}
	}
	plain := Setup{Front: FrontH1, Back: BackH1, Reuse: ReuseAlways, Conns: 100}
	for _, change := range []func(*Setup){
		func(s *Setup) { s.MaxConn, s.QueueTimeout = 16, 100*time.Millisecond },
		func(s *Setup) { s.Upgrades = true },
		func(s *Setup) { s.Splice = true },
		func(s *Setup) { s.Reloads = true },
		func(s *Setup) { s.Conns = 100000 },
	} {
		s := plain
		change(&s)
		all = append(all, s)
	}
	return all
}

// pins skips a test where nobody may choose the CPUs of a process.
func pins(t *testing.T) {
	t.Helper()
	all, err := Allowed()
	if err == nil {
		c := exec.Command("true")
		if err = NewLauncher().Start(c, all); err == nil {
			err = c.Wait()
		}
	}
	if errors.Is(err, unix.EPERM) {
		t.Skip(err)
	}
}

func ground(t *testing.T) *Ground {
	t.Helper()
	dir := t.TempDir()
	cert, err := NewCertificate(dir)
	if err != nil {
		t.Fatal(err)
	}
	cpus, err := Allowed()
	if err != nil {
		t.Fatal(err)
	}
	return &Ground{Launcher: NewLauncher(), CPUs: cpus[:1], Origin: netip.MustParseAddrPort("127.0.0.1:9"), Dir: dir, Cert: cert}
}

// checkers say whether a configuration is one, without starting the proxy.
var checkers = map[string]func(path, dir string) []string{
	HAProxy: func(path, _ string) []string { return []string{"-c", "-q", "-f", path} },
	Nginx: func(path, dir string) []string {
		return []string{"-t", "-q", "-c", path, "-p", dir, "-e", dir + "/error.log"}
	},
	Caddy: func(path, _ string) []string {
		return []string{"adapt", "--validate", "--config", path, "--adapter", "caddyfile"}
	},
	Weir: func(path, _ string) []string { return []string{"check", "-c", path} },
}

// Every setup renders to a configuration that the contender itself accepts, as far as it is installed.
func TestConfigurationsAreValid(t *testing.T) {
	g := ground(t)
	for name, args := range checkers {
		spec := Spec{Name: name, Kind: name}
		if name == Weir {
			spec.Path = "../../bin/weir"
		}
		b, err := Find(spec)
		if err != nil {
			t.Logf("%s: %v; its configurations are not checked", name, err)
			continue
		}
		k := kindOf(name)
		for _, s := range setups() {
			if b.Lacks(s) != "" {
				continue
			}
			v := view{Setup: s, Place: Place{Listen: g.port(), Admin: g.port(), Origin: g.Origin, Dir: t.TempDir(),
				Cert: g.Cert.Cert, Key: g.Cert.Key, Both: g.Cert.Both}}
			path, text, err := k.render(v)
			if err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(b.Path, args(path, v.Dir)...).CombinedOutput(); err != nil {
				t.Errorf("%s refuses its configuration for %+v: %v\n%s\n%s", name, s, err, out, text)
			}
		}
	}
}

func TestEveryKindHasAllParts(t *testing.T) {
	for _, name := range Kinds() {
		k := kindOf(name)
		v := view{Setup: Setup{Conns: 10}, Place: Place{Dir: t.TempDir()}}
		if _, text, err := k.render(v); err != nil || (text == "") != (k.template == "") {
			t.Errorf("%s: configuration %q, %v", name, text, err)
		}
		if len(k.command("config", v)) == 0 || k.about == "" {
			t.Errorf("%s: has no command or does not say what it is", name)
		}
	}
	if kindOf("squid") != nil {
		t.Error("squid is a kind")
	}
}

func TestLacks(t *testing.T) {
	for _, c := range []struct {
		kind, details string
		setup         Setup
		lacks         bool
	}{
		{HAProxy, "-QUIC", Setup{Front: FrontH3}, true},
		{HAProxy, "+QUIC", Setup{Front: FrontH3}, false},
		{Nginx, "--with-http_v3_module", Setup{Front: FrontH3}, false},
		{Nginx, "", Setup{Front: FrontH3}, true},
		{Nginx, "", Setup{Front: FrontH1, Back: BackH2}, true},
		{Nginx, "", Setup{Reuse: ReuseSafe}, true},
		{Caddy, "", Setup{MaxConn: 1}, true},
		{Spliced, "", Setup{Front: FrontH1}, true},
		{Spliced, "", Setup{Front: FrontH1, Splice: true}, false},
		{Floor, "", Setup{Front: FrontTLS, Back: BackH1, Reuse: ReuseAlways}, true},
		{Netpoll, "", Setup{Front: FrontH1, Back: BackH1, Reuse: ReuseAlways}, false},
		{Weir, "", Setup{Front: FrontH3, Back: BackH2, Reuse: ReuseSafe, MaxConn: 3}, false},
	} {
		b := &Binary{Details: c.details, kind: kindOf(c.kind)}
		if why := b.Lacks(c.setup); (why != "") != c.lacks {
			t.Errorf("%s %q for %+v: %q", c.kind, c.details, c.setup, why)
		}
	}
}

func TestLaunchPinsAndKillsTheGroup(t *testing.T) {
	pins(t)
	cpus, err := Allowed()
	if err != nil {
		t.Fatal(err)
	}
	last := cpus[len(cpus)-1:]
	cmd := exec.Command("sh", "-c", "sleep 60 & echo $!; exec sleep 60")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := NewLauncher().Start(cmd, last); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	first := make([]byte, 32)
	if _, err := out.Read(first); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(string(first)), "status"))
	for line := range strings.Lines(string(text)) {
		if list, ok := strings.CutPrefix(line, "Cpus_allowed_list:"); ok {
			if got, err := parseCPU(strings.TrimSpace(list)); err != nil || !slices.Equal(CPUs{got}, last) {
				t.Errorf("runs on CPUs %s, not on %v", list, last)
			}
		}
	}
	if got := measure.Tree(pid); len(got) != 2 {
		t.Errorf("the tree is %v, not a shell and its child", got)
	}
	Kill(cmd)
	for until := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) { // It is init's now, and soon a zombie at most.
		state, err := os.ReadFile("/proc/" + strings.TrimSpace(string(first)) + "/stat")
		if err != nil || strings.Contains(string(state), ") Z ") || strings.Contains(string(state), ") X ") {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("the child outlives the group: %s", state)
		}
	}
}

func parseCPU(s string) (n int, err error) {
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, os.ErrInvalid
		}
		n = n*10 + int(c-'0')
	}
	return n, nil
}

func TestStartSaysWhyItFails(t *testing.T) {
	pins(t)
	g := ground(t)
	k := *kindOf(Weir)
	k.command = func(string, view) []string { return []string{"-c", "echo out of order >&2; exit 7"} }
	b := &Binary{Spec: Spec{Name: "broken", Kind: Weir, Path: "/bin/sh"}, kind: &k}
	_, err := g.Start(b, Setup{Front: FrontH1, Back: BackH1, Reuse: ReuseAlways})
	if err == nil || !strings.Contains(err.Error(), "out of order") {
		t.Errorf("error %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(g.Dir, "broken-*")); len(left) > 0 {
		t.Errorf("leaves %v behind", left)
	}
}

func TestPortsAreFreeAndDiffer(t *testing.T) {
	g := ground(t)
	seen := map[netip.AddrPort]bool{}
	for range 20 {
		a := g.port()
		if seen[a] {
			t.Fatalf("%v twice", a)
		}
		seen[a] = true
		ln, err := net.Listen("tcp4", a.String())
		if err != nil {
			t.Fatal(err)
		}
		ln.Close()
	}
}

func TestRaiseFileLimit(t *testing.T) {
	if got := RaiseFileLimit(256); got < 256 {
		t.Errorf("the limit is %d", got)
	}
}
