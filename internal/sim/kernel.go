package sim

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"weir/internal/mono"
	"weir/netio"
)

// Kernel is one worker's view of the world. Descriptors are the process's: one that was opened through one Kernel may be
// watched by another.
//
// Misuse that Linux would answer with EBADF, or with another connection's bytes, panics: it is a bug of the worker.
type Kernel struct {
	net      *Net
	ready    []*socket // had an edge since they were last reported, oldest first
	watched  []*socket
	woken    atomic.Bool
	waiting  bool      // in Wait, as far as time is concerned: it returned only to give others their turn
	deadline mono.Time // of that Wait
	seen     uint64    // Net.changes at that Wait
	yielded  bool      // the last Wait gave others their turn
}

var _ netio.Kernel = (*Kernel)(nil)

// turnCost is the time a worker's turn takes, so that one that polls without end does not hold up the clock.
const turnCost = time.Microsecond

// backlogDefault is net.core.somaxconn.
const backlogDefault = 4096

// Kernel makes the kernel of a further worker.
func (n *Net) Kernel() *Kernel {
	k := &Kernel{net: n}
	n.kernels = append(n.kernels, k)
	return k
}

// Now reads the virtual clock.
func (k *Kernel) Now() mono.Time { return k.net.now }

// Wake makes the current or next Wait return. Any goroutine may call it.
func (k *Kernel) Wake() { k.woken.Store(true) }

// Wait fills ev with what is ready. When nothing is, time moves on to the next event, the deadline, or until another
// worker has something to do: then Wait returns with nothing. A second Wait in a row means that nobody else is being
// run (outside Drive), and time moves on regardless.
func (k *Kernel) Wait(ev []netio.Event, deadline mono.Time) int {
	n := k.net
	if !k.waiting {
		n.changes++ // it may have posted a letter to any other worker
	}
	n.Run(n.now.Add(turnCost))
	k.deadline = deadline
	yield := n.driven || n.last != k || !k.yielded
	n.last, k.yielded, k.waiting = k, false, true
	if n.happens(n.Faults.Spurious) && len(k.watched) > 0 {
		k.watched[n.rnd.IntN(len(k.watched))].edge()
	}
	for {
		k.seen = n.changes
		if c := k.collect(ev); c > 0 || k.woken.Swap(false) || deadline <= n.now {
			k.waiting = false
			return c
		}
		next := min(n.queue.next(), deadline)
		for _, o := range n.kernels {
			if o == k {
				continue
			}
			if yield && o.runnable() {
				k.yielded = true
				return 0
			}
			if o.deadline > n.now {
				next = min(next, o.deadline)
			}
		}
		if next == mono.Never {
			return 0
		}
		n.Run(next)
	}
}

// runnable reports whether the worker may have something to do before time moves on.
//
// A worker that got something from Wait is at it until its next Wait: nobody knows yet how long it wants to sleep. And one
// that Wait sent away with nothing looks awake to those who post letters, so they do not wake it: after every change it
// gets a turn to see for itself.
func (k *Kernel) runnable() bool {
	return !k.waiting || len(k.ready) > 0 || k.woken.Load() || k.deadline <= k.net.now || k.seen != k.net.changes
}

// collect reports the readiness of the sockets that had an edge. What is reported is the state as it is now, all of it; a
// socket that is not ready after all is left out.
func (k *Kernel) collect(ev []netio.Event) (c int) {
	taken := 0
	for _, s := range k.ready {
		if c == len(ev) {
			break
		}
		taken++
		s.watch.queued = false
		if r := s.poll(); r != 0 {
			ev[c] = netio.Event{Token: s.watch.token, Ready: r}
			c++
			k.net.trace("event %x: %04b", uint64(s.watch.token), r)
		}
	}
	k.ready = slices.Delete(k.ready, 0, taken)
	return c
}

// file is the socket of a descriptor.
func (k *Kernel) file(fd int, call string) *socket {
	s := k.net.files.get(fd)
	if s == nil {
		panic(fmt.Sprintf("sim: %s of descriptor %d, which is not open", call, fd))
	}
	return s
}

// noFiles reports whether the process has no descriptor left.
func (k *Kernel) noFiles() bool {
	n := k.net
	return n.FilesMax > 0 && n.files.open >= n.FilesMax || n.happens(n.Faults.NoFiles)
}

var errNoFiles = errors.New("sim: out of descriptors")

// Listen opens a listening socket; several may listen at one address.
func (k *Kernel) Listen(o *netio.ListenOptions) (fd int, err error) {
	n := k.net
	if n.FilesMax > 0 && n.files.open >= n.FilesMax {
		return -1, errNoFiles
	}
	at := o.Addr
	if at.Port() == 0 {
		var ok bool
		if at, ok = n.sourceFor(at, netip.AddrPort{}); !ok {
			return -1, fmt.Errorf("sim: no port is left at %v", o.Addr)
		}
	}
	backlog := o.Backlog
	if backlog <= 0 {
		backlog = backlogDefault
	}
	return n.files.add(n.addListener(at, backlog)), nil
}

// Accept takes one connection off a listener.
func (k *Kernel) Accept(fd int) (conn int, peer netip.AddrPort, io netio.IO) {
	l := k.file(fd, "Accept")
	if l.state != stateListening {
		panic("sim: Accept from a socket that does not listen")
	}
	if len(l.backlog.ready) == 0 {
		return -1, netip.AddrPort{}, netio.Again
	}
	if k.noFiles() {
		return -1, netip.AddrPort{}, netio.NoFiles
	}
	s := l.backlog.ready[0]
	l.backlog.ready = slices.Delete(l.backlog.ready, 0, 1)
	k.net.files.add(s)
	k.net.trace("accept of %v at %v: descriptor %d", s.remote, s.local, s.fd)
	return s.fd, s.remote, netio.OK
}

// Connect starts a connection. It is never established at once here.
func (k *Kernel) Connect(o *netio.ConnectOptions) (fd int, io netio.IO) {
	n := k.net
	if !o.Addr.IsValid() || o.Source.IsValid() && o.Source.Addr().Is4() != o.Addr.Addr().Is4() {
		return -1, netio.Failed
	}
	if k.noFiles() {
		return -1, netio.NoFiles
	}
	from, ok := n.sourceFor(o.Source, o.Addr)
	if !ok {
		return -1, netio.Unreachable
	}
	s := n.newSocket(from, o.Addr)
	n.files.add(s)
	n.trace("connect from %v to %v: descriptor %d", from, o.Addr, s.fd)
	s.connect()
	return s.fd, netio.Again
}

// Connected tells how a connect went, once.
func (k *Kernel) Connected(fd int) netio.IO {
	s := k.file(fd, "Connected")
	if s.state == stateConnecting {
		panic("sim: Connected was asked before an event said that there is an answer")
	}
	return s.takeErr()
}

// Watch registers fd. What is ready already makes an event.
func (k *Kernel) Watch(fd int, t netio.Token) netio.IO {
	s := k.file(fd, "Watch")
	if s.watch.by != nil {
		panic("sim: Watch of a descriptor that is watched")
	}
	s.watch = watched{by: k, token: t, index: len(k.watched)}
	k.watched = append(k.watched, s)
	if s.poll() != 0 {
		s.edge()
	}
	return netio.OK
}

// Unwatch takes fd out.
func (k *Kernel) Unwatch(fd int) {
	s := k.file(fd, "Unwatch")
	if s.watch.by != k {
		panic("sim: Unwatch of a descriptor that this kernel does not watch")
	}
	s.unwatch()
}

func (s *socket) unwatch() {
	k := s.watch.by
	if k == nil {
		return
	}
	if s.watch.queued {
		k.ready = slices.DeleteFunc(k.ready, func(o *socket) bool { return o == s })
	}
	last := k.watched[len(k.watched)-1]
	k.watched[s.watch.index], last.watch.index = last, s.watch.index
	k.watched = k.watched[:len(k.watched)-1]
	s.watch = watched{}
}

// Recv reads into p, which must not be empty.
func (k *Kernel) Recv(fd int, p []byte) (n int, io netio.IO) {
	if len(p) == 0 {
		panic("sim: Recv into nothing, which could not be told from EOF")
	}
	return k.file(fd, "Recv").take(p)
}

// Send writes p.
func (k *Kernel) Send(fd int, p []byte) (n int, io netio.IO) {
	s := k.file(fd, "Send")
	if len(p) == 0 {
		return 0, netio.OK
	}
	return s.put(p)
}

// SendV writes up to 64 pieces.
func (k *Kernel) SendV(fd int, pieces [][]byte) (n int, io netio.IO) {
	return k.file(fd, "SendV").put(pieces[:min(len(pieces), 64)]...)
}

// ShutdownSend ends our direction with a FIN after what was sent.
func (k *Kernel) ShutdownSend(fd int) { k.file(fd, "ShutdownSend").shutdownSend() }

// Close closes fd.
func (k *Kernel) Close(fd int) { k.closeFile(fd, false) }

// Abort closes with a RST.
func (k *Kernel) Abort(fd int) { k.closeFile(fd, true) }

func (k *Kernel) closeFile(fd int, reset bool) {
	s := k.file(fd, "Close")
	if s.watch.by != nil && s.watch.by != k {
		panic("sim: Close of a descriptor that another worker watches")
	}
	k.net.trace("close of descriptor %d, %v → %v", fd, s.local, s.remote)
	s.unwatch()
	k.net.files.remove(s)
	s.close(reset)
}

// LocalAddr is the address a connection was accepted on or opened from, or a listener's.
func (k *Kernel) LocalAddr(fd int) netip.AddrPort { return k.file(fd, "LocalAddr").local }
