package tlsio

import (
	"errors"
	"io"
	"net"
	"time"

	"weir/netio"
)

// wire is Conn as the net.Conn that crypto/tls sees.
type wire Conn

// wouldBlock is what Read returns when nothing is there. crypto/tls keeps the connection usable only after a net.Error
// whose Temporary is true; any other error is remembered for ever.
type wouldBlock struct{}

func (wouldBlock) Error() string   { return "tlsio: would block" }
func (wouldBlock) Timeout() bool   { return false }
func (wouldBlock) Temporary() bool { return true }

var (
	errWouldBlock error = wouldBlock{}
	errStopped          = errors.New("tlsio: connection closed while its handshake was under way")
	errKernel           = errors.New("tlsio: the connection failed") // Conn.recvEnd says how
)

// Read gives crypto/tls what the kernel has. While the handshake runs it parks the coroutine until there is something.
// Afterwards it is reached only when crypto/tls wants another record than the one that fill made sure of, and has
// nothing to give: fill is the one that reads then.
func (w *wire) Read(p []byte) (int, error) {
	c := (*Conn)(w)
	if c.phase == phaseClosed {
		return 0, errStopped
	}
	if len(c.hello) > 0 {
		n := copy(p, c.hello)
		c.hello = c.hello[n:]
		return n, nil
	}
	if c.phase == phaseOpen && c.in.open() {
		return 0, c.readError(c.recvEnd)
	}
	for {
		n, io := c.recvKernel(p)
		if io == netio.OK {
			return n, nil
		}
		if io != netio.Again || c.phase == phaseOpen {
			return 0, c.readError(io)
		}
		if !c.run.yield(struct{}{}) {
			return 0, errStopped
		}
	}
}

func (c *Conn) readError(end netio.IO) error {
	switch end {
	case netio.OK, netio.Again:
		return errWouldBlock
	case netio.EOF:
		return io.EOF
	}
	return errKernel
}

// Write keeps a record for Flush. It never fails: crypto/tls would count a record that was refused for want of room as
// lost, with its sequence number used up.
func (w *wire) Write(p []byte) (int, error) {
	c := (*Conn)(w)
	if c.phase == phaseClosed {
		return len(p), nil
	}
	if c.phase == phaseHandshake {
		c.sniffAlert(p)
		c.state.HandshakeBytesOut += len(p)
	}
	c.append(p)
	return len(p), nil
}

// Close is never called: nothing here closes the tls.Conn, and the descriptor is the caller's.
func (w *wire) Close() error { return nil }

func (w *wire) LocalAddr() net.Addr  { return noAddr{} }
func (w *wire) RemoteAddr() net.Addr { return noAddr{} }

// The deadlines that crypto/tls sets around close_notify mean nothing: no call here blocks.
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// noAddr stands for both addresses. crypto/tls takes the peer's as the key of a session when no server name is sent, and
// keeps no session if it is empty; what the key really is, is sessionSlot's to know.
type noAddr struct{}

func (noAddr) Network() string { return "tcp" }
func (noAddr) String() string  { return "-" }
