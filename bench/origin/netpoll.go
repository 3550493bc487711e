package origin

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/cloudwego/netpoll"
)

// netpollConn puts the protocol side behind a lock, because netpoll answers requests on goroutines of a pool while
// delayed answers come from timers.
type netpollConn struct {
	mu sync.Mutex
	conn
	out []byte
}

type connKey struct{}

func runNetpoll(addr netip.AddrPort, counters *Counters, ready func(netip.AddrPort)) error {
	ln, err := net.Listen("tcp4", addr.String())
	if err != nil {
		return err
	}
	wrapped, err := netpoll.ConvertListener(ln)
	if err != nil {
		return err
	}
	server, err := netpoll.NewEventLoop(onNetpollRequest, netpoll.WithOnConnect(
		func(ctx context.Context, nc netpoll.Connection) context.Context {
			counters.onOpen()
			nc.AddCloseCallback(func(netpoll.Connection) error { counters.onClose(); return nil })
			return context.WithValue(ctx, connKey{}, newNetpollConn(nc, counters))
		}))
	if err != nil {
		return err
	}
	ready(netip.MustParseAddrPort(ln.Addr().String()))
	return server.Serve(wrapped)
}

func newNetpollConn(nc netpoll.Connection, counters *Counters) *netpollConn {
	c := &netpollConn{conn: conn{srv: &server{replies: replies{}, counters: counters}}}
	c.after = func(d time.Duration, stream uint32) {
		time.AfterFunc(d, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.out = c.due(stream, c.out)
			c.flush(nc)
		})
	}
	return c
}

func onNetpollRequest(ctx context.Context, nc netpoll.Connection) error {
	c := ctx.Value(connKey{}).(*netpollConn)
	r := nc.Reader()
	b, err := r.Next(r.Len())
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = c.recv(b, c.out)
	if err := r.Release(); err != nil {
		return err
	}
	return c.flush(nc)
}

// flush writes out and bulk; netpoll's Flush blocks until the socket took everything.
func (c *netpollConn) flush(nc netpoll.Connection) error {
	w := nc.Writer()
	for {
		if len(c.out) > 0 {
			if _, err := w.WriteBinary(c.out); err != nil {
				return err
			}
		}
		bulk := c.nextBulk()
		if len(bulk) > 0 {
			if _, err := w.WriteBinary(bulk); err != nil {
				return err
			}
		}
		if len(c.out)+len(bulk) == 0 {
			break
		}
		if err := w.Flush(); err != nil {
			return err
		}
		c.out = c.out[:0]
		if len(bulk) > 0 {
			c.out = c.sentBulk(len(bulk), c.out)
		}
		if c.h2 != nil {
			c.out = c.h2.more(c.out)
		}
	}
	if c.mode == modeEnded {
		return nc.Close()
	}
	return nil
}
