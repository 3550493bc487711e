package e2e

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// crowdTime is how long the crowd goes on.
const crowdTime = 1500 * time.Millisecond

// TestOddCrowd lets clients and servers do at random all that they may do wrong, all at once. Whatever happens to the
// others, who gets a whole 200 has got the answer to its own request, and in the end nothing of anybody is left.
func TestOddCrowd(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		for _, backend := range []string{`reuse = "always"`, `reuse = "safe"`, `reuse = "never"`, "multiplex = false", "reuse = \"always\"\nlimits = \"few\""} {
			t.Run(strings.Join(strings.Fields(backend), ""), func(t *testing.T) {
				t.Parallel()
				oddCrowd(t, over, backend, nil)
			})
		}
	})
}

// TestOddCrowdWhileReloading changes the configuration under the crowd all the time.
func TestOddCrowdWhileReloading(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		other := listen(t, over)
		go func() {
			for c := range other.arrived {
				go oddServer(c, other.tls)
			}
		}()
		oddCrowd(t, over, `reuse = "always"`, reloads(other))
	})
}

// reloads returns a function that changes a setup, each time in another way, and puts it into force.
func reloads(other *origin) func(w *weir, n int) {
	var first *setup
	return func(w *weir, n int) {
		if first == nil {
			first = w.setup
		}
		w.rewrite(func(s *setup) {
			*s = *first
			switch n % 5 {
			case 0:
				s.frontend += "\nvia = \"other\""
			case 1:
				s.servers = []*origin{other}
			case 2:
				s.servers = append(s.servers[:1:1], other)
			case 3:
				s.backend += "\nmax-reuse = 3"
			}
		})
		w.reload()
	}
}

// oddCrowd runs the crowd, and something else meanwhile.
func oddCrowd(t *testing.T, over transport, backend string, meanwhile func(w *weir, n int)) {
	back := listen(t, over)
	go func() {
		for c := range back.arrived {
			go oddServer(c, back.tls)
		}
	}()
	w := start(t, setup{over: over, servers: []*origin{back}, global: "workers = 2", server: "max-conn = 12",
		backend: backend + "\nmax-errors = 0\n" + useShort, frontend: useShort,
		tables: "\n[timeouts.short]\nserver = \"120ms\"\nclient = \"150ms\"\nhttp-request = \"100ms\"\nqueue = \"100ms\"\ntunnel = \"100ms\"\n" +
			"[limits.few]\nmax-conn = 8\nmax-retries = 3\n"})
	end := time.Now().Add(crowdTime)
	var all sync.WaitGroup
	for i := range 24 {
		all.Add(1)
		go func() {
			defer all.Done()
			seed := rand.Uint64()
			c := &oddClient{rand: rand.New(rand.NewPCG(seed, uint64(i))), addr: w.front(), over: over, name: fmt.Sprint(i)}
			for time.Now().Before(end) {
				if err := c.visit(); err != nil {
					t.Errorf("client %d of seed %d: %v", i, seed, err)
				}
			}
		}()
	}
	for n := 0; meanwhile != nil && time.Now().Before(end); n++ {
		meanwhile(w, n)
	}
	all.Wait()
	eventually(t, "who comes afterwards is served", func() bool {
		r, err := w.once("GET", "/")
		return err == nil && r.status == 200
	})
}

// oddServer answers requests in many ways, some of them wrong.
func oddServer(c net.Conn, secure *tls.Config) {
	defer c.Close()
	raw := c.(*net.TCPConn)
	if secure != nil {
		c = tls.Server(c, secure)
	}
	in := bufio.NewReader(c)
	for {
		_ = c.SetDeadline(time.Now().Add(patience))
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		path := r.URL.Path
		whole := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(path), path)
		odd := rand.IntN(24)
		if odd != 0 { // early answers leave the body unread
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
		}
		goesOn := true
		switch odd {
		case 0, 1, 2:
			_, _ = io.WriteString(c, whole)
			goesOn = false
		case 3:
			_ = raw.SetLinger(0)
			return
		case 4:
			_, _ = io.WriteString(c, whole[:len(whole)-1])
			return
		case 5:
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
		case 6:
			_, _ = io.WriteString(c, whole+"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
		case 7:
			_, _ = in.Peek(1) // says nothing until weir has had enough
			return
		case 8:
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"+path)
			_, _ = in.Peek(1)
			return
		case 9:
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n"+path)
			return
		case 10:
			_, _ = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"+whole)
		case 11:
			_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\nX-T: 1\r\n\r\n", len(path), path)
		case 12:
			_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(path), path)
			return
		case 13:
			_, _ = io.WriteString(c, "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n")
		case 14:
			big := strings.Repeat(path+"\n", 100_000/len(path))
			_, err = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(big), big)
			goesOn = false
		default:
			_, err = io.WriteString(c, whole)
		}
		if !goesOn || err != nil {
			return
		}
	}
}

// oddClient asks in many ways, some of them wrong.
type oddClient struct {
	rand *rand.Rand
	addr string
	over transport
	name string
	n    int
}

// visit connects, asks a few times and leaves one way or another. It returns an error for what must not happen.
func (c *oddClient) visit() error {
	raw, err := net.DialTimeout("tcp", c.addr, patience)
	if err != nil {
		return err
	}
	defer raw.Close()
	if c.rand.IntN(4) == 0 {
		defer func() { _ = raw.(*net.TCPConn).SetLinger(0) }()
	}
	conn := raw
	if c.over == tlsed {
		conn = tls.Client(raw, &tls.Config{RootCAs: roots, ServerName: "a.example"})
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	in := bufio.NewReader(conn)
	for range 1 + c.rand.IntN(6) {
		c.n++
		path := fmt.Sprintf("/%s/%d", c.name, c.n)
		text, methods := c.words(path)
		if _, err := io.WriteString(conn, text); err != nil {
			return nil // weir has closed: it may
		}
		if len(methods) == 0 {
			return nil // a request that is not whole, and the client leaves
		}
		for i, method := range methods {
			r, err := http.ReadResponse(in, &http.Request{Method: method})
			for err == nil && r.StatusCode < 200 {
				r, err = http.ReadResponse(in, &http.Request{Method: method})
			}
			if err != nil {
				if ne, ok := err.(net.Error); ok && ne.Timeout() {
					return fmt.Errorf("no answer to %q", text)
				}
				return nil
			}
			if c.rand.IntN(10) == 0 {
				return nil // it leaves while the response comes
			}
			body, err := io.ReadAll(r.Body)
			want := path
			if len(methods) > 1 {
				want = fmt.Sprintf("%s-%d", path, i)
			}
			if err == nil && r.StatusCode == 200 && method != "HEAD" && !strings.HasPrefix(string(body), want) {
				return fmt.Errorf("the answer to %s is %q", want, clip(body))
			}
			if err != nil || r.Close {
				return nil
			}
		}
	}
	return nil
}

// words is what the client sends next, and the methods whose answers it waits for.
func (c *oddClient) words(path string) (text string, methods []string) {
	const head = " HTTP/1.1\r\nHost: a.example\r\n"
	switch c.rand.IntN(12) {
	case 0:
		return "POST " + path + head + "Content-Length: 10\r\n\r\nhalf", nil
	case 1:
		return "GET " + path + head, nil
	case 2:
		return "GET " + path + " HTTP/1.1\r\n\r\n", []string{"GET"}
	case 3:
		for i := range 3 {
			text += fmt.Sprintf("GET %s-%d%s\r\n", path, i, head)
		}
		return text, []string{"GET", "GET", "GET"}
	case 4:
		return "POST " + path + head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", []string{"POST"}
	case 5:
		return "POST " + path + head + "Content-Length: 100000\r\n\r\n" + strings.Repeat("x", 100_000), []string{"POST"}
	case 6:
		return "POST " + path + head + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nok", []string{"POST"}
	case 7:
		return "PUT " + path + head + "Content-Length: 30000\r\n\r\n" + strings.Repeat("x", 30_000), []string{"PUT"}
	case 8:
		return "HEAD " + path + head + "\r\n", []string{"HEAD"}
	case 9:
		return "GET " + path + head + "Connection: close\r\n\r\n", []string{"GET"}
	}
	return "GET " + path + head + "\r\n", []string{"GET"}
}
