package h3

import (
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"weir/internal/msg"
)

// recvSide is what is known of a request while it is read. All of it but shared belongs to the goroutine that reads: the
// connection's accepting one at first, then one of the stream's own if there is more to come.
type recvSide struct {
	parser reqParser
	left   int64 // of the body that content-length promised; -1: it promised nothing
	shared recvShared

	trailers    *msg.Head // of the request, until the last Piece takes them along
	prioritised bool      // a PRIORITY_UPDATE overtook the head, and outweighs its Priority field (RFC 9218 section 7)
}

// recvShared is what the reader and the worker both touch.
type recvShared struct {
	out     atomic.Int64  // bytes that the worker was given and has not taken
	stopped atomic.Bool   // the rest is not wanted
	waiting atomic.Bool   // the reader waits for out to fall
	wake    chan struct{} // made by the reader before it first sets waiting
}

// inlineWait is how long a connection's accepting goroutine waits for a request to be complete before it gives the stream
// a goroutine of its own. Nearly every request without a body comes in one packet and is passed on without one
// (BenchmarkRequest).
const inlineWait = 100 * time.Microsecond

// headRead is how far readHead has come.
type headRead uint8

const (
	headWaits headRead = iota // the head is not complete
	headBody                  // it was passed on, and more may follow
	headDone                  // it was passed on, and nothing follows
	headFault                 // it was passed on with a Fault: nothing more is read
)

// begin reads what is there of a new stream.
func (s *Stream) begin() {
	s.recv.left = -1
	s.recv.parser.blockMax = s.Conn.cfg.MaxFieldSection
	buf := smallBlock()
	s.q.SetReadDeadline(time.Now().Add(inlineWait))
	switch got, err := s.readHead(buf); {
	case err != nil:
		buf.free()
		s.readFailed(err, false)
	case got == headWaits, got == headBody:
		go s.readOn(buf, got)
	default:
		buf.free()
	}
}

// readOn reads what begin has not.
func (s *Stream) readOn(buf *block, got headRead) {
	for got == headWaits {
		var deadline time.Time
		if d := s.Conn.cfg.HeadTimeout; d > 0 {
			deadline = time.Now().Add(d)
		}
		s.q.SetReadDeadline(deadline)
		var err error
		if got, err = s.readHead(buf); err != nil {
			buf.free()
			s.readFailed(err, false)
			return
		}
		if got == headWaits {
			buf.free()
			s.refuse(ErrHeadTimeout)
			return
		}
	}
	if got != headBody {
		buf.free()
		return
	}
	s.q.SetReadDeadline(time.Time{})
	if err := s.readBody(buf); err != nil {
		s.readFailed(err, true)
	}
}

// readHead reads until the head has been passed on or the stream's deadline has passed. What was read behind the head is
// left in buf.
func (s *Stream) readHead(buf *block) (headRead, error) {
	p := &s.recv.parser
	sec := section{max: s.Conn.cfg.MaxFieldSection}
	for lingered := false; ; {
		n, err := s.q.Read(buf.data[len(buf.data):cap(buf.data)])
		buf.data = buf.data[:len(buf.data)+n]
		ended, late := err == io.EOF, isTimeout(err)
		if err != nil && !ended && !late {
			return headWaits, err
		}
		for p.stage == stageHead && len(buf.data) > 0 {
			ev, piece, used, fault := p.next(buf.data)
			if fault == nil && ev == reqHead {
				h := takeHead()
				sec.fields = msg.NewSection(h, msg.RequestSection)
				fault = sec.read(piece)
				p.tunnel = string(h.Bytes(h.Name)) == "CONNECT"
			}
			if fault != nil {
				return headWaits, fault
			}
			if ev == reqHeadHuge || sec.large {
				s.refuse(ErrHeadTooLarge)
				return headFault, nil
			}
			buf.data = buf.data[:copy(buf.data, buf.data[used:])]
		}
		switch {
		case p.stage == stageHead && ended:
			return headWaits, p.cut()
		case p.stage == stageHead && late:
			return headWaits, nil
		case p.stage == stageHead:
		case ended && len(buf.data) == 0:
			return headDone, s.onHead(&sec, true)
		case ended, late, lingered, len(buf.data) > 0, sec.fields.Length > 0, p.tunnel:
			return headBody, s.onHead(&sec, false)
		default:
			// The end of a request without a body may be in the next packet. Without it a GET would seem to have one.
			lingered = true
			s.q.SetReadDeadline(time.Now().Add(inlineWait))
		}
	}
}

// onHead completes the head and passes it on.
func (s *Stream) onHead(sec *section, ended bool) error {
	if err := sec.finish(ended); err != nil {
		freeHead(sec.fields.Head)
		return err
	}
	h := sec.fields.Head
	s.recv.left = sec.fields.Length
	s.Head, s.Ended, s.Early = h, ended, s.Conn.early()
	if s.Early {
		h.Flags |= msg.FlagEarlyData
	}
	if v := h.Get(msg.FieldPriority); v != nil && !s.recv.prioritised {
		s.SetPriority(msg.PriorityDefault.Read(v))
	}
	s.Conn.sink.OnHead(s)
	return nil
}

// refuse passes on that there is a request which is not going to be read, so that it is answered and logged.
func (s *Stream) refuse(err *Error) {
	s.Head = takeHead()
	s.Fault = err
	s.Conn.sink.OnHead(s)
}

// readBody reads the rest of the stream: content, trailers, the end. buf holds what was read already.
func (s *Stream) readBody(buf *block) error {
	for {
		var end error
		if len(buf.data) == 0 {
			if cap(buf.data) < blockLargeBytes {
				buf.free()
				buf = largeBlock()
			}
			ok, err := s.mayRead()
			if !ok {
				buf.free()
				return err
			}
			var n int
			n, end = s.q.Read(buf.data[:cap(buf.data)])
			buf.data = buf.data[:n]
		}
		ended := end == io.EOF
		if end != nil && !ended {
			buf.free()
			return end
		}
		n, fault := s.compact(buf.data)
		if fault == nil && ended {
			fault = s.onEnd()
		}
		if fault != nil {
			buf.free()
			return fault
		}
		buf.data = buf.data[:n]
		if n == 0 && !ended {
			continue
		}
		s.recv.shared.out.Add(int64(n))
		p := pieces.Get().(*Piece)
		p.Stream, p.Data, p.End, p.buf = s, buf.data, ended, buf
		if ended {
			p.Trailers, s.recv.trailers = s.recv.trailers, nil
		}
		s.Conn.sink.OnData(s, p)
		if ended {
			return nil
		}
		buf = largeBlock()
	}
}

// compact parses b and moves the content in it to its front.
func (s *Stream) compact(b []byte) (n int, fault *Error) {
	for rest := b; len(rest) > 0; {
		ev, piece, used, err := s.recv.parser.next(rest)
		if err != nil {
			return 0, err
		}
		switch ev {
		case reqData:
			if s.recv.left >= 0 {
				if s.recv.left -= int64(len(piece)); s.recv.left < 0 {
					return 0, errBodyLong
				}
			}
			n += copy(b[n:], piece)
		case reqTrailers:
			if err := s.onTrailers(piece); err != nil {
				return 0, err
			}
		}
		rest = rest[used:]
	}
	return n, nil
}

func (s *Stream) onTrailers(block []byte) *Error {
	sec := section{fields: msg.NewSection(takeHead(), msg.TrailerSection), max: s.Conn.cfg.MaxFieldSection}
	if err := sec.read(block); err != nil {
		return err
	}
	if sec.large {
		return errTrailersLarge
	}
	s.recv.trailers = sec.fields.Head
	return nil
}

// onEnd judges the end of the request.
func (s *Stream) onEnd() *Error {
	if err := s.recv.parser.end(); err != nil {
		return err
	}
	if s.recv.left > 0 {
		return errBodyShort
	}
	return nil
}

// readFailed is called when nothing more can be read. told: the worker knows the stream.
func (s *Stream) readFailed(err error, told bool) {
	var fault *Error
	if errors.As(err, &fault) {
		s.fail(fault, told)
		return
	}
	code, ok := resetCode(err)
	if !ok {
		return // the connection is gone, or we stopped reading ourselves
	}
	if told {
		s.taken(code)
		return
	}
	s.q.CancelWrite(quic.StreamErrorCode(RequestCancelled))
	s.release()
	if e := s.Conn.budget.charge(abuseReset, time.Now()); e != nil {
		s.Conn.fail(e)
	}
}

// mayRead waits until the worker has taken enough of the body. It reports false when the rest is not wanted, and the error
// if the client takes the request back meanwhile.
func (s *Stream) mayRead() (ok bool, err error) {
	sh, most := &s.recv.shared, int64(s.Conn.cfg.recvBytesMax())
	for !sh.stopped.Load() {
		if sh.out.Load() < most {
			return true, nil
		}
		if sh.wake == nil {
			sh.wake = make(chan struct{}, 1)
			s.q.SetReceiveFinalSizeCallback(func(int64) { sh.ring() }) // an end or a reset has come
		}
		sh.waiting.Store(true)
		if sh.out.Load() < most || sh.stopped.Load() {
			sh.waiting.Store(false)
			continue
		}
		select {
		case <-sh.wake:
		case <-s.Conn.q.Context().Done():
			return false, nil
		}
		if err := s.takenBack(); err != nil {
			return false, err
		}
	}
	return false, nil
}

// takenBack returns the client's reset, if there was one, without reading.
func (s *Stream) takenBack() error {
	var one [1]byte
	s.q.SetReadDeadline(time.Unix(1, 0))
	_, err := s.q.Peek(one[:])
	s.q.SetReadDeadline(time.Time{})
	if _, reset := resetCode(err); reset {
		return err
	}
	return nil
}

// Taken says that n bytes of the body have left the worker.
func (s *Stream) Taken(n int) {
	sh := &s.recv.shared
	if sh.out.Add(-int64(n)) < int64(s.Conn.cfg.recvBytesMax()) {
		sh.rouse()
	}
}

func (sh *recvShared) rouse() {
	if sh.waiting.Load() && sh.waiting.CompareAndSwap(true, false) {
		sh.ring()
	}
}

func (sh *recvShared) ring() {
	select {
	case sh.wake <- struct{}{}:
	default:
	}
}

// StopReading says that the rest of the request is not wanted. NoError tells the client that this is no fault (RFC 9114
// section 4.1). It does nothing when all of it was read.
func (s *Stream) StopReading(code Code) {
	if !s.recv.shared.stopped.Swap(true) {
		s.q.CancelRead(quic.StreamErrorCode(code))
		s.recv.shared.rouse()
	}
}

// isTimeout reports whether a read came to its deadline.
func isTimeout(err error) bool {
	t, ok := err.(interface{ Timeout() bool })
	return ok && t.Timeout()
}
