package e2e

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// caller is a client for load: it keeps its connection as long as it may, and tells what it gets.
type caller struct {
	addr string
	over transport
	conn net.Conn
	in   *bufio.Reader
	kept int // requests served on conn
}

func (c *caller) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn, c.kept = nil, 0
	}
}

// ask sends a request, with a small body if it is a POST, and reads its response.
func (c *caller) ask(method, path string) (status int, proxyStatus string, err error) {
	if c.conn == nil {
		if c.conn, err = net.DialTimeout("tcp", c.addr, patience); err != nil {
			return 0, "", err
		}
		if c.over == tlsed {
			c.conn = tls.Client(c.conn, &tls.Config{RootCAs: roots, ServerName: "a.example"})
		}
		c.in = bufio.NewReader(c.conn)
	}
	text := method + " " + path + " HTTP/1.1\r\nHost: a.example\r\n"
	if method == "POST" {
		text += "Content-Length: 3\r\n\r\nabc"
	} else {
		text += "\r\n"
	}
	_ = c.conn.SetDeadline(time.Now().Add(patience))
	if _, err = io.WriteString(c.conn, text); err != nil {
		return 0, "", err
	}
	r, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		return 0, "", err
	}
	_, err = io.Copy(io.Discard, r.Body)
	if c.kept++; r.Close {
		c.close()
	}
	return r.StatusCode, r.Header.Get("Proxy-Status"), err
}

// insist is ask by a client whose idle connection may be ended by a drain, just when its next request is on the way. Any client
// has to ask again then: that request was not taken (RFC 9112 section 9.3.1), which wantOnce is to see.
func (c *caller) insist(method, path string) (status int, proxyStatus string, err error) {
	status, proxyStatus, err = c.ask(method, path)
	if err != nil && status == 0 && c.kept > 0 {
		c.close()
		return c.ask(method, path)
	}
	return status, proxyStatus, err
}

// wantOnce holds servers to have got each target once, all of them together.
func wantOnce(t *testing.T, servers ...*recorder) {
	t.Helper()
	got := map[string]int{}
	for _, r := range servers {
		for _, m := range r.own() {
			if got[m.target()]++; got[m.target()] == 2 {
				t.Errorf("the server got %s twice", m.target())
			}
		}
	}
}
