package load

import (
	"bytes"
	"encoding/binary"
)

// socket is a WebSocket whose messages come back.
type socket struct {
	upgrade  []byte
	message  []byte
	size     int64
	kept     []byte
	upgraded bool
	left     int64 // payload bytes of the frame being read
	inFrame  bool
	queue    dues
}

func newSocket(j *Job) *socket {
	return &socket{upgrade: j.headH1(), message: messageFrame(int(j.Body)), size: j.Body}
}

func (s *socket) hello(out []byte) []byte { return append(out, s.upgrade...) }
func (s *socket) ready() bool             { return s.upgraded }
func (s *socket) pending() int            { return s.queue.len() }
func (s *socket) oldest() int64           { return s.queue.first() }
func (s *socket) closing() bool           { return false }
func (s *socket) skippable() int64        { return 0 }

func (s *socket) skipped(int64, func(outcome)) {}

func (s *socket) request(due int64, out []byte) []byte {
	s.queue.push(due)
	return append(out, s.message...)
}

func (s *socket) reset() {
	s.kept, s.upgraded, s.left, s.inFrame = s.kept[:0], false, 0, false
	s.queue.clear()
}

func (s *socket) forget(f func(int64)) {
	for s.queue.len() > 0 {
		f(s.queue.pop())
	}
}

func (s *socket) recv(p, out []byte, done func(outcome)) ([]byte, string) {
	if len(s.kept) > 0 {
		s.kept = append(s.kept, p...)
		p = s.kept
	}
	for len(p) > 0 {
		n, wrong := s.step(p, done)
		if wrong != "" {
			return out, wrong
		}
		if n == 0 {
			break
		}
		p = p[n:]
	}
	s.kept = append(s.kept[:0], p...)
	return out, ""
}

func (s *socket) step(p []byte, done func(outcome)) (int, string) {
	switch {
	case !s.upgraded:
		end := bytes.Index(p, endOfHead)
		if end < 0 {
			return 0, ""
		}
		if !bytes.HasPrefix(p, []byte("HTTP/1.1 101 ")) {
			return 0, "upgrade refused"
		}
		s.upgraded = true
		return end + len(endOfHead), ""
	case !s.inFrame:
		n, size := frameHead(p)
		if n == 0 {
			return 0, ""
		}
		if p[0] != 0x82 || size != s.size || s.queue.len() == 0 {
			return 0, "message does not come back as it went"
		}
		s.left, s.inFrame = size, true
		if size == 0 {
			s.complete(done)
		}
		return n, ""
	}
	n := min(int64(len(p)), s.left)
	if s.left -= n; s.left == 0 {
		s.complete(done)
	}
	return int(n), ""
}

func (s *socket) complete(done func(outcome)) {
	s.inFrame = false
	done(outcome{due: s.queue.pop(), status: 200, bytes: s.size})
}

// frameHead reads the head of an unmasked frame: its length (0: not whole yet) and the payload's.
func frameHead(p []byte) (n int, size int64) {
	if len(p) < 2 {
		return 0, 0
	}
	switch p[1] {
	case 126:
		if len(p) < 4 {
			return 0, 0
		}
		return 4, int64(binary.BigEndian.Uint16(p[2:]))
	case 127:
		if len(p) < 10 {
			return 0, 0
		}
		return 10, int64(binary.BigEndian.Uint64(p[2:]))
	}
	return 2, int64(p[1])
}
