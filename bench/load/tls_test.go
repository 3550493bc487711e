package load

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2"
)

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func kilobyte(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, 1<<10)) }

func tlsServer(t *testing.T) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(kilobyte),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate(t)}}}
	if err := http2.ConfigureServer(server, nil); err != nil {
		t.Fatal(err)
	}
	go server.ServeTLS(ln, "", "")
	t.Cleanup(func() { server.Close() })
	return netip.MustParseAddrPort(ln.Addr().String())
}

func TestTLS(t *testing.T) {
	addr := tlsServer(t)
	for name, change := range map[string]func(*Job){
		"keep-alive": func(j *Job) { j.TLS = Full },
		"full":       func(j *Job) { j.TLS, j.PerRequest = Full, true },
		"resumed":    func(j *Job) { j.TLS, j.PerRequest = Resumed, true },
		"cold":       func(j *Job) { j.TLS, j.PerRequest, j.Warmup, j.Duration = Resumed, true, 1, 1 },
		"h2":         func(j *Job) { j.TLS, j.Protocol, j.Streams = Full, H2, 8 },
		"idle":       func(j *Job) { j.TLS, j.Idle.Conns = Full, 20 },
		"open loop":  func(j *Job) { j.TLS, j.Rate = Full, 500 },
	} {
		t.Run(name, func(t *testing.T) {
			j := job(addr)
			change(j)
			r := run(t, j)
			mustWork(t, r)
			info := r.TLSInfo
			if info == nil || info.Version != "TLS 1.3" || info.Curve != "X25519" {
				t.Fatalf("negotiated %+v", info)
			}
			if j.TLS == Resumed && 2*info.Resumed < info.Handshakes || j.TLS == Full && info.Resumed > 0 {
				t.Errorf("%d of %d handshakes resumed", info.Resumed, info.Handshakes)
			}
			if want := map[Protocol]string{H1: "http/1.1", H2: "h2"}[j.Protocol]; info.ALPN != want {
				t.Errorf("ALPN %q, want %q", info.ALPN, want)
			}
		})
	}
}

func TestH3(t *testing.T) {
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http3.Server{Handler: http.HandlerFunc(kilobyte),
		TLSConfig: http3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{certificate(t)}})}
	go server.Serve(udp)
	t.Cleanup(func() { server.Close(); udp.Close() })
	for name, change := range map[string]func(*Job){
		"closed":  func(j *Job) {},
		"open":    func(j *Job) { j.Rate = 300 },
		"counted": func(j *Job) { j.Requests = 55 },
	} {
		t.Run(name, func(t *testing.T) {
			j := job(netip.MustParseAddrPort(udp.LocalAddr().String()))
			j.Protocol, j.TLS, j.Streams, j.Conns = H3, Full, 4, 2
			change(j)
			r := run(t, j)
			mustWork(t, r)
			if j.Requests > 0 && r.Completed != j.Requests {
				t.Errorf("completed %d of %d", r.Completed, j.Requests)
			}
		})
	}
}
