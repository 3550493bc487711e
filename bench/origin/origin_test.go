package origin

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// start runs an origin and returns where it listens. It ends with the test process.
func start(t *testing.T, engine string) Addresses {
	t.Helper()
	at := make(chan Addresses, 1)
	go func() {
		err := Run(Config{Listen: loopback, Control: loopback, Engine: engine}, func(a Addresses) { at <- a })
		panic(fmt.Sprint("the origin ended: ", err))
	}()
	return <-at
}

func clients() map[string]*http.Client {
	return map[string]*http.Client{
		"h1": {Timeout: 20 * time.Second, Transport: &http.Transport{DisableCompression: true}},
		"h2": {Timeout: 20 * time.Second, Transport: &http2.Transport{
			AllowHTTP:          true,
			DisableCompression: true,
			DialTLSContext: func(ctx context.Context, network, addr string, _ *tls.Config) (net.Conn, error) {
				return net.Dial(network, addr)
			},
		}},
	}
}

func engines(t *testing.T, test func(t *testing.T, at Addresses)) {
	for _, engine := range []string{"epoll", "netpoll"} {
		t.Run(engine, func(t *testing.T) { test(t, start(t, engine)) })
	}
}

func do(t *testing.T, c *http.Client, method, url string, body io.Reader) (int, []byte) {
	t.Helper()
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	rsp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()
	got, err := io.ReadAll(rsp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return rsp.StatusCode, got
}

func TestBodies(t *testing.T) {
	engines(t, func(t *testing.T, at Addresses) {
		for proto, c := range clients() {
			for path, size := range map[string]int{"/0": 0, "/1": 1, "/1k": 1 << 10, "/16k": 16 << 10, "/5000": 5000,
				"/3m": 3 << 20, "/delay/5/100k": 100 << 10, "/delay/1/7": 7} {
				status, got := do(t, c, "GET", "http://"+at.Serve.String()+path, nil)
				if status != 200 || !bytes.Equal(got, Body(size)) {
					t.Errorf("%s %s: status %d, %d bytes, want %d", proto, path, status, len(got), size)
				}
			}
			if status, _ := do(t, c, "GET", "http://"+at.Serve.String()+"/nothing", nil); status != 404 {
				t.Errorf("%s: a lost path has status %d", proto, status)
			}
		}
	})
}

func TestUploads(t *testing.T) {
	engines(t, func(t *testing.T, at Addresses) {
		for proto, c := range clients() {
			for _, size := range []int{0, 1, 1000, 70 << 10, 3 << 20} {
				body := Body(size)
				sum := sha256.Sum256(body)
				for path, want := range map[string][]byte{"/upload": []byte("ok"), "/echo": body,
					"/hash": []byte(hex.EncodeToString(sum[:]))} {
					url := "http://" + at.Serve.String() + path
					if status, got := do(t, c, "POST", url, bytes.NewReader(body)); status != 200 || !bytes.Equal(got, want) {
						t.Errorf("%s %s of %d bytes: status %d, %d bytes", proto, path, size, status, len(got))
					}
					// A reader of unknown length goes chunked over h1.
					if status, got := do(t, c, "POST", url, io.MultiReader(bytes.NewReader(body))); status != 200 ||
						!bytes.Equal(got, want) {
						t.Errorf("%s %s of %d chunked bytes: status %d, %d bytes", proto, path, size, status, len(got))
					}
				}
			}
		}
	})
}

// Every cut of the input must give the same output: whole, and byte by byte.
func TestCutsDoNotMatter(t *testing.T) {
	requests := "GET /10 HTTP/1.1\r\nHost: a\r\n\r\n" +
		"POST /hash HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" +
		"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: v\r\n\r\n" +
		"GET /100k HTTP/1.1\r\n\r\nGET /1 HTTP/1.0\r\n\r\n"
	run := func(cut int) []byte {
		c := &conn{srv: &server{replies: replies{}, counters: new(Counters)}}
		var out []byte
		for in := []byte(requests); len(in) > 0; {
			n := min(cut, len(in))
			out = c.recv(in[:n], out)
			in = in[n:]
			for b := c.nextBulk(); b != nil; b = c.nextBulk() {
				n := min(len(b), 777)
				out = append(out, b[:n]...)
				out = c.sentBulk(n, out)
			}
		}
		if c.mode != modeEnded {
			t.Errorf("cut %d: a 1.0 request left the connection in mode %d", cut, c.mode)
		}
		return out
	}
	want := run(len(requests))
	rd := bufio.NewReader(bytes.NewReader(want))
	for i, size := range []int{10, 64, 5, 100 << 10, 1} {
		rsp, err := http.ReadResponse(rd, nil)
		if err != nil {
			t.Fatalf("response %d: %v", i, err)
		}
		if body, err := io.ReadAll(rsp.Body); err != nil || len(body) != size {
			t.Errorf("response %d has %d bytes, want %d (%v)", i, len(body), size, err)
		}
	}
	for _, cut := range []int{1, 2, 7, 33} {
		if !bytes.Equal(run(cut), want) {
			t.Errorf("cut into pieces of %d bytes the output differs", cut)
		}
	}
}

func TestRefusesNonsense(t *testing.T) {
	for _, in := range []string{
		"GET\r\n\r\n",
		"POST /upload HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
		"POST /upload HTTP/1.1\r\nContent-Length: x\r\n\r\n",
		"POST /upload HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
		"GET /" + strings.Repeat("a", headBytesMax) + "x",
	} {
		c := &conn{srv: &server{replies: replies{}, counters: new(Counters)}}
		out := c.recv([]byte(in), nil)
		if !bytes.HasPrefix(out, []byte("HTTP/1.1 400 ")) || c.mode != modeEnded || c.srv.counters.Read().Refused != 1 {
			t.Errorf("%.40q: answered %q", in, out)
		}
	}
}

func TestCounts(t *testing.T) {
	engines(t, func(t *testing.T, at Addresses) {
		counts := func(method, path string) (c Counts) {
			_, text := do(t, http.DefaultClient, method, "http://"+at.Control.String()+path, nil)
			if err := json.Unmarshal(text, &c); err != nil {
				t.Fatal(err)
			}
			return c
		}
		var conns []net.Conn
		for range 3 {
			c, err := net.Dial("tcp4", at.Serve.String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			conns = append(conns, c)
			fmt.Fprint(c, "GET /1 HTTP/1.1\r\n\r\nGET /1 HTTP/1.1\r\n\r\n")
			rd := bufio.NewReader(c)
			for range 2 {
				rsp, err := http.ReadResponse(rd, nil)
				if err != nil {
					t.Fatal(err)
				}
				io.Copy(io.Discard, rsp.Body)
			}
		}
		if got, want := counts("GET", "/counts"), (Counts{Requests: 6, Opened: 3, Open: 3, Peak: 3}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if got, want := counts("POST", "/reset"), (Counts{Open: 3, Peak: 3}); got != want {
			t.Errorf("after a reset: %+v, want %+v", got, want)
		}
		conns[0].(*net.TCPConn).CloseWrite()
		if n, err := conns[0].Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("the origin does not end a connection whose client has: %d, %v", n, err)
		}
	})
}

// A client that sends all and reads late makes the origin hold output back.
func TestManyPipelinedRequestsOfALateReader(t *testing.T) {
	c, err := net.Dial("tcp4", start(t, "epoll").Serve.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	const n = 3000
	var wg sync.WaitGroup
	wg.Go(func() {
		for range n {
			if _, err := io.WriteString(c, "GET /16k HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
				t.Error(err)
				return
			}
		}
	})
	rd := bufio.NewReader(c)
	for i := range n {
		rsp, err := http.ReadResponse(rd, nil)
		if err != nil {
			t.Fatalf("response %d: %v", i, err)
		}
		if k, err := io.Copy(io.Discard, rsp.Body); k != 16<<10 || err != nil {
			t.Fatalf("response %d: %d bytes, %v", i, k, err)
		}
	}
	wg.Wait()
}

func TestSteadyRequestAllocatesNothing(t *testing.T) {
	c := &conn{srv: &server{replies: replies{}, counters: new(Counters)}}
	in, out := []byte("GET /1k HTTP/1.1\r\nHost: bench\r\nConnection: keep-alive\r\n\r\n"), make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { out = c.recv(in, out[:0]) }); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}

func BenchmarkRequest(b *testing.B) {
	b.ReportAllocs()
	c := &conn{srv: &server{replies: replies{}, counters: new(Counters)}}
	in, out := []byte("GET /1k HTTP/1.1\r\nHost: bench\r\nConnection: keep-alive\r\n\r\n"), make([]byte, 0, 4096)
	for range b.N {
		out = c.recv(in, out[:0])
	}
}
