package tlsio

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/netio"
)

// tool skips the test when a program is not installed.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}

// listen returns a TCP listener on the loopback, and a function that takes one connection off it as a descriptor.
func listen(t *testing.T) (addr string, accept func() int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String(), func() int {
		l.(*net.TCPListener).SetDeadline(time.Now().Add(20 * time.Second))
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return descriptor(t, c)
	}
}

// descriptor takes the descriptor out of a connection, non-blocking.
func descriptor(t *testing.T, c net.Conn) int {
	t.Helper()
	f, err := c.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	t.Cleanup(func() { f.Close() })
	fd := int(f.Fd())
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	return fd
}

// next receives once more, waiting for events while nothing is there.
func next(t *testing.T, c *Conn) (string, netio.IO) {
	t.Helper()
	p := make([]byte, 32<<10)
	for {
		n, io := c.Recv(p)
		if io != netio.Again {
			return string(p[:n]), io
		}
		await(t, int(c.fd), unix.POLLIN)
	}
}

// program is a running openssl. Its commands are single letters that it takes for data unless they come alone, therefore
// every one is waited for by what openssl says about it.
type program struct {
	t     *testing.T
	stdin io.WriteCloser
	ended chan struct{}
	mu    sync.Mutex
	out   bytes.Buffer
	more  chan struct{}
}

func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case p.more <- struct{}{}:
	default:
	}
	return p.out.Write(b)
}

func (p *program) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// say writes a line of input and waits until the words were said once more than before; no words: it does not wait. Without
// a line it waits until they were said at all.
func (p *program) say(line, words string) {
	p.t.Helper()
	before := 0
	if line != "" {
		before = strings.Count(p.said(), words)
		io.WriteString(p.stdin, line)
	}
	for words != "" && strings.Count(p.said(), words) <= before {
		select {
		case <-p.more:
		case <-time.After(20 * time.Second):
			p.t.Fatalf("openssl does not say %q:\n%s", words, p.said())
		}
	}
}

// end waits for the end of the program and returns all it said.
func (p *program) end() string {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		p.t.Fatalf("openssl does not end:\n%s", p.said())
	}
	return p.said()
}

func openssl(t *testing.T, args ...string) *program {
	t.Helper()
	p := &program{t: t, ended: make(chan struct{}), more: make(chan struct{}, 1)}
	cmd := exec.Command(tool(t, "openssl"), args...)
	cmd.Stdout, cmd.Stderr = p, p
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { cmd.Wait(); close(p.ended) }()
	t.Cleanup(func() { cmd.Process.Kill(); <-p.ended })
	return p
}

func (s *site) caFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, s.ca.pem(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// serveOne accepts one connection and shakes hands.
func serveOne(t *testing.T, accept func() int, cfg *ServerConfig) *Conn {
	t.Helper()
	c := newWorker(new(sockets)).Server(accept(), cfg)
	t.Cleanup(c.Close)
	if err := handshakeOn(t, c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOpenSSLClientUpdatesKeys(t *testing.T) {
	versionsOfInnards(t, func(t *testing.T) {
		s := newSite(t, tls.VersionTLS13, "p256")
		addr, accept := listen(t)
		p := openssl(t, "s_client", "-connect", addr, "-servername", "example.com", "-CAfile", s.caFile(t), "-verify_return_error", "-tls1_3")
		c := serveOne(t, accept, s.server)
		for i := range 5 {
			for _, command := range []string{"k\n", "K\n"} { // an update of its own keys; and one of ours too
				p.say(fmt.Sprintf("line %d\n", i), "")
				if got, _ := next(t, c); got != fmt.Sprintf("line %d\n", i) {
					t.Fatalf("%q arrived", got)
				}
				p.say(command, "KEYUPDATE")
			}
			p.say("new keys\n", "")
			if got, _ := next(t, c); got != "new keys\n" {
				t.Fatalf("%q arrived", got)
			}
			c.Send([]byte("answer under new keys\n"))
		}
		p.say("Q\n", "") // close_notify
		if got, io := next(t, c); io != netio.EOF || c.Truncated() {
			t.Errorf("at the end: %q, %d, truncated %v, %v", got, io, c.Truncated(), c.Err())
		}
		c.CloseNotify()
		c.Flush()
		unix.Shutdown(int(c.fd), unix.SHUT_RDWR)
		if out := p.end(); strings.Count(out, "answer under new keys") != 5 || !strings.Contains(out, "Verify return code: 0 (ok)") {
			t.Errorf("openssl said:\n%s", out)
		}
	})
}

func versionsOfInnards(t *testing.T, f func(t *testing.T)) {
	for _, known := range []bool{true, false} {
		t.Run(fmt.Sprintf("innards=%v", known), func(t *testing.T) {
			defer func(old connLayout) { layout = old }(layout)
			layout.known = layout.known && known
			f(t)
		})
	}
}

func TestOpenSSLClientRenegotiates(t *testing.T) {
	versionsOfInnards(t, func(t *testing.T) {
		s := newSite(t, tls.VersionTLS12, "rsa")
		addr, accept := listen(t)
		p := openssl(t, "s_client", "-connect", addr, "-servername", "example.com", "-CAfile", s.caFile(t), "-tls1_2")
		c := serveOne(t, accept, s.server)
		p.say("before\n", "")
		if got, _ := next(t, c); got != "before\n" {
			t.Fatalf("%q arrived", got)
		}
		p.say("R\n", "")
		if got, io := next(t, c); io != netio.Failed || c.Failure() != FailProtocol {
			t.Errorf("renegotiation: %q, %d, %v, %v", got, io, c.Failure(), c.Err())
		}
		if _, io := c.Send([]byte("x")); io != netio.Failed {
			t.Errorf("Send: %d", io)
		}
		c.Flush()
		c.Close()
		unix.Shutdown(int(c.fd), unix.SHUT_RDWR)
		if out := p.end(); !strings.Contains(out, "alert") {
			t.Errorf("openssl was told of no alert:\n%s", out)
		}
	})
}

func TestOpenSSLClientResumes(t *testing.T) {
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		t.Run(version, func(t *testing.T) {
			s := newSite(t, 0, "p256")
			addr, accept := listen(t)
			session := filepath.Join(t.TempDir(), "session")
			for i, flag := range []string{"-sess_out", "-sess_in"} {
				p := openssl(t, "s_client", "-connect", addr, "-servername", "example.com", "-alpn", "h2", version, flag, session)
				c := serveOne(t, accept, s.server)
				if c.State().Resumed != (i == 1) || c.State().ALPN != "h2" {
					t.Errorf("%s: %+v", flag, c.State())
				}
				c.Send([]byte("the ticket came before this\n"))
				p.say("Q\n", "")
				next(t, c)
				unix.Shutdown(int(c.fd), unix.SHUT_RDWR)
				p.end()
			}
		})
	}
}

// An openssl server demands what a Conn as a client must stand: key updates, renegotiation, CBC suites, a client
// certificate.
func TestOpenSSLServer(t *testing.T) {
	s := newSite(t, 0, "rsa")
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	src := s.server.opts.Certificates[0]
	cert, key := write("cert.pem", src.CertPEM), write("key.pem", src.KeyPEM)
	own := s.ca.issue(t, "p256", nil, "client")
	for _, c := range []struct {
		name    string
		args    []string
		command string
		want    netio.IO // of the Recv that meets what the command sends
	}{
		{"key update", []string{"-tls1_3"}, "K\n", netio.Again},
		{"key update of its own", []string{"-tls1_3"}, "k\n", netio.Again},
		{"renegotiation", []string{"-tls1_2"}, "R\n", netio.Failed},
		{"CBC", []string{"-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA"}, "", netio.Again},
		{"client certificate", []string{"-Verify", "2", "-verify_return_error", "-CAfile", s.caFile(t)}, "", netio.Again},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := openssl(t, append([]string{"s_server", "-accept", "127.0.0.1:0", "-cert", cert, "-key", key}, c.args...)...)
			cfg := clientConfig(t, &ClientOptions{CAPEM: s.ca.pem(), Cert: &own})
			client := newWorker(new(sockets)).Client(p.accepting(), cfg.Peer("s", "example.com", ""))
			defer client.Close()
			if err := handshakeOn(t, client); err != nil {
				t.Fatal(err)
			}
			p.say("first\n", "")
			if got, io := next(t, client); got != "first\n" {
				t.Fatalf("%q arrived, %d", got, io)
			}
			client.Send([]byte("hello\n"))
			if c.command != "" {
				p.say(c.command, "") // its output is not to be waited for, what it sends is
				await(t, int(client.fd), unix.POLLIN)
				if n, io := client.Recv(make([]byte, 10)); n != 0 || io != c.want {
					t.Errorf("after the command: %d bytes, %d, want %d: %v", n, io, c.want, client.Err())
				}
			}
			if c.want == netio.Failed {
				return
			}
			p.say("second\n", "")
			if got, io := next(t, client); got != "second\n" {
				t.Errorf("%q, %d: %v", got, io, client.Err())
			}
		})
	}
}

// accepting waits until a server says where it listens, and connects there.
func (p *program) accepting() int {
	p.t.Helper()
	p.say("", "ACCEPT 127.0.0.1:")
	_, rest, _ := strings.Cut(p.said(), "ACCEPT ")
	addr, _, _ := strings.Cut(rest, "\n")
	c, err := net.Dial("tcp", addr)
	if err != nil {
		p.t.Fatal(err)
	}
	return descriptor(p.t, c)
}

func TestCurl(t *testing.T) {
	curl := tool(t, "curl")
	body := strings.Repeat("weir ", 100_000)
	for _, version := range []string{"1.2", "1.3"} {
		for _, kind := range []string{"p256", "rsa"} {
			t.Run(version+"/"+kind, func(t *testing.T) {
				s := newSite(t, 0, kind)
				addr, accept := listen(t)
				_, port, _ := net.SplitHostPort(addr)
				cmd := exec.Command(curl, "-sS", "--noproxy", "*", "--tlsv"+version, "--tls-max", version, "--cacert", s.caFile(t),
					"--resolve", "example.com:"+port+":127.0.0.1", "https://example.com:"+port+"/", "--http1.1", "--max-time", "20")
				out := make(chan string, 1)
				go func() {
					b, err := cmd.CombinedOutput()
					out <- fmt.Sprint(string(b), err)
				}()
				c := serveOne(t, accept, s.server)
				if req, _ := next(t, c); !strings.HasPrefix(req, "GET / HTTP/1.1\r\nHost: example.com:"+port) {
					t.Errorf("request %q", req)
				}
				head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(body))
				for rest := [][]byte{[]byte(head), []byte(body)}; len(rest) > 0; {
					n, _ := c.SendV(rest)
					for n > 0 || len(rest) > 0 && len(rest[0]) == 0 {
						k := min(n, len(rest[0]))
						n -= k
						if rest[0] = rest[0][k:]; len(rest[0]) == 0 {
							rest = rest[1:]
						}
					}
					if c.Flush() == netio.Again {
						await(t, int(c.fd), unix.POLLOUT)
					}
				}
				for c.Flush() == netio.Again {
					await(t, int(c.fd), unix.POLLOUT)
				}
				if got := <-out; got != body+"<nil>" {
					t.Errorf("curl: %d bytes, %s", len(got), got[max(0, len(got)-200):])
				}
			})
		}
	}
}
