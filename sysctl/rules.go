package sysctl

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// rule is one setting: whether the needs concern it, and what a sufficient value is.
type rule struct {
	name   string
	use    string // what it is for
	breaks string // what happens where it falls short
	wanted func(n *Needs, current string) (value string, enough bool)
	when   func(n *Needs) bool // nil: always
	absent bool                // some kernels do not have it, and that is well
}

// atLeast wants a number that is not smaller.
func atLeast(want func(n *Needs) int) func(*Needs, string) (string, bool) {
	return func(n *Needs, current string) (string, bool) {
		w := want(n)
		c, err := strconv.ParseUint(current, 10, 64)
		return strconv.Itoa(w), err == nil && c >= uint64(w)
	}
}

// exactly wants one of several values, best first.
func exactly(values ...string) func(*Needs, string) (string, bool) {
	return func(_ *Needs, current string) (string, bool) { return values[0], slices.Contains(values, current) }
}

// quicBuffer is the socket buffer that quic-go asks for: 7 MiB keep a burst at a few Gbit/s while the process sleeps.
const quicBuffer = 7 << 20

// notSentMax bounds what lies unsent in a socket. More than this only delays what h2 would rather send first.
const notSentMax = 128 << 10

// rules are in the order in which `weir sysctl` prints them.
var rules = []rule{
	{name: "net.core.somaxconn", use: "length of the accept queues",
		breaks: "the kernel cuts the backlog of listen(2): in a burst connections are dropped and clients retry a second later",
		wanted: atLeast(func(n *Needs) int { return n.Backlog })},
	{name: "net.ipv4.tcp_max_syn_backlog", use: "handshakes in progress for each listener",
		breaks: "SYNs are dropped, or answered with cookies that lose the window scale",
		wanted: atLeast(func(n *Needs) int { return n.Backlog })},
	{name: "net.ipv4.ip_local_port_range", use: "local ports of server connections, for each server address",
		breaks: "connecting to a server fails with EADDRNOTAVAIL: 503 connect-failed", wanted: portRange},
	{name: "net.ipv4.ip_local_reserved_ports", use: "ports that weir listens on are not taken for outgoing connections",
		breaks: "some other connection may hold a listening port when weir starts: EADDRINUSE", wanted: reservedPorts,
		when: func(n *Needs) bool { return len(n.Ports) > 0 }},
	{name: "net.ipv4.tcp_tw_reuse", use: "local ports in TIME_WAIT serve new server connections after a second",
		breaks: "ports of closed server connections stay taken for a minute",
		wanted: func(n *Needs, current string) (string, bool) {
			return "1", current == "1" || current == "2" && n.Local // 2: loopback only
		}},
	{name: "net.ipv4.tcp_slow_start_after_idle", use: "shared server connections keep their congestion window while idle",
		breaks: "after each pause a connection starts slowly again, which takes back what reuse has won",
		wanted: exactly("0")},
	{name: "net.ipv4.tcp_notsent_lowat", use: "bytes that lie unsent in a socket before it counts as full",
		breaks: "streams of h2 wait behind megabytes of each other, and each slow reader holds kernel memory",
		wanted: func(_ *Needs, current string) (string, bool) {
			c, err := strconv.ParseUint(current, 10, 64)
			return strconv.Itoa(notSentMax), err == nil && c > 0 && c <= notSentMax
		}, when: func(n *Needs) bool { return n.Multiplexed }},
	{name: "net.core.rmem_max", use: "receive buffers of QUIC sockets",
		breaks: "datagrams are dropped in bursts, HTTP/3 slows down", wanted: atLeast(func(*Needs) int { return quicBuffer }),
		when: func(n *Needs) bool { return n.QUIC }},
	{name: "net.core.wmem_max", use: "send buffers of QUIC sockets",
		breaks: "sending stops at every full buffer, HTTP/3 slows down", wanted: atLeast(func(*Needs) int { return quicBuffer }),
		when: func(n *Needs) bool { return n.QUIC }},
	{name: "net.core.busy_poll", use: "workers sleep when there is nothing to do",
		breaks: "each wait of a worker first spins in the kernel: CPU is burnt while idle", wanted: exactly("0"), absent: true},
	{name: "fs.nr_open", use: "file descriptors that one process may open",
		breaks: "RLIMIT_NOFILE cannot be raised as far as max-conn needs: accepting stops with EMFILE",
		wanted: atLeast((*Needs).Files)},
	{name: "fs.file-max", use: "file descriptors of the whole machine",
		breaks: "accepting and connecting fail with ENFILE, other programs too", wanted: atLeast((*Needs).Files)},
	{name: "net.netfilter.nf_conntrack_max", use: "connections that the firewall tracks",
		breaks: "packets of new connections are dropped while the table is full",
		wanted: atLeast(func(n *Needs) int { return n.Clients + n.Servers }), absent: true},
}

// Ports from here on may be used for outgoing connections without meeting a well-known service.
const (
	portLow  = 10240
	portHigh = 65535
)

// portRange wants as many local ports as there may be connections to one server, and a quarter more for those that are
// closing; it never narrows a range.
func portRange(n *Needs, current string) (string, bool) {
	need := n.PerServer + n.PerServer/4
	var low, high int
	if _, err := fmt.Sscan(current, &low, &high); err != nil {
		return fmt.Sprintf("%d\t%d", portLow, portHigh), false
	}
	if high-low+1 >= need || low <= portLow && high >= portHigh {
		return current, true // beyond the whole range only more server addresses help
	}
	return fmt.Sprintf("%d\t%d", min(low, portLow), max(high, portHigh)), false
}

// reservedPorts wants every listening port in the list, beside what is there already.
func reservedPorts(n *Needs, current string) (string, bool) {
	have := map[int]bool{}
	for _, item := range strings.Split(current, ",") {
		low, high, ranged := strings.Cut(item, "-")
		a, err := strconv.Atoi(low)
		b := a
		if ranged && err == nil {
			b, err = strconv.Atoi(high)
		}
		if err != nil {
			continue
		}
		for p := a; p <= b && p <= portHigh; p++ {
			have[p] = true
		}
	}
	missing := false
	for _, p := range n.Ports {
		missing = missing || !have[p]
		have[p] = true
	}
	if !missing {
		return current, true
	}
	return compact(have), false
}

// compact writes ports the way the kernel does: 80,443,8080-8082.
func compact(ports map[int]bool) string {
	var all []int
	for p := range ports {
		all = append(all, p)
	}
	slices.Sort(all)
	var parts []string
	for i := 0; i < len(all); {
		j := i
		for j+1 < len(all) && all[j+1] == all[j]+1 {
			j++
		}
		part := strconv.Itoa(all[i])
		if j > i {
			part += "-" + strconv.Itoa(all[j])
		}
		parts = append(parts, part)
		i = j + 1
	}
	return strings.Join(parts, ",")
}
