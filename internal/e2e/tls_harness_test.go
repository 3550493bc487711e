package e2e

import (
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// site is the keys of a [tls.…] table that presents the certificates of those names, found in $FILES.
func site(names ...string) string {
	var b strings.Builder
	b.WriteString("certificates = [")
	for _, n := range names {
		b.WriteString(`{ cert = "$FILES/` + n + `.pem", key = "$FILES/` + n + `.key" }, `)
	}
	b.WriteString("]\n")
	return b.String()
}

// behind is s with a listener that has a TLS table of its own: its keys are given. The test shakes hands by itself.
func behind(table string, s setup) setup {
	s.over = plain
	s.tables += "\n[tls.own]\n" + table
	keys := []string{`tls = "own"`}
	if s.bind != "" {
		keys = append(keys, s.bind)
	}
	s.bind = strings.Join(keys, ", ")
	return s
}

// asClient is what a client of a host demands.
func asClient(name string, change ...func(*tls.Config)) *tls.Config {
	c := &tls.Config{RootCAs: roots, ServerName: name}
	for _, f := range change {
		f(c)
	}
	return c
}

// tryTLS connects and shakes hands. In TLS 1.3 a client learns only later that its certificate is refused.
func (w *weir) tryTLS(c *tls.Config) (*tls.Conn, error) {
	conn, err := net.DialTimeout("tcp", w.front(), patience)
	if err != nil {
		return nil, err
	}
	s := tls.Client(conn, c)
	_ = s.SetDeadline(time.Now().Add(patience))
	if err := s.Handshake(); err != nil {
		_ = conn.Close()
		return nil, err
	}
	_ = s.SetDeadline(time.Time{})
	return s, nil
}

// dialTLS is a client of HTTP/1 over TLS.
func (w *weir) dialTLS(t *testing.T, c *tls.Config) *peer {
	t.Helper()
	s, err := w.tryTLS(c)
	if err != nil {
		t.Fatalf("handshake: %v", err)
	}
	return newPeer(t, s)
}

// state is the state of a peer's connection.
func (p *peer) state() tls.ConnectionState { return p.conn.(*tls.Conn).ConnectionState() }

// protocols is what a server of httpOrigin speaks.
type protocols struct {
	over     transport
	h1, h2   bool
	settings *http.HTTP2Config
	tls      func(*tls.Config)
}

// httpOrigin is a server of net/http. It speaks HTTP/1.
func httpOrigin(t *testing.T, h http.HandlerFunc) *origin {
	t.Helper()
	return goOrigin(t, protocols{over: plain, h1: true}, h)
}

// goOrigin is a server of net/http that speaks what p says.
func goOrigin(t *testing.T, p protocols, h http.Handler) *origin {
	t.Helper()
	o := listen(t, p.over)
	srv := &http.Server{Handler: h, Protocols: &http.Protocols{}, HTTP2: p.settings, ErrorLog: log.New(io.Discard, "", 0)}
	srv.Protocols.SetHTTP1(p.h1)
	srv.Protocols.SetHTTP2(p.h2 && p.over == tlsed)
	srv.Protocols.SetUnencryptedHTTP2(p.h2 && p.over == plain)
	ln := o.listener()
	if p.over == tlsed {
		if p.tls != nil {
			p.tls(o.tls)
		}
		srv.TLSConfig = o.tls.Clone()
	}
	go func() {
		if p.over == tlsed {
			_ = srv.ServeTLS(ln, "", "")
		} else {
			_ = srv.Serve(ln)
		}
	}()
	t.Cleanup(func() { _ = srv.Close() })
	return o
}

// arrivals is an origin's connections as a listener.
type arrivals struct {
	o    *origin
	once *sync.Once
	done chan struct{}
}

func (o *origin) listener() net.Listener { return arrivals{o, new(sync.Once), make(chan struct{})} }

func (a arrivals) Accept() (net.Conn, error) {
	select {
	case c := <-a.o.arrived:
		return c, nil
	case <-a.done:
		return nil, net.ErrClosed
	}
}

func (a arrivals) Close() error {
	a.once.Do(func() { close(a.done) })
	return nil
}

func (a arrivals) Addr() net.Addr { return a.o.ln.Addr() }

// program runs another program and returns what it printed.
func program(t *testing.T, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	c := exec.Command(path, args...)
	c.WaitDelay = patience
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// copyFile puts a file of $FILES into the directory of the process, where a test may replace it.
func (w *weir) copyFile(from, to string) {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(files, from))
	if err == nil {
		err = os.WriteFile(filepath.Join(w.dir, to), b, 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// issueAddress writes a certificate for an address.
func (a *authority) issueAddress(dir, file, address string) {
	key := newECDSA()
	t := template(address)
	t.IPAddresses = []net.IP{net.ParseIP(address)}
	t.KeyUsage, t.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, key.Public(), a.key)
	must(err)
	writePEM(filepath.Join(dir, file+".pem"), "CERTIFICATE", der)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	writePEM(filepath.Join(dir, file+".key"), "PRIVATE KEY", pkcs8)
}

// sayHello answers everything with the hello that the peers' dialogues know.
func sayHello(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }

// acceptOf is what a server answers a WebSocket key with (RFC 6455 section 4.2.2).
func acceptOf(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
