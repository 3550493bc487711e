package sysctl

import (
	"weir/internal/config"
)

// Needs are the numbers of a configuration that the kernel has to make room for.
type Needs struct {
	Clients     int   // client connections at once
	Servers     int   // server connections at once, over all servers
	PerServer   int   // server connections at once to the server with the most
	Backlog     int   // connections waiting in one accept queue
	Listeners   int   // listening sockets over all workers
	Workers     int   // event loops
	Ports       []int // that are listened on, TCP and UDP
	QUIC        bool  // some bind speaks HTTP/3
	Multiplexed bool  // some bind or server speaks HTTP/2
	Local       bool  // every server is on this machine
}

// What is assumed where a configuration sets no limit: the number that a limit profile has by default.
const unlimitedConns = 20000

// Bounds of the accept queue that is asked for.
const (
	backlogMin = 1024
	backlogMax = 65535
)

// Backlog is the accept queue that a listening socket needs: what arrives within a second at the rate that is allowed,
// for a worker may be busy with handshakes for a part of that.
func Backlog(maxConnRate int) int {
	if maxConnRate == 0 {
		maxConnRate = config.DefaultLimits("").MaxConnRate
	}
	return min(max(maxConnRate, backlogMin), backlogMax)
}

// NeedsOf derives the needs of a configuration that runs on a number of workers.
func NeedsOf(c *config.Config, workers int) Needs {
	n := Needs{Workers: workers, Local: true}
	n.Clients = orUnlimited(c.Global.Limits.MaxConn)
	n.Backlog = Backlog(c.Global.Limits.MaxConnRate)
	for _, f := range c.Frontends {
		for _, b := range f.Binds {
			n.Listeners += workers
			n.Ports = append(n.Ports, int(b.Address.Port()))
			if b.H3 {
				n.Listeners += workers
				n.QUIC = true
			}
			for _, p := range b.ALPN {
				n.Multiplexed = n.Multiplexed || p == "h2"
			}
		}
	}
	if c.Global.Admin.IsValid() {
		n.Ports = append(n.Ports, int(c.Global.Admin.Port()))
	}
	for _, b := range c.Backends {
		n.add(b)
	}
	return n
}

// add counts a backend in. Its connections may all go to one server when the others are down.
func (n *Needs) add(b *config.Backend) {
	most := b.Limits.MaxConn
	if most == 0 && b.H2 == config.BackendH2Off {
		// Without multiplexing a client needs at most one server connection at a time for each request in flight.
		most = n.Clients
	}
	if most == 0 {
		most = unlimitedConns
	}
	n.Servers += most
	n.PerServer = max(n.PerServer, most)
	n.Multiplexed = n.Multiplexed || b.H2 != config.BackendH2Off
	for _, s := range b.Servers {
		n.Local = n.Local && s.Addr.IsValid() && s.Addr.Addr().IsLoopback()
	}
}

func orUnlimited(n int) int {
	if n == 0 {
		return unlimitedConns
	}
	return n
}

// Files is the number of descriptors that are open when every limit is reached: connections, listeners, and for each
// worker an epoll, an eventfd and the pipes of a takeover; logs, sockets and files of the control plane besides.
func (n *Needs) Files() int {
	const perWorker, process = 8, 256
	return n.Clients + n.Servers + n.Listeners + n.Workers*perWorker + process
}
