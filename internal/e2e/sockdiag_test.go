package e2e

import (
	endian "encoding/binary"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel is asked for one socket by its addresses (sock_diag(7), linux/inet_diag.h). /proc/net/tcp says the same, but
// among all that other tests have left there, and not of one moment.
const (
	sockDiagByFamily = 20
	diagTimerOffset  = unix.NLMSG_HDRLEN + 2      // inet_diag_msg.idiag_timer
	diagLeftOffset   = unix.NLMSG_HDRLEN + 4 + 48 // inet_diag_msg.idiag_expires, in ms
	diagKeepAlive    = 2
)

// keepAliveLeft is how long until the kernel probes a connection; false when another timer runs, or none.
func keepAliveLeft(t *testing.T, local, remote net.Addr) (time.Duration, bool) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	ask := make([]byte, unix.NLMSG_HDRLEN+56)
	host := endian.NativeEndian
	host.PutUint32(ask, uint32(len(ask)))
	host.PutUint16(ask[4:], sockDiagByFamily)
	host.PutUint16(ask[6:], unix.NLM_F_REQUEST)
	req := ask[unix.NLMSG_HDRLEN:]
	req[0], req[1] = unix.AF_INET, unix.IPPROTO_TCP
	host.PutUint32(req[4:], ^uint32(0)) // whatever its state
	for i, a := range []*net.TCPAddr{local.(*net.TCPAddr), remote.(*net.TCPAddr)} {
		endian.BigEndian.PutUint16(req[8+2*i:], uint16(a.Port))
		copy(req[12+16*i:], a.IP.To4())
	}
	host.PutUint64(req[48:], ^uint64(0)) // no cookie
	if err := unix.Sendto(fd, ask, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 8192)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		t.Fatal(err)
	}
	if n < diagLeftOffset+4 || host.Uint16(answer[4:]) != sockDiagByFamily {
		t.Fatalf("the kernel does not know the connection %v %v", local, remote)
	}
	left := time.Duration(host.Uint32(answer[diagLeftOffset:])) * time.Millisecond
	return left, answer[diagTimerOffset] == diagKeepAlive
}
