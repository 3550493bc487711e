package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// field is one field line. Names keep the case in which they were sent.
type field struct{ name, value string }

// message is an HTTP/1 message as it stood on the wire. It is read as strictly as RFC 9112 lets a sender generate one, by
// code that shares nothing with the program under test: what weir sends must satisfy it.
type message struct {
	start    string
	fields   []field
	body     []byte
	trailers []field
	framing  framing
	chunks   int // of a chunked body, without the last
}

// framing is what ended the body.
type framing string

const (
	byNothing framing = "none" // no body
	byLength  framing = "length"
	byChunks  framing = "chunked"
	byClose   framing = "close"
	byTunnel  framing = "tunnel" // what follows is no HTTP
)

// errShort is returned for a message that is well-formed as far as it goes.
var errShort = errors.New("incomplete")

func values(fields []field, name string) (v []string) {
	for _, f := range fields {
		if strings.EqualFold(f.name, name) {
			v = append(v, f.value)
		}
	}
	return v
}

// all is every value of a field, in order.
func (m *message) all(name string) []string { return values(m.fields, name) }

// get is all values of a field as one list (RFC 9110 section 5.2).
func (m *message) get(name string) string { return strings.Join(m.all(name), ", ") }

func (m *message) has(name string) bool { return len(m.all(name)) > 0 }

// method and target are of a request, status is of a response.
func (m *message) method() string { return strings.SplitN(m.start, " ", 2)[0] }
func (m *message) target() string { return strings.Split(m.start, " ")[1] }
func (m *message) status() int    { n, _ := strconv.Atoi(m.start[9:12]); return n }

// path is the target without scheme and authority.
func (m *message) path() string {
	_, rest, found := strings.Cut(m.target(), "://")
	if !found {
		return m.target()
	}
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return rest[i:]
	}
	return "/"
}

// String is the message as a reader of a failed test wants to see it.
func (m *message) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", m.start)
	for _, f := range m.fields {
		fmt.Fprintf(&b, "%s: %s\n", f.name, f.value)
	}
	body := m.body
	if len(body) > 200 {
		body = body[:200]
	}
	fmt.Fprintf(&b, "\n%q (%d bytes, %s)", body, len(m.body), m.framing)
	for _, f := range m.trailers {
		fmt.Fprintf(&b, "\n%s: %s", f.name, f.value)
	}
	return b.String()
}

func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		alnum := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !alnum && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// cutLine takes a line that ends with CRLF off b.
func cutLine(b []byte) (line string, n int, err error) {
	i := bytes.IndexByte(b, '\n')
	switch {
	case i < 0:
		return "", 0, errShort
	case i == 0 || b[i-1] != '\r':
		return "", 0, fmt.Errorf("line %q ends with a bare LF", b[:i])
	}
	line = string(b[:i-1])
	if strings.ContainsAny(line, "\r\x00") {
		return "", 0, fmt.Errorf("CR or NUL in line %q", line)
	}
	return line, i + 1, nil
}

// cutFields takes field lines and the empty line behind them off b (RFC 9112 section 5).
func cutFields(b []byte) (fields []field, n int, err error) {
	for {
		line, k, err := cutLine(b[n:])
		if err != nil {
			return fields, n, err
		}
		n += k
		if line == "" {
			return fields, n, nil
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || !isToken(name) {
			return fields, n, fmt.Errorf("no field line: %q", line)
		}
		value = strings.Trim(value, " \t")
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return fields, n, fmt.Errorf("control byte in field line %q", line)
		}
		fields = append(fields, field{name, value})
	}
}

// cutRequest takes one request off b. With errShort the request is not whole: it is nil as long as its head is not.
func cutRequest(b []byte) (m *message, n int, err error) {
	line, n, err := cutLine(b)
	if err != nil {
		return nil, 0, err
	}
	p := strings.Split(line, " ")
	if len(p) != 3 || !isToken(p[0]) || p[1] == "" || p[2] != "HTTP/1.1" && p[2] != "HTTP/1.0" {
		return nil, 0, fmt.Errorf("no request line: %q", line)
	}
	m = &message{start: line, framing: byNothing}
	fields, k, err := cutFields(b[n:])
	if err != nil {
		return nil, 0, err
	}
	m.fields = fields
	n += k
	if err := m.vetRequest(p); err != nil {
		return nil, 0, err
	}
	k, err = m.cutBody(b[n:], m.requestFraming(), false)
	return m, n + k, err
}

// vetRequest holds a request to the rules about its target and Host (RFC 9112 section 3.2).
func (m *message) vetRequest(p []string) error {
	target := p[1]
	if strings.ContainsFunc(target, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return fmt.Errorf("control byte in target %q", target)
	}
	origin := strings.HasPrefix(target, "/") || strings.Contains(target, "://") || target == "*" && p[0] == "OPTIONS"
	if !origin && p[0] != "CONNECT" {
		return fmt.Errorf("target %q of no known form", target)
	}
	hosts := m.all("Host")
	if len(hosts) > 1 || len(hosts) == 0 && p[2] == "HTTP/1.1" {
		return fmt.Errorf("%d Host fields", len(hosts))
	}
	if len(hosts) == 1 && strings.ContainsAny(hosts[0], " \t,/@?#\\") {
		return fmt.Errorf("Host %q", hosts[0])
	}
	if m.has("Transfer-Encoding") && p[2] == "HTTP/1.0" {
		return errors.New("Transfer-Encoding in HTTP/1.0")
	}
	return nil
}

func (m *message) requestFraming() framing {
	switch {
	case m.has("Transfer-Encoding"):
		return byChunks
	case m.has("Content-Length"):
		return byLength
	}
	return byNothing
}

// cutResponse takes one response to a request of the given method off b. ended says that nothing follows b.
func cutResponse(b []byte, method string, ended bool) (m *message, n int, err error) {
	line, n, err := cutLine(b)
	if err != nil {
		return nil, 0, err
	}
	if len(line) < 13 || line[:9] != "HTTP/1.1 " && line[:9] != "HTTP/1.0 " || line[12] != ' ' || !isDigits(line[9:12]) {
		return nil, 0, fmt.Errorf("no status line: %q", line)
	}
	m = &message{start: line}
	fields, k, err := cutFields(b[n:])
	if err != nil {
		return nil, 0, err
	}
	m.fields = fields
	n += k
	k, err = m.cutBody(b[n:], m.responseFraming(method), ended)
	return m, n + k, err
}

// responseFraming follows RFC 9112 section 6.3.
func (m *message) responseFraming(method string) framing {
	status := m.status()
	switch {
	case status == 101, method == "CONNECT" && status/100 == 2:
		return byTunnel
	case status/100 == 1, status == 204, status == 304, method == "HEAD":
		return byNothing
	case m.has("Transfer-Encoding"):
		return byChunks
	case m.has("Content-Length"):
		return byLength
	}
	return byClose
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// cutBody takes the body off b and vets the fields that frame it (RFC 9112 section 6).
func (m *message) cutBody(b []byte, f framing, ended bool) (n int, err error) {
	m.framing = f
	te, cl := m.all("Transfer-Encoding"), m.all("Content-Length")
	switch {
	case len(te)+len(cl) > 1:
		return 0, fmt.Errorf("Transfer-Encoding %q and Content-Length %q", te, cl)
	case len(cl) == 1 && !isDigits(cl[0]):
		return 0, fmt.Errorf("Content-Length %q", cl[0])
	case len(te) == 1 && (!strings.EqualFold(te[0], "chunked") || strings.HasPrefix(m.start, "HTTP/1.0")):
		return 0, fmt.Errorf("Transfer-Encoding %q in %q", te[0], m.start)
	case f == byNothing && len(te) > 0 && strings.HasPrefix(m.start, "HTTP/1.1 204"):
		return 0, errors.New("Transfer-Encoding in a 204")
	}
	switch f {
	case byLength:
		want, err := strconv.ParseInt(cl[0], 10, 64)
		if err != nil {
			return 0, err
		}
		n = int(min(want, int64(len(b))))
		m.body = bytes.Clone(b[:n])
		if int64(n) < want {
			return n, errShort
		}
	case byChunks:
		return m.cutChunks(b)
	case byClose:
		m.body = bytes.Clone(b)
		if !ended {
			return len(b), errShort
		}
		return len(b), nil
	}
	return n, nil
}

// cutChunks takes a chunked body and its trailers off b (RFC 9112 section 7.1). weir makes no chunk extensions.
func (m *message) cutChunks(b []byte) (n int, err error) {
	for {
		line, k, err := cutLine(b[n:])
		if err != nil {
			return n, err
		}
		size, err := strconv.ParseUint(line, 16, 62)
		if err != nil {
			return n, fmt.Errorf("chunk size %q", line)
		}
		n += k
		if size == 0 {
			m.trailers, k, err = cutFields(b[n:])
			return n + k, err
		}
		rest := b[n:]
		if uint64(len(rest)) < size+2 {
			m.body = append(m.body, rest[:min(uint64(len(rest)), size)]...)
			return n, errShort
		}
		m.body = append(m.body, rest[:size]...)
		if string(rest[size:size+2]) != "\r\n" {
			return n, fmt.Errorf("chunk ends with %q", rest[size:size+2])
		}
		m.chunks++
		n += int(size) + 2
	}
}
