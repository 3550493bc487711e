package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/sysctl"
)

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weir.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	goodText = "[global]\nlimits = \"l\"\n[limits.l]\n[frontend.f]\nbind = [{ address = \"127.0.0.1:8080\" }]\nbackend = \"b\"\n[backend.b]\nservers = [{ address = \"127.0.0.1:1\" }]\n"
	warnText = "[frontend.f]\nbind = [{ address = \"127.0.0.1:8080\" }]\nbackend = \"b\"\n[backend.b]\nservers = [{ address = \"127.0.0.1:1\" }]\n"
	badText  = "[backend.b]\nblance = \"round-robin\"\nmax-errors = \"3\"\n"
)

func TestCheckStatuses(t *testing.T) {
	for _, c := range []struct {
		name, text string
		flags      []string
		want       int
	}{
		{"good", goodText, nil, 0}, {"good, strict", goodText, []string{"--strict"}, 0},
		{"warnings", warnText, nil, 0}, {"warnings, strict", warnText, []string{"--strict"}, 2},
		{"errors", badText, nil, 1}, {"errors, strict", badText, []string{"--strict"}, 1},
		{"json", badText, []string{"--json"}, 1},
	} {
		if status, _, _ := weir(t, append([]string{"check", "-c", writeFile(t, c.text)}, c.flags...)...); status != c.want {
			t.Errorf("%s: status %d, want %d", c.name, status, c.want)
		}
	}
	if status, out, _ := weir(t, "check", "-c", filepath.Join(t.TempDir(), "none")); status != 1 || !strings.Contains(out, "no such file") {
		t.Errorf("a missing file: status %d, %s", status, out)
	}
}

func TestCheckReportsEverythingInOnePass(t *testing.T) {
	path := writeFile(t, badText)
	_, out, _ := weir(t, "check", "-c", path)
	for _, want := range []string{
		path + ":2:1: error: unknown key \"blance\" in [backend.b]\n    2 | blance = \"round-robin\"\n      | ^^^^^^\n      = did you mean \"balance\"?\n",
		path + ":3:14: error: max-errors must be an integer, not a string\n", "2 errors, ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	_, out, _ = weir(t, "check", "-c", path, "--json")
	var report struct {
		Errors, Warnings int
		Problems         []struct {
			File, Severity, Message, Hint, Source string
			Line, Column                          int
		}
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || report.Errors != 2 {
		t.Fatalf("%v in %s", err, out)
	}
	for _, p := range report.Problems {
		if p.Severity == "error" && p.Line == 2 && (p.Column != 1 || p.Hint != `did you mean "balance"?` || p.Source != `blance = "round-robin"`) {
			t.Errorf("%+v", p)
		}
	}
}

func TestCheckPrintsTheMemorySum(t *testing.T) {
	text := strings.Replace(goodText, "[limits.l]\n", "[limits.l]\nmax-conn = 1000\nmax-buffer-size = \"64KiB\"\n", 1)
	_, out, _ := weir(t, "check", "-c", writeFile(t, text))
	if want := "memory: 1000 clients × 64 KiB + 1000 server connections × 128 KiB = 188 MiB at worst, 1000 KiB when idle"; !strings.Contains(out, want) {
		t.Errorf("no %q in %s", want, out)
	}
}

func TestStatuses(t *testing.T) {
	nobody := filepath.Join(t.TempDir(), "s")
	for line, want := range map[string]int{
		"version": 0, "--version": 0, "help": 0, "help show": 0, "help show servers": 0, "help set server": 0, "completion bash": 0, "show --help": 0,
		"completion": 2, "completion tcsh": 2, "help nonsense": 2, "help config nonsense": 2, "show sessions many": 2, "show sessions 0": 2,
		"set server a/b colour 1": 2, "set server a/b state asleep": 2, "set server a state ready": 2, "set server a/ state ready": 2,
		"set server a/b weight much": 2, "set server a/b max-conn 1.5": 2, "set limits a max-cnn 3": 2,
		"": 2, "nonsense": 2, "check": 2, "check --nonsense": 2, "show": 2, "top --json": 2, "top --interval 1ms": 2,
		"config": 2, "config diff": 2, "sysctl": 2, "run extra": 2, "reload now": 2,
		"show info --runtime-socket " + nobody: 3, "reload --runtime-socket " + nobody: 3, "drain --runtime-socket " + nobody: 3,
		"stop --runtime-socket " + nobody: 3, "upgrade --runtime-socket " + nobody: 3, "top --once --runtime-socket " + nobody: 3,
		"set limits a max-conn 1 --runtime-socket " + nobody: 3,
		"run -c " + filepath.Join(t.TempDir(), "none"):       1,
	} {
		status, out, stderr := weir(t, strings.Fields(line)...)
		if status != want {
			t.Errorf("weir %s: status %d, want %d: %s", line, status, want, stderr)
		}
		if status != 0 && (stderr == "" || out != "") {
			t.Errorf("weir %s: the reason is not on standard error: %q, %q", line, out, stderr)
		}
	}
}

func TestUnknownCommandsAreGuessed(t *testing.T) {
	for line, want := range map[string]string{"chek": `did you mean "check"?`, "help relaod": `did you mean "reload"?`, "weather": `there is no command "weather"`,
		"check weir.toml": "a file is given by -c", "version now": `weir version takes no arguments, but "now" is one`, "sysctl check weir.toml": "a file is given by -c"} {
		if status, _, stderr := weir(t, strings.Fields(line)...); status != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("weir %s: status %d, no %q in %s", line, status, want, stderr)
		}
	}
}

func TestVersion(t *testing.T) {
	old := version
	defer func() { version = old }()
	version = "1.2.3"
	_, out, _ := weir(t, "version")
	if fields := strings.Fields(out); len(fields) < 4 || fields[1] != "1.2.3" || !strings.HasPrefix(fields[2], "go1") || !strings.HasPrefix(fields[3], "linux/") {
		t.Errorf("%q", out)
	}
	if _, flag, _ := weir(t, "--version"); flag != out {
		t.Errorf("--version: %q, version: %q", flag, out)
	}
	_, out, _ = weir(t, "version", "--json")
	var b build
	if err := json.Unmarshal([]byte(out), &b); err != nil || b.Version != "1.2.3" || b.Arch == "" {
		t.Errorf("%s: %v", out, err)
	}
}

func TestConfigPrintIsAFileThatMeansTheSame(t *testing.T) {
	path := writeFile(t, goodText)
	status, out, stderr := weir(t, "config", "print", "-c", path)
	if status != 0 {
		t.Fatal(stderr)
	}
	_, text, _ := weir(t, "config", "diff", "--old", path, "-c", writeFile(t, out))
	if !strings.Contains(text, " keep, 0 change, 0 drain, 0 add\n") {
		t.Errorf("%s", text)
	}
}

func TestConfigDiffJSON(t *testing.T) {
	changed := strings.Replace(goodText, "[limits.l]", "[limits.l]\nmax-conn = 5", 1)
	status, out, stderr := weir(t, "config", "diff", "--json", "--old", writeFile(t, goodText), "-c", writeFile(t, changed))
	var changes []struct {
		Kind, Name, Action string
		Keys               []struct{ Key, Old, New string }
	}
	if err := json.Unmarshal([]byte(out), &changes); status != 0 || err != nil {
		t.Fatalf("status %d, %v %s", status, err, stderr)
	}
	found := false
	for _, c := range changes {
		if c.Kind == "limits" {
			found = c.Name == "l" && c.Action == "change" && len(c.Keys) == 1 && c.Keys[0].Key == "max-conn" && c.Keys[0].New == "5"
		}
	}
	if !found {
		t.Errorf("%s", out)
	}
}

// kernelTree is a directory in which every setting falls short or is missing.
func kernelTree(t *testing.T) sysctl.Tree {
	t.Helper()
	tree := t.TempDir()
	for name, v := range map[string]string{"net/core/somaxconn": "128", "net/ipv4/tcp_slow_start_after_idle": "1"} {
		path := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(v+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return sysctl.Tree(tree)
}

func TestSysctlCommands(t *testing.T) {
	tree := kernelTree(t)
	run := func(args ...string) (int, string, string) {
		var out, errs strings.Builder
		c := newSysctlOf(tree)
		c.SilenceErrors, c.SilenceUsage = true, true
		c.SetArgs(append(args, "-c", writeFile(t, goodText)))
		c.SetOut(&out)
		c.SetErr(&errs)
		return statusOf(c.Execute(), &errs), out.String(), errs.String()
	}
	status, out, _ := run("check")
	if status != 1 || !strings.Contains(out, "short  net.core.somaxconn is 128, wanted 10000\n       for: ") || !strings.Contains(out, "breaks: ") {
		t.Errorf("check: status %d\n%s", status, out)
	}
	status, out, _ = run("check", "--json")
	var check kernelCheck
	if err := json.Unmarshal([]byte(out), &check); status != 1 || err != nil || check.Short == 0 || len(check.Settings) == 0 {
		t.Errorf("check --json: status %d, %v\n%s", status, err, out)
	}
	if status, out, _ = run("print"); status != 0 || !strings.Contains(out, "net.core.somaxconn = 10000\n") {
		t.Errorf("print: status %d\n%s", status, out)
	}
	if b, err := os.ReadFile(filepath.Join(string(tree), "net/core/somaxconn")); err != nil || string(b) != "128\n" {
		t.Errorf("checking and printing changed a setting: %q %v", b, err)
	}
	status, out, stderr := run("apply")
	if status != 1 || !strings.Contains(out, "net.core.somaxconn = 10000\n") || !strings.Contains(stderr, "net.ipv4.tcp_tw_reuse: no such file or directory") {
		t.Errorf("apply: status %d\n%s%s", status, out, stderr)
	}
	if _, out, _ = run("apply"); strings.Contains(out, "somaxconn") {
		t.Errorf("the second apply changed something:\n%s", out)
	}
}

func TestCompletionKnowsTheWords(t *testing.T) {
	_, out, _ := weir(t, "__complete", "show", "")
	for _, want := range []string{"servers", "stat", "limits", "errors"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	if _, out, _ = weir(t, "__complete", "set", "limits", "edge", "max"); !strings.Contains(out, "max-conn-rate") {
		t.Errorf("%s", out)
	}
}
