package netio

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Connect starts a connection: OK when it is established at once, Again when a Writable event will tell (watch it, and
// ask Connected). With any other outcome there is no descriptor, and fd is -1.
func (k *Linux) Connect(o *ConnectOptions) (fd int, io IO) {
	family, _ := k.addr.put(o.Addr)
	if family == 0 {
		return -1, Failed
	}
	r, _, e := unix.RawSyscall(unix.SYS_SOCKET, uintptr(family), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if e != 0 {
		return -1, ioOf(e)
	}
	fd = int(r)
	if e = k.prepare(fd, family, o); e == 0 {
		_, size := k.addr.put(o.Addr) // prepare may have used the room for the source
		_, _, e = unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&k.addr)), size)
	}
	if io = ioOf(e); io != OK && io != Again {
		k.Close(fd)
		return -1, io
	}
	return fd, io
}

// prepare sets the options of a client socket that is not connected yet.
func (k *Linux) prepare(fd, family int, o *ConnectOptions) unix.Errno {
	if e := k.setInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); e != 0 {
		return e
	}
	if e := k.setKeepAlive(fd, o.KeepAlive); e != 0 {
		return e
	}
	if !o.Source.Addr().IsValid() && o.Source.Port() == 0 {
		return 0
	}
	return k.bindSource(fd, family, o)
}

// bindSource gives the socket its local address.
func (k *Linux) bindSource(fd, family int, o *ConnectOptions) unix.Errno {
	if o.Transparent {
		level, transparent, freebind := unix.IPPROTO_IP, unix.IP_TRANSPARENT, unix.IP_FREEBIND
		if family == unix.AF_INET6 {
			level, transparent, freebind = unix.IPPROTO_IPV6, unix.IPV6_TRANSPARENT, unix.IPV6_FREEBIND
		}
		if e := k.setInt(fd, level, transparent, 1); e != 0 {
			return e
		}
		if e := k.setInt(fd, level, freebind, 1); e != 0 {
			return e
		}
	}
	if o.Source.Port() == 0 {
		// Leave the choice of the port to connect, which knows the whole 4-tuple: a port in use towards one server is free
		// towards another, else 28,000 ports would be all there are for one source. IPv6 sockets take the same option.
		if e := k.setInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); e != 0 {
			return e
		}
	} else if e := k.setInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); e != 0 {
		return e // a port that is asked for may be in TIME_WAIT from the last connection
	}
	sourceFamily, size := k.addr.put(o.Source)
	if sourceFamily != family {
		return unix.EAFNOSUPPORT
	}
	_, _, e := unix.RawSyscall(unix.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(&k.addr)), size)
	return e
}

// Connected tells how a connect that returned Again went (SO_ERROR). It is asked after a Writable or HungUp event, once:
// reading the error clears it.
func (k *Linux) Connected(fd int) IO {
	k.value, k.size = 0, 4
	_, _, e := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_ERROR,
		uintptr(unsafe.Pointer(&k.value)), uintptr(unsafe.Pointer(&k.size)), 0)
	if e != 0 {
		return ioOf(e)
	}
	return ioOf(unix.Errno(k.value))
}

// setInt is setsockopt with an int.
func (k *Linux) setInt(fd, level, option, value int) unix.Errno {
	k.value = int32(value)
	_, _, e := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&k.value)), 4, 0)
	return e
}

// setKeepAlive turns TCP keep-alive on, unless it is the zero value (tcp(7)).
func (k *Linux) setKeepAlive(fd int, ka KeepAlive) unix.Errno {
	if ka == (KeepAlive{}) {
		return 0
	}
	if e := k.setInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1); e != 0 {
		return e
	}
	for _, o := range [...]struct{ option, value int }{
		{unix.TCP_KEEPIDLE, ka.Idle}, {unix.TCP_KEEPINTVL, ka.Interval}, {unix.TCP_KEEPCNT, ka.Count},
	} {
		if o.value == 0 {
			continue // the system's default
		}
		if e := k.setInt(fd, unix.IPPROTO_TCP, o.option, o.value); e != 0 {
			return e
		}
	}
	return 0
}
