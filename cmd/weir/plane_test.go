package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"weir/internal/config"
	"weir/internal/stats"
)

// notingPlane is a data plane that carries no traffic: it opens the listeners of its configuration and notes what it is
// asked for, so that what the process does around a data plane can be told.
type notingPlane struct {
	drain  chan struct{} // Drain returns when it is closed
	refuse error         // of the next Reload

	mu         sync.Mutex
	cfg        *config.Config
	generation uint64
	listeners  sockets
	asked      []string
	stopped    bool
}

// start is a starter.
func (n *notingPlane) start(cfg *config.Config, o planeOptions) (plane, error) {
	n.cfg, n.generation, n.listeners = cfg, o.generation, sockets{}
	for _, f := range cfg.Frontends {
		for _, b := range f.Binds {
			if fds := o.inherited[b.Address]; len(fds) > 0 {
				n.listeners[b.Address] = fds
				delete(o.inherited, b.Address)
				continue
			}
			fd, err := listenOn(b.Address)
			if err != nil {
				return nil, err
			}
			n.listeners[b.Address] = []int{fd}
		}
	}
	return n, nil
}

func listenOn(a netip.AddrPort) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()})
	}
	if err == nil {
		err = unix.Listen(fd, 16)
	}
	return fd, err
}

// refuseWith has reloads refused; nil has them done again.
func (n *notingPlane) refuseWith(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refuse = err
}

func (n *notingPlane) note(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, fmt.Sprintf(format, args...))
}

func (n *notingPlane) said() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.asked...)
}

func (n *notingPlane) Reload(_ context.Context, cfg *config.Config) (old, now uint64, err error) {
	n.note("reload")
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.refuse != nil {
		return n.generation, n.generation, n.refuse
	}
	n.cfg = cfg
	n.generation++
	return n.generation - 1, n.generation, nil
}

func (n *notingPlane) Drain(ctx context.Context) error {
	n.note("drain")
	select {
	case <-n.drain:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (n *notingPlane) Stop() {
	n.note("stop")
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stopped {
		return
	}
	n.stopped = true
	for _, fds := range n.listeners {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	}
}

func (n *notingPlane) Ready() (bool, string) {
	if slices.Contains(n.said(), "drain") {
		return false, "draining"
	}
	return true, "ready"
}

func (n *notingPlane) Snapshot(context.Context) (*stats.Snapshot, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return &stats.Snapshot{Info: stats.Info{
		State: "ready", Generation: n.generation, Started: time.Now(), PID: os.Getpid(), ConfigFile: n.cfg.File,
	}}, nil
}

func (n *notingPlane) Sessions(context.Context, int) ([]stats.Session, error) { return nil, nil }

func (n *notingPlane) SetServerState(_ context.Context, backend, server, state string) error {
	if n.cfg.Backend(backend) == nil {
		return fmt.Errorf("there is no backend %q", backend)
	}
	n.note("state %s/%s %s", backend, server, state)
	return nil
}

func (n *notingPlane) SetServerWeight(_ context.Context, backend, server string, weight int) error {
	n.note("weight %s/%s %d", backend, server, weight)
	return nil
}

func (n *notingPlane) SetServerMaxConn(_ context.Context, backend, server string, maxConn int) error {
	n.note("max-conn %s/%s %d", backend, server, maxConn)
	return nil
}

func (n *notingPlane) SetLimit(_ context.Context, profile, key, value string) error {
	n.note("limit %s %s %s", profile, key, value)
	return nil
}

// Listeners implements plane with a copy, as the engine does.
func (n *notingPlane) Listeners() sockets {
	out := sockets{}
	for a, fds := range n.listeners {
		out[a] = append([]int(nil), fds...)
	}
	return out
}

// QUIC implements plane: nothing of HTTP/3 is noted.
func (n *notingPlane) QUIC() (quicSockets, error) { return nil, nil }

// ReclaimQUIC implements plane.
func (n *notingPlane) ReclaimQUIC() {}

// TakeOver implements plane.
func (n *notingPlane) TakeOver() error { return nil }

// hosts counts the loopback addresses given out. Where it starts is drawn, so that two test processes do not meet.
var hosts atomic.Uint32

func init() { hosts.Store(rand.Uint32()) }

// freeAddr is an address that nobody else uses: a loopback host of its own, and a port below those that outgoing connections
// get. One that was found free a moment ago may be taken again.
func freeAddr() string {
	n := hosts.Add(1)
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, byte(193 + n/254/256%60), byte(n / 254), byte(1 + n%254)}), 8080).String()
}

// asSuccessor is what the test binary does when a test's process starts it as the new binary.
func asSuccessor() int {
	n := &notingPlane{drain: make(chan struct{})}
	close(n.drain)
	file := os.Getenv("WEIR_TEST_FILE")
	if err := runFile(context.Background(), file, os.Stderr, n.start); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
