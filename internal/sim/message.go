package sim

import (
	"bytes"
	"errors"
	"fmt"
	"net/textproto"
	"strconv"
	"strings"
)

// Message is an HTTP/1 request or response as a script sees it.
type Message struct {
	Start   string // the start line
	Fields  [][2]string
	Body    string
	Trailer [][2]string
}

// Get is the value of the first field of a name; names compare without case.
func (m *Message) Get(name string) string {
	for _, f := range m.Fields {
		if strings.EqualFold(f[0], name) {
			return f[1]
		}
	}
	return ""
}

// Count is the number of fields of a name.
func (m *Message) Count(name string) (n int) {
	for _, f := range m.Fields {
		if strings.EqualFold(f[0], name) {
			n++
		}
	}
	return n
}

// Method is a request's method.
func (m *Message) Method() string { w, _, _ := strings.Cut(m.Start, " "); return w }

// Target is a request's target.
func (m *Message) Target() string {
	if w := strings.Split(m.Start, " "); len(w) == 3 {
		return w[1]
	}
	return ""
}

// Status is a response's status; 0 when it has none.
func (m *Message) Status() int {
	if len(m.Start) < len("HTTP/1.1 200") {
		return 0
	}
	n, err := strconv.Atoi(m.Start[len("HTTP/1.1 "):len("HTTP/1.1 200")])
	if err != nil {
		return 0
	}
	return n
}

// errWire is what a stream is that has no messages in it.
var errWire = errors.New("not HTTP/1")

// splitter cuts a stream of bytes into messages. It is naive, and intolerant of all that a proxy must not send: the bytes
// of one message that leak into the next show as a start line that is none.
type splitter struct {
	buf []byte
	m   *Message // whose body is being read
	// bodyless says of a response that it has no body whatever its fields say: it answers HEAD.
	bodyless bool
}

// head reads the next message's start line and fields; nil when they are not complete. Its body is to be read next.
func (x *splitter) head() (*Message, error) {
	if x.m != nil {
		return x.m, nil
	}
	i := bytes.Index(x.buf, []byte("\r\n\r\n"))
	if i < 0 {
		return nil, nil
	}
	start, rest, _ := strings.Cut(string(x.buf[:i]), "\r\n")
	m := &Message{Start: start}
	if w := strings.Split(start, " "); len(w) < 2 || !strings.HasPrefix(start, "HTTP/1.") && !strings.HasPrefix(w[len(w)-1], "HTTP/1.") {
		return nil, fmt.Errorf("%w: start line %.100q", errWire, start)
	}
	var err error
	if m.Fields, err = fieldsOf(rest); err != nil {
		return nil, err
	}
	x.buf = x.buf[i+4:]
	x.m = m
	return m, nil
}

func fieldsOf(lines string) (fields [][2]string, err error) {
	if lines == "" {
		return nil, nil
	}
	for line := range strings.SplitSeq(lines, "\r\n") {
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t\r\n") {
			return nil, fmt.Errorf("%w: field line %.100q", errWire, line)
		}
		fields = append(fields, [2]string{name, textproto.TrimString(value)})
	}
	return fields, nil
}

// next reads the next whole message; nil when it is not complete. eof says that the stream has ended, which ends a
// response without a length.
func (x *splitter) next(eof bool) (*Message, error) {
	m, err := x.head()
	if m == nil || err != nil {
		return nil, err
	}
	done := false
	switch te, cl := m.Get("Transfer-Encoding"), m.Get("Content-Length"); {
	case x.bodyless || m.Status() != 0 && (m.Status() < 200 || m.Status() == 204 || m.Status() == 304):
		done = true
	case te != "" && cl != "":
		return nil, fmt.Errorf("%w: both Transfer-Encoding and Content-Length", errWire)
	case te != "":
		done, err = x.chunks(m)
	case cl != "":
		n, bad := strconv.Atoi(cl)
		if bad != nil || n < 0 || m.Count("Content-Length") > 1 {
			return nil, fmt.Errorf("%w: Content-Length %q", errWire, cl)
		}
		if done = len(x.buf) >= n; done {
			m.Body, x.buf = string(x.buf[:n]), x.buf[n:]
		}
	case m.Status() == 0:
		done = true // a request without either has no body
	default:
		if done = eof; done {
			m.Body, x.buf = string(x.buf), nil
		}
	}
	if err != nil || !done {
		return nil, err
	}
	x.m = nil
	return m, nil
}

// chunks reads a whole chunked body, which must be complete in the buffer.
func (x *splitter) chunks(m *Message) (done bool, err error) {
	var body []byte
	for b := x.buf; ; {
		line, rest, ok := bytes.Cut(b, []byte("\r\n"))
		if !ok {
			return false, nil
		}
		size, _, _ := strings.Cut(string(line), ";")
		n, err := strconv.ParseUint(size, 16, 31)
		if err != nil {
			return false, fmt.Errorf("%w: chunk size %.100q", errWire, line)
		}
		if n == 0 {
			trailer, after, ok := bytes.Cut(append([]byte("\r\n"), rest...), []byte("\r\n\r\n"))
			if !ok {
				return false, nil
			}
			m.Trailer, err = fieldsOf(strings.TrimPrefix(string(trailer), "\r\n"))
			m.Body, x.buf = string(body), after
			return err == nil, err
		}
		if len(rest) < int(n)+2 {
			return false, nil
		}
		if string(rest[n:n+2]) != "\r\n" {
			return false, fmt.Errorf("%w: no end of line behind a chunk", errWire)
		}
		body = append(body, rest[:n]...)
		b = rest[n+2:]
	}
}
