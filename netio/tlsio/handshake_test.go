package tlsio

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"weir/netio"
)

func TestHandshakeWithCryptoTLS(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		s := newSite(t, version, "p256")
		a, b := socketpair(t)
		peer := tls.Client(netConn(t, a), s.goClient(version))
		done := make(chan error)
		go func() {
			_, err := peer.Write([]byte("early")) // in one packet with Finished
			done <- err
		}()
		server := newWorker(new(sockets)).Server(b, s.server)
		defer server.Close()
		if err := handshakeOn(t, server); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got := recvAll(t, server, 5); string(got) != "early" {
			t.Errorf("%q arrived", got)
		}
		st := server.State()
		if st.HandshakeBytesIn < 200 || st.HandshakeBytesOut < 500 || st.HandshakeTime <= 0 {
			t.Errorf("state %+v", st)
		}
		// And the other way round.
		a, b = socketpair(t)
		std := tls.Server(netConn(t, a), s.server.tcp.front)
		go func() {
			_, err := io.CopyN(std, std, 4)
			done <- err
		}()
		client := newWorker(new(sockets)).Client(b, s.peer)
		defer client.Close()
		if err := handshakeOn(t, client); err != nil {
			t.Fatal(err)
		}
		client.Send([]byte("ping"))
		if got := recvAll(t, client, 4); string(got) != "ping" {
			t.Errorf("%q came back", got)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

// goroutines returns a function that fails the test if there are more goroutines than now.
func goroutines(t *testing.T) func() {
	t.Helper()
	before := runtime.NumGoroutine()
	return func() {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
			if runtime.NumGoroutine() <= before {
				return
			}
			runtime.Gosched() // goroutines of crypto/tls peers end in their own time
		}
		if n := runtime.NumGoroutine(); n > before {
			t.Errorf("%d goroutines, %d before", n, before)
		}
	}
}

// firstFlight is the ClientHello of a client, as records.
func firstFlight(t *testing.T, s *site) []byte {
	t.Helper()
	a, b := socketpair(t)
	client := newWorker(new(sockets)).Client(a, s.peer)
	defer client.Close()
	if done, io, err := client.Handshake(); done || io != netio.Again || err != nil {
		t.Fatalf("Handshake: %v, %d, %v", done, io, err)
	}
	p := make([]byte, 8192)
	n, err := unix.Read(b, p)
	if err != nil {
		t.Fatal(err)
	}
	return p[:n]
}

func TestHandshakeCutOffAtEveryByte(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		defer goroutines(t)()
		s := newSite(t, version, "p256")
		hello := firstFlight(t, s)
		w := newWorker(new(sockets))
		for cut := range len(hello) + 1 {
			for _, ends := range []bool{true, false} {
				a, b := socketpair(t)
				unix.Write(a, hello[:cut])
				server := w.Server(b, s.server)
				done, io, err := server.Handshake()
				if done || io != netio.Again || err != nil {
					t.Fatalf("cut at %d: %v, %d, %v", cut, done, io, err)
				}
				if ends {
					unix.Shutdown(a, unix.SHUT_WR)
					if done, io, err = server.Handshake(); done || io != netio.EOF || server.Failure() != FailEndedEarly {
						t.Fatalf("cut at %d, closed: %v, %d, %v, %v", cut, done, io, err, server.Failure())
					}
					if _, again, _ := server.Handshake(); again != netio.EOF {
						t.Fatalf("asked again: %d", again)
					}
				}
				server.Close()
				server.Close()
				unix.Close(a)
				unix.Close(b)
			}
		}
		if n := w.blocks.InUse(); n != 0 {
			t.Errorf("%d bytes of blocks were not given back", n)
		}
	})
}

func TestClientCutOffAtEveryFlight(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		defer goroutines(t)()
		s := newSite(t, version, "p256")
		for turns := range 6 {
			w := newWorker(new(sockets))
			a, b := socketpair(t)
			client, server := w.Client(a, s.peer), w.Server(b, s.server)
			for range turns {
				client.Handshake()
				server.Handshake()
			}
			server.Close()
			unix.Shutdown(b, unix.SHUT_RDWR)
			if done, _, err := client.Handshake(); !done && err == nil {
				t.Errorf("after %d turns the client still waits", turns)
			}
			client.Close()
			if n := w.blocks.InUse(); n != 0 {
				t.Errorf("after %d turns %d bytes of blocks were not given back", turns, n)
			}
		}
	})
}

// On a locked thread, as a worker has it, the coroutines change hands with the thread.
func TestManyHandshakesAtOnceOnALockedThread(t *testing.T) {
	const conns = 1000
	versions(t, func(t *testing.T, version uint16) {
		defer goroutines(t)()
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		var limit unix.Rlimit
		unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
		n := conns
		if limit.Cur < 2*conns+100 {
			n = int(limit.Cur-100) / 2
		}
		s := newSite(t, version, "p256")
		w := newWorker(new(sockets))
		var clients, servers []*Conn
		for range n {
			a, b := socketpair(t)
			clients, servers = append(clients, w.Client(a, s.peer)), append(servers, w.Server(b, s.server))
		}
		for range 4 { // all of them are under way between two turns
			for i := range n {
				if _, _, err := clients[i].Handshake(); err != nil {
					t.Fatal(err)
				}
			}
			for i := range n {
				if _, _, err := servers[i].Handshake(); err != nil {
					t.Fatal(err)
				}
			}
		}
		for i := range n {
			drive(t, clients[i], servers[i])
			clients[i].Send([]byte{byte(i), byte(i >> 8)})
			if got := recvAll(t, servers[i], 2); int(got[0])|int(got[1])<<8 != i {
				t.Fatalf("connection %d got the bytes of another: %v", i, got)
			}
			clients[i].Close()
			servers[i].Close()
		}
		if used := w.blocks.InUse(); used != 0 {
			t.Errorf("%d bytes of blocks were not given back", used)
		}
	})
}

func TestHandshakesAbandonedAtOnce(t *testing.T) {
	defer goroutines(t)()
	s := newSite(t, tls.VersionTLS13, "p256")
	hello := firstFlight(t, s)
	w := newWorker(new(sockets))
	before := inUse()
	var servers []*Conn
	for range 300 {
		a, b := socketpair(t)
		unix.Write(a, hello)
		server := w.Server(b, s.server)
		if done, io, err := server.Handshake(); done || io != netio.Again || err != nil {
			t.Fatalf("%v, %d, %v", done, io, err)
		}
		servers = append(servers, server)
	}
	t.Logf("%d bytes for a handshake under way", (inUse()-before)/int64(len(servers)))
	for _, c := range servers {
		c.Close()
	}
	if n := w.blocks.InUse(); n != 0 {
		t.Errorf("%d bytes of blocks were not given back", n)
	}
}

func TestSilentClientCostsLittle(t *testing.T) {
	defer goroutines(t)()
	s := newSite(t, tls.VersionTLS13, "p256")
	w := newWorker(new(sockets))
	_, b := socketpair(t)
	server := w.Server(b, s.server)
	defer server.Close()
	if done, io, err := server.Handshake(); done || io != netio.Again || err != nil {
		t.Fatalf("%v, %d, %v", done, io, err)
	}
	if server.Begun() || server.tc != nil || server.Held() != 0 {
		t.Errorf("crypto/tls was started: %v, %d bytes are held", server.tc != nil, server.Held())
	}
	if size := unsafe.Sizeof(*server); size > 512 {
		t.Errorf("a Conn has %d bytes", size)
	}
}

func TestHandshakeFailures(t *testing.T) {
	s := newSite(t, tls.VersionTLS13, "p256")
	other := newAuthority(t, "another CA")
	mtls := func(o ServerOptions) *ServerConfig {
		o.Certificates = s.server.opts.Certificates
		o.ClientAuth, o.ClientCAPEM = ClientAuthRequire, s.ca.pem()
		return serverConfig(t, &o)
	}
	only13 := serverConfig(t, &ServerOptions{Certificates: s.server.opts.Certificates, MinVersion: tls.VersionTLS13})
	for _, c := range []struct {
		name   string
		server *ServerConfig
		client func(c *tls.Config)
		want   Failure
		alert  string // what the client is told
	}{
		{"an old version", s.server, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, FailVersion, "protocol version"},
		{"1.2 where 1.3 is demanded", only13, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, FailVersion, "protocol version"},
		{"no suite in common", s.server, func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
		}, FailParameters, "handshake failure"},
		{"no curve in common", s.server, func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP521} }, FailParameters, "handshake failure"},
		{"no protocol in common", s.server, func(c *tls.Config) { c.NextProtos = []string{"smtp"} }, FailALPN, "no application protocol"},
		{"the client does not believe us", s.server, func(c *tls.Config) { c.RootCAs = other.pool() }, FailPeerAlert, ""},
		{"no client certificate, 1.3", mtls(ServerOptions{}), func(c *tls.Config) {}, FailCertificate, "certificate required"},
		{"no client certificate, 1.2", mtls(ServerOptions{MaxVersion: tls.VersionTLS12}), func(c *tls.Config) {}, FailCertificate, "handshake failure"},
		{"a client certificate of another CA", mtls(ServerOptions{}), func(c *tls.Config) {
			own := other.issue(t, "p256", nil, "client").keyPair(t)
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }
		}, FailCertificate, "unknown certificate authority"},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer goroutines(t)()
			a, b := socketpair(t)
			cfg := s.goClient(0)
			c.client(cfg)
			raw := netConn(t, a)
			told := make(chan error)
			go func() {
				peer := tls.Client(raw, cfg)
				_, err := peer.Read(make([]byte, 1)) // with 1.3 the client learns of it after its own handshake
				told <- err
			}()
			w := newWorker(new(sockets))
			server := w.Server(b, c.server)
			err := handshakeOn(t, server)
			if err == nil {
				t.Fatal("the handshake succeeded")
			}
			if server.Failure() != c.want {
				t.Errorf("failure %v, want %v: %v", server.Failure(), c.want, err)
			}
			if server.Err() != err || server.Held() != 0 {
				t.Errorf("Err is %v, %d bytes are held", server.Err(), server.Held())
			}
			server.Close()
			unix.Shutdown(b, unix.SHUT_WR)
			if err := <-told; c.alert != "" && !strings.Contains(err.Error(), c.alert) {
				t.Errorf("the client was told %q, want %q", err, c.alert)
			}
			if n := w.blocks.InUse(); n != 0 {
				t.Errorf("%d bytes of blocks were not given back", n)
			}
		})
	}
}

func TestWhatIsNotTLS(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		s := newSite(t, version, "p256")
		for _, c := range []struct {
			said  string
			want  Failure
			alert byte // 0: not a byte is answered
		}{
			{"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", FailPlainHTTP, 0},
			{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", FailPlainHTTP, 0},
			{"OPTIONS * HTTP/1.1\r\n\r\n", FailPlainHTTP, 0},
			{"SSH-2.0-OpenSSH_9.6\r\n", FailNotTLS, 0},
			{"\x00\x00\x00\x00\x00\x00", FailNotTLS, 0},
			{"\x80\x2e\x01\x00\x02\x00\x15\x00\x00", FailVersion, 70},      // SSLv2
			{"\x17\x03\x03\x00\x01x", FailNotTLS, 0},                       // data before a handshake
			{"\x16\x03\x01\xff\xff", FailProtocol, 22},                     // too long a record
			{"\x16\x03\x01\x00\x04\x01\xff\xff\xff", FailLocal, 80},        // a ClientHello of 16 MiB
			{"\x16\x03\x01\x00\x04\x02\x00\x00\x00", FailProtocol, 50},     // a ServerHello
			{"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", FailProtocol, 50}, // a ClientHello of nothing
			{"\x15\x03\x01\x00\x02\x02\x28", FailPeerAlert, 0},             // an alert instead of a ClientHello
			{"\x15\x03\x01\x00\x02\x01\x00", FailEndedEarly, 0},            // close_notify
		} {
			w := newWorker(new(sockets))
			a, b := socketpair(t)
			unix.Write(a, []byte(c.said))
			server := w.Server(b, s.server)
			done, _, err := server.Handshake()
			if done || err == nil || server.Failure() != c.want {
				t.Errorf("%q: %v, %v, %v", c.said, done, err, server.Failure())
			}
			if (c.want == FailPlainHTTP) != errors.Is(err, ErrPlainHTTP) {
				t.Errorf("%q: %v", c.said, err)
			}
			p := make([]byte, 100)
			n, _ := unix.Read(a, p)
			switch n = max(n, 0); {
			case c.alert == 0 && n > 0, c.alert > 0 && (n != 7 || p[0] != 21 || p[6] != c.alert):
				t.Errorf("%q was answered %x", c.said, p[:n])
			}
			server.Close()
			if n := w.blocks.InUse(); n != 0 {
				t.Errorf("%q: %d bytes of blocks were not given back", c.said, n)
			}
		}
	})
}

func TestRefuse(t *testing.T) {
	s := newSite(t, tls.VersionTLS13, "p256")
	a, b := socketpair(t)
	told := make(chan error)
	raw := netConn(t, a)
	go func() { told <- tls.Client(raw, s.goClient(0)).Handshake() }()
	server := newWorker(new(sockets)).Server(b, s.server)
	server.Refuse()
	if done, io, err := server.Handshake(); done || io != netio.Failed || err == nil {
		t.Errorf("Handshake after Refuse: %v, %d, %v", done, io, err)
	}
	server.Close()
	var op *net.OpError
	if err := <-told; !errors.As(err, &op) || op.Op != "remote error" {
		t.Errorf("the client was told %v", err)
	}
}

// A ClientHello may be longer than the first block, and may come in several records.
func TestLongAndSplitClientHello(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		s := newSite(t, version, "p256")
		var protos []string
		for i := range 100 {
			protos = append(protos, strings.Repeat(string(rune('a'+i%26)), 100))
		}
		cfg := clientConfig(t, &ClientOptions{CAPEM: s.ca.pem(), ALPN: append(protos, "h2"), MaxVersion: version})
		w := newWorker(new(sockets))
		a, b := socketpair(t)
		client, server := w.Client(a, cfg.Peer("s", "example.com", "")), w.Server(b, s.server)
		defer client.Close()
		defer server.Close()
		far, near := socketpair(t)
		client.fd = int32(near)
		client.Handshake()
		client.fd = int32(a)
		hello := make([]byte, 20_000)
		n, _ := unix.Read(far, hello)
		body := hello[recordHeaderBytes:n]
		if len(body) < 10_000 {
			t.Fatalf("a hello of %d bytes", len(body))
		}
		for len(body) > 0 { // three records
			part := body[:min(len(body), 4000)]
			body = body[len(part):]
			unix.Write(a, append([]byte{22, 3, 1, byte(len(part) >> 8), byte(len(part))}, part...))
			if _, io, err := server.Handshake(); err != nil || io != netio.Again {
				t.Fatal(io, err)
			}
		}
		drive(t, client, server)
		if server.State().ALPN != "h2" {
			t.Errorf("ALPN %q", server.State().ALPN)
		}
	})
}

func TestALPNOfTheServerIsPreferred(t *testing.T) {
	s := newSite(t, tls.VersionTLS13, "p256")
	cfg := clientConfig(t, &ClientOptions{CAPEM: s.ca.pem(), ALPN: []string{"http/1.1", "h2"}})
	w := newWorker(new(sockets))
	a, b := socketpair(t)
	client, server := w.Client(a, cfg.Peer("s", "example.com", "")), w.Server(b, s.server)
	defer client.Close()
	defer server.Close()
	drive(t, client, server)
	if client.State().ALPN != "h2" || server.State().ALPN != "h2" {
		t.Errorf("client %q, server %q", client.State().ALPN, server.State().ALPN)
	}
}

func TestMisusePanics(t *testing.T) {
	s := newSite(t, tls.VersionTLS13, "p256")
	_, b := socketpair(t)
	server := newWorker(new(sockets)).Server(b, s.server)
	for name, f := range map[string]func(){
		"Recv before the handshake":  func() { server.Recv(make([]byte, 1)) },
		"Send before the handshake":  func() { server.Send([]byte("x")) },
		"SendV before the handshake": func() { server.SendV([][]byte{[]byte("x")}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("no panic: %s", name)
				}
			}()
			f()
		}()
	}
	server.CloseNotify()
	server.Idle()
	server.Close()
	if server.Backlog() != 0 {
		t.Error("something was said before the handshake")
	}
}
