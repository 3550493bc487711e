package relay

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/cloudwego/netpoll"
)

type peerKey struct{}

// RunNetpoll is Run on cloudwego/netpoll with its usual shape: one poller, a goroutine of its pool per ready connection.
func RunNetpoll(c Config, ready func(netip.AddrPort)) error {
	ln, err := net.Listen("tcp4", c.Listen.String())
	if err != nil {
		return err
	}
	if err := netpoll.Configure(netpoll.Config{PollerNum: 1}); err != nil {
		return err
	}
	dialer := netpollDialer{origin: c.Origin.String()}
	server, err := netpoll.NewEventLoop(pass, netpoll.WithOnConnect(dialer.connect))
	if err != nil {
		return err
	}
	wrapped, err := netpoll.ConvertListener(ln)
	if err != nil {
		return err
	}
	ready(netip.MustParseAddrPort(ln.Addr().String()))
	return server.Serve(wrapped)
}

type netpollDialer struct{ origin string }

// connect opens the origin connection of a new client connection and ties their lives together.
func (d netpollDialer) connect(ctx context.Context, front netpoll.Connection) context.Context {
	back, err := netpoll.DialConnection("tcp4", d.origin, 3*time.Second)
	if err != nil {
		front.Close()
		return ctx
	}
	back.AddCloseCallback(func(netpoll.Connection) error { return front.Close() })
	front.AddCloseCallback(func(netpoll.Connection) error { return back.Close() })
	back.SetOnRequest(func(_ context.Context, from netpoll.Connection) error { return move(from, front) })
	return context.WithValue(ctx, peerKey{}, back)
}

// pass is the front side's request callback; it finds the peer in the connection's context.
func pass(ctx context.Context, front netpoll.Connection) error {
	back, ok := ctx.Value(peerKey{}).(netpoll.Connection)
	if !ok {
		return front.Close()
	}
	return move(front, back)
}

// move writes everything from has read to to. The bytes are handed over without a copy, so they are released only after
// the flush that has written them.
func move(from, to netpoll.Connection) error {
	r, w := from.Reader(), to.Writer()
	b, err := r.Next(r.Len())
	if err != nil {
		return err
	}
	if _, err := w.WriteBinary(b); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return r.Release()
}
