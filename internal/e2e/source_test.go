package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// street is three network namespaces in a row, and weir lives in the middle one:
//
//	client .1.2 .1.3 ──veth── .1.1  proxy  .2.1 .2.9 ──veth── .2.2 server, whose way to the clients leads through the proxy
type street struct {
	t                     *testing.T
	client, proxy, server string // names of the namespaces
}

// newStreet makes one, for IPv4 and IPv6, or skips the test where namespaces cannot be made.
func newStreet(t *testing.T) *street {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("ip(8) is missing")
	}
	s := &street{t: t}
	for _, name := range []*string{&s.client, &s.proxy, &s.server} {
		*name = fmt.Sprintf("weir-e2e-%d-%d", os.Getpid(), namespaces())
		if out, err := exec.Command("ip", "netns", "add", *name).CombinedOutput(); err != nil {
			t.Skipf("no network namespaces: %s", out)
		}
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", *name).Run() })
		s.ip(*name, "link set lo up")
	}
	s.ip(s.client, "link add c0 type veth peer name p0 netns "+s.proxy)
	s.ip(s.server, "link add s0 type veth peer name p1 netns "+s.proxy)
	for _, l := range []struct{ ns, dev, addrs string }{
		{s.client, "c0", "10.77.1.2/24 10.77.1.3/24 fd77:1::2/64"}, {s.proxy, "p0", "10.77.1.1/24 fd77:1::1/64"},
		{s.proxy, "p1", "10.77.2.1/24 10.77.2.9/24 fd77:2::1/64"}, {s.server, "s0", "10.77.2.2/24 fd77:2::2/64"},
	} {
		for _, a := range strings.Fields(l.addrs) {
			nodad := ""
			if strings.Contains(a, ":") {
				nodad = " nodad"
			}
			s.ip(l.ns, "addr add "+a+" dev "+l.dev+nodad)
		}
		s.ip(l.ns, "link set "+l.dev+" up")
	}
	s.ip(s.server, "route add default via 10.77.2.1")
	s.ip(s.server, "-6 route add default via fd77:2::1")
	// What comes from the servers' side is for weir, whatever address of a client it is sent to (docs/configuration.md, source).
	s.ip(s.proxy, "rule add iif p1 lookup 100")
	s.ip(s.proxy, "route add local default dev lo table 100")
	s.ip(s.proxy, "-6 rule add iif p1 lookup 100")
	s.ip(s.proxy, "-6 route add local default dev lo table 100")
	return s
}

var namespaceCount struct {
	sync.Mutex
	n int
}

func namespaces() int {
	namespaceCount.Lock()
	defer namespaceCount.Unlock()
	namespaceCount.n++
	return namespaceCount.n
}

func (s *street) ip(ns, words string) {
	s.t.Helper()
	args := append([]string{"-n", ns}, strings.Fields(words)...)
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		s.t.Fatalf("ip -n %s %s: %s", ns, words, out)
	}
}

// in runs f on a thread that is in a namespace. What f opens and starts stays there.
func (s *street) in(ns string, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for ever: the thread ends with the goroutine
		done <- func() error {
			fd, err := unix.Open("/run/netns/"+ns, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
				return err
			}
			return f()
		}()
	}()
	return <-done
}

// whoAsks is a server that answers with the address it is asked from, and knows how many of its connections are open.
type whoAsks struct {
	mu   sync.Mutex
	open map[net.Conn]bool
	most int // ever open

	together sync.WaitGroup // requests to /together wait for each other
}

// serve opens the server at an address of its namespace.
func (s *street) serve(addr string) *whoAsks {
	s.t.Helper()
	who := &whoAsks{open: map[net.Conn]bool{}}
	srv := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/together" {
				who.together.Done()
				who.together.Wait()
			}
			_, _ = io.WriteString(w, r.RemoteAddr)
		}),
		ConnState: func(c net.Conn, st http.ConnState) {
			who.mu.Lock()
			defer who.mu.Unlock()
			switch st {
			case http.StateNew:
				who.open[c] = true
				who.most++
			case http.StateClosed:
				delete(who.open, c)
			}
		},
	}
	var l net.Listener
	if err := s.in(s.server, func() (err error) {
		l, err = net.Listen("tcp", addr)
		return err
	}); err != nil {
		s.t.Fatal(err)
	}
	go func() { _ = srv.Serve(l) }()
	s.t.Cleanup(func() { _ = srv.Close() })
	return who
}

func (w *whoAsks) openNow() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.open)
}

// weir runs the binary in the middle with further keys of its backend. The runtime socket is a file, which namespaces of the
// network do not hide.
func (s *street) weir(server, backend string) {
	t := s.t
	t.Helper()
	dir, err := os.MkdirTemp("", "weir-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	config, socket, log := filepath.Join(dir, "weir.toml"), filepath.Join(dir, "socket"), &logText{path: filepath.Join(dir, "log")}
	text := fmt.Sprintf(`[global]
workers = 2
runtime-socket = "%s"
admin = ""
[frontend.web]
bind = [{ address = "10.77.1.1:8080" }, { address = "[fd77:1::1]:8080" }, { address = "10.77.1.1:8081", alpn = ["h2"] }]
backend = "api"
[backend.api]
servers = [{ address = "%s" }]
%s
`, socket, server, backend)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(log.path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(binary, "run", "-c", config)
	cmd.Stdout, cmd.Stderr = out, out
	if err := s.in(s.proxy, cmd.Start); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("weir ended with %v", err)
		}
		if t.Failed() {
			t.Logf("configuration:\n%s\nlog:\n%s", text, log)
		}
	})
	eventually(t, "weir is ready", func() bool {
		return exec.Command(binary, "show", "info", "--runtime-socket", socket).Run() == nil
	})
}

// visitor is one client connection from an address.
type visitor struct {
	t *testing.T
	http.Client
	url string
}

func (s *street) visitor(from string) *visitor {
	v := &visitor{t: s.t, url: "http://10.77.1.1:8080/"}
	if strings.Contains(from, ":") {
		v.url = "http://[fd77:1::1]:8080/"
	}
	v.Timeout = patience
	v.Transport = &http.Transport{MaxConnsPerHost: 1, DialContext: func(ctx context.Context, network, addr string) (c net.Conn, err error) {
		err = s.in(s.client, func() (err error) {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
			c, err = d.DialContext(ctx, network, addr)
			return err
		})
		return c, err
	}}
	s.t.Cleanup(v.CloseIdleConnections)
	return v
}

// asks returns the address and port that the server sees.
func (v *visitor) asks() (host, port string) {
	v.t.Helper()
	r, err := v.Get(v.url)
	if err != nil {
		v.t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != 200 {
		v.t.Fatalf("%d %q %v", r.StatusCode, b, err)
	}
	host, port, err = net.SplitHostPort(string(b))
	if err != nil {
		v.t.Fatal(err)
	}
	return host, port
}

// source = "client": the server is asked from the client's own address. Its connections are private: one for each session,
// which ends with it.
func TestSourceIsTheClient(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	for _, c := range []struct{ name, server, first, second string }{
		{"v4", "10.77.2.2:9000", "10.77.1.2", "10.77.1.3"},
		{"v6", "[fd77:2::2]:9000", "fd77:1::2", "fd77:1::2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &street{t: t, client: s.client, proxy: s.proxy, server: s.server}
			who := s.serve(c.server)
			s.weir(c.server, "source = \"client\"\nreuse = \"always\"")
			a, b := s.visitor(c.first), s.visitor(c.second)
			ports := map[string]bool{}
			for range 3 {
				host, port := a.asks()
				if host != c.first {
					t.Errorf("the server sees %s", host)
				}
				ports["a"+port] = true
				if host, port = b.asks(); host != c.second {
					t.Errorf("the server sees %s", host)
				}
				ports["b"+port] = true
			}
			if len(ports) != 2 || who.most != 2 {
				t.Errorf("two sessions have had %d connections: %v", who.most, ports)
			}
			a.CloseIdleConnections()
			eventually(t, "the connection ends with its session", func() bool { return who.openNow() == 1 })
			b.CloseIdleConnections()
			eventually(t, "the other one too", func() bool { return who.openNow() == 0 })
		})
	}
}

// A session may need several connections from its client's address to one server at the same time, here for the streams of h2:
// the port is the kernel's to choose.
func TestSourceIsTheClientOfManyStreams(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	who := s.serve("10.77.2.2:9000")
	s.weir("10.77.2.2:9000", "source = \"client\"")
	const streams = 4
	who.together.Add(streams)
	v := s.visitor("10.77.1.2")
	v.url = "http://10.77.1.1:8081/together"
	v.Transport.(*http.Transport).Protocols = new(http.Protocols)
	v.Transport.(*http.Transport).Protocols.SetUnencryptedHTTP2(true)
	crowd(streams, func(int) {
		r, err := v.Get(v.url)
		if err != nil {
			t.Error(err)
			return
		}
		defer r.Body.Close()
		if b, err := io.ReadAll(r.Body); err != nil || !strings.HasPrefix(string(b), "10.77.1.2:") {
			t.Errorf("%d %q %v", r.StatusCode, b, err)
		}
	})
	if who.most != streams {
		t.Errorf("%d connections for %d streams", who.most, streams)
	}
}

// source = ADDRESS: the server is asked from that address, by everybody over the same connections.
func TestSourceIsAnAddress(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	// Each has a server port of its own: a program that is being started may still have a copy of one that has just been closed.
	for _, c := range []struct{ source, want, server string }{{"10.77.2.9", "10.77.2.9", "10.77.2.2:9000"}, {"", "10.77.2.1", "10.77.2.2:9001"}} {
		t.Run("source "+c.source, func(t *testing.T) {
			s := &street{t: t, client: s.client, proxy: s.proxy, server: s.server}
			who := s.serve(c.server)
			s.weir(c.server, "source = \""+c.source+"\"\nreuse = \"always\"")
			for _, from := range []string{"10.77.1.2", "10.77.1.3"} {
				v := s.visitor(from)
				for range 2 {
					if host, _ := v.asks(); host != c.want {
						t.Errorf("the server sees %s, want %s", host, c.want)
					}
				}
			}
			if who.most != 1 {
				t.Errorf("%d connections were opened", who.most)
			}
		})
	}
}
