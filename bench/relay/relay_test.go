package relay

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// start runs a relay in front of an origin that echoes each connection and ends it when the client does.
func start(t *testing.T, run func(Config, func(netip.AddrPort)) error) string {
	t.Helper()
	origin, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { origin.Close() })
	go func() {
		for {
			c, err := origin.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(c, c); c.Close() }()
		}
	}()
	addr := make(chan netip.AddrPort, 1)
	go func() {
		err := run(Config{Listen: loopback, Origin: netip.MustParseAddrPort(origin.Addr().String())},
			func(a netip.AddrPort) { addr <- a })
		t.Errorf("the relay ended: %v", err)
	}()
	return (<-addr).String()
}

func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

func TestRelaysInTurns(t *testing.T) {
	for name, run := range both {
		t.Run(name, func(t *testing.T) {
			c := dial(t, start(t, run))
			for i := range 100 {
				want := bytes.Repeat([]byte{byte(i)}, 1+i*37)
				got := make([]byte, len(want))
				if _, err := c.Write(want); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("turn %d: %v", i, err)
				}
			}
		})
	}
}

// A reader that starts late forces the relay to hold bytes back in both directions.
func TestHoldsBackForASlowReader(t *testing.T) {
	for name, run := range both {
		t.Run(name, func(t *testing.T) {
			c := dial(t, start(t, run))
			want := make([]byte, 24<<20)
			for i := range want {
				want[i] = byte(i >> 8 * 7)
			}
			sent := make(chan error, 1)
			go func() { _, err := c.Write(want); sent <- err }()
			got := make([]byte, len(want))
			if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("read: %v, equal %v", err, bytes.Equal(got, want))
			}
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Half-closing must reach the origin, whose answer to it is its own end.
func TestPassesTheEndOn(t *testing.T) {
	c := dial(t, start(t, Run))
	c.Write([]byte("last words"))
	c.CloseWrite()
	got, err := io.ReadAll(c)
	if err != nil || string(got) != "last words" {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestManyShortConnections(t *testing.T) {
	addr := start(t, Run)
	for range 300 {
		c := dial(t, addr)
		c.Write([]byte("x"))
		c.CloseWrite()
		if got, err := io.ReadAll(c); err != nil || string(got) != "x" {
			t.Fatalf("%q, %v", got, err)
		}
		c.Close()
	}
}

var both = map[string]func(Config, func(netip.AddrPort)) error{"epoll": Run, "netpoll": RunNetpoll}
