package netio

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"weir/internal/mono"
)

// The limits of one call.
const (
	eventsMax = 512 // events of one Wait
	piecesMax = 64  // pieces of one SendV
)

// wakeToken is the token of the eventfd. No slab has that many entries.
const wakeToken = ^Token(0)

// watchMask is what every descriptor is registered for, once (epoll_ctl(2)).
const watchMask = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET

// Linux is the Kernel of one worker: an epoll instance and an eventfd. Everything but Wake belongs to the worker's thread.
//
// The calls that cannot block go through RawSyscall, which does not tell the Go scheduler. What must not go that way is
// anything that sleeps, since a thread that sleeps inside holds up the garbage collector for everyone; the one such call
// is the epoll_wait of Wait.
type Linux struct {
	epfd, eventfd int
	hasNanos      bool // epoll_pwait2 (Linux 5.11) takes nanoseconds; without it epoll_pwait, rounded up to milliseconds

	// The arguments of calls live here, so that a call allocates nothing and the collector sees every pointer.
	events  [eventsMax]unix.EpollEvent
	iov     [piecesMax]unix.Iovec
	msg     unix.Msghdr
	timeout unix.Timespec
	addr    sockaddr
	size    uint32
	value   int32
	linger  unix.Linger

	shared struct {
		_      [64]byte // other threads write here: keep it off the lines above
		wakers atomic.Int64
		_      [56]byte
	}
}

var _ Kernel = (*Linux)(nil)

// NewLinux opens the epoll instance and the eventfd of a worker. Any goroutine may call it.
func NewLinux() (*Linux, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	eventfd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		unix.Close(epfd)
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	k := &Linux{epfd: epfd, eventfd: eventfd, linger: unix.Linger{Onoff: 1}}
	if io := k.watch(eventfd, wakeToken); io != OK {
		k.Shut()
		return nil, fmt.Errorf("epoll_ctl: %v", io)
	}
	// Kernels before 5.11 and some system call filters lack epoll_pwait2; ask once.
	_, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(epfd), uintptr(unsafe.Pointer(&k.events)), eventsMax,
		uintptr(unsafe.Pointer(&k.timeout)), 0, 0)
	k.hasNanos = e == 0
	return k, nil
}

// wakersClosed is added to the count of wakers by Shut: the sum is negative from then on.
const wakersClosed = -1 << 62

// Shut closes the epoll instance and the eventfd; descriptors that were watched stay open. The worker's loop must have
// ended; Wake may still be called, and does nothing.
func (k *Linux) Shut() {
	for k.shared.wakers.Add(wakersClosed); k.shared.wakers.Load() != wakersClosed; {
		runtime.Gosched() // a Wake is inside its write: the number of its descriptor must not be given away yet
	}
	unix.Close(k.eventfd)
	unix.Close(k.epfd)
}

// Now reads the monotonic clock.
func (k *Linux) Now() mono.Time { return Now() }

// one is what Wake writes: any number but zero.
var one uint64 = 1

// Wake makes the current or next Wait return. Any goroutine may call it.
//
// The eventfd is registered edge-triggered: every write is a new edge, so nobody has to read it, and the counter does
// not overflow in 2^64 wakes.
func (k *Linux) Wake() {
	if k.shared.wakers.Add(1) > 0 {
		unix.RawSyscall(unix.SYS_WRITE, uintptr(k.eventfd), uintptr(unsafe.Pointer(&one)), 8)
	}
	k.shared.wakers.Add(-1)
}

// Wait sleeps until an event, Wake, or the deadline (mono.Never: no deadline; a past one polls) and fills ev. It may
// return early with nothing: after Wake, or a signal.
func (k *Linux) Wait(ev []Event, deadline mono.Time) int {
	limit := min(len(ev), eventsMax)
	n := 0
	if deadline == mono.Never {
		n = k.sleep(limit, -1)
	} else if d := deadline.Sub(Now()); d > 0 {
		n = k.sleep(limit, int64(d))
	} else {
		n = k.poll(limit)
	}
	out := 0
	for i := range k.events[:n] {
		e := &k.events[i]
		if t := Token(uint32(e.Fd)) | Token(uint32(e.Pad))<<32; t != wakeToken {
			ev[out] = Event{Token: t, Ready: readyOf(e.Events)}
			out++
		}
	}
	return out
}

// readyOf translates the bits of an event.
func readyOf(e uint32) (r Ready) {
	if e&unix.EPOLLIN != 0 {
		r |= Readable
	}
	if e&unix.EPOLLOUT != 0 {
		r |= Writable
	}
	if e&unix.EPOLLRDHUP != 0 {
		r |= PeerClosed
	}
	if e&(unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		r |= HungUp
	}
	return r
}

// poll takes what is ready, without sleeping.
func (k *Linux) poll(limit int) int {
	n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(k.epfd), uintptr(unsafe.Pointer(&k.events)), uintptr(limit), 0, 0, 0)
	if e != 0 {
		return 0
	}
	return int(n)
}

// sleep waits for at most nanos; -1 is for ever. The scheduler is told, so that the P can be used meanwhile.
func (k *Linux) sleep(limit int, nanos int64) int {
	var n uintptr
	var e unix.Errno
	if k.hasNanos || nanos < 0 {
		var timeout unsafe.Pointer
		if nanos >= 0 {
			k.timeout = unix.NsecToTimespec(nanos)
			timeout = unsafe.Pointer(&k.timeout)
		}
		n, _, e = unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(k.epfd), uintptr(unsafe.Pointer(&k.events)), uintptr(limit),
			uintptr(timeout), 0, 0)
	} else {
		n, _, e = unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(k.epfd), uintptr(unsafe.Pointer(&k.events)), uintptr(limit),
			uintptr(millis(nanos)), 0, 0)
	}
	if e != 0 {
		return 0 // EINTR; the loop comes back
	}
	return int(n)
}

// millis rounds up, so that no timer's wait ends just before its deadline and spins. It ends within 24 days.
func millis(nanos int64) int64 { return min((nanos+999_999)/1_000_000, 1<<31-1) }
