package engine

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fdConn is a bare descriptor as what crypto/tls speaks through. It owns nothing: a client that is forgotten leaves its
// connection open, and its memory to the collector.
type fdConn int

func (c fdConn) Read(p []byte) (int, error) {
	n, err := unix.Read(int(c), p)
	if err == nil && n == 0 {
		err = io.EOF
	}
	return max(n, 0), err
}

func (c fdConn) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = unix.Write(int(c), p[n:])
		n += max(m, 0)
	}
	return n, err
}

func (fdConn) Close() error                     { return errors.New("the test closes it") }
func (fdConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (fdConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (fdConn) SetDeadline(time.Time) error      { return nil }
func (fdConn) SetReadDeadline(time.Time) error  { return nil }
func (fdConn) SetWriteDeadline(time.Time) error { return nil }

// newSecureRig is newCostRig behind TLS, with a certificate that is good for its clients too.
func newSecureRig(t testing.TB, table string) (*costRig, tls.Certificate) {
	t.Helper()
	dir, site := t.TempDir(), testSite(t)
	for name, b := range site {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := tls.X509KeyPair(site["site.pem"], site["site.key"])
	if err != nil {
		t.Fatal(err)
	}
	hasty := newH3Host()
	r := startCostRig(t, dir, `, tls = "site"`, "", fmt.Sprintf(`
reuse = "always"
[tls.site]
certificates = [{ cert = "site.pem", key = "site.key" }]
%s
[frontend.hasty]
bind = [{ address = "%v", tls = "site" }]
backend = "api"
timeouts = "short"
[timeouts.short]
http-request = "300ms"
`, table, hasty))
	r.hasty = &unix.SockaddrInet4{Addr: hasty.Addr().As4(), Port: int(hasty.Port())}
	return r, pair
}

// secureVisit shakes hands and has one request served; the descriptor is all that is left.
func (r *costRig) secureVisit(t testing.TB, cfg *tls.Config) int {
	t.Helper()
	fd := r.connect(t)
	// A client writes twice in a row, its Finished and its request. Nagle's algorithm would wait for our delayed ACK between.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		t.Fatal(err)
	}
	c := tls.Client(fdConn(fd), cfg)
	if _, err := c.Write(costRequest); err != nil {
		t.Fatal(err)
	}
	var buf [1024]byte
	for n := 0; !bytes.HasSuffix(buf[:n], costEnd); {
		m, err := c.Read(buf[n:])
		if err != nil {
			t.Fatal(err)
		}
		n += m
	}
	return fd
}

// inUse is the memory of the heap and of stacks that is left when all garbage was collected.
func (r *costRig) inUse() int64 {
	r.heap()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// idleSecureConns is how many real connections the memory of an idle one over TLS is measured with.
const idleSecureConns = 400

// TestIdleSecureSessionIsSmall measures sessions over TLS that have carried a request, with all that crypto/tls keeps.
func TestIdleSecureSessionIsSmall(t *testing.T) {
	if underRace {
		t.Skip("the race detector keeps more")
	}
	files(t, 3*idleSecureConns)
	for _, c := range []struct {
		name, table string
		version     uint16
		resumes     bool
		limit       int64
	}{
		{"1.2", "", tls.VersionTLS12, false, 8 << 10},
		{"1.2 resumed", "", tls.VersionTLS12, true, 8 << 10},
		{"1.3", "", tls.VersionTLS13, false, 8 << 10},
		{"1.3 resumed", "", tls.VersionTLS13, true, 8 << 10},
		{"1.2 with a client certificate", "client-auth = \"require\"\nclient-ca = \"ca.pem\"", tls.VersionTLS12, false, 8 << 10},
		{"1.3 with a client certificate", "client-auth = \"require\"\nclient-ca = \"ca.pem\"", tls.VersionTLS13, false, 8 << 10},
		{"1.3 with a client certificate, resumed", "client-auth = \"require\"\nclient-ca = \"ca.pem\"", tls.VersionTLS13, true, 8 << 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, mine := newSecureRig(t, c.table)
			cfg := &tls.Config{InsecureSkipVerify: true, MinVersion: c.version, MaxVersion: c.version, Certificates: []tls.Certificate{mine}}
			if c.resumes {
				cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			}
			var held []int
			defer func() {
				for _, fd := range held {
					unix.Close(fd)
				}
			}()
			for range 20 { // what is made once
				held = append(held, r.secureVisit(t, cfg))
			}
			before := r.inUse()
			for range idleSecureConns {
				held = append(held, r.secureVisit(t, cfg))
			}
			each := (r.inUse() - before) / idleSecureConns
			t.Logf("%d bytes for an idle connection", each)
			if each > c.limit {
				t.Errorf("an idle connection holds %d bytes, more than %d", each, c.limit)
			}
		})
	}
}
