package load

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"weir/bench/epoll"
)

const (
	slowEvery   = 50 * time.Millisecond
	slowPiece   = 4 << 10
	slowWindow  = 16 << 10 // receive buffer of a slow reader: the rest of a body stays in the contender
	slowPath    = "/1m"
	slowRequest = "GET " + slowPath + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: bench/1 (slow)\r\nAccept: */*\r\n\r\n"
)

// slowClients are connections that nobody polls: each does a little at every tick. What they cost the generator is the
// same for every contender, and small.
type slowClients struct {
	addr    netip.AddrPort
	clients []slowClient
	next    int64
	buf     []byte
	lost    int64 // connections that ended before their time
}

type slowClient struct {
	sender bool
	fd     int // -1: none
	sent   int
}

func newSlowClients(j *Job) *slowClients {
	s := &slowClients{addr: j.Addr, buf: make([]byte, slowPiece)}
	for i := range j.Slow.Readers + j.Slow.Senders {
		s.clients = append(s.clients, slowClient{sender: i >= j.Slow.Readers, fd: -1})
	}
	return s
}

func (s *slowClients) tick(now int64) {
	if now < s.next {
		return
	}
	s.next = now + int64(slowEvery)
	for i := range s.clients {
		c := &s.clients[i]
		if c.fd < 0 {
			s.open(c)
			continue
		}
		if !s.step(c) {
			epoll.Close(c.fd)
			c.fd = -1
		}
	}
}

func (s *slowClients) open(c *slowClient) {
	fd, err := epoll.Dial(s.addr, netip.Addr{})
	if err != nil {
		s.lost++
		return
	}
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, slowWindow)
	*c = slowClient{sender: c.sender, fd: fd}
}

// step does one tick's worth; false: the connection is over.
func (s *slowClients) step(c *slowClient) bool {
	if c.sent < len(slowRequest) {
		end := len(slowRequest)
		if c.sender {
			end = c.sent + 1
		}
		n, e := epoll.Write(c.fd, []byte(slowRequest[c.sent:end]))
		if e != 0 && e != epoll.Again && e != unix.ENOTCONN {
			s.lost++
			return false
		}
		c.sent += n
		return true
	}
	n, e := epoll.Read(c.fd, s.buf)
	if e == epoll.Again {
		return true
	}
	if n == 0 || e != 0 {
		s.lost++
		return false
	}
	return !c.sender // A sender has made its point with the first bytes of an answer, and starts again.
}

func (s *slowClients) close() {
	for _, c := range s.clients {
		if c.fd >= 0 {
			epoll.Abort(c.fd)
		}
	}
}
