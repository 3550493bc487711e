package relay

import (
	"net/netip"
	"runtime"
	"time"

	"weir/bench/epoll"
)

// Config is what both relays need to know.
type Config struct {
	Listen  netip.AddrPort
	Origin  netip.AddrPort
	Sources []netip.Addr // local addresses of connections to the origin, taken in turn; empty: the kernel chooses
}

const (
	bufferBytes   = 60 << 10 // what fits into one segment: the floor must not pay for small ones behind it
	acceptsATurn  = 64
	listenerWord  = ^uint64(0)
	listenBacklog = 16384
)

// pair is one client connection and its origin connection. A generation makes events that were queued for a pair that
// has ended in the same turn recognisable.
type pair struct {
	slot  uint32
	gen   uint32
	live  bool
	front half
	back  half
}

// half is one socket of a pair and the direction that flows into it.
type half struct {
	fd      int
	up      bool   // connected
	ended   bool   // its FIN was read
	finSent bool   // we sent ours
	unread  bool   // a readiness edge was seen and not used up because the other half was full
	held    []byte // bytes of the other half that did not fit; nil almost always
}

type loop struct {
	Config
	poll     *epoll.Poller
	listener int
	pairs    []*pair // slab: records are used again, and pointers stay valid while it grows
	free     []uint32
	turn     int
	buf      []byte
}

// Run relays until the process ends, on the calling goroutine, which it locks to its thread. ready gets the address.
func Run(c Config, ready func(netip.AddrPort)) error {
	runtime.LockOSThread()
	l, addr, err := newLoop(c)
	if err != nil {
		return err
	}
	ready(addr)
	for {
		l.once(-1)
	}
}

func newLoop(c Config) (*loop, netip.AddrPort, error) {
	fd, addr, err := epoll.Listen(c.Listen, listenBacklog)
	if err != nil {
		return nil, addr, err
	}
	poll, err := epoll.NewPoller(1024)
	if err != nil {
		return nil, addr, err
	}
	l := &loop{Config: c, poll: poll, listener: fd, buf: make([]byte, bufferBytes)}
	return l, addr, poll.AddListener(fd, listenerWord)
}

// once runs one turn: wait, then handle what is ready.
func (l *loop) once(d time.Duration) {
	events := l.poll.Wait(d)
	for i := range events {
		word := events[i].Word()
		if word == listenerWord {
			l.accept()
			continue
		}
		if p := l.pairs[uint32(word)>>1]; p.live && p.gen == uint32(word>>32) {
			l.onEvent(p, word&1 == 1, events[i].Ready())
		}
	}
}

func (l *loop) accept() {
	for range acceptsATurn {
		fd, e := epoll.Accept(l.listener)
		if e != 0 {
			return
		}
		back, err := epoll.Dial(l.Origin, l.source())
		if err != nil {
			epoll.Close(fd)
			continue
		}
		slot := l.slot()
		p := l.pairs[slot]
		*p = pair{slot: slot, gen: p.gen + 1, live: true, front: half{fd: fd, up: true}, back: half{fd: back}}
		word := uint64(p.gen)<<32 | uint64(slot)<<1
		if l.poll.Add(fd, word) != nil || l.poll.Add(back, word|1) != nil {
			l.end(p)
		}
	}
}

func (l *loop) source() netip.Addr {
	if len(l.Sources) == 0 {
		return netip.Addr{}
	}
	l.turn++
	return l.Sources[l.turn%len(l.Sources)]
}

func (l *loop) slot() uint32 {
	if n := len(l.free); n > 0 {
		slot := l.free[n-1]
		l.free = l.free[:n-1]
		return slot
	}
	l.pairs = append(l.pairs, &pair{})
	return uint32(len(l.pairs) - 1)
}

func (l *loop) onEvent(p *pair, isBack bool, ready uint32) {
	self, other := &p.front, &p.back
	if isBack {
		self, other = other, self
	}
	if ready&epoll.Out != 0 {
		if !self.up {
			if epoll.Failure(self.fd) != 0 {
				l.end(p)
				return
			}
			self.up = true
		}
		// Only a half that held something back, or was not up when its peer spoke, has work here.
		if (self.held != nil || other.unread || other.ended) && !l.resume(p, other, self) {
			return
		}
	}
	if ready&(epoll.In|epoll.RdHup|epoll.Gone) != 0 {
		l.move(p, self, other, ready&(epoll.RdHup|epoll.Gone) != 0)
	}
}

// resume writes what was held for to, then goes on with what its peer has not read yet. False: the pair has ended.
func (l *loop) resume(p *pair, from, to *half) bool {
	for len(to.held) > 0 {
		n, e := epoll.Write(to.fd, to.held)
		if e == epoll.Again {
			return true
		}
		if e != 0 {
			l.end(p)
			return false
		}
		to.held = to.held[n:]
	}
	to.held = nil
	if from.ended {
		return l.finish(p, from, to)
	}
	if from.unread {
		return l.move(p, from, to, true)
	}
	return true
}

// move passes bytes from one half to the other until the first is drained or the second is full. A short read means
// drained, which saves the read that would say EAGAIN; toEnd reads on, because a FIN may stand behind the bytes.
// False: the pair has ended.
func (l *loop) move(p *pair, from, to *half, toEnd bool) bool {
	if !to.up || to.held != nil {
		from.unread = true
		return true
	}
	from.unread = false
	if from.ended {
		return true
	}
	for {
		n, e := epoll.Read(from.fd, l.buf)
		if e == epoll.Again {
			return true
		}
		if e != 0 {
			l.end(p)
			return false
		}
		if n == 0 {
			from.ended = true
			return l.finish(p, from, to)
		}
		m, e := epoll.Write(to.fd, l.buf[:n])
		if e != 0 && e != epoll.Again {
			l.end(p)
			return false
		}
		if m < n {
			to.held = append([]byte(nil), l.buf[m:n]...)
			from.unread = true
			return true
		}
		if n < len(l.buf) && !toEnd {
			return true
		}
	}
}

// finish passes the end of from on to to; when both directions have ended the pair is over. False: it is.
func (l *loop) finish(p *pair, from, to *half) bool {
	if !to.up || to.held != nil {
		return true
	}
	if !to.finSent {
		to.finSent = true
		epoll.ShutdownSend(to.fd)
	}
	if p.front.ended && p.back.ended {
		l.end(p)
		return false
	}
	return true
}

func (l *loop) end(p *pair) {
	if p.front.ended && p.back.ended {
		epoll.Close(p.front.fd)
		epoll.Close(p.back.fd)
	} else { // One side failed: the other must see it as a failure, not as an end.
		epoll.Abort(p.front.fd)
		epoll.Abort(p.back.fd)
	}
	p.live = false
	p.front.held, p.back.held = nil, nil
	l.free = append(l.free, p.slot)
}
