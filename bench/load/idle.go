package load

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"weir/bench/epoll"
)

const (
	idleBatch   = 256
	idleTimeout = 10 * time.Second
)

// openIdle opens the job's idle connections: each makes one request for a small body, so that the contender has seen it
// alive, and then stays. It returns the descriptors. Opening goes in batches, because a full accept queue drops SYNs and
// a dropped SYN costs a second.
func openIdle(j *Job) (fds []int, err error) {
	defer func() {
		if err != nil {
			closeAll(fds)
			fds = nil
		}
	}()
	quick := *j
	quick.Browser, quick.Body, quick.Method, quick.Path = false, 0, "GET", "/0"
	request := quick.headH1()
	var config *tls.Config
	if j.TLS != Clear {
		config = j.config()
	}
	for len(fds) < j.Idle.Conns {
		n := min(idleBatch, j.Idle.Conns-len(fds))
		from := len(fds)
		for range n {
			fd, err := dialBlocking(j, len(fds))
			if err != nil {
				return fds, fmt.Errorf("idle connection %d: %w", len(fds), err)
			}
			fds = append(fds, fd)
		}
		if config != nil {
			err = exchangeTLS(fds[from:], config, request)
		} else {
			err = exchangePlain(fds[from:], request)
		}
		if err != nil {
			return fds, fmt.Errorf("idle connections %d to %d: %w", from, len(fds), err)
		}
	}
	return fds, nil
}

func dialBlocking(j *Job, i int) (int, error) {
	var source netip.Addr
	if len(j.Sources) > 0 {
		source = j.Sources[i%len(j.Sources)]
	}
	fd, err := epoll.Dial(j.Addr, source)
	if err != nil {
		return -1, err
	}
	// The socket is connecting; it turns blocking with a bound, so that a batch can be written and read in sequence.
	if err := unix.SetNonblock(fd, false); err != nil {
		epoll.Close(fd)
		return -1, err
	}
	tv := unix.NsecToTimeval(int64(idleTimeout))
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv)
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &tv)
	return fd, nil
}

func exchangePlain(fds []int, request []byte) error {
	for _, fd := range fds {
		if err := awaitConnect(fd); err != nil {
			return err
		}
		if _, err := unix.Write(fd, request); err != nil {
			return err
		}
	}
	buf := make([]byte, 4096)
	for _, fd := range fds {
		n, err := unix.Read(fd, buf)
		if err != nil {
			return err
		}
		if !bytes.HasPrefix(buf[:n], []byte("HTTP/1.1 200 ")) {
			return fmt.Errorf("answer %.300q", buf[:n])
		}
	}
	return nil
}

func awaitConnect(fd int) error {
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	if _, err := unix.Poll(poll, int(idleTimeout/time.Millisecond)); err != nil {
		return err
	}
	if e := epoll.Failure(fd); e != 0 {
		return e
	}
	return nil
}

// exchangeTLS makes the handshake and the request. The TLS state is dropped afterwards: nothing is read from these
// connections any more, and keeping it would cost the generator tens of kilobytes for each.
func exchangeTLS(fds []int, config *tls.Config, request []byte) error {
	buf := make([]byte, 4096)
	for _, fd := range fds {
		if err := awaitConnect(fd); err != nil {
			return err
		}
		conn := tls.Client(blockingSocket{fd: fd}, config)
		if _, err := conn.Write(request); err != nil {
			return err
		}
		n, err := conn.Read(buf)
		if err != nil {
			return err
		}
		if !bytes.HasPrefix(buf[:n], []byte("HTTP/1.1 200 ")) {
			return fmt.Errorf("answer %.300q", buf[:n])
		}
	}
	return nil
}

// blockingSocket is a net.Conn on a descriptor that stays ours.
type blockingSocket struct {
	net.Conn // the deadlines and addresses that crypto/tls does not ask for
	fd       int
}

func (b blockingSocket) Read(p []byte) (int, error) {
	n, err := unix.Read(b.fd, p)
	if err == nil && n == 0 {
		err = io.EOF
	}
	return max(n, 0), err
}

func (b blockingSocket) Write(p []byte) (int, error) { return unix.Write(b.fd, p) }
func (b blockingSocket) Close() error                { return nil }

func closeAll(fds []int) {
	for _, fd := range fds {
		epoll.Abort(fd)
	}
}
