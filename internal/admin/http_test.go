package admin

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

// serveHTTP listens for HTTP on a port of the kernel's choice.
func serveHTTP(t *testing.T, e Engine) (addr string) {
	t.Helper()
	return serve(t, Options{HTTP: "127.0.0.1:0"}, e).HTTPAddr().String()
}

func get(t *testing.T, addr, path string) (status int, header http.Header, body string) {
	t.Helper()
	c := &http.Client{Timeout: 20 * time.Second}
	defer c.CloseIdleConnections()
	rsp, err := c.Get("http://" + addr + path)
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()
	b, err := io.ReadAll(rsp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return rsp.StatusCode, rsp.Header, string(b)
}

func TestPagesAnswer(t *testing.T) {
	addr := serveHTTP(t, newFake())
	for _, v := range []struct {
		path   string
		status int
		kind   string
		holds  string
	}{
		{"/", 200, "text/plain", "/metrics"},
		{"/healthz", 200, "text/plain", "ok\n"},
		{"/readyz", 200, "text/plain", "ready\n"},
		{"/metrics", 200, "text/plain; version=0.0.4", "weir_config_generation 7\n"},
		{"/stats", 200, "text/html", "<td class=\"l\">api/s1</td>"},
		{"/api/servers", 200, "application/json", `"backend/server":"api/s1"`},
		{"/api/limits", 200, "application/json", `"axis":"max-conn-rate"`},
		{"/api/sessions", 200, "application/json", `"client":"192.0.2.1:4242"`},
		{"/api/info", 200, "application/json", `"generation":7`},
		{"/healthz?x=1", 200, "text/plain", "ok\n"},
		{"/nothing", 404, "text/plain", "no such page"},
		{"/api/", 404, "text/plain", "no such page"},
	} {
		status, header, body := get(t, addr, v.path)
		if status != v.status || !strings.HasPrefix(header.Get("Content-Type"), v.kind) || !strings.Contains(body, v.holds) {
			t.Errorf("%s: %d %s %q, want %d %s with %q", v.path, status, header.Get("Content-Type"), body, v.status, v.kind, v.holds)
		}
		if strings.HasPrefix(v.kind, "application/json") && !json.Valid([]byte(body)) {
			t.Errorf("%s: no JSON: %s", v.path, body)
		}
		if when, err := http.ParseTime(header.Get("Date")); err != nil || time.Since(when) > time.Hour {
			t.Errorf("%s: Date %q: %v", v.path, header.Get("Date"), err)
		}
	}
}

func TestAPIBoundsSessions(t *testing.T) {
	addr := serveHTTP(t, newFake())
	_, _, body := get(t, addr, "/api/sessions?max=1")
	var list []map[string]any
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list) != 1 {
		t.Errorf("%d sessions, %v, want 1: %s", len(list), err, body)
	}
	if status, _, body := get(t, addr, "/api/sessions?max=x"); status != 503 || !strings.Contains(body, `"error"`) {
		t.Errorf("%d %s, want an error in JSON", status, body)
	}
}

func TestReadinessFollowsTheEngine(t *testing.T) {
	f := newFake()
	addr := serveHTTP(t, f)
	f.mu.Lock()
	f.notReady = "draining"
	f.mu.Unlock()
	if status, _, body := get(t, addr, "/readyz"); status != 503 || body != "draining\n" {
		t.Errorf("%d %q, want 503 and why", status, body)
	}
	if status, _, _ := get(t, addr, "/healthz"); status != 200 {
		t.Errorf("health %d, want 200: a draining weir is well", status)
	}
}

func TestEngineFailureIs503(t *testing.T) {
	f := newFake()
	f.refuse = errors.New("worker 1 is stuck")
	addr := serveHTTP(t, f)
	for _, path := range []string{"/metrics", "/stats", "/api/servers", "/api/info"} {
		if status, _, body := get(t, addr, path); status != 503 || !strings.Contains(body, "stuck") {
			t.Errorf("%s: %d %q, want 503 and why", path, status, body)
		}
	}
}

// dialogue sends raw bytes and reads what comes until the connection ends or is quiet after n responses.
func dialogue(t *testing.T, addr, send string, responses int) (got []*http.Response, bodies []string, ended bool) {
	t.Helper()
	conn := rawTCP(t, addr)
	if _, err := io.WriteString(conn, send); err != nil {
		t.Fatal(err)
	}
	method := "GET"
	if strings.HasPrefix(send, "HEAD") {
		method = "HEAD"
	}
	in := bufio.NewReader(conn)
	for range responses {
		rsp, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("%q: %v", send, err)
		}
		body, err := io.ReadAll(rsp.Body)
		if err != nil {
			t.Fatalf("%q: body: %v", send, err)
		}
		got, bodies = append(got, rsp), append(bodies, string(body))
	}
	if !got[len(got)-1].Close {
		return got, bodies, false
	}
	_, err := in.ReadByte()
	return got, bodies, errors.Is(err, io.EOF)
}

func rawTCP(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestWireManners(t *testing.T) {
	addr := serveHTTP(t, newFake())
	for _, v := range []struct {
		why    string
		send   string
		status []int
		ended  bool
	}{
		{"keep-alive by default", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", []int{200}, false},
		{"close when asked", "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", []int{200}, true},
		{"HTTP/1.0 closes", "GET /healthz HTTP/1.0\r\n\r\n", []int{200}, true},
		{"HTTP/1.0 may ask to persist", "GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", []int{200}, false},
		{"pipelined", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /x HTTP/1.1\r\nHost: x\r\n\r\n", []int{200, 404}, false},
		{"HEAD has no body", "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", []int{200}, false},
		{"POST without a body", "POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", []int{405}, false},
		{"a body", "POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", []int{413}, true},
		{"a chunked body", "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []int{413}, true},
		{"no Host", "GET / HTTP/1.1\r\n\r\n", []int{400}, true},
		{"no HTTP", "\x16\x03\x01\x02\x00", []int{400}, true},
		{"a long target", "GET /" + strings.Repeat("a", 9000) + " HTTP/1.1\r\n", []int{414}, true},
		{"a long head", "GET / HTTP/1.1\r\nX: " + strings.Repeat("a", 9000) + "\r\n", []int{431}, true},
		{"a bad escape", "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", []int{400}, false},
	} {
		t.Run(v.why, func(t *testing.T) {
			t.Parallel()
			got, bodies, ended := dialogue(t, addr, v.send, len(v.status))
			for i, rsp := range got {
				if rsp.StatusCode != v.status[i] {
					t.Errorf("response %d is %s, want %d", i, rsp.Status, v.status[i])
				}
			}
			if ended != v.ended {
				t.Errorf("connection ended %v, want %v", ended, v.ended)
			}
			if v.why == "HEAD has no body" && (bodies[0] != "" || got[0].ContentLength < 1000) {
				t.Errorf("HEAD: %d body bytes, length %d", len(bodies[0]), got[0].ContentLength)
			}
			if got[0].StatusCode == 405 && got[0].Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("405 without Allow: %v", got[0].Header)
			}
		})
	}
}

func TestConnectionIsUsedAgain(t *testing.T) {
	conn := rawTCP(t, serveHTTP(t, newFake()))
	in := bufio.NewReader(conn)
	for i := range 100 {
		// Byte by byte, so that requests arrive in pieces.
		for _, c := range []byte("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n") {
			if _, err := conn.Write([]byte{c}); err != nil {
				t.Fatal(err)
			}
		}
		rsp, err := http.ReadResponse(in, nil)
		if err != nil || rsp.StatusCode != 200 {
			t.Fatalf("request %d: %v %v", i, rsp, err)
		}
		_, _ = io.Copy(io.Discard, rsp.Body)
	}
}

func TestSlowHTTPClientIsCutOff(t *testing.T) {
	b := httpBounds
	b.request = 30 * time.Millisecond
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{control: newControl(newFake()), metrics: newMetrics()}
	l, err := newListener(ln, b, func() protocol { return newExchange(s) })
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.close(t.Context()) }()
	conn := rawTCP(t, ln.Addr().String())
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHo"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("half a request got an answer")
	}
}

func TestReaderThatDoesNotReadIsCutOff(t *testing.T) {
	// The answers of pipelined requests fill every buffer; the write then has to give up.
	b := httpBounds
	b.write = 50 * time.Millisecond
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{control: newControl(newFake()), metrics: newMetrics()}
	l, err := newListener(ln, b, func() protocol { return newExchange(s) })
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.close(t.Context()) }()
	conn := rawTCP(t, ln.Addr().String())
	for range 1_000_000 {
		if _, err := io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return
		}
	}
	t.Error("a million answers nobody reads")
}

func TestListenerCanBeHandedOver(t *testing.T) {
	old, err := Listen(Options{HTTP: "127.0.0.1:0"}, newFake())
	if err != nil {
		t.Fatal(err)
	}
	file, err := old.HTTPListener().File()
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.FileListener(file)
	_ = file.Close()
	if err != nil {
		t.Fatal(err)
	}
	after := newFake()
	after.notReady = "this is the new one"
	addr := serve(t, Options{HTTPListener: ln}, after).HTTPAddr().String()
	if err := old.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, body := get(t, addr, "/readyz"); body != "this is the new one\n" {
		t.Errorf("after the old one closed: %q", body)
	}
}

// TestCloseAnswersWhomItAccepted: in an upgrade the client of the old process cannot know that there is a new one.
func TestCloseAnswersWhomItAccepted(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := httpBounds
	b.fresh = time.Minute
	c := newControl(newFake())
	l, err := newListener(ln, b, func() protocol { return newExchange(&site{control: c, metrics: newMetrics()}) })
	if err != nil {
		t.Fatal(err)
	}
	client := rawTCP(t, ln.Addr().String())
	for accepted := false; !accepted; runtime.Gosched() {
		l.mu.Lock()
		accepted = len(l.peers) == 1
		l.mu.Unlock()
	}
	closed := make(chan error, 1)
	go func() { closed <- l.close(t.Context()) }()
	for leaves := false; !leaves; runtime.Gosched() {
		l.mu.Lock()
		leaves = l.leaves
		l.mu.Unlock()
	}
	if _, err := io.WriteString(client, "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(client); err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 200 ") {
		t.Errorf("%q, %v", got, err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fresh != 0 || l.busy != 0 {
		t.Errorf("%d fresh, %d busy", l.fresh, l.busy)
	}
}

func TestCloseReleasesThePort(t *testing.T) {
	s, err := Listen(Options{HTTP: "127.0.0.1:0"}, newFake())
	if err != nil {
		t.Fatal(err)
	}
	addr := s.HTTPAddr().String()
	idle := rawTCP(t, addr)
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := idle.Read(make([]byte, 1)); err == nil {
		t.Error("an idle connection survives")
	}
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("someone still listens")
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatalf("the port is not free: %v", err)
	}
	_ = ln.Close()
}

func TestFailedListenLeavesNothingOpen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	path := socketPath(t)
	if _, err := Listen(Options{Socket: path, HTTP: taken.Addr().String()}, newFake()); err == nil {
		t.Fatal("two listeners on one port")
	}
	if _, err := Dial(path); !errors.Is(err, ErrNobody) {
		t.Errorf("runtime socket: %v, want ErrNobody", err)
	}
}
