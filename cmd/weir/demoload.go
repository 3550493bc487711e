package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// The demonstration's origin and clients. They are as small as can be and speak just enough HTTP/1.1 for each other: what
// they show is the proxy between them.

func demoContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, unix.SIGINT, unix.SIGTERM)
}

// conns keeps what is to be closed at the end.
type conns struct {
	mu     sync.Mutex
	open   map[net.Conn]struct{}
	closed bool
	wait   sync.WaitGroup
}

// add notes a connection; false if it came too late and was closed.
func (c *conns) add(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = conn.Close()
		return false
	}
	if c.open == nil {
		c.open = map[net.Conn]struct{}{}
	}
	c.open[conn] = struct{}{}
	return true
}

func (c *conns) remove(conn net.Conn) {
	c.mu.Lock()
	delete(c.open, conn)
	c.mu.Unlock()
	_ = conn.Close()
}

// closeAll closes every connection and waits for those who use them.
func (c *conns) closeAll() {
	c.mu.Lock()
	c.closed = true
	for conn := range c.open {
		_ = conn.Close()
	}
	c.mu.Unlock()
	c.wait.Wait()
}

// origin answers every request with a page.
type origin struct {
	ln    net.Listener
	conns conns
}

const demoPage = "<!doctype html><title>weir</title><h1>It works.</h1><p>This page came through weir, from its own origin.\n"

func startOrigin() (*origin, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o := &origin{ln: ln}
	o.conns.wait.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			if o.conns.add(conn) {
				o.conns.wait.Go(func() { o.serve(conn) })
			}
		}
	})
	return o, nil
}

func (o *origin) addr() string { return o.ln.Addr().String() }

func (o *origin) close() {
	_ = o.ln.Close()
	o.conns.closeAll()
}

// serve answers requests until one cannot be read. Bodies are read and thrown away.
func (o *origin) serve(conn net.Conn) {
	defer o.conns.remove(conn)
	in := bufio.NewReader(conn)
	rsp := "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: " + strconv.Itoa(len(demoPage)) + "\r\n\r\n"
	for {
		method, body, err := readHead(in)
		if err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, in, body); err != nil {
			return
		}
		answer := rsp + demoPage
		if method == "HEAD" {
			answer = rsp
		}
		if _, err := io.WriteString(conn, answer); err != nil {
			return
		}
	}
}

var errChunked = errors.New("chunked bodies are beyond the demonstration")

// readHead reads the head of a message and returns its first word and the length of its body.
func readHead(in *bufio.Reader) (first string, body int64, err error) {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return first, 0, err
		}
		line = strings.TrimRight(line, "\r\n")
		if line == "" && first != "" {
			return first, body, nil
		}
		if first == "" {
			first, _, _ = strings.Cut(line, " ")
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		switch strings.ToLower(name) {
		case "content-length":
			if body, err = strconv.ParseInt(strings.TrimSpace(value), 10, 64); err != nil {
				return first, 0, err
			}
		case "transfer-encoding":
			return first, 0, errChunked
		}
	}
}

// demoLoad is a number of clients that each ask for a page now and then.
type demoLoad struct {
	conns conns
	stop  chan struct{}
	done  atomic.Uint64 // exchanges that were answered
}

// demoPause is the longest pause of a client between two requests.
const demoPause = 200 * time.Millisecond

func startLoad(addr string, clients int) *demoLoad {
	l := &demoLoad{stop: make(chan struct{})}
	for range clients {
		l.conns.wait.Go(func() {
			for l.pause() {
				l.session(addr)
			}
		})
	}
	return l
}

// session is one client connection, until it breaks.
func (l *demoLoad) session(addr string) {
	conn, err := net.Dial("tcp", addr)
	if err != nil || !l.conns.add(conn) {
		return
	}
	defer l.conns.remove(conn)
	in := bufio.NewReader(conn)
	req := "GET / HTTP/1.1\r\nHost: " + addr + "\r\n\r\n"
	for {
		if _, err := io.WriteString(conn, req); err != nil {
			return
		}
		_, body, err := readHead(in)
		if err == nil {
			_, err = io.CopyN(io.Discard, in, body)
		}
		if err != nil {
			return
		}
		l.done.Add(1)
		if !l.pause() {
			return
		}
	}
}

// pause waits for a random while; false when the load is to end.
func (l *demoLoad) pause() bool {
	select {
	case <-l.stop:
		return false
	case <-time.After(time.Duration(rand.Int64N(int64(demoPause)))):
		return true
	}
}

func (l *demoLoad) close() {
	close(l.stop)
	l.conns.closeAll()
}
