package admin

import (
	"errors"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// acceptor is a listening socket for netpoll. netpoll's own one was rejected for three faults that a proxy cannot have:
//
//   - its Close closes the descriptor number twice, and the second time may hit a connection that a worker has just
//     accepted under the same number;
//   - accepted sockets are not close-on-exec, so the new process of an upgrade would hold them open;
//   - the second time that descriptors run out its poller spins, starting a goroutine each round.
type acceptor struct {
	net.Listener
	file *os.File // a duplicate, whose descriptor does not close while raw uses it
	raw  rawConn
	fd   int
	tcp  bool
	// expect is told before a connection is looked for, and whether one came; when it says no the queue is another's to take.
	expect func() bool
	came   func(one bool)
	spare  *os.File // given up to accept one connection when descriptors have run out; nil when it is used up
}

type rawConn interface {
	Control(func(fd uintptr)) error
}

// exhaustedPause keeps netpoll's poller from spinning on a connection that cannot be accepted.
const exhaustedPause = 10 * time.Millisecond

// newAcceptor takes ln over.
func newAcceptor(ln net.Listener, expect func() bool, came func(bool)) (*acceptor, error) {
	filer, ok := ln.(interface{ File() (*os.File, error) })
	if !ok {
		_ = ln.Close()
		return nil, errors.New("listener without a descriptor")
	}
	file, err := filer.File()
	if err != nil {
		_ = ln.Close()
		return nil, err
	}
	a := &acceptor{Listener: ln, file: file, fd: int(file.Fd()), expect: expect, came: came}
	_, a.tcp = ln.(*net.TCPListener)
	if a.raw, err = file.SyscallConn(); err != nil {
		_ = a.Close()
		return nil, err
	}
	if err := unix.SetNonblock(a.fd, true); err != nil {
		_ = a.Close()
		return nil, err
	}
	a.restoreSpare()
	return a, nil
}

// Fd is the descriptor that netpoll's poller watches.
func (a *acceptor) Fd() int { return a.fd }

// Close closes both descriptors, each once.
func (a *acceptor) Close() error {
	if a.spare != nil {
		_ = a.spare.Close()
	}
	return errors.Join(a.file.Close(), a.Listener.Close())
}

func (a *acceptor) restoreSpare() {
	if a.spare == nil {
		a.spare, _ = os.Open(os.DevNull)
	}
}

// Accept takes one connection, or none: nil without an error. netpoll's poller calls it when the descriptor is readable.
// The only error is that the listener was closed.
func (a *acceptor) Accept() (net.Conn, error) {
	if !a.expect() {
		time.Sleep(exhaustedPause)
		return nil, nil
	}
	conn, err := a.take()
	a.came(conn != nil)
	if conn == nil {
		return nil, err // not a nil *accepted in an interface
	}
	return conn, err
}

func (a *acceptor) take() (*accepted, error) {
	fd, errno, err := a.accept()
	if err != nil {
		return nil, net.ErrClosed
	}
	switch errno {
	case nil:
	case unix.EMFILE, unix.ENFILE:
		fd = a.acceptExhausted()
	case unix.ENOBUFS, unix.ENOMEM:
		time.Sleep(exhaustedPause)
		return nil, nil
	default: // EAGAIN, EINTR, or the connection is gone again (accept(2))
		return nil, nil
	}
	if fd < 0 {
		return nil, nil
	}
	a.restoreSpare()
	if a.tcp {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	return &accepted{fd: fd, addr: a.Addr()}, nil
}

// accept calls accept4(2) while the descriptor is held open.
func (a *acceptor) accept() (fd int, errno, closed error) {
	closed = a.raw.Control(func(listener uintptr) {
		fd, _, errno = unix.Accept4(int(listener), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	})
	return fd, errno, closed
}

// acceptExhausted accepts with the descriptor that was kept for it: when clients hold all of them is when the operator has
// to look.
func (a *acceptor) acceptExhausted() int {
	if a.spare != nil {
		_ = a.spare.Close()
		a.spare = nil
		if fd, errno, err := a.accept(); errno == nil && err == nil {
			return fd
		}
	}
	time.Sleep(exhaustedPause)
	a.restoreSpare()
	return -1
}

// accepted is what netpoll makes its connection of: it asks for the descriptor and the addresses and takes them over. The
// embedded interface is nil, no other method is ever called.
type accepted struct {
	net.Conn
	fd   int
	addr net.Addr
}

// Fd implements netpoll.Conn.
func (c *accepted) Fd() int { return c.fd }

// LocalAddr implements net.Conn.
func (c *accepted) LocalAddr() net.Addr { return c.addr }

// RemoteAddr is only printed in netpoll's error texts, where the listener's address says as much.
func (c *accepted) RemoteAddr() net.Addr { return c.addr }
