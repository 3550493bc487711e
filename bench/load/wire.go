package load

import (
	"crypto/tls"
	"errors"
	"io"
	"iter"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"weir/bench/epoll"
)

// wire moves bytes between a client and its socket. n is 0 with no error at the end of the stream; epoll.Again means
// that the socket would block.
type wire interface {
	read(p []byte) (int, unix.Errno)
	write(p []byte) (int, unix.Errno)
	close()
}

// plainWire is the socket itself.
type plainWire struct{ fd int }

func (w plainWire) read(p []byte) (int, unix.Errno)  { return epoll.Read(w.fd, p) }
func (w plainWire) write(p []byte) (int, unix.Errno) { return epoll.Write(w.fd, p) }
func (w plainWire) close()                           { epoll.Close(w.fd) }

// tlsWire is crypto/tls on a non-blocking socket. The handshake runs as a coroutine, because its error is sticky and it
// cannot be taken up again after a would-block; later reads and writes can, since a temporary net.Error does not poison
// the connection. Ciphertext that the socket does not take is kept, so that Write never fails for being early.
type tlsWire struct {
	fd       int
	conn     *tls.Conn
	backlog  []byte
	yield    func(struct{}) bool // not nil while the handshake runs
	next     func() (struct{}, bool)
	stop     func()
	shaken   bool
	shakeErr error
}

func newTLSWire(fd int, config *tls.Config) *tlsWire {
	w := &tlsWire{fd: fd}
	w.conn = tls.Client((*tlsSocket)(w), config)
	w.next, w.stop = iter.Pull(func(yield func(struct{}) bool) {
		w.yield = yield
		w.shakeErr = w.conn.Handshake()
		w.yield, w.shaken = nil, true
	})
	return w
}

// shake goes on with the handshake until it would block; done says that it has ended, well or not.
func (w *tlsWire) shake() (done bool, err error) {
	if !w.shaken {
		w.next()
	}
	return w.shaken, w.shakeErr
}

func (w *tlsWire) read(p []byte) (int, unix.Errno) {
	n, err := w.conn.Read(p)
	switch {
	case err == nil || n > 0:
		return n, 0
	case err == errWouldBlock:
		return 0, epoll.Again
	case err == io.EOF:
		return 0, 0
	}
	return 0, unix.EPROTO
}

// write takes all of p unless an earlier write has not gone out yet.
func (w *tlsWire) write(p []byte) (int, unix.Errno) {
	if e := w.flush(); e != 0 {
		return 0, e
	}
	if len(p) == 0 {
		return 0, 0
	}
	n, err := w.conn.Write(p)
	if err != nil {
		return n, unix.EPROTO
	}
	return n, 0
}

// flush writes what was kept. epoll.Again: not all of it.
func (w *tlsWire) flush() unix.Errno {
	for len(w.backlog) > 0 {
		n, e := epoll.Write(w.fd, w.backlog)
		if e != 0 {
			return e
		}
		w.backlog = w.backlog[n:]
	}
	w.backlog = nil
	return 0
}

func (w *tlsWire) close() {
	w.stop() // The coroutine of an unfinished handshake would otherwise stay for ever.
	if w.shaken && w.shakeErr == nil {
		w.conn.CloseWrite()
	}
	epoll.Close(w.fd)
}

// tlsSocket is the net.Conn that crypto/tls sees.
type tlsSocket tlsWire

// errWouldBlock is temporary, so that tls.Conn does not remember it.
var errWouldBlock net.Error = wouldBlock{}

type wouldBlock struct{}

func (wouldBlock) Error() string   { return "would block" }
func (wouldBlock) Timeout() bool   { return true }
func (wouldBlock) Temporary() bool { return true }

var errAbandoned = errors.New("handshake abandoned")

func (s *tlsSocket) Read(p []byte) (int, error) {
	for {
		n, e := epoll.Read(s.fd, p)
		switch {
		case e == epoll.Again && s.yield == nil:
			return 0, errWouldBlock
		case e == epoll.Again:
			if !s.yield(struct{}{}) {
				return 0, errAbandoned
			}
			continue
		case e != 0:
			return 0, e
		case n == 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

func (s *tlsSocket) Write(p []byte) (int, error) {
	w := (*tlsWire)(s)
	e := w.flush()
	n := 0
	if e == 0 {
		n, e = epoll.Write(s.fd, p)
	}
	if e != 0 && e != epoll.Again {
		return 0, e
	}
	w.backlog = append(w.backlog, p[n:]...)
	return len(p), nil
}

func (s *tlsSocket) Close() error                     { return nil } // the wire closes the socket
func (s *tlsSocket) LocalAddr() net.Addr              { return nil }
func (s *tlsSocket) RemoteAddr() net.Addr             { return nil }
func (s *tlsSocket) SetDeadline(time.Time) error      { return nil }
func (s *tlsSocket) SetReadDeadline(time.Time) error  { return nil }
func (s *tlsSocket) SetWriteDeadline(time.Time) error { return nil }

// lastSession keeps the newest session of the one server there is and hands it to every connection, so that each
// handshake after the first resumes.
type lastSession struct {
	mu      sync.Mutex
	session *tls.ClientSessionState
}

func (c *lastSession) Get(string) (*tls.ClientSessionState, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session, c.session != nil
}

func (c *lastSession) Put(_ string, s *tls.ClientSessionState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s != nil {
		c.session = s
	}
}

// config is the same for every contender: TLS 1.3, X25519 alone (contenders differ in whether they know the hybrid with
// ML-KEM, which costs more), no verification, for its cost would be the generator's alone.
func (j *Job) config() *tls.Config {
	c := &tls.Config{
		ServerName:         host,
		InsecureSkipVerify: true,
		MinVersion:         tls.VersionTLS13,
		CurvePreferences:   []tls.CurveID{tls.X25519},
		NextProtos:         []string{"http/1.1"},
	}
	switch j.Protocol {
	case H2:
		c.NextProtos = []string{"h2"}
	case H3:
		c.NextProtos = []string{"h3"}
	}
	if j.TLS == Resumed {
		c.ClientSessionCache = new(lastSession)
	}
	return c
}
