package h3

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// group is the sockets of one UDP address and the program that the kernel chooses among them with.
//
//	place    0     1     2     3     4     5        the kernel's order, in which they joined
//	       ┌─────┬─────┬─────┬─────┬─────┬─────┐
//	       │ kept│ kept│ own │ own │ own │ own │      kept: of the process before this one, which still reads them
//	       └─────┴─────┴─────┴─────┴─────┴─────┘
//
// When one is closed, the last one takes its place. places does the same sum.
type group struct {
	addr   netip.AddrPort
	own    places
	others []places       // of processes before this one
	conns  []*net.UDPConn // own, by worker
	slots  []slot         // by place
	handed bool           // the next process has the group: its program is not ours to change
}

// slot is what is at a place.
type slot struct {
	worker int // of an own socket; -1: a kept one
	fd     int // of a kept one
}

// socketBytes is what is asked of the kernel to buffer in each direction of a socket. A worker's share of all clients comes
// through one socket, and what does not fit is lost. The kernel gives less where net.core.rmem_max says so, unless we may
// override it; `weir sysctl check` tells.
const socketBytes = 8 << 20

// openGroup opens a socket for each worker, in the workers' order, and attaches the program, unless there is one of a process
// before this one. Nothing is read yet: what clients send meanwhile waits. before is what the process before this one has handed over; nil: nothing.
func openGroup(addr netip.AddrPort, workers int, tag uint16, before *Handover) (*group, error) {
	checkWorkers(workers)
	g := &group{addr: addr, own: places{Tag: tag}}
	if before == nil {
		if err := alone(addr); err != nil {
			return nil, fmt.Errorf("listen on %v (udp): %w", addr, err)
		}
	} else {
		g.others = before.Processes
		for _, fd := range before.Sockets {
			unix.CloseOnExec(fd)
			g.slots = append(g.slots, slot{worker: -1, fd: fd})
		}
	}
	for i := range workers {
		conn, err := openSocket(g.addr)
		if err != nil {
			g.close()
			return nil, fmt.Errorf("listen on %v (udp): %w", addr, err)
		}
		g.conns = append(g.conns, conn)
		g.slots = append(g.slots, slot{worker: i})
		if g.addr.Port() == 0 {
			g.addr = netip.AddrPortFrom(addr.Addr(), conn.LocalAddr().(*net.UDPAddr).AddrPort().Port())
		}
	}
	g.locate()
	if before != nil {
		return g, nil // the program of the process before steers to none of ours: see Endpoint.TakeOver
	}
	if err := g.attach(); err != nil {
		g.close()
		return nil, fmt.Errorf("listen on %v (udp): %w", addr, err)
	}
	return g, nil
}

// locate finds out where the own sockets are.
func (g *group) locate() {
	g.own.At = make([]int, len(g.conns))
	for place, s := range g.slots {
		if s.worker >= 0 {
			g.own.At[s.worker] = place
		}
	}
}

// openSocket opens one socket of a group. As with TCP, an IPv6 address is for IPv6 only.
func openSocket(addr netip.AddrPort) (*net.UDPConn, error) {
	network := "udp4"
	if addr.Addr().Is6() && !addr.Addr().Is4In6() {
		network = "udp6"
	}
	lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) error {
		return control(rc, func(fd int) error {
			// Both need CAP_NET_ADMIN; QUIC tries again without.
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBytes)
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, socketBytes)
			return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
		})
	}}
	c, err := lc.ListenPacket(context.Background(), network, addr.String())
	if err != nil {
		return nil, err
	}
	return c.(*net.UDPConn), nil
}

func control(rc syscall.RawConn, f func(fd int) error) error {
	var err error
	if e := rc.Control(func(fd uintptr) { err = f(int(fd)) }); e != nil {
		return e
	}
	return err
}

// attach makes the kernel steer by where the sockets are now. It replaces the program of the whole group at once.
func (g *group) attach() error {
	raw, err := bpf.Assemble(steering(g.own, g.others))
	if err != nil {
		panic("h3: steering program: " + err.Error())
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	rc, err := g.conns[0].SyscallConn()
	if err != nil {
		return err
	}
	return control(rc, func(fd int) error {
		return os.NewSyscallError("setsockopt", unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &prog))
	})
}

// forget closes the kept sockets: the process that read them has ended. Between a socket's end and the new program some
// packets go astray, which costs their sender a repetition. The last place goes first, so that only own sockets move.
func (g *group) forget() error {
	if g.handed {
		return nil // the next process has them too, and does it
	}
	g.others = nil
	for place := len(g.slots) - 1; place >= 0; place-- {
		s := g.slots[place]
		if s.worker >= 0 {
			continue
		}
		if err := unix.Close(s.fd); err != nil {
			return os.NewSyscallError("close", err)
		}
		last := len(g.slots) - 1
		g.slots[place] = g.slots[last]
		g.slots = g.slots[:last]
		g.locate()
		if err := g.attach(); err != nil {
			return err
		}
	}
	return nil
}

// descriptors are all sockets of the group in the kernel's order. They stay the group's.
func (g *group) descriptors() (fds []int, err error) {
	for _, s := range g.slots {
		if s.worker < 0 {
			fds = append(fds, s.fd)
			continue
		}
		rc, err := g.conns[s.worker].SyscallConn()
		if err != nil {
			return nil, err
		}
		if err := control(rc, func(fd int) error { fds = append(fds, fd); return nil }); err != nil {
			return nil, err
		}
	}
	return fds, nil
}

func (g *group) close() {
	for _, c := range g.conns {
		c.Close()
	}
	for _, s := range g.slots {
		if s.worker < 0 {
			_ = unix.Close(s.fd)
		}
	}
	g.slots = nil
}
