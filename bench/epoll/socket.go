package epoll

import (
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The errno values the loops tell apart; anything else ends the connection.
const (
	Again      = unix.EAGAIN
	InProgress = unix.EINPROGRESS
)

// Listen opens a non-blocking listening socket with SO_REUSEPORT and returns it with the address it got.
func Listen(addr netip.AddrPort, backlog int) (int, netip.AddrPort, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, netip.AddrPort{}, err
	}
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	if err = unix.Bind(fd, sockaddr(addr)); err == nil {
		err = unix.Listen(fd, backlog)
	}
	if err != nil {
		unix.Close(fd)
		return -1, netip.AddrPort{}, fmt.Errorf("listen on %s: %w", addr, err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		unix.Close(fd)
		return -1, netip.AddrPort{}, err
	}
	in := sa.(*unix.SockaddrInet4)
	return fd, netip.AddrPortFrom(netip.AddrFrom4(in.Addr), uint16(in.Port)), nil
}

// Accept takes one connection off a listener, non-blocking and with Nagle's algorithm off.
func Accept(listener int) (int, unix.Errno) {
	fd, _, e := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(listener), 0, 0, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if e != 0 {
		return -1, e
	}
	NoDelay(int(fd))
	return int(fd), 0
}

// NoDelay turns Nagle's algorithm off.
func NoDelay(fd int) { unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) }

// Dial starts a non-blocking connection to addr from source (the zero Addr lets the kernel choose). A nil error means
// established or on its way: EPOLLOUT tells, and Failure says how it went.
func Dial(addr netip.AddrPort, source netip.Addr) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	NoDelay(fd)
	if source.IsValid() {
		// Without this flag bind would pick the port alone and each source address would serve 28,000 connections to
		// all destinations together instead of to each one.
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(source, 0))); err != nil {
			unix.Close(fd)
			return -1, err
		}
	}
	if err := unix.Connect(fd, sockaddr(addr)); err != nil && err != InProgress {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// Failure returns and clears the pending error of a socket (SO_ERROR); 0 when there is none.
func Failure(fd int) unix.Errno {
	v, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err.(unix.Errno)
	}
	return unix.Errno(v)
}

// Read reads into p. n is 0 with no error at the end of the stream.
func Read(fd int, p []byte) (int, unix.Errno) {
	n, _, e := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}

// Discard takes up to n bytes off a TCP stream without copying them (MSG_TRUNC, tcp(7)). Bodies whose bytes nobody looks
// at are read so, by origin and load generator alike, which keeps both far from being what limits a large transfer.
func Discard(fd, n int) (int, unix.Errno) {
	m, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&sink[0])), uintptr(n),
		unix.MSG_TRUNC, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(m), 0
}

var sink [1]byte

// Write writes p, as much as fits.
func Write(fd int, p []byte) (int, unix.Errno) {
	n, _, e := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}

// ShutdownSend ends our direction with a FIN.
func ShutdownSend(fd int) { unix.Shutdown(fd, unix.SHUT_WR) }

// Close closes fd.
func Close(fd int) { unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// Abort closes fd with a RST, so that the peer cannot take truncation for an end.
func Abort(fd int) {
	unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	Close(fd)
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
}
