package admin

import (
	"context"
	"time"

	"github.com/cloudwego/netpoll"
)

// lingerTime and lingerBytes bound how long input is thrown away after a refusal. Closing a socket with unread input
// sends a RST, which would take the refusal from the client before it has read it.
const (
	lingerTime  = time.Second
	lingerBytes = 4 << 20
)

// peer is one connection to a listener.
//
//	            request complete          written
//	waiting ─────────────────────► busy ───────────► waiting
//	   │                            │ │ refused
//	   │ too slow         the last  │ └────────────► lingering ──► closed
//	   └──────────► closed ◄────────┘
//
// netpoll reads whatever a client sends into memory without a bound, whether or not anyone takes it. So onInput always
// takes everything at once, keeps at most bounds.input of it, and the task runs on a goroutine of its own.
//
// All fields below conn are guarded by listener.mu.
type peer struct {
	l    *listener
	conn netpoll.Connection

	proto     protocol
	in        []byte    // what next has not taken
	fresh     bool      // it has not asked for anything yet
	busy      bool      // a task runs; only it writes
	lingering bool      // refused: input is thrown away
	discarded int       // bytes thrown away while lingering
	since     time.Time // when it was accepted or last finished a task
	timer     *time.Timer
	expiry    time.Time // what the timer is set to; an older firing means nothing
}

// onInput is netpoll's OnRequest: there is input. It never waits.
func onInput(ctx context.Context, conn netpoll.Connection) error {
	p, _ := ctx.Value(peerKey{}).(*peer)
	r := conn.Reader()
	b, err := r.Next(r.Len())
	if p == nil || err != nil {
		return conn.Close()
	}
	ok := p.take(b)
	_ = r.Release()
	if !ok {
		return conn.Close()
	}
	return nil
}

// take is given what arrived. It copies what it keeps. False: the connection has to end.
func (p *peer) take(b []byte) bool {
	p.l.mu.Lock()
	defer p.l.mu.Unlock()
	if p.lingering {
		p.discarded += len(b)
		return p.discarded <= lingerBytes
	}
	room := p.l.bounds.input - len(p.in)
	if len(b) > room && p.busy {
		return false // floods while its last request is not answered
	}
	if len(p.in) == 0 && !p.busy {
		p.armLocked(p.l.bounds.request)
	}
	p.in = append(p.in, b[:min(len(b), room)]...)
	if p.busy {
		return true
	}
	do := p.nextLocked()
	if do == nil {
		return len(b) <= room
	}
	// The only goroutine of this package that serves: one per connection at most, and connections are bounded.
	go p.serve(do)
	return true
}

// nextLocked looks for a whole request; the peer is busy when there is one.
func (p *peer) nextLocked() task {
	n, do := p.proto.next(p.in)
	p.in = p.in[:copy(p.in, p.in[n:])]
	if do != nil {
		p.busy = true
		p.l.busy++
		p.settledLocked()
	}
	return do
}

// settledLocked is called when the peer has asked for something, or never will.
func (p *peer) settledLocked() {
	if p.fresh {
		p.fresh = false
		p.l.fresh--
		p.l.sankLocked()
	}
}

// serve does tasks until the input holds no whole request any more.
func (p *peer) serve(do task) {
	for do != nil {
		out, then := do(p.l.ctx)
		if _, err := p.conn.Write(out); err != nil {
			then = closeNow
		}
		do = p.finish(then)
		if then == closeNow {
			_ = p.conn.Close()
		}
	}
}

// finish ends a task and returns the next one if its request is there already.
func (p *peer) finish(then fate) task {
	p.l.mu.Lock()
	defer p.l.mu.Unlock()
	p.busy = false
	p.since = time.Now()
	p.l.busy--
	p.l.sankLocked()
	if then != keepOpen {
		p.lingering, p.in = true, nil
		p.armLocked(lingerTime)
		return nil
	}
	if do := p.nextLocked(); do != nil {
		return do
	}
	if len(p.in) > 0 {
		p.armLocked(p.l.bounds.request)
	} else {
		p.armLocked(p.l.bounds.idle)
	}
	return nil
}

// armLocked sets the time by which the peer must have moved on.
func (p *peer) armLocked(d time.Duration) {
	p.expiry = time.Now().Add(d)
	if p.timer == nil {
		p.timer = time.AfterFunc(d, p.onTimer)
		return
	}
	p.timer.Reset(d)
}

func (p *peer) onTimer() {
	p.l.mu.Lock()
	late := !p.busy && !time.Now().Before(p.expiry)
	p.l.mu.Unlock()
	if late {
		_ = p.conn.Close()
	}
}

func (p *peer) onClose() {
	p.l.mu.Lock()
	defer p.l.mu.Unlock()
	p.timer.Stop() // admit has set it: who was not admitted has no callback
	delete(p.l.peers, p)
	p.settledLocked()
}
