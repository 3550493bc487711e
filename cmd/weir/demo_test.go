package main

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
)

func TestOriginAnswersWhatTheLoadAsks(t *testing.T) {
	o, err := startOrigin()
	if err != nil {
		t.Fatal(err)
	}
	l := startLoad(o.addr(), 5)
	waitFor(t, func() bool { return l.done.Load() >= 10 })
	l.close()
	o.close()
	if answers(o.addr()) {
		t.Error("the origin still listens")
	}
}

func TestOriginSpeaksEnoughHTTP(t *testing.T) {
	o, err := startOrigin()
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	conn, err := net.Dial("tcp", o.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for _, req := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", "GET /x HTTP/1.1\r\n\r\n",
	} {
		if _, err := io.WriteString(conn, req); err != nil {
			t.Fatal(err)
		}
		first, n, err := readHead(in)
		if err != nil || first != "HTTP/1.1" || n != int64(len(demoPage)) {
			t.Fatalf("%q: %q %d %v", req, first, n, err)
		}
		if _, err := io.CopyN(io.Discard, in, n); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := in.ReadByte(); err == nil {
		t.Error("what it does not understand was answered")
	}
}

func TestFreePort(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	taken := ln.Addr().(*net.TCPAddr).Port
	got, err := freePort("127.0.0.1", taken, taken)
	if err != nil || got == ln.Addr().String() || !strings.HasPrefix(got, "127.0.0.1:") {
		t.Errorf("%s %v", got, err)
	}
}

func TestBar(t *testing.T) {
	for n, want := range map[int64]int{0: 0, 1: 1, 4: 1, 5: 2, 200: 50, 1000: 50} {
		if got := strings.Count(bar("x", n, 200), "█"); got != want {
			t.Errorf("%d: %d blocks, want %d", n, got, want)
		}
	}
}
