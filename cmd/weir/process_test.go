package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/internal/admin"
	"weir/internal/config"
)

func TestMain(m *testing.M) {
	if os.Getenv(handoverEnv) != "" {
		os.Exit(asSuccessor())
	}
	os.Exit(m.Run())
}

// rig is a running process over a notingPlane, with a file that can be changed.
type rig struct {
	t       *testing.T
	dir     string
	file    string
	front   string
	admin   string
	socket  string
	p       *process
	plane   *notingPlane
	signals chan os.Signal
	log     *logText
	ended   chan struct{}
}

// logText is a log that a test reads while others write.
type logText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

const rigText = `
[global]
workers = 1
runtime-socket = "%s"
admin = "%s"
log-level = "info"
%s
[frontend.f]
bind = [{ address = "%s" }]
backend = "b"
[backend.b]
servers = [{ name = "s", address = "127.0.0.1:9" }]
`

func newRig(t *testing.T, global string) *rig {
	t.Helper()
	return newRigWith(t, global, func(*process) {})
}

// newRigWith lets a test change the process before it runs.
func newRigWith(t *testing.T, global string, change func(*process)) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{
		t: t, dir: dir, file: filepath.Join(dir, "weir.toml"), front: freeAddr(), admin: freeAddr(),
		socket: filepath.Join(dir, "s"), plane: &notingPlane{drain: make(chan struct{})},
		signals: make(chan os.Signal), log: new(logText), ended: make(chan struct{}),
	}
	r.write(global)
	cfg, report := config.Load(r.file)
	if !report.OK() {
		t.Fatal(report.Err())
	}
	level := new(slog.LevelVar)
	r.p = newProcess(r.file, cfg, slog.New(slog.NewTextHandler(r.log, nil)), level)
	change(r.p)
	if err := r.p.start(r.plane.start, &handover{}); err != nil {
		t.Fatal(err)
	}
	go func() {
		r.p.serve(context.Background(), r.signals)
		r.p.finish()
		close(r.ended)
	}()
	t.Cleanup(func() {
		select {
		case <-r.ended:
		default:
			_, _, _ = r.p.Stop(context.Background())
			<-r.ended
		}
	})
	return r
}

func (r *rig) write(global string) {
	r.t.Helper()
	text := fmt.Sprintf(rigText, r.socket, r.admin, global, r.front)
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// weir runs a command line against the rig and returns its status and output.
func (r *rig) weir(args ...string) (status int, stdout, stderr string) {
	r.t.Helper()
	return weir(r.t, append(args, "--runtime-socket", r.socket)...)
}

func weir(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	status = execute(ctx, args, &out, &errs)
	return status, out.String(), errs.String()
}

// answers reports whether something listens at an address.
func answers(addr string) bool {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

func TestReloadIsAllOrNothing(t *testing.T) {
	r := newRig(t, "")
	before := r.p.Running()

	r.write("no-such-key = 1")
	status, _, stderr := r.weir("reload")
	if status != exitRefused || !strings.Contains(stderr, `unknown key "no-such-key"`) || !strings.Contains(stderr, "^^^") {
		t.Errorf("status %d, %s", status, stderr)
	}
	if slices.Contains(r.plane.said(), "reload") || r.p.Running() != before {
		t.Error("a file with an error reached the data plane")
	}

	r.write("")
	r.plane.refuseWith(errors.New("address already in use"))
	if status, _, stderr = r.weir("reload"); status != exitRefused || !strings.Contains(stderr, "address already in use") {
		t.Errorf("status %d, %s", status, stderr)
	}
	if r.p.Running() != before {
		t.Error("a refused configuration is in force")
	}

	r.plane.refuseWith(nil)
	status, stdout, stderr := r.weir("reload")
	if status != exitDone || stdout != "reloaded: generation 1 -> 2\n" {
		t.Errorf("status %d, %q %s", status, stdout, stderr)
	}
	if r.p.Running() == before {
		t.Error("the new configuration is not in force")
	}
}

func TestReloadMovesTheAdminListener(t *testing.T) {
	r := newRig(t, "")
	old := r.admin
	r.admin = freeAddr()
	r.write("")
	r.plane.refuseWith(errors.New("no"))
	if status, _, _ := r.weir("reload"); status != exitRefused || !answers(old) || answers(r.admin) {
		t.Errorf("after a refusal: status %d, old %v, new %v", status, answers(old), answers(r.admin))
	}
	r.plane.refuseWith(nil)
	if status, _, stderr := r.weir("reload"); status != exitDone || !answers(r.admin) {
		t.Errorf("status %d, new %v: %s", status, answers(r.admin), stderr)
	}

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	now := r.admin
	r.admin = taken.Addr().String()
	r.write("")
	if status, _, stderr := r.weir("reload"); status != exitRefused || !strings.Contains(stderr, "admin listener") || !answers(now) {
		t.Errorf("an address that is taken: status %d, %s", status, stderr)
	}
}

func TestReloadOpensTheAccessLogAnew(t *testing.T) {
	r := newRig(t, `access-log = "access.log"`)
	path := filepath.Join(r.dir, "access.log")
	write := func(s string) {
		if _, err := r.p.access.Write([]byte(s)); err != nil {
			t.Error(err)
		}
	}
	write("one\n")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write("two\n")
	if status, _, stderr := r.weir("reload"); status != exitDone {
		t.Fatal(stderr)
	}
	write("three\n")
	for name, want := range map[string]string{path + ".1": "one\ntwo\n", path: "three\n"} {
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s holds %q: %v", name, got, err)
		}
	}
}

func TestReloadKeepsWhatOnlyAStartCanChange(t *testing.T) {
	r := newRig(t, "")
	socket := r.socket
	r.socket = filepath.Join(r.dir, "other")
	r.write("pin-cpus = false\nhard-stop-after = \"7s\"")
	r.socket = socket
	if status, _, stderr := r.weir("reload"); status != exitDone {
		t.Fatal(stderr)
	}
	g := r.p.Running().Global
	if g.RuntimeSocket != socket || !g.PinCPUs || g.HardStopAfter != 7*time.Second {
		t.Errorf("%+v", g)
	}
}

func TestSignalsDrainReloadAndCut(t *testing.T) {
	r := newRig(t, "")
	r.signals <- unix.SIGHUP
	waitFor(t, func() bool { return slices.Contains(r.plane.said(), "reload") })
	r.signals <- unix.SIGTERM
	waitFor(t, func() bool { return slices.Contains(r.plane.said(), "drain") })
	select {
	case <-r.ended:
		t.Fatal("the process ended while the drain went on")
	default:
	}
	r.signals <- unix.SIGINT // the second one
	<-r.ended
	if got := r.plane.said(); got[len(got)-1] != "stop" {
		t.Errorf("%v", got)
	}
	if !strings.Contains(r.log.String(), "told to end at once") {
		t.Errorf("log:\n%s", r.log)
	}
}

// waitFor yields until something has happened that another goroutine brings about.
func waitFor(t *testing.T, happened func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !happened() {
		if time.Now().After(deadline) {
			t.Fatal("it never happened")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestDrainAnswersBeforeTheProcessEnds(t *testing.T) {
	r := newRig(t, "")
	close(r.plane.drain)
	status, stdout, stderr := r.weir("drain", "--json")
	if status != exitDone || !strings.Contains(stdout, `"old-generation": 1`) {
		t.Errorf("status %d, %q %s", status, stdout, stderr)
	}
	<-r.ended
	if ok, why := r.p.Ready(); ok {
		t.Errorf("drained and %s", why)
	}
	if _, err := os.Stat(r.socket); err == nil {
		t.Error("the runtime socket is still there")
	}
	if status, _, stderr := r.weir("show", "info"); status != exitNobody {
		t.Errorf("afterwards: status %d, %s", status, stderr)
	}
}

func TestStopAnswersBeforeTheProcessEnds(t *testing.T) {
	r := newRig(t, "")
	if status, stdout, stderr := r.weir("stop"); status != exitDone || stdout != "stopped: generation 1 -> 1\n" {
		t.Errorf("status %d, %q %s", status, stdout, stderr)
	}
	<-r.ended
}

func TestTwoDrainsAreOne(t *testing.T) {
	r := newRig(t, "")
	first := make(chan error, 2)
	for range 2 {
		go func() {
			_, _, err := r.p.Drain(context.Background())
			first <- err
		}()
	}
	waitFor(t, func() bool { return slices.Contains(r.plane.said(), "drain") })
	close(r.plane.drain)
	for range 2 {
		if err := <-first; err != nil {
			t.Error(err)
		}
	}
	<-r.ended
	if n := strings.Count(strings.Join(r.plane.said(), " "), "drain"); n != 1 {
		t.Errorf("the data plane drained %d times", n)
	}
}

func TestSettingsReachTheDataPlane(t *testing.T) {
	r := newRig(t, "")
	for _, c := range []struct{ line, want string }{
		{"set server b/s state drain", "state b/s drain"},
		{"set server b/s weight 7", "weight b/s 7"},
		{"set server b/s max-conn 9", "max-conn b/s 9"},
		{"set limits edge max-conn 5", "limit edge max-conn 5"},
		{"set limits edge max-conn -3", "limit edge max-conn -3"}, // the data plane's to refuse
		{"set limits edge queue-timeout -odd", "limit edge queue-timeout -odd"},
		{"set limits edge max-conn -- -4", "limit edge max-conn -4"},
		{"set limits edge max-conn -", "limit edge max-conn -"},
	} {
		// The socket comes first: behind "--" there are no flags any more.
		words := strings.Fields(c.line)
		words = append([]string{words[0], words[1], "--runtime-socket", r.socket}, words[2:]...)
		status, stdout, stderr := weir(t, words...)
		if status != exitDone || stdout+stderr != "" {
			t.Errorf("%s: status %d, %q %q", c.line, status, stdout, stderr)
		}
		if said := r.plane.said(); len(said) == 0 || said[len(said)-1] != c.want {
			t.Errorf("%s: %v", c.line, said)
		}
	}
	if status, _, stderr := r.weir("set", "limits", "edge", "max-conn", "-3"); status != exitDone {
		t.Errorf("the socket behind a negative number: status %d, %s", status, stderr)
	}
	for line, want := range map[string]int{
		"set server nope/s state ready": exitRefused, "set server b/s weight -1": exitRefused, "set server b/s weight 99999999999999999999": exitRefused,
		"set server b/s state asleep": exitUsage, "set server b state ready": exitUsage, "set server b/s state": exitUsage,
		"set weather b c d": exitUsage, "set": exitUsage, "set limits --nope edge max-conn 3": exitUsage, "set limits edge max-conn": exitUsage,
		"set limits edge max-conn 3 -4": exitUsage,
	} {
		if status, _, stderr := r.weir(strings.Fields(line)...); status != want || stderr == "" {
			t.Errorf("%s: status %d, want %d: %s", line, status, want, stderr)
		}
	}
}

func TestShow(t *testing.T) {
	r := newRig(t, "")
	for _, v := range admin.Views {
		status, text, stderr := r.weir(append([]string{"show"}, strings.Fields(v)...)...)
		if status != exitDone || text == "" {
			t.Errorf("show %s: status %d, %q %s", v, status, text, stderr)
		}
		status, asJSON, stderr := r.weir(append([]string{"show", "--json"}, strings.Fields(v)...)...)
		if first := asJSON[:min(1, len(asJSON))]; status != exitDone || first != "[" && first != "{" {
			t.Errorf("show %s --json: status %d, %q %s", v, status, asJSON, stderr)
		}
	}
	if status, _, stderr := r.weir("show", "weather"); status != exitUsage || !strings.Contains(stderr, "servers conn") {
		t.Errorf("status %d, %s", status, stderr)
	}
	if _, text, _ := r.weir("show", "config"); !strings.Contains(text, "[backend.b]\n") {
		t.Errorf("show config:\n%s", text)
	}
	var tables struct {
		Global  map[string]any
		Backend map[string]struct {
			Reuse   string
			Servers []struct{ Name, Address string }
		}
	}
	if _, text, _ := r.weir("show", "config", "--json"); json.Unmarshal([]byte(text), &tables) != nil || tables.Global["runtime-socket"] != r.socket ||
		tables.Backend["b"].Reuse != "safe" || tables.Backend["b"].Servers[0].Address != "127.0.0.1:9" {
		t.Errorf("show config --json:\n%s\n%+v", text, tables)
	}
	if _, text, _ := r.weir("show", "info"); !strings.Contains(text, "config-file: "+r.file) {
		t.Errorf("show info:\n%s", text)
	}
}

func TestCommandsFindTheSocketOfAFile(t *testing.T) {
	r := newRig(t, "")
	if status, _, stderr := weir(t, "show", "info", "-c", r.file); status != exitDone {
		t.Errorf("status %d, %s", status, stderr)
	}
	if status, _, _ := weir(t, "show", "info", "-c", r.file, "--runtime-socket", r.socket); status != exitUsage {
		t.Errorf("both ways at once: status %d", status)
	}
	if status, _, _ := weir(t, "show", "info", "-c", filepath.Join(r.dir, "none")); status != exitRefused {
		t.Errorf("a file that is not there: status %d", status)
	}
}

func TestConfigDiffAgainstTheRunningProcess(t *testing.T) {
	r := newRig(t, "")
	status, text, stderr := weir(t, "config", "diff", "-c", r.file)
	if status != exitDone || !strings.Contains(text, "keep    backend b\n") || !strings.HasSuffix(text, " keep, 0 change, 0 drain, 0 add\n") {
		t.Errorf("status %d\n%s%s", status, text, stderr)
	}
	old := r.front
	r.front = freeAddr()
	r.write("workers = 1")
	if status, _, stderr := weir(t, "config", "diff", "-c", r.file); status != exitRefused || !strings.Contains(stderr, "defined twice") {
		t.Errorf("a bad file: status %d, %s", status, stderr)
	}
	r.write("")
	_, text, _ = weir(t, "config", "diff", "-c", r.file)
	for _, want := range []string{"change  frontend f (client connections that there are drain)\n", "drain   listener " + old + "\n", "add     listener " + r.front + "\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestUpgradeHandsTheListenersOver(t *testing.T) {
	r := newRig(t, "")
	t.Setenv("WEIR_TEST_FILE", r.file)
	close(r.plane.drain)
	status, stdout, stderr := r.weir("upgrade")
	if status != exitDone || stdout != "upgraded: generation 1 -> 2\n" {
		t.Fatalf("status %d, %q %s", status, stdout, stderr)
	}
	<-r.ended // our process has drained and closed its sockets; only the new one is left
	if ok, why := r.p.Ready(); !ok {
		t.Errorf("the last to ask the old process hears %q of a service that goes on", why)
	}
	if !answers(r.front) {
		t.Error("nobody listens at the frontend")
	}
	if !answers(r.admin) {
		t.Error("nobody listens at the admin address")
	}
	status, stdout, stderr = r.weir("show", "info")
	if status != exitDone || strings.Contains(stdout, fmt.Sprintf("pid: %d\n", os.Getpid())) {
		t.Errorf("status %d, %s%s", status, stdout, stderr)
	}
	if status, _, stderr = r.weir("drain"); status != exitDone {
		t.Errorf("the new process does not drain: %s", stderr)
	}
	waitFor(t, func() bool { return !answers(r.front) })
}

func TestUpgradeLeavesSocketsNonBlocking(t *testing.T) {
	r := newRig(t, "")
	t.Setenv("WEIR_TEST_FILE", filepath.Join(r.dir, "none")) // the new process fails after it has got everything
	status, _, stderr := r.weir("upgrade")
	if status != exitRefused || !strings.Contains(stderr, "no such file") {
		t.Fatalf("status %d, %s", status, stderr)
	}
	for _, fds := range r.plane.Listeners() {
		for _, fd := range fds {
			if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK == 0 {
				t.Errorf("a listening socket would block its worker: %#x %v", flags, err)
			}
		}
	}
	if status, _, stderr := r.weir("show", "info"); status != exitDone || !answers(r.front) || !answers(r.admin) {
		t.Errorf("the old process does not go on: status %d, %s", status, stderr)
	}
}

// withBinary has upgrades start a script instead of this program. It writes its process ID into the file that is returned.
func withBinary(t *testing.T, dir, script string) (pidFile string) {
	t.Helper()
	path, pidFile := filepath.Join(dir, "script"), filepath.Join(dir, "pid")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho $$ > "+pidFile+".new\nmv "+pidFile+".new "+pidFile+"\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	was := binary
	binary = path
	t.Cleanup(func() { binary = was })
	return pidFile
}

func TestUpgradeSaysWhyItWasRefused(t *testing.T) {
	r := newRig(t, "")
	t.Setenv("WEIR_TEST_FILE", r.file)
	r.write("no-such-key = 1")
	status, _, stderr := r.weir("upgrade")
	if status != exitRefused || !strings.Contains(stderr, "the new process cannot serve") || !strings.Contains(stderr, `unknown key "no-such-key"`) || !strings.Contains(stderr, "^^^") {
		t.Errorf("status %d, %s", status, stderr)
	}
}

func TestUpgradeToAProgramThatEnds(t *testing.T) {
	withBinary(t, t.TempDir(), "exit 0")
	r := newRig(t, "")
	status, _, stderr := r.weir("upgrade")
	if status != exitRefused || !strings.Contains(stderr, "ended before it was ready") || !strings.Contains(stderr, "exit status 0") {
		t.Errorf("status %d, %s", status, stderr)
	}
	if !answers(r.front) {
		t.Error("the old process does not go on")
	}
}

// TestUpgradeUnderWay: what comes meanwhile is refused at once instead of waiting for its end, and an order to end ends it.
func TestUpgradeUnderWay(t *testing.T) {
	pidFile := withBinary(t, t.TempDir(), "exec sleep 600")
	r := newRig(t, "")
	close(r.plane.drain)
	first := make(chan error, 1)
	go func() {
		_, _, err := r.p.Upgrade(context.Background())
		first <- err
	}()
	var pid int
	waitFor(t, func() bool {
		b, _ := os.ReadFile(pidFile)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(b)))
		return pid > 0
	})
	for _, c := range []string{"upgrade", "reload"} {
		if status, _, stderr := r.weir(c); status != exitRefused || !strings.Contains(stderr, "an upgrade is under way") {
			t.Errorf("%s: status %d, %s", c, status, stderr)
		}
	}
	r.signals <- unix.SIGTERM
	if err := <-first; !errors.Is(err, errDraining) {
		t.Errorf("the upgrade ended with %v", err)
	}
	<-r.ended
	if err := unix.Kill(pid, 0); !errors.Is(err, unix.ESRCH) {
		t.Errorf("the new process is still there: %v", err)
	}
}

func TestTheDemonstrationCannotReloadOrUpgrade(t *testing.T) {
	r := newRigWith(t, "", func(p *process) { p.file = "" })
	for _, c := range []string{"reload", "upgrade"} {
		if status, _, stderr := r.weir(c); status != exitRefused || !strings.Contains(stderr, "without a configuration file") {
			t.Errorf("%s: status %d, %s", c, status, stderr)
		}
	}
}

func TestReceiveRefusesWhatIsNoNote(t *testing.T) {
	if h, err := receive(""); err != nil || h.isUpgrade() {
		t.Errorf("nothing: %+v %v", h, err)
	}
	if _, err := receive("{"); err == nil {
		t.Error("a broken note was taken")
	}
	if _, err := receive(`{"admin":` + fmt.Sprint(int(os.Stdin.Fd())+9999) + `}`); err == nil {
		t.Error("an admin listener that is none was taken")
	}
}

func TestServiceManagerIsNotified(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	r := newRig(t, "")
	next := func() string {
		b := make([]byte, 512)
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	if got := next(); got != fmt.Sprintf("READY=1\nMAINPID=%d", os.Getpid()) {
		t.Errorf("at start: %q", got)
	}
	if status, _, stderr := r.weir("reload"); status != exitDone {
		t.Fatal(stderr)
	}
	if got := next(); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") {
		t.Errorf("at reload: %q", got)
	}
	if got := next(); got != "READY=1" {
		t.Errorf("after reload: %q", got)
	}
	close(r.plane.drain)
	r.signals <- unix.SIGTERM
	if got := next(); got != "STOPPING=1" {
		t.Errorf("at drain: %q", got)
	}
}

func TestStartLeavesNothingBehindWhenItFails(t *testing.T) {
	dir := t.TempDir()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	front := freeAddr()
	file := filepath.Join(dir, "weir.toml")
	text := fmt.Sprintf(rigText, filepath.Join(dir, "s"), taken.Addr(), "", front)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	n := &notingPlane{drain: make(chan struct{})}
	err = runFile(context.Background(), file, io.Discard, n.start)
	if err == nil || !strings.Contains(err.Error(), "admin listener") {
		t.Errorf("error %v", err)
	}
	if answers(front) {
		t.Error("the frontend still listens")
	}
	if _, err := os.Stat(filepath.Join(dir, "s")); err == nil {
		t.Error("the runtime socket is still there")
	}
}
