package load

import (
	"bytes"
	"strconv"
)

const headBytesMax = 32 << 10

type h1mode uint8

const (
	h1Head h1mode = iota
	h1Body
	h1ChunkSize
	h1ChunkData
	h1Trailer
	h1ToClose
)

// h1 is HTTP/1.1 with requests in flight up to the job's depth.
type h1 struct {
	head   []byte // what a request is made of
	method string

	mode  h1mode
	kept  []byte // a response head, chunk size or trailer that is not whole yet
	left  int64  // of the body, or of the chunk with its CRLF
	now   outcome
	close bool
	queue dues
}

func newH1(j *Job) *h1 { return &h1{head: j.headH1(), method: j.Method} }

func (h *h1) hello(out []byte) []byte { return out }
func (h *h1) ready() bool             { return true }
func (h *h1) pending() int            { return h.queue.len() }
func (h *h1) oldest() int64           { return h.queue.first() }
func (h *h1) closing() bool           { return h.close }

func (h *h1) request(due int64, out []byte) []byte {
	h.queue.push(due)
	return append(out, h.head...)
}

func (h *h1) reset() {
	h.mode, h.kept, h.left, h.close = h1Head, h.kept[:0], 0, false
	h.queue.clear()
}

func (h *h1) forget(f func(int64)) {
	for h.queue.len() > 0 {
		f(h.queue.pop())
	}
}

func (h *h1) recv(p, out []byte, done func(outcome)) ([]byte, string) {
	if len(h.kept) > 0 {
		h.kept = append(h.kept, p...)
		p = h.kept
	}
	for len(p) > 0 {
		n, wrong := h.step(p, done)
		if wrong != "" {
			return out, wrong
		}
		if n == 0 {
			break
		}
		p = p[n:]
	}
	h.kept = append(h.kept[:0], p...)
	return out, ""
}

// step uses up one piece of p; 0 asks for more input.
func (h *h1) step(p []byte, done func(outcome)) (int, string) {
	switch h.mode {
	case h1Head:
		return h.onHead(p, done)
	case h1Body, h1ChunkData, h1ToClose:
		n := len(p)
		if h.mode != h1ToClose {
			n = int(min(int64(n), h.left))
		}
		h.skipped(int64(n), done)
		return n, ""
	}
	end := bytes.IndexByte(p, '\n')
	if end < 0 {
		if len(p) > headBytesMax {
			return 0, "bad chunk"
		}
		return 0, ""
	}
	line := bytes.TrimRight(p[:end], "\r")
	if h.mode == h1Trailer {
		if len(line) == 0 {
			h.complete(done)
		}
		return end + 1, ""
	}
	size, _, _ := bytes.Cut(line, []byte(";"))
	n, err := strconv.ParseInt(string(size), 16, 56)
	if err != nil || n < 0 {
		return 0, "bad chunk"
	}
	h.mode, h.left = h1ChunkData, n+2
	if n == 0 {
		h.mode = h1Trailer
	}
	return end + 1, ""
}

func (h *h1) skippable() int64 {
	if h.mode == h1Body {
		return h.left
	}
	return 0
}

// skipped counts n bytes of body, or of a chunk and its CRLF.
func (h *h1) skipped(n int64, done func(outcome)) {
	h.now.bytes += n
	if h.mode == h1ToClose {
		return
	}
	if h.left -= n; h.left > 0 {
		return
	}
	if h.mode == h1ChunkData {
		h.now.bytes -= 2
		h.mode = h1ChunkSize
		return
	}
	h.complete(done)
}

func (h *h1) complete(done func(outcome)) {
	h.mode = h1Head
	h.now.due = h.queue.pop()
	o := h.now
	h.now = outcome{}
	done(o)
}

var endOfHead = []byte("\r\n\r\n")

func (h *h1) onHead(p []byte, done func(outcome)) (int, string) {
	end := bytes.Index(p, endOfHead)
	if end < 0 {
		if len(p) > headBytesMax {
			return 0, "head too large"
		}
		return 0, ""
	}
	if h.queue.len() == 0 {
		return 0, "response without a request"
	}
	line, fields, _ := bytes.Cut(p[:end+2], []byte("\r\n"))
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) {
		return 0, "bad status line"
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil {
		return 0, "bad status line"
	}
	n := end + len(endOfHead)
	if status < 200 && status != 101 {
		return n, "" // interim (RFC 9110 section 15.2)
	}
	h.now.status = status
	if line[7] == '0' {
		h.close = true
	}
	length, chunked, wrong := h.framing(fields)
	switch {
	case wrong != "":
		return 0, wrong
	case h.method == "HEAD" || status == 204 || status == 304 || length == 0 && !chunked:
		h.complete(done)
	case chunked:
		h.mode = h1ChunkSize
	case length > 0:
		h.mode, h.left = h1Body, length
	default:
		h.mode, h.close = h1ToClose, true
	}
	return n, ""
}

// framing reads the fields that frame a response; length is -1 when there is none.
func (h *h1) framing(fields []byte) (length int64, chunked bool, wrong string) {
	length = -1
	for len(fields) > 0 {
		var line []byte
		line, fields, _ = bytes.Cut(fields, []byte("\r\n"))
		if len(line) == 0 || line[0]|0x20 != 'c' && line[0]|0x20 != 't' {
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			n, err := strconv.ParseInt(string(value), 10, 64)
			if err != nil || n < 0 {
				return 0, false, "bad length"
			}
			length = n
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			chunked = bytes.EqualFold(value, []byte("chunked"))
		case bytes.EqualFold(name, []byte("connection")):
			h.close = h.close || bytes.EqualFold(value, []byte("close"))
		}
	}
	return length, chunked, ""
}
