package h3

import (
	"encoding/binary"
	"sync"

	"github.com/quic-go/quic-go"

	"weir/internal/msg"
)

// sendSide is the response on its way out.
//
// The worker appends frames and calls Flush at the end of its turn. What is short goes to QUIC at once and costs no
// goroutine; QUIC takes it without blocking. What is longer goes through a goroutine of the stream's own that runs for as
// long as something waits, because only a blocking write is held back by the congestion window: QUIC would buffer a whole
// window of the client's otherwise.
type sendSide struct {
	mu      sync.Mutex
	blocks  []*block  // what waits, oldest first; the last one is appended to
	room    [2]*block // what blocks is made of, for nearly every response
	pending int       // bytes that wait or are being written
	frame   []byte    // the length of the DATA frame that ends the last block; nil: none does
	state   sendState
	writing bool // the writer runs
	starved bool // Room was found to be none
	direct  int  // bytes that went out at once so far
}

// sendState is how far the response has come.
type sendState uint8

const (
	sendOpen   sendState = iota // exactly when more may be appended
	sendEnded                   // exactly when all of it was appended
	sendClosed                  // exactly when QUIC knows its end, or a reset
)

// dataLengthBytes is the size of the length of our DATA frames: a fixed one, so that it can grow when more is appended.
const dataLengthBytes = 4

// dataFrameMax is what such a length holds.
const dataFrameMax = 1<<30 - 1

// SendHead appends a response head; interim ones come before the final one. end: nothing follows. Fields marked Drop and
// those that HTTP/3 forbids are left out; content-length is made from Framing.
func (s *Stream) SendHead(e *Encoder, h *msg.Head, end bool) {
	block := e.head(h)
	s.append(frameHeaders, block, end)
}

// SendTrailers appends trailers, which end the response.
func (s *Stream) SendTrailers(e *Encoder, h *msg.Head) {
	if block := e.trailers(h); block != nil {
		s.append(frameHeaders, block, true)
		return
	}
	s.SendEnd()
}

// SendEnd ends the response.
func (s *Stream) SendEnd() {
	s.send.mu.Lock()
	if s.send.state == sendOpen {
		s.send.state = sendEnded
	}
	s.send.mu.Unlock()
}

// SendData appends content. It may be more than Room, which is there to be asked first.
func (s *Stream) SendData(p []byte) {
	d := &s.send
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.state == sendOpen && len(p) > 0 {
		b := d.tail(1+dataLengthBytes+1, len(p))
		if d.frame == nil {
			b.data = append(b.data, frameData, 0x80, 0, 0, 0)
			d.frame = b.data[len(b.data)-dataLengthBytes:]
			s.grow(1 + dataLengthBytes)
		}
		n := min(len(p), cap(b.data)-len(b.data))
		b.data = append(b.data, p[:n]...)
		size := binary.BigEndian.Uint32(d.frame)&dataFrameMax + uint32(n)
		binary.BigEndian.PutUint32(d.frame, size|0x8000_0000)
		s.grow(n)
		p = p[n:]
	}
}

// append adds a frame that is complete.
func (s *Stream) append(kind byte, payload []byte, end bool) {
	d := &s.send
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state != sendOpen {
		return
	}
	b := d.tail(frameHeaderBytesMax+len(payload), 0)
	had := len(b.data)
	b.data = appendVarint(append(b.data, kind), uint64(len(payload)))
	b.data = append(b.data, payload...)
	s.grow(len(b.data) - had)
	d.frame = nil
	if end {
		d.state = sendEnded
	}
}

// grow counts bytes that wait, or no longer do. The caller holds mu.
func (s *Stream) grow(n int) {
	s.send.pending += n
	s.Conn.queued.Add(int64(n))
}

// tail is the last block if at least least more bytes fit it, or a new one, for want bytes if it can be. A frame's length
// stays in one block with its content.
func (d *sendSide) tail(least, want int) *block {
	if k := len(d.blocks); k > 0 {
		if b := d.blocks[k-1]; cap(b.data)-len(b.data) >= least {
			return b
		}
	}
	var b *block
	if max(least, want) > blockSmallBytes-frameHeaderBytesMax {
		b = largeBlock()
	} else {
		b = smallBlock()
	}
	if len(d.blocks) == 0 {
		d.blocks = d.room[:0]
	}
	d.blocks = append(d.blocks, b)
	d.frame = nil
	return b
}

// Room is how many bytes of content may be appended now. OnRoom tells when there are some again after there were none.
func (s *Stream) Room() int {
	d, c := &s.send, s.Conn
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state != sendOpen {
		return 0
	}
	shared := c.cfg.BufferBytes - int(c.queued.Load())
	room := min(c.cfg.sendBytesMax()-d.pending, max(shared, sendBytesFloor-d.pending))
	if room <= 0 {
		d.starved = true
		return 0
	}
	return room
}

// Pending is how many bytes wait to be sent.
func (s *Stream) Pending() int {
	s.send.mu.Lock()
	defer s.send.mu.Unlock()
	return s.send.pending
}

// Flush hands what was appended to QUIC, or to the writer. It never blocks.
func (s *Stream) Flush() {
	d := &s.send
	d.mu.Lock()
	if d.writing || d.state == sendClosed {
		d.mu.Unlock()
		return
	}
	d.frame = nil
	if d.pending > 0 && !s.flushDirect() {
		d.writing = true
		d.mu.Unlock()
		go s.write()
		return
	}
	s.closeLocked()
}

// flushDirect hands a short response to QUIC at once. It reports false when it is not short, when QUIC cannot take it now,
// or when somebody waits to be told of room, which the writer does.
func (s *Stream) flushDirect() bool {
	d := &s.send
	if len(d.blocks) != 1 || d.direct+d.pending > directBytesMax || d.starved {
		return false
	}
	switch err := s.q.TryWriteAll(d.blocks[0].data); err {
	case nil:
		d.direct += d.pending
	case quic.ErrWouldBlock:
		return false
	default: // reset by the client, or the connection is gone
		d.state = sendClosed
		s.gone(err)
	}
	s.drop()
	return true
}

// gone is called when a response cannot be sent. If the client has said that it does not want it, the worker is told, once;
// of a connection that is gone OnGone tells.
func (s *Stream) gone(err error) {
	if code, ok := resetCode(err); ok {
		s.taken(code)
	}
}

// drop forgets what waits. The caller holds mu.
func (s *Stream) drop() {
	d := &s.send
	for i, b := range d.blocks {
		b.free()
		d.blocks[i] = nil
	}
	d.blocks, d.frame = d.blocks[:0], nil
	s.grow(-d.pending)
}

// closeLocked tells QUIC of the end, if the end has come. The caller holds mu, which it gives up.
func (s *Stream) closeLocked() {
	ended := s.send.state == sendEnded
	if ended {
		s.send.state = sendClosed
		s.unwatch()
	}
	s.send.mu.Unlock()
	if ended {
		s.q.Close()
		s.release()
		s.Conn.budget.earn()
	}
}

// write is the writer: it sends blocks until none is left.
func (s *Stream) write() {
	d, c := &s.send, s.Conn
	d.mu.Lock()
	for len(d.blocks) > 0 {
		b := d.blocks[0]
		d.blocks[0] = nil
		if d.blocks = d.blocks[1:]; len(d.blocks) == 0 {
			d.blocks, d.frame = nil, nil
		}
		d.mu.Unlock()
		n := len(b.data)
		_, err := s.q.Write(b.data)
		b.free()
		d.mu.Lock()
		if err != nil {
			d.state = sendClosed
			s.drop()
			s.gone(err)
			break
		}
		s.grow(-n)
		if d.starved && d.pending <= c.cfg.sendBytesMax()/2 {
			d.starved = false
			d.mu.Unlock()
			c.sink.OnRoom(s)
			d.mu.Lock()
		}
	}
	d.writing = false
	s.closeLocked()
}

// Finish is called when nothing more comes from the worker for this stream. What is missing of the response is reset, what
// is missing of the request is not read.
func (s *Stream) Finish() {
	if !s.Ended {
		s.StopReading(NoError)
	}
	s.send.mu.Lock()
	open := s.send.state == sendOpen
	s.send.mu.Unlock()
	if open {
		s.cut(InternalError)
	}
}

// cut resets the response. What waits is lost.
func (s *Stream) cut(code Code) {
	d := &s.send
	d.mu.Lock()
	closed := d.state == sendClosed
	d.state = sendClosed
	s.unwatch()
	if !d.writing {
		s.drop()
	}
	d.mu.Unlock()
	if !closed {
		s.q.CancelWrite(quic.StreamErrorCode(code))
	}
	s.release()
}
