package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// leafOf is the certificate of a name in $FILES.
func leafOf(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(keyPair(name).Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func wantLeaf(t *testing.T, what string, p *peer, name string) {
	t.Helper()
	if got := p.state().PeerCertificates[0]; !got.Equal(leafOf(t, name)) {
		t.Errorf("%s: got a certificate for %v (%v), want %s", what, got.DNSNames, got.PublicKeyAlgorithm, name)
	}
}

// get asks for a path over HTTP/1 and wants the hello of the server.
func (p *peer) get(t *testing.T, hostname, path string) *message {
	t.Helper()
	p.ask("GET "+path+" HTTP/1.1", "Host: "+hostname)
	return p.response().want(t, ok, "", "hello")
}

func TestTLSCertificateChoice(t *testing.T) {
	t.Parallel()
	w := start(t, behind(site("site", "site-rsa", "other"), setup{servers: []*origin{httpOrigin(t, sayHello)}}))
	onlyRSA := func(c *tls.Config) {
		c.MaxVersion = tls.VersionTLS12
		c.CipherSuites = []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	}
	blind := func(c *tls.Config) { c.InsecureSkipVerify = true }
	for _, c := range []struct {
		what, sni, want string
		change          func(*tls.Config)
	}{
		{"exact name", "a.example", "site", nil},
		{"another exact name", "b.example", "other", nil},
		{"wildcard", "www.a.example", "site", nil},
		{"case does not matter", "B.Example", "other", nil},
		{"wildcard of one label only", "x.www.a.example", "site", blind},
		{"unknown name: the default", "nobody.example", "site", blind},
		{"no name: the default", "", "site", blind},
		{"RSA client", "a.example", "site-rsa", onlyRSA},
		{"RSA client, wildcard", "www.a.example", "site-rsa", onlyRSA},
	} {
		cfg := asClient(c.sni)
		if c.change != nil {
			c.change(cfg)
		}
		p := w.dialTLS(t, cfg)
		wantLeaf(t, c.what, p, c.want)
		p.get(t, "a.example", "/")
		p.close()
	}
	if _, err := w.tryTLS(asClient("b.example", onlyRSA)); err == nil {
		t.Error("a client of RSA has shaken hands for a name that has no such certificate and no default that fits")
	} else if strings.Contains(err.Error(), "verify") && !strings.Contains(err.Error(), "b.example") {
		t.Error(err)
	}
}

func TestTLSVersionsAndALPN(t *testing.T) {
	t.Parallel()
	w := start(t, behind(site("site"), setup{servers: []*origin{httpOrigin(t, sayHello)}}))
	strict := start(t, behind(site("site")+"min-version = \"1.3\"\n", setup{bind: `alpn = ["http/1.1"]`, servers: []*origin{httpOrigin(t, sayHello)}}))
	version := func(v uint16) func(*tls.Config) { return func(c *tls.Config) { c.MinVersion, c.MaxVersion = v, v } }
	offer := func(p ...string) func(*tls.Config) { return func(c *tls.Config) { c.NextProtos = p } }
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		p := w.dialTLS(t, asClient("a.example", version(v), offer("http/1.1")))
		if got := p.state(); got.Version != v || got.NegotiatedProtocol != "http/1.1" {
			t.Errorf("version %x, ALPN %q", got.Version, got.NegotiatedProtocol)
		}
		p.get(t, "a.example", "/")
	}
	for _, v := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
		if _, err := w.tryTLS(asClient("a.example", version(v))); err == nil {
			t.Errorf("version %x is taken", v)
		}
	}
	if _, err := strict.tryTLS(asClient("a.example", version(tls.VersionTLS12))); err == nil {
		t.Error("TLS 1.2 is taken although 1.3 is the least")
	}
	if got := strict.dialTLS(t, asClient("a.example", offer("h2", "http/1.1"))).state().NegotiatedProtocol; got != "http/1.1" {
		t.Errorf("ALPN %q where only http/1.1 is spoken", got)
	}
	if got := w.dialTLS(t, asClient("a.example", offer("http/1.1", "h2"))).state().NegotiatedProtocol; got != "h2" {
		t.Errorf("ALPN %q, want what weir prefers", got)
	}
	if _, err := w.tryTLS(asClient("a.example", offer("gopher"))); err == nil {
		t.Error("a client that speaks nothing of ours is taken")
	}
	p := w.dialTLS(t, asClient("a.example"))
	if got := p.state().NegotiatedProtocol; got != "" {
		t.Errorf("ALPN %q although none was offered", got)
	}
	p.get(t, "a.example", "/")
}

// remembers has a client remember its sessions, and shake hands in one version.
func remembers(v uint16) (func(*tls.Config), *sessionsKept) {
	kept := &sessionsKept{arrived: make(chan struct{}, 64), all: map[string]*tls.ClientSessionState{}}
	return func(c *tls.Config) { c.MinVersion, c.MaxVersion, c.ClientSessionCache = v, v, kept }, kept
}

// sessionsKept is a cache of sessions that hands any session to any name: what a hostile client does.
type sessionsKept struct {
	mu      sync.Mutex
	all     map[string]*tls.ClientSessionState
	last    *tls.ClientSessionState
	any     bool
	arrived chan struct{}
}

func (k *sessionsKept) Get(key string) (*tls.ClientSessionState, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.all[key]
	if k.any {
		s = k.last
	}
	return s, s != nil
}

func (k *sessionsKept) Put(key string, s *tls.ClientSessionState) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all[key] = s
	if s != nil {
		k.last = s
		select {
		case k.arrived <- struct{}{}:
		default:
		}
	}
}

var versions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

func eachVersion(t *testing.T, dialogue func(t *testing.T, v uint16)) {
	t.Parallel()
	for name, v := range versions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dialogue(t, v)
		})
	}
}

func TestTLSResumption(t *testing.T) {
	eachVersion(t, func(t *testing.T, v uint16) {
		w := start(t, behind(site("site", "other"), setup{global: "access-log = \"$DIR/access.log\"\n", servers: []*origin{httpOrigin(t, sayHello)}}))
		change, _ := remembers(v)
		for i := range 3 {
			p := w.dialTLS(t, asClient("a.example", change))
			if p.state().DidResume != (i > 0) {
				t.Errorf("handshake %d: resumed %v", i, p.state().DidResume)
			}
			p.get(t, "a.example", fmt.Sprint("/", i))
			p.close()
		}
		w.wantMetric(1, "weir_frontend_tls_handshakes_total", "resumed", "false")
		w.wantMetric(2, "weir_frontend_tls_handshakes_total", "resumed", "true")
		var lines []map[string]any
		eventually(t, "the log has three lines", func() bool {
			lines = w.logLines()
			return len(lines) == 3
		})
		word := map[uint16]string{tls.VersionTLS12: "TLSv1.2", tls.VersionTLS13: "TLSv1.3"}[v]
		for i, l := range lines {
			if l["tls_version"] != word || l["tls_resumed"] != (i > 0) {
				t.Errorf("logged tls_version %v, tls_resumed %v for handshake %d", l["tls_version"], l["tls_resumed"], i)
			}
		}
		// A reload that changes nothing of the site does not cost a session.
		w.rewrite(func(s *setup) { s.backend = "max-errors = 4\n" })
		w.reload()
		if p := w.dialTLS(t, asClient("a.example", change)); !p.state().DidResume {
			t.Error("a reload has cost the session")
		}
	})
}

// logLines is the access log so far.
func (w *weir) logLines() (lines []map[string]any) {
	b, _ := os.ReadFile(filepath.Join(w.dir, "access.log"))
	for l := range bytes.Lines(b) {
		var m map[string]any
		if json.Unmarshal(l, &m) == nil {
			lines = append(lines, m)
		}
	}
	return lines
}

// A ticket of one virtual host is of no use at another, though the same process and listener made it.
func TestTLSTicketOfAnotherHost(t *testing.T) {
	eachVersion(t, func(t *testing.T, v uint16) {
		w := start(t, behind(site("site", "other"), setup{servers: []*origin{httpOrigin(t, sayHello)}}))
		change, kept := remembers(v)
		blind := func(c *tls.Config) { c.InsecureSkipVerify = true } // else the client itself would not offer it
		p := w.dialTLS(t, asClient("a.example", change, blind))
		p.get(t, "a.example", "/")
		kept.any = true
		p = w.dialTLS(t, asClient("b.example", change, blind))
		if p.state().DidResume {
			t.Error("the session of a.example was resumed at b.example")
		}
		wantLeaf(t, "b.example", p, "other")
		p.get(t, "b.example", "/")
	})
}

// asMember is a client with a certificate.
func asMember(name string) func(*tls.Config) {
	pair := keyPair(name)
	return func(c *tls.Config) {
		// Sent whoever is said to be trusted: what is tested is what weir makes of it.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
}

// refused wants a connection that is not served: the handshake fails, or what is sent after it is answered by an alert.
func (w *weir) refused(t *testing.T, what string, c *tls.Config) {
	t.Helper()
	s, err := w.tryTLS(c)
	if err != nil {
		return
	}
	defer s.Close()
	_ = s.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(s, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
	b, err := io.ReadAll(s)
	if len(b) > 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%s: not refused with an alert, but %q, %v", what, clip(b), err)
	}
}

func TestTLSClientCertificates(t *testing.T) {
	eachVersion(t, func(t *testing.T, v uint16) {
		change, _ := remembers(v)
		back := httpOrigin(t, sayHello)
		demand := start(t, behind(site("site")+"client-auth = \"require\"\nclient-ca = \"$FILES/ca.pem\"\n", setup{servers: []*origin{back}}))
		demand.dialTLS(t, asClient("a.example", change, asMember("client"))).get(t, "a.example", "/")
		p := demand.dialTLS(t, asClient("a.example", change, asMember("client")))
		if !p.state().DidResume {
			t.Error("a client with a certificate cannot resume")
		}
		p.get(t, "a.example", "/")
		fresh := func(c *tls.Config) { c.ClientSessionCache = nil }
		demand.refused(t, "no certificate", asClient("a.example", change, fresh))
		demand.refused(t, "a stranger's certificate", asClient("a.example", change, fresh, asMember("stranger")))

		request := start(t, behind(site("site")+"client-auth = \"request\"\nclient-ca = \"$FILES/ca.pem\"\n", setup{servers: []*origin{back}}))
		request.dialTLS(t, asClient("a.example", change, fresh)).get(t, "a.example", "/")
		request.dialTLS(t, asClient("a.example", change, fresh, asMember("client"))).get(t, "a.example", "/")
		request.refused(t, "a stranger's certificate where it is only asked for", asClient("a.example", change, fresh, asMember("stranger")))
	})
}

// A reload that changes whom the site trusts ends what those it trusted before could resume.
func TestTLSClientCAChanged(t *testing.T) {
	eachVersion(t, func(t *testing.T, v uint16) {
		table := func(ca string) string {
			return site("site") + "client-auth = \"require\"\nclient-ca = \"$FILES/" + ca + ".pem\"\n"
		}
		w := start(t, behind(table("ca"), setup{servers: []*origin{httpOrigin(t, sayHello)}}))
		change, _ := remembers(v)
		member := w.dialTLS(t, asClient("a.example", change, asMember("client")))
		member.get(t, "a.example", "/")
		w.rewrite(func(s *setup) { s.tables = strings.Replace(s.tables, "/ca.pem", "/other-ca.pem", 1) })
		w.reload()
		w.refused(t, "the session of a client that is trusted no longer", asClient("a.example", change, asMember("client")))
		w.dialTLS(t, asClient("a.example", func(c *tls.Config) { c.MaxVersion = v }, asMember("stranger"))).get(t, "a.example", "/")
		w.wantMetric(0, "weir_frontend_tls_handshakes_total", "resumed", "true")
	})
}

func TestTLSStaple(t *testing.T) {
	eachVersion(t, func(t *testing.T, v uint16) {
		leaf := leafOf(t, "site")
		staple, err := ocsp.CreateResponse(ourCA.cert, ourCA.cert, ocsp.Response{
			Status: ocsp.Good, SerialNumber: leaf.SerialNumber, ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour),
		}, ourCA.key)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "ocsp.der")
		if err := os.WriteFile(file, staple, 0o600); err != nil {
			t.Fatal(err)
		}
		table := `certificates = [{ cert = "$FILES/site.pem", key = "$FILES/site.key", ocsp = "` + file + `" }]`
		w := start(t, behind(table, setup{servers: []*origin{httpOrigin(t, sayHello)}}))
		change, _ := remembers(v)
		if got := w.dialTLS(t, asClient("a.example", change)).state().OCSPResponse; !bytes.Equal(got, staple) {
			t.Errorf("%d bytes of OCSP response, want the %d of the file", len(got), len(staple))
		}
	})
}

// New files take effect with a reload, and no connection notices.
func TestTLSCertificateReload(t *testing.T) {
	t.Parallel()
	w := start(t, behind(site("site"), setup{servers: []*origin{httpOrigin(t, sayHello)}}))
	w.copyFile("site.pem", "own.pem")
	w.copyFile("site.key", "own.key")
	w.rewrite(func(s *setup) {
		s.tables = strings.ReplaceAll(s.tables, "$FILES/site.", "$DIR/own.")
	})
	w.reload()
	old := w.dialTLS(t, asClient("a.example"))
	old.get(t, "a.example", "/before")
	wantLeaf(t, "before", old, "site")

	w.copyFile("server.pem", "own.pem") // also good for a.example
	w.copyFile("server.key", "own.key")
	p := w.dialTLS(t, asClient("a.example"))
	wantLeaf(t, "files changed, no reload", p, "site")
	w.reload()
	p = w.dialTLS(t, asClient("a.example"))
	wantLeaf(t, "after", p, "server")
	p.get(t, "a.example", "/new")
	for range 2 {
		old.ask("GET /after HTTP/1.1", host)
		old.response().want(t, ok, "-Connection", "", "hello")
	}

	w.copyFile("other.key", "own.key") // of another certificate: nothing changes
	if status, _, errs := w.run("reload"); status != 1 || !strings.Contains(errs, "own.key") {
		t.Errorf("status %d, %q", status, errs)
	}
	p = w.dialTLS(t, asClient("a.example"))
	wantLeaf(t, "after a reload that was refused", p, "server")
}

// hello is what a client of TLS sends first.
func clientHello(t *testing.T) []byte {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		_ = far.SetDeadline(time.Now().Add(patience))
		_ = tls.Client(far, asClient("a.example")).Handshake()
		_ = far.Close()
	}()
	b := make([]byte, 16<<10)
	n, err := near.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// Clients that break off, stop, or send what is no TLS in the middle of a handshake leave nothing behind.
func TestTLSHandshakesThatEndEarly(t *testing.T) {
	t.Parallel()
	w := start(t, behind(site("site"), setup{
		servers:  []*origin{httpOrigin(t, sayHello)},
		frontend: `timeouts = "t"`, tables: "[timeouts.t]\nhttp-request = \"300ms\"\n",
	}))
	first := clientHello(t)
	dial := func() *peer {
		conn, err := net.DialTimeout("tcp", w.front(), patience)
		if err != nil {
			t.Fatal(err)
		}
		return newPeer(t, conn)
	}
	for cut := 0; cut <= len(first); cut += 1 + len(first)/20 {
		p := dial()
		_ = p.trySend(string(first[:cut])) // on a busy machine its time may be over by now
		switch cut % 3 {
		case 0:
			_ = p.conn.(*net.TCPConn).CloseWrite()
			p.gone()
		case 1:
			p.abort()
		default:
			p.gone() // it stops: its time is bounded
		}
	}
	for _, junk := range []string{"GET / HTTP/1.1\r\n\r\n", strings.Repeat("\x00", 600), "\x16\x03\x01\xff\xff" + strings.Repeat("x", 600)} {
		p := dial()
		_ = p.trySend(junk)
		p.gone()
	}
	p := dial()
	_ = p.trySend(string(first)) // the server's part comes; the client's last message never does
	p.gone()
	w.wantMetric(0, "weir_frontend_connections")
	w.rewrite(func(s *setup) { s.tables = strings.Replace(s.tables, "300ms", "10m", 1) })
	w.reload()
	w.dialTLS(t, asClient("a.example")).get(t, "a.example", "/")
}

// A thousand handshakes at once, while a client that has shaken hands before goes on being served. How fast is logged:
// with -v it is seen what the crowd does to the others' latency.
func TestTLSManyHandshakesAtOnce(t *testing.T) {
	t.Parallel()
	w := start(t, behind(site("site"), setup{
		servers: []*origin{httpOrigin(t, sayHello)}, backend: `reuse = "always"`,
		frontend: `timeouts = "long"`, tables: "[timeouts.long]\nhttp-request = \"2m\"\n",
	}))
	settled := w.dialTLS(t, asClient("a.example"))
	var alone, amid []time.Duration
	ask := func(took *[]time.Duration) {
		began := time.Now()
		settled.get(t, "a.example", "/")
		*took = append(*took, time.Since(began))
	}
	for range 500 {
		ask(&alone)
	}
	turns := func(longerThan string) float64 {
		return w.metric("weir_worker_loop_seconds_count") - w.metric("weir_worker_loop_seconds_bucket", "le", longerThan)
	}
	before := turns("0.005")
	const many = 1000
	done := make(chan error, many)
	for range many {
		go func() { done <- w.newcomer() }()
	}
	for n := 0; n < many; {
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("handshake: %v", err)
			}
			n++
		default:
			ask(&amid)
		}
	}
	if len(amid) == 0 {
		t.Error("the other client was not served meanwhile")
	}
	t.Logf("alone: %s; amid %d handshakes: %s; %v turns took more than 5 ms", quantiles(alone), many, quantiles(amid), turns("0.005")-before)
	w.wantMetric(many+1, "weir_frontend_tls_handshakes_total")
}

// newcomer shakes hands, asks once and leaves.
func (w *weir) newcomer() error {
	conn, err := net.DialTimeout("tcp", w.front(), 8*patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(8 * patience))
	s := tls.Client(conn, asClient("a.example"))
	if _, err := io.WriteString(s, "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	b, err := io.ReadAll(s)
	if err == nil && !bytes.HasPrefix(b, []byte(ok)) {
		err = fmt.Errorf("got %q", clip(b))
	}
	return err
}

// quantiles says how long things took.
func quantiles(took []time.Duration) string {
	slices.Sort(took)
	at := func(q float64) time.Duration { return took[int(q*float64(len(took)-1))].Round(time.Microsecond) }
	return fmt.Sprintf("%d requests, p50 %v, p99 %v, most %v", len(took), at(0.5), at(0.99), at(1))
}

// What max-ssl-conn and max-ssl-rate do not let in is told so by an alert, not by silence.
func TestTLSLimits(t *testing.T) {
	t.Parallel()
	for axis, limits := range map[string]string{
		"max-ssl-conn": "max-ssl-conn = 1", "max-ssl-rate": "max-ssl-rate = 1",
	} {
		t.Run(axis, func(t *testing.T) {
			t.Parallel()
			w := start(t, behind(site("site"), setup{
				servers: []*origin{httpOrigin(t, sayHello)}, frontend: `limits = "tight"`,
				tables: "[limits.tight]\nqueue-depth = 0\nqueue-timeout = \"100ms\"\n" + limits + "\n",
			}))
			first := w.dialTLS(t, asClient("a.example"))
			first.get(t, "a.example", "/")
			_, err := w.tryTLS(asClient("a.example"))
			var alert tls.AlertError
			if err == nil || !errors.As(err, &alert) && !strings.Contains(err.Error(), "remote error: tls:") {
				t.Errorf("the second handshake ends with %v, not with an alert", err)
			}
			if w.metric("weir_limit_hits_total", "axis", axis) == 0 {
				t.Errorf("no hit of %s is counted", axis)
			}
			first.get(t, "a.example", "/") // who is in stays in
		})
	}
}
