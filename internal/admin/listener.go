package admin

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/cloudwego/netpoll"
)

// task does one request and returns what to write, and what becomes of the connection after that.
type task func(ctx context.Context) (out []byte, then fate)

// fate is what happens to a connection after an answer.
type fate uint8

const (
	keepOpen fate = iota // the next request may come
	closeNow             // both sides know that this was the last
	linger               // the request was refused, perhaps while it is still being sent
)

// protocol is what one connection speaks. It is used by one goroutine at a time.
type protocol interface {
	// next takes one request off the start of in and says how many bytes it took. No task means that more input is needed;
	// n may be above 0 even so. A request that is no good is a task too: one that writes the refusal and lingers.
	next(in []byte) (n int, do task)
}

// bounds is what a client may cost.
type bounds struct {
	conns   int           // at once; when they are all there, the longest idle one gives way
	input   int           // bytes waiting to be understood
	request time.Duration // from the first byte of a request to its last
	idle    time.Duration // between requests
	write   time.Duration // for a whole answer
	fresh   time.Duration // for the first request of a connection that was accepted just before the end
}

// listener serves one listening socket on netpoll, until it is closed.
type listener struct {
	bounds bounds
	open   func() protocol
	loop   netpoll.EventLoop
	ctx    context.Context // of every task; ends when the listener has been closed
	cancel context.CancelFunc
	served chan struct{} // closed when the loop no longer accepts

	mu     sync.Mutex
	peers  map[*peer]struct{}
	busy   int           // peers with a task
	fresh  int           // peers that have not asked for anything yet, and who is being accepted
	leaves bool          // nobody is accepted any more
	fewer  chan struct{} // set while someone waits for one of these to become 0; closed when one of them sinks
}

// newListener starts to serve ln, which belongs to it from now on.
func newListener(ln net.Listener, b bounds, open func() protocol) (*listener, error) {
	l := &listener{bounds: b, open: open, served: make(chan struct{}), peers: map[*peer]struct{}{}}
	a, err := newAcceptor(ln, l.expect, l.came)
	if err != nil {
		return nil, err
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.loop, err = netpoll.NewEventLoop(onInput, netpoll.WithOnPrepare(l.onAccept), netpoll.WithWriteTimeout(b.write))
	if err != nil {
		_ = a.Close()
		return nil, err
	}
	go func() {
		defer close(l.served)
		_ = l.loop.Serve(a)
	}()
	return l, nil
}

// expect counts a connection that is about to be accepted: once it is off the queue it has to be answered. False: what is in
// the queue is left there.
func (l *listener) expect() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.leaves {
		return false
	}
	l.fresh++
	return true
}

// came takes that back when there was none.
func (l *listener) came(one bool) {
	if one {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fresh--
	l.sankLocked()
}

type peerKey struct{}

// onAccept is called by netpoll's poller before the connection is watched. Closing it there refuses it.
func (l *listener) onAccept(conn netpoll.Connection) context.Context {
	p := &peer{l: l, conn: conn, proto: l.open()}
	oldest, ok := l.admit(p)
	if !ok {
		l.came(false)
		_ = conn.Close()
		return context.Background()
	}
	if oldest != nil {
		_ = oldest.conn.Close()
	}
	_ = conn.AddCloseCallback(func(netpoll.Connection) error {
		p.onClose()
		return nil
	})
	return context.WithValue(context.Background(), peerKey{}, p)
}

// admit makes room for p. Refusing newcomers would let a client that holds every connection and asks nothing keep the
// scraper out, so the one that has been idle for longest is given up; only when all are busy is p refused.
func (l *listener) admit(p *peer) (evicted *peer, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.peers) >= l.bounds.conns {
		for q := range l.peers {
			if !q.busy && (evicted == nil || q.since.Before(evicted.since)) {
				evicted = q
			}
		}
		if evicted == nil {
			return nil, false
		}
		delete(l.peers, evicted)
	}
	p.since = time.Now()
	p.armLocked(l.bounds.request)
	p.fresh = true // and counted: it was expected
	l.peers[p] = struct{}{}
	return evicted, true
}

// close stops serving. Tasks that were begun are finished and answered first, unless ctx ends before. In an upgrade the next
// process accepts from the same queue: what this one has taken out of it is to be answered, and the rest is left there.
func (l *listener) close(ctx context.Context) error {
	l.mu.Lock()
	l.leaves = true
	l.mu.Unlock()
	first, cancel := context.WithTimeout(ctx, l.bounds.fresh)
	_ = l.wait(first, func() bool { return l.fresh == 0 && l.busy == 0 })
	cancel()
	err := l.wait(ctx, func() bool { return l.busy == 0 })
	l.cancel()
	// netpoll takes a connection without unread input for idle, also one whose task still runs: that is why this comes
	// after the wait.
	if shut := l.shutdown(ctx); err == nil {
		err = shut
	}
	for _, p := range l.left() {
		_ = p.conn.Close()
	}
	return err
}

// shutdown ends the loop. Shutdown does nothing to a loop that has not begun to serve yet, hence the second try.
func (l *listener) shutdown(ctx context.Context) error {
	for {
		if err := l.loop.Shutdown(ctx); err != nil {
			return err
		}
		select {
		case <-l.served:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

// wait returns when done says so, which is asked with mu held, or when ctx ends.
func (l *listener) wait(ctx context.Context, done func() bool) error {
	for {
		l.mu.Lock()
		if done() {
			l.mu.Unlock()
			return nil
		}
		if l.fewer == nil {
			l.fewer = make(chan struct{})
		}
		fewer := l.fewer
		l.mu.Unlock()
		select {
		case <-fewer:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sankLocked tells who waits that there are fewer peers of a kind.
func (l *listener) sankLocked() {
	if l.fewer != nil {
		close(l.fewer)
		l.fewer = nil
	}
}

func (l *listener) left() (peers []*peer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.peers {
		peers = append(peers, p)
	}
	return peers
}
