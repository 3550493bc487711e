package epoll

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The conditions an Event reports.
const (
	In    = unix.EPOLLIN
	Out   = unix.EPOLLOUT
	RdHup = unix.EPOLLRDHUP
	Gone  = unix.EPOLLHUP | unix.EPOLLERR
)

// Event is one readiness report. Its layout is the kernel's and differs between architectures; the word given to Add
// starts at Fd in all of them.
type Event unix.EpollEvent

// Word is the 64-bit word given to Add.
func (e *Event) Word() uint64 { return *(*uint64)(unsafe.Pointer(&e.Fd)) }

// Ready are the conditions that hold.
func (e *Event) Ready() uint32 { return e.Events }

// Poller is an epoll instance and the array its events are returned in.
type Poller struct {
	fd     int
	events []Event
}

// NewPoller opens a poller that returns at most batch events a turn.
func NewPoller(batch int) (*Poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &Poller{fd: fd, events: make([]Event, batch)}, nil
}

// Close closes the epoll instance.
func (p *Poller) Close() { unix.Close(p.fd) }

// Add watches fd edge-triggered in both directions, once and for all: no later epoll_ctl is needed.
func (p *Poller) Add(fd int, word uint64) error {
	return p.ctl(fd, word, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLRDHUP|unix.EPOLLET)
}

// AddListener watches fd level-triggered for reading, so that a loop may accept a bounded number of connections a turn.
func (p *Poller) AddListener(fd int, word uint64) error { return p.ctl(fd, word, unix.EPOLLIN) }

func (p *Poller) ctl(fd int, word uint64, mask uint32) error {
	ev := unix.EpollEvent{Events: mask}
	*(*uint64)(unsafe.Pointer(&ev.Fd)) = word
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &ev)
}

// Remove stops watching fd. Closing the last descriptor of a socket does the same.
func (p *Poller) Remove(fd int) { unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil) }

// Wait sleeps until an event or for at most d (negative: without bound) and returns the events, which are valid until
// the next call. Nanoseconds count: an open-loop schedule at 30,000 requests a second has 33 µs between arrivals, and
// epoll_wait(2) knows milliseconds only.
func (p *Poller) Wait(d time.Duration) []Event {
	var n uintptr
	at, size := uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events))
	var e unix.Errno
	switch {
	case d == 0: // Never sleeps, so the runtime need not be told.
		n, _, e = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), at, size, 0, 0, 0)
	case d < 0:
		n, _, e = unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), at, size, ^uintptr(0), 0, 0)
	default:
		ts := unix.NsecToTimespec(int64(d))
		n, _, e = unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.fd), at, size, uintptr(unsafe.Pointer(&ts)), 0, 0)
	}
	if e != 0 {
		return nil
	}
	return p.events[:n]
}

// SharpTimers asks the kernel for timers without slack (50 µs by default) on the calling thread, which must be locked.
func SharpTimers() { unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) }

var origin = time.Now()

// Now is the monotonic clock in nanoseconds since the process started. It costs no system call (vDSO).
func Now() int64 { return int64(time.Since(origin)) }
