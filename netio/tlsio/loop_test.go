package tlsio

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"

	"weir/internal/buf"
	"weir/internal/mono"
	"weir/netio"
)

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// echoLoop is a worker as the engine's is: one thread, edge-triggered events, every one told to the connection, reading
// stopped while the other direction is full. It echoes, and ends when a connection has asked for it.
type echoLoop struct {
	k     *netio.Linux
	w     *Worker
	cfg   *ServerConfig
	conns map[netio.Token]*echoConn
	next  uint32
	ended int
}

type echoConn struct {
	*Conn
	open, eof bool
	waiting   []byte // plaintext that Send did not accept yet
}

func (l *echoLoop) run(listener, until int) {
	var events [64]netio.Event
	for l.ended < until {
		n := l.k.Wait(events[:], mono.Never)
		for _, e := range events[:n] {
			if e.Token == netio.NewToken(0, 0) {
				l.accept(listener)
			} else if c := l.conns[e.Token]; c != nil {
				c.Ready(e.Ready)
				if !l.serve(c) {
					delete(l.conns, e.Token)
					l.ended++
				}
			}
		}
	}
}

func (l *echoLoop) accept(listener int) {
	for {
		fd, _, io := l.k.Accept(listener)
		if io != netio.OK {
			return
		}
		l.next++
		t := netio.NewToken(l.next, 1)
		l.conns[t] = &echoConn{Conn: l.w.Server(fd, l.cfg)}
		l.k.Watch(fd, t)
	}
}

// serve does what can be done, and reports whether the connection lives on.
func (l *echoLoop) serve(c *echoConn) bool {
	end := func() bool {
		c.Flush()
		c.Close()
		l.k.Close(int(c.fd))
		return false
	}
	if !c.open {
		done, _, err := c.Handshake()
		if err != nil {
			return end()
		}
		if c.open = done; !done {
			return true
		}
	}
	if io := c.Flush(); io != netio.OK && io != netio.Again {
		return end()
	}
	p := make([]byte, 10_000)
	for {
		for len(c.waiting) > 0 {
			n, io := c.Send(c.waiting)
			if io == netio.Again {
				return true // and nothing is read: the event that we can write will bring us back to it
			}
			if io != netio.OK {
				return end()
			}
			c.waiting = c.waiting[n:]
		}
		if c.eof {
			c.CloseNotify()
			if c.Flush() == netio.Again {
				return true
			}
			l.k.ShutdownSend(int(c.fd))
			return end()
		}
		n, io := c.Recv(p)
		switch io {
		case netio.OK:
			c.waiting = append(c.waiting[:0], p[:n]...)
		case netio.Again:
			c.Idle()
			return true
		case netio.EOF:
			c.eof = true
		default:
			return end()
		}
	}
}

// TestEventLoop: many clients of crypto/tls against one edge-triggered loop. A lost event or record is a hang here.
func TestEventLoop(t *testing.T) {
	const clients, requests = 40, 12
	versions(t, func(t *testing.T, version uint16) {
		s := newSite(t, version, "p256")
		k, err := netio.NewLinux()
		if err != nil {
			t.Fatal(err)
		}
		defer k.Shut()
		l := &echoLoop{k: k, w: NewWorker(k, buf.NewPool(0)), cfg: s.server, conns: make(map[netio.Token]*echoConn)}
		fd, err := k.Listen(&netio.ListenOptions{Addr: loopback, Backlog: 128})
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close(fd)
		addr := k.LocalAddr(fd)
		k.Watch(fd, netio.NewToken(0, 0))
		var wg sync.WaitGroup
		for i := range clients {
			wg.Go(func() {
				if err := visitEcho(s, version, addr.String(), i, requests); err != nil {
					t.Errorf("client %d: %v", i, err)
				}
			})
		}
		runtime.LockOSThread()
		l.run(fd, clients)
		runtime.UnlockOSThread()
		wg.Wait()
		if n := l.w.blocks.InUse(); n != 0 {
			t.Errorf("%d bytes of blocks were not given back", n)
		}
	})
}

// visitEcho is one client: it sends requests of random sizes and wants them back, reading and writing at the same time.
// Every fourth one leaves without a word in the midst of a request.
func visitEcho(s *site, version uint16, addr string, seed, requests int) error {
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer raw.Close()
	c := tls.Client(raw, s.goClient(version))
	r := rand.New(rand.NewPCG(uint64(seed), 0))
	for range requests {
		want := pattern(byte(r.Uint32()), 1+r.IntN(1<<r.IntN(19)))
		sent := make(chan error, 1)
		go func() {
			for rest := want; len(rest) > 0; {
				n := min(len(rest), 1+r.IntN(50_000))
				if _, err := c.Write(rest[:n]); err != nil {
					sent <- err
					return
				}
				rest = rest[n:]
			}
			sent <- nil
		}()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c, got); err != nil {
			return errors.Join(err, <-sent)
		}
		if err := <-sent; err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			return errors.New("something else came back")
		}
	}
	if seed%4 == 0 {
		c.Write(make([]byte, 100_000))
		return raw.(*net.TCPConn).SetLinger(0)
	}
	if err := c.CloseWrite(); err != nil {
		return err
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		return errors.Join(errors.New("no close_notify at the end"), err)
	}
	return nil
}
