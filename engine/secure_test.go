package engine

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// firstFlight is what a client sends before it must wait: its hello.
func firstFlight(t testing.TB, cfg *tls.Config) []byte {
	t.Helper()
	var hello []byte
	c := tls.Client(flightConn{write: func(p []byte) { hello = append(hello, p...) }}, cfg)
	if err := c.Handshake(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return hello
}

// flightConn takes what is written and has nothing to read.
type flightConn struct {
	net.Conn
	write func(p []byte)
}

func (c flightConn) Write(p []byte) (int, error)    { c.write(p); return len(p), nil }
func (flightConn) Read([]byte) (int, error)         { return 0, io.EOF }
func (flightConn) SetWriteDeadline(time.Time) error { return nil }
func (flightConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (flightConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (flightConn) Close() error                     { return nil }

// coroutines is how many handshakes are under way in this process.
func coroutines() int {
	b := make([]byte, 4<<20)
	return strings.Count(string(b[:runtime.Stack(b, true)]), "tlsio.(*Conn).start.func1(")
}

// settle waits until n handshakes are under way.
func settle(t *testing.T, what string, n int) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for coroutines() != n {
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d coroutines, want %d", what, coroutines(), n)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// TestHandshakesThatStopGiveTheirCoroutineBack leaves handshakes in their midst: by a FIN, a RST, garbage, the end of
// patience, and the end of the engine. Each has a coroutine, which must end with it.
func TestHandshakesThatStopGiveTheirCoroutineBack(t *testing.T) {
	for how, leave := range map[string]func(fd int){
		"FIN":     func(fd int) { unix.Shutdown(fd, unix.SHUT_WR) },
		"RST":     abortNow,
		"garbage": func(fd int) { unix.Write(fd, []byte("this is not what comes next")) },
		"timeout": func(int) {},
		"stop":    nil,
	} {
		for name, version := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
			t.Run(how+" "+name, func(t *testing.T) {
				r, _ := newSecureRig(t, "")
				if how == "timeout" {
					r.sockaddr = r.hasty
				}
				hello := firstFlight(t, &tls.Config{InsecureSkipVerify: true, MaxVersion: version})
				const many = 60
				var fds []int
				defer func() {
					for _, fd := range fds {
						unix.Close(fd)
					}
				}()
				for range many {
					fd := r.connect(t)
					fds = append(fds, fd)
					if _, err := unix.Write(fd, hello); err != nil {
						t.Fatal(err)
					}
				}
				answered := 0
				for _, fd := range fds { // each is answered, and therefore has its coroutine
					if n, err := unix.Read(fd, make([]byte, 1)); n == 1 {
						answered++
					} else if how != "timeout" { // whose patience may end before a busy machine has come to it
						t.Fatal("no server's flight: ", n, err)
					}
				}
				if answered == 0 {
					t.Fatal("no handshake came as far as a coroutine")
				}
				if how != "timeout" && coroutines() != many {
					t.Fatalf("%d coroutines for %d handshakes", coroutines(), many)
				}
				if leave == nil {
					r.e.Stop()
				} else {
					for _, fd := range fds {
						leave(fd)
					}
				}
				settle(t, "all have ended", 0)
			})
		}
	}
}

// abortNow resets a connection and leaves another descriptor in its place.
func abortNow(fd int) {
	unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	unix.Dup3(0, fd, unix.O_CLOEXEC)
}

// TestHandshakesOfATurnAreBounded lets many clients begin at one moment. Their handshakes must be spread over turns, in each
// of which everybody else is served.
func TestHandshakesOfATurnAreBounded(t *testing.T) {
	r, _ := newSecureRig(t, "")
	hello := firstFlight(t, &tls.Config{InsecureSkipVerify: true})
	turns := func() (n uint64) {
		r.e.onWorkers(func(w *worker) { n = w.stats.Loop.Turns })
		return n
	}
	stopped, goOn := make(chan struct{}), make(chan struct{})
	go r.e.onWorkers(func(*worker) { close(stopped); <-goOn })
	<-stopped
	const many = 60
	var fds []int
	for range many {
		fd := r.connect(t)
		defer unix.Close(fd)
		if _, err := unix.Write(fd, hello); err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
	}
	close(goOn)
	before := turns()
	for _, fd := range fds {
		if n, err := unix.Read(fd, make([]byte, 1)); n != 1 {
			t.Fatal("no server's flight: ", n, err)
		}
	}
	if n := turns() - before; n < many/handshakesPerTurn {
		t.Errorf("%d handshakes were begun within %d turns", many, n)
	}
	var left handshakes
	r.e.onWorkers(func(w *worker) { left = w.handshakes })
	if !left.idle() {
		t.Errorf("some still wait: %+v", left)
	}
}
