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
type group struct {
	addr  netip.AddrPort
	own   places
	conns []*net.UDPConn // by worker
}

// socketBytes is what is asked of the kernel to buffer in each direction of a socket. A worker's share of all clients comes
// through one socket, and what does not fit is lost. The kernel gives less where net.core.rmem_max says so, unless we may
// override it; `weir sysctl check` tells.
const socketBytes = 8 << 20

// openGroup opens a socket for each worker, in the workers' order, and attaches the program. Nothing is read yet: what
// clients send meanwhile waits.
func openGroup(addr netip.AddrPort, workers int, tag uint16) (*group, error) {
	checkWorkers(workers)
	g := &group{addr: addr, own: places{tag: tag}}
	for i := range workers {
		conn, err := openSocket(g.addr)
		if err != nil {
			g.close()
			return nil, fmt.Errorf("listen on %v (udp): %w", addr, err)
		}
		g.conns = append(g.conns, conn)
		g.own.at = append(g.own.at, i)
		if g.addr.Port() == 0 {
			g.addr = netip.AddrPortFrom(addr.Addr(), conn.LocalAddr().(*net.UDPAddr).AddrPort().Port())
		}
	}
	if err := g.attach(nil); err != nil {
		g.close()
		return nil, fmt.Errorf("listen on %v (udp): %w", addr, err)
	}
	return g, nil
}

// openSocket opens one socket of a group. As with TCP, an IPv6 address is for IPv6 only.
func openSocket(addr netip.AddrPort) (*net.UDPConn, error) {
	network := "udp4"
	if addr.Addr().Is6() && !addr.Addr().Is4In6() {
		network = "udp6"
	}
	lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) error {
		return control(rc, func(fd int) error {
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBytes) // needs CAP_NET_ADMIN; QUIC tries without
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, socketBytes)
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
func (g *group) attach(others []places) error {
	raw, err := bpf.Assemble(steering(g.own, others))
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

func (g *group) close() {
	for _, c := range g.conns {
		c.Close()
	}
}
