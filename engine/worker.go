package engine

import (
	"time"

	"weir/h2"
	"weir/internal/buf"
	"weir/internal/limit"
	"weir/internal/mono"
	"weir/internal/msg"
	"weir/internal/stats"
	"weir/netio"
	"weir/netio/tlsio"
)

// eventsPerWait bounds the events of one turn, and so how long a turn can take.
const eventsPerWait = 256

// worker is one event loop on one thread. Nothing of it is touched by any other thread but mail and shared.
type worker struct {
	id         int
	k          netio.Kernel
	mail       *netio.Mailbox[message]
	now        mono.Time // the clock, read once a turn
	wall       int64     // the same instant as nanoseconds of Unix time, for log lines
	wallOffset int64     // from now to wall; set anew at every tick, since the wall clock may be moved

	conns     connTable
	exchanges exchangeTable
	wheel     *netio.Wheel
	bufs      *buf.Pool
	events    []netio.Event

	crowded []*listener // whose queues are to be looked at: new clients, or more than one turn may take
	ready   []*conn     // to be read again: a reason to wait has gone
	dirty   []*conn     // written to in this turn
	broken  []*conn     // found dead while writing
	dead    []*conn     // closed in this turn

	handshakes handshakes

	scratch    []byte   // what is being read
	pieces     [][]byte // of the write being made
	headBuf    []byte   // the head being serialised
	fieldBuf   []byte   // a field value being put together
	rspHead    msg.Head // the response head being passed on
	inHead     msg.Head // the h1 head being parsed; aliases input
	streamHead msg.Head // the h2 head being decoded; owns its bytes, unlike inHead

	tls    *tlsio.Worker
	h2slab h2.Slab
	ticker netio.Timer
	prober netio.Timer
	own    *session // of exchanges that are no client's
	spare  records
	asking *admissionWait // what a session asks a queue with

	view  view // the configuration as this worker sees it
	line  *accessLine
	stats *stats.Worker
	ids   requestIDs
	rand  fastRand

	shared        *shared // what all workers share: the counter table and each other's mailboxes
	draining      bool
	spread        time.Duration // over which idle clients are sent away
	endings       []ending      // of what is gone from the configuration
	listenersMade uint32
	date          dateText
	h3            h3Side
	names         map[string]string
	stopped       bool
}

// shared is all that workers have in common.
type shared struct {
	table   *limit.Table
	fds     *limit.FDs
	straits limit.Pressure
	workers []*worker // only mail of another worker may be used
	owners  ownerIDs
}

// run is the loop. It returns after a stop message. The caller has pinned the thread.
func (w *worker) run() {
	for !w.stopped {
		w.turn()
	}
}

// turn is one pass: wait, dispatch, take messages, fire timers, resume, flush.
func (w *worker) turn() {
	n := w.k.Wait(w.events, w.sleepUntil())
	w.mail.Awake()
	start := w.k.Now()
	w.now, w.wall = start, int64(start)+w.wallOffset
	w.stats.Loop.Turns++
	w.stats.Loop.Events += uint64(n)
	w.resumeHandshakes()
	for i := range w.events[:n] {
		w.dispatch(&w.events[i])
	}
	w.acceptMore()
	w.takeMail()
	w.wheel.Advance(w.now, w.fire)
	w.resume()
	w.flush()
	w.flushH3()
	w.line.handOver()
	if n > 0 {
		w.stats.Loop.Seconds.Observe(int64(w.k.Now().Sub(start)))
	}
}

// sleepUntil is the deadline of the next wait: now, if something is left to do.
func (w *worker) sleepUntil() mono.Time {
	if len(w.ready) > 0 || len(w.crowded) > 0 || !w.handshakes.idle() || !w.mail.PrepareSleep() {
		return 0
	}
	w.stats.Loop.Sleeps++
	return min(w.wheel.Next(), w.line.retryAt())
}

func (w *worker) dispatch(e *netio.Event) {
	if l := w.view.listenerOf(e.Token); l != nil {
		w.comeBack(l)
		return
	}
	c := w.conns.get(e.Token)
	if c == nil || c.has(buried) {
		return
	}
	if c.tls != nil {
		c.tls.Ready(e.Ready)
	}
	if e.Ready&netio.PeerClosed != 0 {
		c.set(peerClosed | canRead)
	}
	if e.Ready&netio.HungUp != 0 {
		c.set(hungUp | canRead)
	}
	if e.Ready&netio.Writable != 0 && !c.has(canWrite) {
		c.set(canWrite)
		w.drainOut(c)
	}
	if e.Ready&netio.Readable != 0 {
		c.set(canRead)
	}
	if c.has(canRead) && !c.has(buried) {
		c.owner.onReadable()
	}
}

// drainOut sends what waited for the kernel's room, and lets the owner produce more.
func (w *worker) drainOut(c *conn) {
	waited := c.backlog() > 0 || c.has(opening) || c.tls != nil
	c.flush()
	if waited && !c.has(buried) {
		c.clear(starved)
		c.owner.onRoom()
	}
}

// resume reads connections that were held back and may go on now. What it wakes anew waits for the next turn, so that two
// busy peers cannot keep the others of this worker waiting.
func (w *worker) resume() {
	n := len(w.ready)
	for i := 0; i < n; i++ {
		c := w.ready[i]
		c.clear(inReady)
		if !c.has(buried) {
			c.owner.onReadable()
		}
	}
	w.ready = append(w.ready[:0], w.ready[n:]...)
}

// flush sends all output of this turn, tells owners whose connection broke, and recycles what was closed.
func (w *worker) flush() {
	for len(w.dirty) > 0 || len(w.broken) > 0 { // what a broken connection's exchange writes elsewhere goes out too
		w.flushDirty()
		for i := 0; i < len(w.broken); i++ {
			if c := w.broken[i]; !c.has(buried) {
				c.owner.onBroken()
			}
		}
		w.broken = w.broken[:0]
	}
	for i, c := range w.dead {
		w.conns.remove(c)
		w.keepRecord(c)
		w.dead[i] = nil
	}
	w.dead = w.dead[:0]
	w.exchanges.recycle()
}

// flushDirty sends what was written, and what owners write when they learn that their direction has ended.
func (w *worker) flushDirty() {
	for i := 0; i < len(w.dirty); i++ {
		c := w.dirty[i]
		c.clear(inDirty)
		c.flush()
		if (c.has(finished) || c.relieved()) && !c.has(buried) {
			c.owner.onRoom()
		}
	}
	w.dirty = w.dirty[:0]
}

// fire is called by the wheel for every timer that has run out.
func (w *worker) fire(t *netio.Timer) {
	switch timerKind(t.Kind) {
	case timerConn:
		if c := w.conns.get(t.Token); c != nil && !c.has(buried) {
			c.owner.onTimeout()
		}
	case timerExchange:
		if x := w.exchanges.get(t.Token); x != nil {
			x.onTimeout()
		}
	case timerListener:
		if l := w.view.listenerOf(t.Token); l != nil {
			w.acceptFrom(l)
		}
	case timerTick:
		w.tick()
	case timerProbe:
		w.probe()
	}
}

// timerKind says what a timer's token names.
type timerKind uint8

const (
	timerConn timerKind = iota
	timerExchange
	timerListener
	timerTick
	timerProbe
)

// tickEvery is the period of the work that needs no precision: purging pools, warming them, trimming memory.
const tickEvery = 250 * time.Millisecond

// adopt registers a descriptor that has become this worker's and gives it a record.
func (w *worker) adopt(c *conn, fd int, owner connOwner) bool {
	c.w, c.owner, c.fd, c.flags = w, owner, int32(fd), canWrite
	c.in.Init(w.bufs)
	c.out.Init(w.bufs)
	w.conns.add(c)
	c.timer.Kind, c.timer.Token = uint8(timerConn), c.token
	if w.k.Watch(fd, c.token) != netio.OK {
		w.conns.remove(c)
		w.k.Close(fd)
		return false
	}
	w.stats.Loop.Conns++
	return true
}

// bury has a closed connection's record given back after this turn, when nothing on the stack refers to it any more.
func (w *worker) bury(c *conn) {
	w.stats.Loop.Conns--
	w.dead = append(w.dead, c)
}
