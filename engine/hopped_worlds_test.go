package engine

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/internal/sim"
	"weir/internal/stats"
	"weir/netio"
)

// hop makes requests pass the proxy twice: what clients ask web for goes to a backend whose only server is another frontend
// of the same process, and from there to api. Clients and servers of the simulated world speak h1 in the clear; the hop
// speaks TLS, h2, or both, with a client and a server that are known to be right about nothing but each other.
//
//	patrons ──h1──► web ──► hop ──(TLS, h2)──► inner ──► api ──h1──► servants
func hop(t testing.TB, secure, h2 bool, keys string) string {
	bind, server := "", keys
	more := "[timeouts.inner]\nhttp-keep-alive = \"10m\"\nserver = \"1m\"\nclient = \"1m\"\n"
	if secure {
		cert, key := siteFiles(t)
		more += fmt.Sprintf("[tls.site]\ncertificates = [{ cert = %q, key = %q }]\n", cert, key)
		bind = `, tls = "site", alpn = ["h2", "http/1.1"]`
		server += fmt.Sprintf("tls = { enabled = true, sni = \"a.example\", ca = %q }\n", cert)
	}
	switch {
	case h2 && secure:
		server += "h2 = true\n"
	case h2:
		server += "h2 = \"h2c\"\n"
	}
	return more +
		"[frontend.inner]\nbind = [{ address = \"192.0.2.1:443\"" + bind + " }]\nbackend = \"api\"\ntimeouts = \"inner\"\nlimits = \"some\"\n" +
		"[backend.hop]\ntimeouts = \"inner\"\nlimits = \"some\"\n" + server + "servers = [{ name = \"inner\", address = \"192.0.2.1:443\" }]\n"
}

// siteFiles makes a certificate for a.example that vouches for itself.
func siteFiles(t testing.TB) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"a.example", "example.com"}, IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)},
		IsCA: true, BasicConstraintsValid: true, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(crand.Reader, c, c, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("site.pem", "CERTIFICATE", der), write("site.key", "PRIVATE KEY", pkcs8)
}

// hoppedWorld is a world in which every request passes the hop and must still get exactly what its server did with it.
func hoppedWorld(t *testing.T, seed uint64, secure, h2, losses bool) {
	rnd := rand.New(rand.NewPCG(seed, 6))
	c := &terms{limits: allOff, backend: "max-errors = 0\nreuse = \"always\"\n", servers: []string{""}, frontend: "limits = \"some\"\n"}
	c.limits += fmt.Sprintf("max-buffer-size = %q\n", pick(rnd, "16KiB", "64KiB", "128KiB", "256KiB"))
	c.hop = hop(t, secure, h2, fmt.Sprintf("max-errors = 0\nreuse = %q\n", pick(rnd, "never", "safe", "aggressive", "always")))
	c.server = "1m"
	kinds := kindsGood
	if losses {
		c.server, kinds = "", kindsAll
	}
	r := newRig(t, seed, 1+rnd.IntN(2), c.text())
	scatter(r.net, rnd)
	town := newTown(r)
	town.populate(1, 2+rnd.IntN(10), kinds)
	town.idleMax = 0
	for _, p := range town.patrons {
		p.slow = rnd.IntN(2) == 0
	}
	if losses {
		r.net.Faults.Reset, r.net.Faults.NoFiles = 0.01*rnd.Float64(), 0.1*rnd.Float64()
		town.pester(rnd, rnd.IntN(10))
	}
	r.must("all patrons have left", 10*time.Minute, town.gone)
	if n := r.closed("hop", "inner", stats.CauseGoaway); n > 0 && !losses {
		t.Errorf("seed %d: %d connections were ended that had not been idle for long", seed, n)
	}
	r.net.Faults = sim.Faults{}
	r.run(100 * time.Millisecond) // who is still on the way here arrives before the listeners close
	r.finish()
	town.settle(strict{losses: losses, hop: true})
}

// hops are the ways over the hop.
func hops(t *testing.T, world func(t *testing.T, secure, h2 bool)) {
	for _, h2 := range []bool{false, true} {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("h2=%v/tls=%v", h2, secure), func(t *testing.T) { world(t, secure, h2) })
		}
	}
}

// TestHoppedWorlds: the calm worlds once more, over the other transports and protocols.
func TestHoppedWorlds(t *testing.T) {
	hops(t, func(t *testing.T, secure, h2 bool) {
		seeds(t, 40, func(t *testing.T, seed uint64) { hoppedWorld(t, seed, secure, h2, false) })
	})
}

// TestLossyHoppedWorlds: connections are reset at any byte, in the middle of handshakes and frames, and servers do everything
// wrong. Nothing hangs, nothing is delivered twice, and nothing is left.
func TestLossyHoppedWorlds(t *testing.T) {
	hops(t, func(t *testing.T, secure, h2 bool) {
		seeds(t, 40, func(t *testing.T, seed uint64) { hoppedWorld(t, seed, secure, h2, true) })
	})
}

// TestReloadedHoppedWorlds: both sides of an h2 hop change all the time. The old connections say GOAWAY, twice, and what they
// had not taken goes to the new ones: no patron notices, whatever the method (RFC 9113 section 6.8).
func TestReloadedHoppedWorlds(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls=%v", secure), func(t *testing.T) {
			seeds(t, 40, func(t *testing.T, seed uint64) { reloadedHoppedWorld(t, seed, secure) })
		})
	}
}

func reloadedHoppedWorld(t *testing.T, seed uint64, secure bool) {
	rnd := rand.New(rand.NewPCG(seed, 7))
	c := &terms{limits: allOff, backend: "reuse = \"always\"\n", servers: []string{""}, server: "1m"}
	before := hop(t, secure, true, "reuse = \"always\"\n")
	change := func() string {
		c.hop = strings.Replace(before, "[backend.hop]\n", fmt.Sprintf("h2-max-concurrent-streams = %d\n[backend.hop]\nmax-reuse = %d\n",
			1+rnd.IntN(100), 1000+rnd.IntN(2)), 1)
		return c.text()
	}
	r := newRig(t, seed, 1+rnd.IntN(2), change())
	scatter(r.net, rnd)
	town := newTown(r)
	town.populate(1, 5+rnd.IntN(10), kindsGood)
	town.idleMax = 0
	left := 1 + rnd.IntN(10)
	var again func()
	again = func() {
		if left--; left > 0 {
			r.net.After(time.Duration(rnd.IntN(60))*time.Millisecond, func() { r.reload(change(), again) })
		}
	}
	again()
	r.must("all patrons have left", 5*time.Minute, func() bool { return left <= 0 && town.gone() })
	r.finish()
	town.settle(strict{hop: true})
}

// mouth is one end of a tunnel: it says all of its text as soon as the tunnel stands, and hears what the other end says.
type mouth struct {
	opening string // what it sends first
	await   string // what ends the other side's head
	reply   string // its answer to that
	says    string
	wants   int
	heard   []byte
	head    bool // the head of the other side is complete
	ended   bool
	early   int // bytes of the text that go along with the reply
}

func (m *mouth) Open(p *sim.Peer) { p.Send(m.opening) }

func (m *mouth) Data(p *sim.Peer, b []byte) {
	m.heard = append(m.heard, b...)
	if !m.head {
		_, rest, ok := strings.Cut(string(m.heard), m.await)
		if !ok {
			return
		}
		m.head, m.heard = true, []byte(rest)
		p.Send(m.reply + m.says[:m.early])
		p.Send(m.says[m.early:])
	}
	if len(m.heard) == m.wants {
		p.ShutdownSend()
	}
}

func (m *mouth) End(p *sim.Peer, _ netio.IO) {
	m.ended = true
	p.Close()
}

// TestHoppedTunnels: what is said in a tunnel arrives whole and ends with its ends, in both directions at once, over every kind
// of hop and whatever the buffers.
func TestHoppedTunnels(t *testing.T) {
	hops(t, func(t *testing.T, secure, h2 bool) {
		seeds(t, 40, func(t *testing.T, seed uint64) { hoppedTunnel(t, seed, secure, h2) })
	})
}

func hoppedTunnel(t *testing.T, seed uint64, secure, h2 bool) {
	rnd := rand.New(rand.NewPCG(seed, 8))
	c := &terms{limits: allOff, servers: []string{""}, frontend: "limits = \"some\"\n", server: "1m"}
	c.limits += fmt.Sprintf("max-buffer-size = %q\n", pick(rnd, "16KiB", "64KiB", "128KiB", "256KiB"))
	c.hop = hop(t, secure, h2, "")
	r := newRig(t, seed, 1, c.text())
	scatter(r.net, rnd)
	up, down := pattern(1, rnd.IntN(400_000)), pattern(2, rnd.IntN(400_000))
	server := &mouth{await: "\r\n\r\n", says: down, wants: len(up), early: rnd.IntN(len(down) + 1),
		reply: "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"}
	client := &mouth{await: "\r\n\r\n", says: up, wants: len(down),
		opening: "GET /ws HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"}
	r.net.Server(serverOne, func() sim.Script { return server })
	r.net.Client(frontAddr, client)
	r.must("both have heard all", time.Minute, func() bool { return client.ended && server.ended })
	if string(client.heard) != down || string(server.heard) != up {
		t.Errorf("seed %d: the client heard %d bytes of %d, the server %d of %d", seed, len(client.heard), len(down), len(server.heard), len(up))
	}
	r.finish()
}

// TestHoppedStalls: readers of large bodies stop and go on, again and again, on one connection between the two sides. The windows
// of the hop become small and large with them (docs/decisions/h2-windows.md), and whoever reads gets on: nobody waits for a
// timeout, and all is over soon after the last pause.
func TestHoppedStalls(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls=%v", secure), func(t *testing.T) {
			seeds(t, 30, func(t *testing.T, seed uint64) { stalledWorld(t, seed, secure) })
		})
	}
}

func stalledWorld(t *testing.T, seed uint64, secure bool) {
	rnd := rand.New(rand.NewPCG(seed, 9))
	c := &terms{limits: allOff, backend: "reuse = \"always\"\n", servers: []string{""}, frontend: "limits = \"some\"\n", server: "1m"}
	c.limits += fmt.Sprintf("max-buffer-size = %q\n", pick(rnd, "16KiB", "64KiB", "128KiB", "256KiB"))
	c.hop = hop(t, secure, true, "reuse = \"always\"\n")
	r := newRig(t, seed, 1, c.text())
	scatter(r.net, rnd)
	town := newTown(r)
	town.serve(serverOne)
	for i := range 2 + rnd.IntN(6) {
		o := town.order(pick(rnd, "plain", "chunked"), pick(rnd, "GET", "GET", "POST"), 200_000+rnd.IntN(600_000))
		if o.method == "POST" {
			o.upload = rnd.IntN(400_000)
		}
		p := town.patron(50*time.Millisecond, o)
		p.from = netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i + 1)}), 0)
		p.pauses = rnd.IntN(8)
	}
	r.must("all patrons have left", 15*time.Second, town.gone)
	r.finish()
	town.settle(strict{hop: true})
}
