package admin

import (
	"errors"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func newTestAcceptor(t *testing.T) *acceptor {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a, err := newAcceptor(ln, func() bool { return true }, func(bool) {})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAcceptDoesNotWait(t *testing.T) {
	a := newTestAcceptor(t)
	defer a.Close()
	if conn, err := a.Accept(); conn != nil || err != nil {
		t.Errorf("nobody there: %v %v, want neither", conn, err)
	}
}

func TestAcceptedIsCloseOnExec(t *testing.T) {
	a := newTestAcceptor(t)
	defer a.Close()
	_ = rawTCP(t, a.Addr().String())
	fd := acceptOne(t, a)
	defer unix.Close(fd)
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("descriptor flags %#x %v, want close-on-exec", flags, err)
	}
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK == 0 {
		t.Errorf("status flags %#x %v, want non-blocking", flags, err)
	}
}

func acceptOne(t *testing.T, a *acceptor) int {
	t.Helper()
	conn, err := a.Accept()
	if err != nil || conn == nil {
		t.Fatalf("accept: %v %v", conn, err)
	}
	return conn.(*accepted).Fd()
}

func TestClosedAcceptorSaysSo(t *testing.T) {
	a := newTestAcceptor(t)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	// The number is free now. Whoever gets it must not be accepted from.
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := a.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept: %v, want %v", err, net.ErrClosed)
	}
}

func TestAcceptWithoutDescriptorsLeft(t *testing.T) {
	a := newTestAcceptor(t)
	defer a.Close()
	for range 3 {
		_ = rawTCP(t, a.Addr().String())
	}
	restore := exhaust(t)
	first, err := a.Accept()
	if err != nil || first == nil {
		t.Fatalf("the spare descriptor is not used: %v %v", first, err)
	}
	// Again and again: the second time is when netpoll's own listener starts to spin.
	for range 3 {
		if conn, err := a.Accept(); conn != nil || err != nil {
			t.Errorf("no descriptor left: %v %v, want neither", conn, err)
		}
	}
	restore()
	defer unix.Close(first.(*accepted).Fd())
	defer unix.Close(acceptOne(t, a))
	if a.spare == nil {
		t.Error("the spare is not there again")
	}
}

// exhaust uses up every descriptor of the process until the function it returns is called.
func exhaust(t *testing.T) (restore func()) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	low := old
	low.Cur = min(old.Cur, 256)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	var taken []int
	for {
		fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			break
		}
		taken = append(taken, fd)
	}
	return func() {
		for _, fd := range taken {
			_ = unix.Close(fd)
		}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Error(err)
		}
	}
}
