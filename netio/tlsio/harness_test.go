package tlsio

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/internal/buf"
	"weir/internal/mono"
	"weir/netio"
)

// sockets is a netio.Kernel of nothing but receiving and sending on real descriptors. It counts its calls, and bounds
// what one of them moves when told to.
type sockets struct {
	netio.Kernel
	recvs, sends int
	recvMax      int // bytes of one Recv; 0 no bound
	sendMax      int
}

func (k *sockets) Now() mono.Time { return mono.Time(time.Now().UnixNano()) }

func (k *sockets) Recv(fd int, p []byte) (int, netio.IO) {
	k.recvs++
	if k.recvMax > 0 {
		p = p[:min(len(p), k.recvMax)]
	}
	n, err := unix.Read(fd, p)
	switch {
	case err == nil && n == 0:
		return 0, netio.EOF
	case err == nil:
		return n, netio.OK
	}
	return 0, outcome(err)
}

func (k *sockets) Send(fd int, p []byte) (int, netio.IO) {
	k.sends++
	if k.sendMax > 0 {
		p = p[:min(len(p), k.sendMax)]
	}
	n, err := unix.SendmsgN(fd, p, nil, nil, unix.MSG_NOSIGNAL)
	if err != nil {
		return 0, outcome(err)
	}
	return n, netio.OK
}

func outcome(err error) netio.IO {
	switch err {
	case unix.EAGAIN:
		return netio.Again
	case unix.ECONNRESET, unix.EPIPE:
		return netio.Reset
	}
	return netio.Failed
}

// socketpair returns two connected non-blocking stream sockets, closed at the end of the test.
func socketpair(t testing.TB) (a, b int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fds[0]); unix.Close(fds[1]) })
	return fds[0], fds[1]
}

// netConn wraps a descriptor for crypto/tls on an ordinary goroutine; it takes a duplicate.
func netConn(t testing.TB, fd int) net.Conn {
	t.Helper()
	dup, err := unix.Dup(fd)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(dup), "socket")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// await blocks until fd is ready, as the event loop would.
func await(t testing.TB, fd int, events int16) {
	t.Helper()
	p := []unix.PollFd{{Fd: int32(fd), Events: events}}
	for {
		n, err := unix.Poll(p, 20_000)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			t.Fatalf("no event on descriptor %d: %v", fd, err)
		}
		return
	}
}

func newWorker(k netio.Kernel) *Worker { return NewWorker(k, buf.NewPool(0)) }

// authority is a CA of a test.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

var serial = struct {
	sync.Mutex
	n int64
}{n: 1}

func nextSerial() *big.Int {
	serial.Lock()
	defer serial.Unlock()
	serial.n++
	return big.NewInt(serial.n)
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: nextSerial(), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

var rsaKey = sync.OnceValue(func() crypto.Signer {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func newKey(t testing.TB, kind string) crypto.Signer {
	t.Helper()
	var k crypto.Signer
	var err error
	switch kind {
	case "p256":
		k, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "p384":
		k, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ed25519":
		_, k, err = ed25519.GenerateKey(rand.Reader)
	case "rsa":
		k = rsaKey()
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// issue makes a certificate for hosts (names or addresses). edit may change it before it is signed.
func (a *authority) issue(t testing.TB, kind string, edit func(*x509.Certificate), hosts ...string) CertSource {
	t.Helper()
	key := newKey(t, kind)
	tmpl := &x509.Certificate{
		SerialNumber: nextSerial(), Subject: pkix.Name{CommonName: "test " + kind},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(12 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, h)
		}
	}
	if edit != nil {
		edit(tmpl)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return CertSource{
		CertFile: "cert.pem", KeyFile: "key.pem",
		CertPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		KeyPEM:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
	}
}

// keyPair is a CertSource as crypto/tls takes it.
func (s CertSource) keyPair(t testing.TB) tls.Certificate {
	t.Helper()
	c, err := tls.X509KeyPair(s.CertPEM, s.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func serverConfig(t testing.TB, o *ServerOptions) *ServerConfig {
	t.Helper()
	cfg, _, err := NewServerConfig(o)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func clientConfig(t testing.TB, o *ClientOptions) *ClientConfig {
	t.Helper()
	cfg, _, err := NewClientConfig(o)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// site is a server with one certificate for example.com and www.example.com, and what its clients need.
type site struct {
	ca     *authority
	server *ServerConfig
	client *ClientConfig
	store  *SessionStore
	peer   *Peer

	otherEnd map[int]int // of the descriptors of connectedOn
}

func newSite(t testing.TB, version uint16, kind string) *site {
	t.Helper()
	s := &site{ca: newAuthority(t, "test CA"), store: NewSessionStore(100), otherEnd: make(map[int]int)}
	s.server = serverConfig(t, &ServerOptions{
		Certificates: []CertSource{s.ca.issue(t, kind, nil, "example.com", "www.example.com")},
		MaxVersion:   version, ALPN: []string{"h2", "http/1.1"}, Tickets: NewTicketStore(),
	})
	s.client = clientConfig(t, &ClientOptions{CAPEM: s.ca.pem(), ALPN: []string{"http/1.1"}, MaxVersion: version, Sessions: s.store})
	s.peer = s.client.Peer("backend/s1", "example.com", "")
	return s
}

func (s *site) goClient(version uint16) *tls.Config {
	return &tls.Config{RootCAs: s.ca.pool(), ServerName: "example.com", MaxVersion: version, NextProtos: []string{"http/1.1"}}
}

// versions runs a test with both versions of TLS, and with and without access to the innards of crypto/tls.
func versions(t *testing.T, f func(t *testing.T, version uint16)) {
	for _, v := range []struct {
		name    string
		version uint16
		lent    bool
	}{
		{"1.3", tls.VersionTLS13, true}, {"1.2", tls.VersionTLS12, true},
		{"1.3 without innards", tls.VersionTLS13, false}, {"1.2 without innards", tls.VersionTLS12, false},
	} {
		t.Run(v.name, func(t *testing.T) {
			defer func(old connLayout) { layout = old }(layout)
			layout.known = layout.known && v.lent
			f(t, v.version)
		})
	}
}

// drive runs the handshakes of both ends to their end, in turns on this goroutine, as one worker would.
func drive(t testing.TB, a, b *Conn) {
	t.Helper()
	for range 100_000 {
		doneA, _, errA := a.Handshake()
		doneB, _, errB := b.Handshake()
		a.Flush()
		b.Flush()
		if errA != nil || errB != nil {
			t.Fatalf("handshake: %v, %v", errA, errB)
		}
		if doneA && doneB {
			return
		}
	}
	t.Fatal("the handshake does not end")
}

// handshake drives one end on this goroutine, waiting for events, until it is done or fails.
func handshakeOn(t testing.TB, c *Conn) error {
	t.Helper()
	for {
		done, io, err := c.Handshake()
		if done || err != nil {
			return err
		}
		if io != netio.Again {
			t.Fatalf("a handshake that goes on returned %d", io)
		}
		events := int16(unix.POLLIN)
		if c.Backlog() > 0 {
			events |= unix.POLLOUT
		}
		await(t, int(c.fd), events)
	}
}

// connected returns both ends of a connection over a socketpair, with the handshake done.
func (s *site) connected(t testing.TB) (client, server *Conn, k *sockets) {
	t.Helper()
	k = new(sockets)
	client, server = s.connectedOn(t, newWorker(k))
	return client, server, k
}

func (s *site) connectedOn(t testing.TB, w *Worker) (client, server *Conn) {
	t.Helper()
	a, b := socketpair(t)
	s.otherEnd[a], s.otherEnd[b] = b, a
	client, server = w.Client(a, s.peer), w.Server(b, s.server)
	t.Cleanup(func() { client.Close(); server.Close() })
	drive(t, client, server)
	return client, server
}

// recvAll reads until n bytes are there.
func recvAll(t testing.TB, c *Conn, n int) []byte {
	t.Helper()
	var got []byte
	p := make([]byte, 32<<10)
	for len(got) < n {
		m, io := c.Recv(p)
		switch io {
		case netio.OK:
			got = append(got, p[:m]...)
		case netio.Again:
			await(t, int(c.fd), unix.POLLIN)
		default:
			t.Fatalf("Recv: %d after %d of %d bytes: %v", io, len(got), n, c.Err())
		}
	}
	return got
}
