package netio

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Watch registers fd for reading, writing and hang-up, edge-triggered. What is ready already makes an event, so a
// descriptor may be moved from one worker's kernel to another's without losing anything.
func (k *Linux) Watch(fd int, t Token) IO {
	if t == wakeToken {
		panic("netio: the token of the eventfd was used")
	}
	return k.watch(fd, t)
}

func (k *Linux) watch(fd int, t Token) IO {
	// The kernel's 64 bits of event data are Fd and Pad, on every architecture.
	ev := &k.events[0]
	*ev = unix.EpollEvent{Events: watchMask, Fd: int32(t.Index()), Pad: int32(t.Generation())}
	_, _, e := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(k.epfd), unix.EPOLL_CTL_ADD, uintptr(fd), uintptr(unsafe.Pointer(ev)), 0, 0)
	return ioOf(e)
}

// Unwatch takes fd out, for a connection that moves to another worker. Close does it by itself, unless the descriptor
// was duplicated.
func (k *Linux) Unwatch(fd int) {
	unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(k.epfd), unix.EPOLL_CTL_DEL, uintptr(fd), 0, 0, 0)
}

// Recv reads into p, which must not be empty. n is short only when the socket is drained.
func (k *Linux) Recv(fd int, p []byte) (n int, io IO) {
	if len(p) == 0 {
		panic("netio: Recv into nothing, which could not be told from EOF")
	}
	r, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0)
	if e != 0 {
		return 0, ioOf(e)
	}
	if r == 0 {
		return 0, EOF
	}
	return int(r), OK
}

// Send writes p. n is short only when the socket is full.
//
// sendto, not write: MSG_NOSIGNAL keeps a broken connection from raising SIGPIPE, which the Go runtime would catch and
// drop, but at the price of a signal.
func (k *Linux) Send(fd int, p []byte) (n int, io IO) {
	if len(p) == 0 {
		return 0, OK
	}
	r, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
		unix.MSG_NOSIGNAL, 0, 0)
	if e != 0 {
		return 0, ioOf(e)
	}
	return int(r), OK
}

// SendV writes the pieces in order, at most 64 of them: further ones are left for the next call, as after any short
// write.
func (k *Linux) SendV(fd int, pieces [][]byte) (n int, io IO) {
	pieces = pieces[:min(len(pieces), piecesMax)]
	if len(pieces) == 1 {
		return k.Send(fd, pieces[0])
	}
	for i, p := range pieces {
		k.iov[i].Base = unsafe.SliceData(p)
		k.iov[i].SetLen(len(p))
	}
	k.msg.Iov = &k.iov[0]
	k.msg.SetIovlen(len(pieces))
	r, _, e := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&k.msg)), unix.MSG_NOSIGNAL)
	clear(k.iov[:len(pieces)]) // keep no block from the collector
	if e != 0 {
		return 0, ioOf(e)
	}
	return int(r), OK
}

// ShutdownSend ends our direction with a FIN after what was sent.
func (k *Linux) ShutdownSend(fd int) {
	unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0)
}

// Close closes fd. What was sent still goes out; when received bytes were not read, the peer gets a RST (RFC 1122
// section 4.2.2.13).
func (k *Linux) Close(fd int) {
	unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
}

// Abort closes with a RST, so that the peer sees truncation for what it is (SO_LINGER 0).
func (k *Linux) Abort(fd int) {
	unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER, uintptr(unsafe.Pointer(&k.linger)),
		unix.SizeofLinger, 0)
	k.Close(fd)
}

// LocalAddr is the address a connection was accepted on or opened from.
func (k *Linux) LocalAddr(fd int) netip.AddrPort {
	k.addr, k.size = sockaddr{}, uint32(len(k.addr))
	_, _, e := unix.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&k.addr)), uintptr(unsafe.Pointer(&k.size)))
	if e != 0 {
		return netip.AddrPort{}
	}
	return k.addr.get()
}
