package origin

import "crypto/sha256"

// take is given every byte of a stream's request body.
func (s *stream) take(p []byte) {
	switch s.reply.kind {
	case kindHash:
		if s.sum == nil {
			s.sum = sha256.New()
		}
		s.sum.Write(p)
	case kindEcho:
		if len(s.own)+len(p) <= echoBytesMax {
			s.own = append(s.own, p...)
		}
	}
}

// answer is called when a stream's request is complete.
func (h *h2conn) answer(s *stream, out []byte) []byte {
	h.c.srv.counters.requests.Add(1)
	if d := s.reply.delay; d > 0 {
		h.c.after(d, s.id)
		return out
	}
	return h.respond(s, out)
}

func (h *h2conn) due(id uint32, out []byte) []byte {
	if s := h.streams[id]; s != nil {
		out = h.respond(s, out)
	}
	return out
}

func (h *h2conn) respond(s *stream, out []byte) []byte {
	block := s.reply.block
	s.left = s.reply.size
	switch s.reply.kind {
	case kindUpload:
		s.own = []byte("ok")
	case kindHash:
		s.own = hashText(s.sum)
	case kindEcho:
		s.left = int64(len(s.own))
		block = appendBlock(nil, s.reply.status, s.left)
	case kindSocket: // Extended CONNECT is not what this origin is asked for.
		block, s.left = appendBlock(nil, 501, 0), 0
	}
	flags := byte(flagEndHeaders)
	if s.left == 0 {
		flags |= flagEndStream
	}
	out = append(appendFrameHead(out, len(block), frameHeaders, flags, s.id), block...)
	if s.left == 0 {
		delete(h.streams, s.id)
		return out
	}
	h.sending = append(h.sending, s)
	return h.more(out)
}

// more sends what the windows allow, a frame of each stream in turn, up to outAtOnce bytes: the loop asks again when
// those are written.
func (h *h2conn) more(out []byte) []byte {
	for idle := 0; idle < len(h.sending) && len(out) < outAtOnce; {
		s := h.sending[0]
		h.sending = append(h.sending[:0], h.sending[1:]...)
		if s.left == 0 {
			continue // reset meanwhile
		}
		n := min(s.left, s.window, h.window, framePayloadMax)
		if n <= 0 {
			h.sending = append(h.sending, s)
			idle++
			continue
		}
		idle = 0
		out = h.dataFrame(s, int(n), out)
		if s.left > 0 {
			h.sending = append(h.sending, s)
		} else {
			delete(h.streams, s.id)
		}
	}
	return out
}

func (h *h2conn) dataFrame(s *stream, n int, out []byte) []byte {
	body, at := s.own, int64(len(s.own))-s.left
	if body == nil {
		at = (s.reply.size - s.left) % patternBytes
		body = pattern
		n = min(n, len(body)-int(at))
	}
	s.left -= int64(n)
	s.window -= int64(n)
	h.window -= int64(n)
	flags := byte(0)
	if s.left == 0 {
		flags = flagEndStream
	}
	return append(appendFrameHead(out, n, frameData, flags, s.id), body[at:int(at)+n]...)
}
