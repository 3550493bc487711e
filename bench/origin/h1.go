package origin

import (
	"bytes"
	"strconv"
)

var (
	endOfHead = []byte("\r\n\r\n")
	preface   = []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
)

// begin tells h1 from h2c by the first bytes (RFC 9113 section 3.4).
func (c *conn) begin(p, out []byte) (int, []byte) {
	switch {
	case bytes.HasPrefix(p, preface):
		c.mode, c.h2 = modeH2, newH2(c)
		return len(preface), c.h2.hello(out)
	case bytes.HasPrefix(preface, p):
		return 0, out
	}
	c.mode = modeHead
	return c.head(p, out)
}

func (c *conn) head(p, out []byte) (int, []byte) {
	end := bytes.Index(p, endOfHead)
	if end < 0 {
		if len(p) > headBytesMax {
			return c.refuse(len(p), out)
		}
		return 0, out
	}
	n := end + len(endOfHead)
	line, fields, _ := bytes.Cut(p[:end+2], []byte("\r\n"))
	_, rest, ok1 := bytes.Cut(line, []byte(" "))
	path, version, ok2 := bytes.Cut(rest, []byte(" "))
	if !ok1 || !ok2 {
		return c.refuse(len(p), out)
	}
	c.req.reply = c.srv.replies.find(path)
	c.req.close = string(version) == "HTTP/1.0"
	chunked := false
	for len(fields) > 0 {
		line, fields, _ = bytes.Cut(fields, []byte("\r\n"))
		if len(line) == 0 {
			continue
		}
		switch line[0] | 0x20 { // Only four fields matter; the others cost one comparison.
		case 'c':
			if v, ok := field(line, "content-length"); ok {
				length, err := strconv.ParseInt(string(v), 10, 64)
				if err != nil || length < 0 {
					return c.refuse(len(p), out)
				}
				c.req.left = length
			} else if v, ok := field(line, "connection"); ok {
				c.req.close = connectionCloses(v, c.req.close)
			}
		case 't':
			if v, ok := field(line, "transfer-encoding"); ok {
				chunked = bytes.EqualFold(v, []byte("chunked"))
			}
		case 's':
			if v, ok := field(line, "sec-websocket-key"); ok {
				c.req.socketKey = string(v)
			}
		}
	}
	switch {
	case chunked:
		c.mode, c.req.chunk = modeChunked, chunkState{}
		return n, out
	case c.req.left > 0:
		c.mode = modeBody
		return n, out
	}
	return n, c.answer(out)
}

func connectionCloses(value []byte, old bool) bool {
	for option := range bytes.SplitSeq(value, []byte(",")) {
		option = bytes.TrimSpace(option)
		switch {
		case bytes.EqualFold(option, []byte("close")):
			return true
		case bytes.EqualFold(option, []byte("keep-alive")):
			old = false
		}
	}
	return old
}

// field returns the value when line is the field of this lower-case name.
func field(line []byte, name string) ([]byte, bool) {
	if len(line) <= len(name) || line[len(name)] != ':' {
		return nil, false
	}
	for i := range len(name) {
		c := line[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != name[i] {
			return nil, false
		}
	}
	return bytes.TrimSpace(line[len(name)+1:]), true
}

func (c *conn) refuse(n int, out []byte) (int, []byte) {
	c.srv.counters.refused.Add(1)
	c.mode = modeEnded
	return n, append(out, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"...)
}

// chunkState is where a chunked body stands (RFC 9112 section 7.1).
type chunkState struct {
	left    int64 // bytes of the current chunk and its CRLF
	data    int64 // of which data
	trailer bool
}

func (c *conn) chunked(p, out []byte) (int, []byte) {
	s := &c.req.chunk
	if s.left > 0 {
		n := min(int64(len(p)), s.left)
		data := min(n, s.data)
		c.take(p[:data])
		s.left -= n
		s.data -= data
		return int(n), out
	}
	end := bytes.IndexByte(p, '\n')
	if end < 0 {
		return 0, out
	}
	line := bytes.TrimRight(p[:end], "\r")
	if s.trailer {
		if len(line) == 0 {
			out = c.answer(out)
		}
		return end + 1, out
	}
	size, _, _ := bytes.Cut(line, []byte(";"))
	n, err := strconv.ParseInt(string(bytes.TrimSpace(size)), 16, 56)
	if err != nil || n < 0 {
		return c.refuse(len(p), out)
	}
	if n == 0 {
		s.trailer = true
	} else {
		s.left, s.data = n+2, n
	}
	return end + 1, out
}
