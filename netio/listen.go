package netio

import (
	"fmt"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Listen opens a listening socket. Every worker opens its own for the same address: SO_REUSEPORT makes the kernel spread
// connections over them. Connections inherit TCP_NODELAY and the keep-alive settings, which saves five calls for each.
//
// TCP_DEFER_ACCEPT is not set, though it would save a wake-up when the first bytes come a moment after the handshake:
// a connection that waits for its bytes is not counted by any limit, is lost when the listener moves to a new process,
// and a browser's connection opened ahead of need gets a RST in the end instead of an answer.
//
// Connections that wait in a listener's queue are reset when its last descriptor closes, though others listen at the same
// address (unless net.ipv4.tcp_migrate_req is set): a process that ends gives its listeners away first (SendFDs).
//
// IPv6 listeners are for IPv6 only, so that "0.0.0.0" and "::" can both be bound and a client has one address, not two.
func (k *Linux) Listen(o *ListenOptions) (fd int, err error) {
	fail := func(call string, e unix.Errno) (int, error) {
		if fd > 0 {
			k.Close(fd)
		}
		return -1, fmt.Errorf("listen on %v: %w", o.Addr, os.NewSyscallError(call, e))
	}
	family, size := k.addr.put(o.Addr)
	r, _, e := unix.RawSyscall(unix.SYS_SOCKET, uintptr(family), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if e != 0 {
		return fail("socket", e)
	}
	fd = int(r)
	for _, option := range [...]int{unix.SO_REUSEADDR, unix.SO_REUSEPORT} {
		if e := k.setInt(fd, unix.SOL_SOCKET, option, 1); e != 0 {
			return fail("setsockopt", e)
		}
	}
	if family == unix.AF_INET6 {
		if e := k.setInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); e != 0 {
			return fail("setsockopt", e)
		}
	}
	if e := k.setInherited(fd, o); e != 0 {
		return fail("setsockopt", e)
	}
	if _, _, e := unix.RawSyscall(unix.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(&k.addr)), size); e != 0 {
		return fail("bind", e)
	}
	if _, _, e := unix.RawSyscall(unix.SYS_LISTEN, uintptr(fd), uintptr(o.backlog()), 0); e != 0 {
		return fail("listen", e)
	}
	return fd, nil
}

// backlogDefault is far above what the kernel allows by default (net.core.somaxconn, 4096), which cuts it.
const backlogDefault = 1 << 16

func (o *ListenOptions) backlog() int {
	if o.Backlog <= 0 {
		return backlogDefault
	}
	return o.Backlog
}

// setInherited sets the options that accepted sockets inherit.
func (k *Linux) setInherited(fd int, o *ListenOptions) unix.Errno {
	if e := k.setInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); e != 0 {
		return e
	}
	return k.setKeepAlive(fd, o.KeepAlive)
}

// Adopt takes over a listening socket that another process opened: it checks that fd is one, bound to o.Addr, and sets
// the options that may have changed since: backlog, keep-alive, what accepted sockets inherit. The descriptor stays open
// when that fails.
func (k *Linux) Adopt(fd int, o *ListenOptions) error {
	accepting, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return fmt.Errorf("adopt %v: %w", o.Addr, os.NewSyscallError("getsockopt", err))
	}
	if accepting != 1 {
		return fmt.Errorf("adopt %v: the inherited socket does not listen", o.Addr)
	}
	if got := k.LocalAddr(fd); got != o.Addr {
		return fmt.Errorf("adopt %v: the inherited socket listens on %v", o.Addr, got)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return fmt.Errorf("adopt %v: %w", o.Addr, os.NewSyscallError("fcntl", err))
	}
	unix.CloseOnExec(fd)
	if o.KeepAlive == (KeepAlive{}) {
		if e := k.setInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 0); e != 0 {
			return fmt.Errorf("adopt %v: %w", o.Addr, os.NewSyscallError("setsockopt", e))
		}
	}
	if e := k.setInherited(fd, o); e != 0 {
		return fmt.Errorf("adopt %v: %w", o.Addr, os.NewSyscallError("setsockopt", e))
	}
	// listen(2) on a listening socket changes its backlog and loses nothing that waits.
	if err := unix.Listen(fd, o.backlog()); err != nil {
		return fmt.Errorf("adopt %v: %w", o.Addr, os.NewSyscallError("listen", err))
	}
	return nil
}

// Accept takes one connection off a listener. Again: the queue is empty. NoFiles: the connection stays queued, and no
// event will tell when descriptors are free again: ask again later.
func (k *Linux) Accept(fd int) (conn int, peer netip.AddrPort, io IO) {
	for {
		k.size = uint32(len(k.addr))
		r, _, e := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(&k.addr)), uintptr(unsafe.Pointer(&k.size)),
			unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		switch e {
		case 0:
			return int(r), k.addr.get(), OK
		case unix.ECONNABORTED, unix.EPROTO, unix.ENETDOWN, unix.ENETUNREACH, unix.EHOSTDOWN, unix.EHOSTUNREACH, unix.ENONET:
			continue // the connection died in the queue (accept(2)) and is off it: take the next
		}
		return -1, netip.AddrPort{}, ioOf(e)
	}
}
