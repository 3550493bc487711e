package admin

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSocketIsForItsOwnerOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "er", "w.sock")
	serve(t, Options{Socket: path}, newFake())
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("mode %v, want a socket with 0600", info.Mode())
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("directory holds %v, want the socket alone", left)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	path := socketPath(t)
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	_ = ln.Close() // the file stays, nobody answers
	serve(t, Options{Socket: path}, newFake())
	if rsp := do(t, dial(t, path), "ping"); !rsp.OK {
		t.Errorf("ping: %+v", rsp)
	}
}

func TestLiveSocketIsNotTaken(t *testing.T) {
	path := serveSocket(t, newFake())
	if s, err := Listen(Options{Socket: path}, newFake()); !errors.Is(err, errAnswered) {
		t.Fatalf("second listener: %v %v, want %v", s, err, errAnswered)
	}
	if rsp := do(t, dial(t, path), "ping"); !rsp.OK {
		t.Errorf("the first one does not answer any more: %+v", rsp)
	}
	left, _ := os.ReadDir(filepath.Dir(path))
	if len(left) != 1 {
		t.Errorf("directory holds %v, want the first one's socket alone", left)
	}
}

func TestAnotherFileIsNotRemoved(t *testing.T) {
	path := socketPath(t)
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(Options{Socket: path}, newFake()); err == nil {
		t.Error("a file that is no socket was replaced")
	}
	if b, _ := os.ReadFile(path); string(b) != "precious" {
		t.Error("the file is gone")
	}
}

func TestLongPathIsSaidSo(t *testing.T) {
	path := filepath.Join(t.TempDir(), strings.Repeat("x", 120))
	if _, err := Listen(Options{Socket: path}, newFake()); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("%v, want an error about the length", err)
	}
}

func TestUpgradeTakesThePlaceAndKeepsIt(t *testing.T) {
	path := socketPath(t)
	before, after := newFake(), newFake()
	old, err := Listen(Options{Socket: path}, before)
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, path)
	serve(t, Options{Socket: path, Replace: true}, after)
	do(t, c, "reload")
	do(t, dial(t, path), "stop")
	if before.last() != "reload" || after.last() != "stop" {
		t.Errorf("old was told %q, new %q; want reload and stop", before.last(), after.last())
	}
	if err := old.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if rsp := do(t, dial(t, path), "ping"); !rsp.OK {
		t.Error("the old process's end took the new one's socket away")
	}
}

func TestSocketIsRemovedAtClose(t *testing.T) {
	path := socketPath(t)
	s, err := Listen(Options{Socket: path}, newFake())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("lstat: %v, want that it does not exist", err)
	}
	if _, err := Dial(path); !errors.Is(err, ErrNobody) {
		t.Errorf("dial: %v, want ErrNobody", err)
	}
}

func TestCloseAnswersWhatWasBegun(t *testing.T) {
	f := newFake()
	path := socketPath(t)
	s, err := Listen(Options{Socket: path}, f)
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, path)
	type result struct {
		rsp Response
		err error
	}
	answered := make(chan result, 1)
	go func() {
		rsp, err := c.Do(context.Background(), Request{Cmd: "drain"})
		answered <- result{rsp, err}
	}()
	<-f.began
	closed := make(chan error, 1)
	go func() { closed <- s.Close(context.Background()) }()
	close(f.hold)
	if r := <-answered; r.err != nil || !r.rsp.OK {
		t.Errorf("drain: %+v %v, want an answer", r.rsp, r.err)
	}
	if err := <-closed; err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestCloseCutsWhatDoesNotEnd(t *testing.T) {
	f := newFake()
	path := socketPath(t)
	s, err := Listen(Options{Socket: path}, f)
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, path)
	ended := make(chan struct{})
	go func() {
		_, _ = c.Do(context.Background(), Request{Cmd: "drain"})
		close(ended)
	}()
	<-f.began
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("close: %v, want that it was cut", err)
	}
	<-ended
}

func TestClientGivesUpWithItsContext(t *testing.T) {
	f := newFake()
	defer close(f.hold)
	c := dial(t, serveSocket(t, f))
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-f.began
		cancel()
	}()
	if _, err := c.Do(ctx, Request{Cmd: "drain"}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the context's error", err)
	}
}

func TestOversizedRequestIsRefused(t *testing.T) {
	path := serveSocket(t, newFake())
	conn := rawDial(t, path)
	go func() { _, _ = conn.Write([]byte(strings.Repeat("x", 3*requestBytesMax))) }()
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.Contains(line, "longer than") {
		t.Errorf("%q %v, want a refusal", line, err)
	}
	if _, err := dial(t, path).Do(context.Background(), Request{Cmd: strings.Repeat("x", requestBytesMax)}); !errors.Is(err, errRequestTooLong) {
		t.Errorf("client sends what the server refuses: %v", err)
	}
}

func TestFloodIsCutOff(t *testing.T) {
	f := newFake()
	defer close(f.hold)
	conn := rawDial(t, serveSocket(t, f))
	if _, err := conn.Write([]byte(`{"cmd":"drain"}` + "\n")); err != nil {
		t.Fatal(err)
	}
	<-f.began // the answer is outstanding; nothing that is sent now may pile up
	chunk := make([]byte, 64<<10)
	for sent := 0; ; sent += len(chunk) {
		if _, err := conn.Write(chunk); err != nil {
			return
		}
		if sent > 256<<20 {
			t.Fatal("256 MiB went into a connection that is waiting for an answer")
		}
	}
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	conn := rawDial(t, serveSocket(t, newFake()))
	_, err := io.WriteString(conn, `{"cmd":"ping"}`+"\n"+`{"cmd":"fly"}`+"\n"+`{"cmd":"reload"}`+"\n"+`{"cmd":"pi`)
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	for _, want := range []string{`{"ok":true}`, "unknown command", "new-generation"} {
		if line, err := in.ReadString('\n'); err != nil || !strings.Contains(line, want) {
			t.Errorf("%q %v, want %q", line, err, want)
		}
	}
	if _, err := io.WriteString(conn, `ng"}`+"\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := in.ReadString('\n'); err != nil || line != `{"ok":true}`+"\n" {
		t.Errorf("request in two pieces: %q %v", line, err)
	}
}

func TestSlowClientIsCutOff(t *testing.T) {
	b := socketBounds
	b.request = 30 * time.Millisecond
	path := listenWith(t, b)
	conn := rawDial(t, path)
	if _, err := io.WriteString(conn, `{"cmd":`); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes for half a request, want the end", n)
	}
}

func TestIdleConnectionsGiveWay(t *testing.T) {
	b := socketBounds
	b.conns = 4
	path := listenWith(t, b)
	var idle []net.Conn
	for range 3 * b.conns {
		idle = append(idle, rawDial(t, path))
	}
	if rsp := do(t, dial(t, path), "ping"); !rsp.OK {
		t.Errorf("ping beside %d idle connections: %+v", len(idle), rsp)
	}
	if _, err := idle[0].Read(make([]byte, 1)); err == nil {
		t.Error("the longest idle connection is still there")
	}
}

func TestBusyConnectionsDoNotGiveWay(t *testing.T) {
	f := newFake()
	b := socketBounds
	b.conns = 1
	path := listenWithEngine(t, b, f)
	c := dial(t, path)
	answered := make(chan Response, 1)
	go func() {
		rsp, _ := c.Do(context.Background(), Request{Cmd: "drain"})
		answered <- rsp
	}()
	<-f.began
	if _, err := rawDial(t, path).Read(make([]byte, 1)); err == nil {
		t.Error("a second connection is served")
	}
	close(f.hold)
	if rsp := <-answered; !rsp.OK {
		t.Errorf("the command that ran was cut off: %+v", rsp)
	}
}

func listenWith(t *testing.T, b bounds) string { return listenWithEngine(t, b, newFake()) }

// listenWithEngine is a runtime socket with bounds of its own.
func listenWithEngine(t *testing.T, b bounds, e Engine) string {
	t.Helper()
	path := socketPath(t)
	ln, _, err := listenUnix(path, false)
	if err != nil {
		t.Fatal(err)
	}
	c := newControl(e)
	l, err := newListener(ln, b, func() protocol { return &lines{control: c} })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.close(context.Background()) })
	return path
}

func rawDial(t *testing.T, path string) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}
