package h3

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/quic-go/quic-go"
)

// Types of unidirectional streams (RFC 9114 section 6.2, RFC 9204 section 4.2).
const (
	streamControl = 0x00
	streamPush    = 0x01
	streamEncoder = 0x02
	streamDecoder = 0x03
	streamTypes   = 4
)

// acceptUni takes the client's unidirectional streams until the connection ends.
func (c *Conn) acceptUni() {
	for {
		q, err := c.q.AcceptUniStream(context.Background())
		if err != nil {
			return
		}
		q.ReleaseStreamCredit()
		go c.readUni(q)
	}
}

// critical is one of the streams that a connection cannot be without.
type critical interface {
	// feed takes the next bytes. requests is how many requests there were so far: what a client may say here grows with it.
	feed(b []byte, requests int64) *Error
}

// readUni finds out what a stream is and reads it to its end.
func (c *Conn) readUni(q *quic.ReceiveStream) {
	var buf [512]byte
	kind, rest, ok := readStreamType(q, buf[:])
	if !ok {
		return // it ended before it said what it was (RFC 9114 section 6.2 has nothing against it)
	}
	p, err := c.critical(kind)
	if err != nil {
		c.fail(err)
		return
	}
	if p == nil {
		q.CancelRead(quic.StreamErrorCode(StreamCreationError))
		if err := c.budget.charge(abuseStream, time.Now()); err != nil {
			c.fail(err)
		}
		return
	}
	if err := c.readCritical(q, p, buf[:], rest); err != nil {
		c.fail(err)
	}
}

// readStreamType reads the integer that a unidirectional stream begins with. rest is what was read behind it.
func readStreamType(q io.Reader, buf []byte) (kind uint64, rest []byte, ok bool) {
	for have := 0; have < varintBytesMax; {
		n, err := q.Read(buf[have:])
		have += n
		if v, used := readVarint(buf[:have]); used > 0 {
			return v, buf[used:have], true
		}
		if err != nil {
			break
		}
	}
	return 0, nil, false
}

// critical returns the reader of a stream of this type; nil: the type is unknown and the stream of no interest.
func (c *Conn) critical(kind uint64) (critical, *Error) {
	switch {
	case kind == streamPush:
		return nil, errStreamPush
	case kind >= streamTypes:
		return nil, nil
	}
	sh := &c.shared
	sh.mu.Lock()
	twice := sh.opened[kind]
	sh.opened[kind] = true
	sh.mu.Unlock()
	if twice {
		return nil, errStreamTwice
	}
	switch kind {
	case streamEncoder:
		return encoderParser{}, nil
	case streamDecoder:
		return &decoderParser{}, nil
	}
	return &controlParser{onUpdated: c.onPriority}, nil
}

// readCritical reads a stream that must not end before the connection does.
func (c *Conn) readCritical(q io.Reader, p critical, buf, rest []byte) *Error {
	for {
		if err := p.feed(rest, c.count.Load()); err != nil {
			return err
		}
		n, err := q.Read(buf)
		rest = buf[:n]
		if err == nil {
			continue
		}
		var reset *quic.StreamError
		if err == io.EOF || errors.As(err, &reset) {
			if err := p.feed(rest, c.count.Load()); err != nil {
				return err
			}
			return errCriticalClosed // RFC 9114 section 6.2.1, RFC 9204 section 4.2
		}
		return nil // the connection is gone
	}
}
