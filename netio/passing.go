package netio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"golang.org/x/sys/unix"
)

// Named is a descriptor on its way to another process, and what it is there for. The two sides agree on the names.
type Named struct {
	Name string
	FD   int
}

// The wire form of a batch of descriptors: a head of six bytes, then the names, each behind its length in one byte. The
// descriptors themselves travel with the head (SCM_RIGHTS, unix(7)).
//
//	more uint8 │ count uint8 │ names uint32, bytes │ names
const (
	passHead     = 6
	passBatchMax = 253 // SCM_MAX_FD
	passNameMax  = 255
)

var errPassing = errors.New("netio: the descriptors came in a form that is not ours")

// SendFDs passes descriptors with their names over a stream socket of the unix domain, for RecvFDs in the other process.
// Both processes then share the sockets: a listening one keeps its queue, and closing it here loses nobody there. Any
// goroutine may call it; it blocks, up to the connection's deadline.
func SendFDs(c *net.UnixConn, list []Named) error {
	for {
		batch := list[:min(len(list), passBatchMax)]
		list = list[len(batch):]
		msg, fds := make([]byte, passHead), make([]int, len(batch))
		for i, n := range batch {
			if len(n.Name) > passNameMax {
				return fmt.Errorf("netio: the name of descriptor %d has %d bytes", n.FD, len(n.Name))
			}
			msg = append(append(msg, byte(len(n.Name))), n.Name...)
			fds[i] = n.FD
		}
		if len(list) > 0 {
			msg[0] = 1
		}
		msg[1] = byte(len(batch))
		binary.BigEndian.PutUint32(msg[2:], uint32(len(msg)-passHead))
		var rights []byte
		if len(fds) > 0 {
			rights = unix.UnixRights(fds...)
		}
		if _, _, err := c.WriteMsgUnix(msg[:passHead], rights, nil); err != nil {
			return fmt.Errorf("pass descriptors: %w", err)
		}
		if _, err := c.Write(msg[passHead:]); err != nil {
			return fmt.Errorf("pass descriptors: %w", err)
		}
		if len(list) == 0 {
			return nil
		}
	}
}

// RecvFDs receives what one call of SendFDs passed. The caller owns the descriptors, which are closed on exec. After an
// error none is left open.
func RecvFDs(c *net.UnixConn) (list []Named, err error) {
	defer func() {
		if err != nil {
			for _, n := range list {
				unix.Close(n.FD)
			}
			list = nil
		}
	}()
	for more := true; more; {
		head, fds, err := recvHead(c)
		for _, fd := range fds {
			list = append(list, Named{FD: fd})
		}
		if err != nil {
			return list, err
		}
		if len(fds) != int(head[1]) || head[0] > 1 {
			return list, errPassing
		}
		size := binary.BigEndian.Uint32(head[2:])
		if size > passBatchMax*(1+passNameMax) {
			return list, errPassing
		}
		names := make([]byte, size)
		if _, err := io.ReadFull(c, names); err != nil {
			return list, fmt.Errorf("receive descriptors: %w", err)
		}
		if err := setNames(list[len(list)-len(fds):], names); err != nil {
			return list, err
		}
		more = head[0] == 1
	}
	return list, nil
}

// recvHead receives the head of a batch and the descriptors that came with it.
func recvHead(c *net.UnixConn) (head [passHead]byte, fds []int, err error) {
	oob := make([]byte, unix.CmsgSpace(4*passBatchMax))
	for n := 0; n < passHead; {
		m, k, flags, _, err := c.ReadMsgUnix(head[n:], oob)
		if k > 0 {
			got, err := rightsOf(oob[:k])
			fds = append(fds, got...)
			if err != nil {
				return head, fds, err
			}
		}
		if err != nil {
			return head, fds, fmt.Errorf("receive descriptors: %w", err)
		}
		if flags&unix.MSG_CTRUNC != 0 {
			return head, fds, fmt.Errorf("receive descriptors: some were lost: %w", unix.EMFILE)
		}
		if m == 0 {
			return head, fds, fmt.Errorf("receive descriptors: %w", io.ErrUnexpectedEOF)
		}
		n += m
	}
	return head, fds, nil
}

// rightsOf is the descriptors in a control message.
func rightsOf(oob []byte) (fds []int, err error) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("receive descriptors: %w", err)
	}
	for i := range msgs {
		got, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			return fds, fmt.Errorf("receive descriptors: %w", err)
		}
		fds = append(fds, got...)
	}
	return fds, nil
}

// setNames gives the descriptors of a batch their names, of which there must be exactly as many.
func setNames(batch []Named, names []byte) error {
	for i := range batch {
		if len(names) == 0 || len(names) <= int(names[0]) {
			return errPassing
		}
		n := 1 + int(names[0])
		batch[i].Name = string(names[1:n])
		names = names[n:]
	}
	if len(names) != 0 {
		return errPassing
	}
	return nil
}
