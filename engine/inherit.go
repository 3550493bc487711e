package engine

import (
	"net/netip"

	"weir/netio"
)

// Inherited are listening sockets that the process before this one has handed over, by address; one for each of its
// workers. A socket that is taken is no longer in it.
type Inherited map[netip.AddrPort][]int

// take returns a listening socket for worker i: one of those handed over, or a new one.
func (in Inherited) take(k netio.Kernel, o *netio.ListenOptions, i int) (int, error) {
	fds := in[o.Addr]
	if len(fds) == 0 {
		return k.Listen(o)
	}
	in[o.Addr] = fds[1:]
	return fds[0], adopt(k, fds[0], o)
}

// adopt gives a socket that listens already the options that it would have been opened with.
func adopt(k netio.Kernel, fd int, o *netio.ListenOptions) error {
	if a, ok := k.(interface {
		Adopt(fd int, o *netio.ListenOptions) error
	}); ok {
		return a.Adopt(fd, o)
	}
	return nil
}

// surplus returns the sockets of an address that no worker of this process has taken. They must be served all the same:
// the kernel goes on giving them connections.
func (in Inherited) surplus(o *netio.ListenOptions) []int {
	fds := in[o.Addr]
	delete(in, o.Addr)
	return fds
}

// Listeners are the listening sockets in use, by address, to be handed over. They stay open.
func (e *Engine) Listeners() Inherited {
	e.mu.Lock()
	defer e.mu.Unlock()
	in := Inherited{}
	for a, s := range e.plan.sockets {
		in[a] = append(append([]int(nil), s.fds...), s.more...)
	}
	return in
}
