package origin

import (
	"net/netip"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"weir/bench/epoll"
)

const (
	readBytes     = 64 << 10
	skipBytes     = 1 << 20
	acceptsATurn  = 64
	listenBacklog = 16384
	listenerWord  = ^uint64(0)
)

// peer is one connection on the epoll loop.
type peer struct {
	conn
	fd     int
	slot   uint32
	gen    uint32
	live   bool
	unread bool   // an edge was seen while the connection could not read
	held   []byte // output that did not fit
}

type loop struct {
	srv      *server
	poll     *epoll.Poller
	listener int
	peers    []*peer
	free     []uint32
	timers   timers
	in, out  []byte
	now      int64
}

func newLoop(addr netip.AddrPort, counters *Counters) (*loop, netip.AddrPort, error) {
	fd, addr, err := epoll.Listen(addr, listenBacklog)
	if err != nil {
		return nil, addr, err
	}
	poll, err := epoll.NewPoller(1024)
	if err != nil {
		return nil, addr, err
	}
	l := &loop{srv: &server{replies: replies{}, counters: counters}, poll: poll, listener: fd, in: make([]byte, readBytes)}
	return l, addr, poll.AddListener(fd, listenerWord)
}

func (l *loop) run() {
	runtime.LockOSThread()
	epoll.SharpTimers()
	for {
		l.once()
	}
}

func (l *loop) once() {
	wait := time.Duration(-1)
	if !l.timers.empty() {
		wait = max(0, time.Duration(l.timers.next()-epoll.Now()))
	}
	events := l.poll.Wait(wait)
	if !l.timers.empty() {
		l.now = epoll.Now()
		l.timers.fire(l.now, l.onTimer)
	}
	for i := range events {
		word := events[i].Word()
		if word == listenerWord {
			l.accept()
			continue
		}
		if p := l.peers[uint32(word)]; p.live && p.gen == uint32(word>>32) {
			l.onEvent(p, events[i].Ready())
		}
	}
}

func (l *loop) accept() {
	for range acceptsATurn {
		fd, e := epoll.Accept(l.listener)
		if e != 0 {
			return
		}
		p := l.peer()
		p.fd, p.live = fd, true
		l.srv.counters.onOpen()
		if l.poll.Add(fd, p.word()) != nil {
			l.end(p)
		}
	}
}

func (l *loop) peer() *peer {
	if n := len(l.free); n > 0 {
		p := l.peers[l.free[n-1]]
		l.free = l.free[:n-1]
		*p = peer{slot: p.slot, gen: p.gen + 1, conn: conn{srv: l.srv, after: p.after, kept: p.kept[:0]}}
		return p
	}
	p := &peer{slot: uint32(len(l.peers))}
	p.srv = l.srv
	p.after = func(d time.Duration, stream uint32) {
		l.timers.add(d, timer{at: epoll.Now() + int64(d), word: p.word(), stream: stream})
	}
	l.peers = append(l.peers, p)
	return p
}

func (p *peer) word() uint64 { return uint64(p.gen)<<32 | uint64(p.slot) }

func (l *loop) onTimer(t timer) {
	if p := l.peers[uint32(t.word)]; p.live && p.gen == uint32(t.word>>32) {
		l.out = p.due(t.stream, l.out[:0])
		if l.flush(p) && p.unread {
			l.read(p, true)
		}
	}
}

func (l *loop) onEvent(p *peer, ready uint32) {
	if ready&epoll.Out != 0 && (p.held != nil || p.mode == modeBulk || p.h2 != nil && len(p.h2.sending) > 0) {
		l.out = l.out[:0]
		if !l.flush(p) {
			return
		}
		if p.unread {
			ready |= epoll.RdHup
		}
	}
	if ready&(epoll.In|epoll.RdHup|epoll.Gone) != 0 {
		l.read(p, ready&(epoll.RdHup|epoll.Gone) != 0)
	}
}

// read reads until the socket is drained or the connection owes an answer. A short read means drained, unless toEnd.
func (l *loop) read(p *peer, toEnd bool) {
	for {
		p.unread = !p.readable() || p.held != nil
		if p.unread {
			return
		}
		n, full, e := l.readSome(p)
		if e == epoll.Again {
			return
		}
		if e != 0 || n == 0 {
			l.end(p)
			return
		}
		if !l.flush(p) || !full && !toEnd {
			return
		}
	}
}

// readSome reads or discards once and lets the protocol side produce into out. full: there may be more.
func (l *loop) readSome(p *peer) (n int, full bool, e unix.Errno) {
	l.out = l.out[:0]
	if skip := p.skippable(); skip > readBytes {
		n, e = epoll.Discard(p.fd, int(min(skip, skipBytes)))
		if n > 0 {
			l.out = p.skipped(int64(n), l.out)
		}
		return n, true, e
	}
	n, e = epoll.Read(p.fd, l.in)
	if n > 0 {
		l.out = p.recv(l.in[:n], l.out)
	}
	return n, n == len(l.in), e
}

// flush writes what is held, then out, then bulk, for as long as the socket takes it. False: the connection has ended.
func (l *loop) flush(p *peer) bool {
	for {
		pieces := [3][]byte{p.held, l.out, p.nextBulk()}
		want := len(pieces[0]) + len(pieces[1]) + len(pieces[2])
		if want == 0 {
			if p.mode == modeEnded {
				l.end(p)
				return false
			}
			return true
		}
		n, e := writev(p.fd, &pieces)
		if e != 0 && e != epoll.Again {
			l.end(p)
			return false
		}
		queued := len(pieces[0]) + len(pieces[1])
		if n < queued {
			p.hold(l.out, n)
			l.out = l.out[:0]
			return true
		}
		p.held, l.out = nil, l.out[:0]
		if n > queued {
			l.out = p.sentBulk(n-queued, l.out)
		}
		if n < want {
			return true // Full: the next edge goes on. Nothing new was produced, for the body is not at its end.
		}
		if p.h2 != nil {
			l.out = p.h2.more(l.out)
		}
	}
}

// hold keeps what is left of held and out after n bytes were written.
func (p *peer) hold(out []byte, n int) {
	if n < len(p.held) {
		p.held = append(p.held[n:], out...)
		return
	}
	p.held = append([]byte(nil), out[n-len(p.held):]...)
}

// writev gathers up to three pieces into one call.
func writev(fd int, pieces *[3][]byte) (int, unix.Errno) {
	var vec [3]unix.Iovec
	k := 0
	for _, b := range pieces {
		if len(b) > 0 {
			vec[k].Base = unsafe.SliceData(b)
			vec[k].SetLen(len(b))
			k++
		}
	}
	if k == 1 {
		n, _, e := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(vec[0].Base)), uintptr(vec[0].Len))
		if e != 0 {
			return 0, e
		}
		return int(n), 0
	}
	n, _, e := unix.RawSyscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&vec)), uintptr(k))
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}

func (l *loop) end(p *peer) {
	epoll.Close(p.fd)
	p.live, p.held, p.h2 = false, nil, nil
	l.free = append(l.free, p.slot)
	l.srv.counters.onClose()
}
