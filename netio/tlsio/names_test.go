package tlsio

import (
	"crypto/x509"
	"net"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestCoversAuthority(t *testing.T) {
	leaf := &x509.Certificate{
		DNSNames:    []string{"Example.com", "*.example.com", "*.deep.example.org", "xn--bcher-kva.example"},
		IPAddresses: []net.IP{net.ParseIP("192.0.2.1"), net.ParseIP("2001:db8::1")},
	}
	names := coverageOf(leaf)
	for authority, want := range map[string]bool{
		"example.com": true, "EXAMPLE.COM:443": true, "example.com.": true, "example.com.:443": true,
		"www.example.com": true, "a.b.example.com": false, ".example.com": false, "*.example.com": true,
		"deep.example.org": false, "x.deep.example.org:1": true, "example.org": false, "": false, ".": false, ":443": false,
		"xn--bcher-kva.example": true, "192.0.2.1": true, "192.0.2.1:8443": true, "192.0.2.2": false,
		"2001:db8::1": true, "[2001:db8::1]": true, "[2001:DB8:0::1]:443": true, "[2001:db8::2]:443": false,
		"[::ffff:192.0.2.1]": true, "[": false, "[]": false, "[]:443": false, "com": false, "example.com:": true,
		"example.com:abc": false, strings.Repeat("a", 300) + ".example.com": false,
	} {
		if got := names.covers(hostOf([]byte(authority))); got != want {
			t.Errorf("%q: %v, want %v", authority, got, want)
		}
	}
}

// The oracle is crypto/x509, which allocates for every question.
func TestCoversLikeX509(t *testing.T) {
	label := rapid.StringMatching(`[a-cA-C][a-c0-9-]{0,2}`)
	name := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(label, 1, 4).Draw(t, "labels"), ".")
	})
	rapid.Check(t, func(t *rapid.T) {
		var leaf x509.Certificate
		for range rapid.IntRange(1, 4).Draw(t, "names") {
			n := name.Draw(t, "name")
			if rapid.Bool().Draw(t, "wild") {
				n = "*." + n
			}
			leaf.DNSNames = append(leaf.DNSNames, n)
		}
		host := name.Draw(t, "host")
		if rapid.Bool().Draw(t, "related") {
			host = strings.Replace(leaf.DNSNames[0], "*", rapid.SampledFrom([]string{"a", "a.b", "xyz"}).Draw(t, "label"), 1)
		}
		if rapid.Bool().Draw(t, "dot") {
			host += "."
		}
		names := coverageOf(&leaf)
		if got, want := names.covers([]byte(host)), leaf.VerifyHostname(host) == nil; got != want {
			t.Fatalf("%q against %q: %v, crypto/x509 says %v", host, leaf.DNSNames, got, want)
		}
	})
}

// FuzzHost: nothing panics, and the port never decides.
func FuzzHost(f *testing.F) {
	for _, s := range []string{"example.com:443", "[::1]:1", "::1", "[", "a.:", "1.2.3.4", "%", "[fe80::1%eth0]:1"} {
		f.Add(s)
	}
	names := coverageOf(&x509.Certificate{DNSNames: []string{"example.com", "*.a"}, IPAddresses: []net.IP{net.ParseIP("::1")}})
	f.Fuzz(func(t *testing.T, s string) {
		host := hostOf([]byte(s))
		if !strings.HasPrefix(s, string(host)) {
			t.Fatalf("the host of %q is %q", s, host)
		}
		covered := names.covers(host)
		if with := names.covers(hostOf([]byte(string(host) + ":443"))); len(host) > 0 && !strings.Contains(string(host), ":") && with != covered {
			t.Fatalf("%q: %v, with a port %v", host, covered, with)
		}
	})
}

func TestCertificateForAName(t *testing.T) {
	ca := newAuthority(t, "test CA")
	server := serverConfig(t, &ServerOptions{Certificates: []CertSource{
		ca.issue(t, "rsa", nil, "default.example"),          // 0
		ca.issue(t, "p256", nil, "default.example"),         // 1: the other kind of the default
		ca.issue(t, "p384", nil, "*.example.com"),           // 2
		ca.issue(t, "rsa", nil, "www.example.com"),          // 3
		ca.issue(t, "ed25519", nil, "www.example.com"),      // 4
		ca.issue(t, "p256", nil, "www.example.com", "more"), // 5
		ca.issue(t, "p256", nil, "www.example.com"),         // 6: never, 5 is of the same kind
	}})
	const rsaOnly, ecdsaP256, ecdsaP384, any = "rsa", "p256", "p384", "any"
	for _, c := range []struct {
		sni, client string
		want        int
	}{
		{"default.example", any, 1}, {"default.example", rsaOnly, 0}, {"", any, 1}, {"", rsaOnly, 0}, {"nobody.example", any, 1}, {"nobody.example", rsaOnly, 0},
		{"x.example.com", any, 2}, {"y.x.example.com", any, 1}, {"example.com", any, 1},
		{"www.example.com", any, 4}, {"www.example.com", rsaOnly, 3}, {"www.example.com", ecdsaP256, 5},
		{"www.example.com", ecdsaP384, 2}, // no exact match that the client can use: the wildcard can
		{"x.example.com", rsaOnly, 2},     // nothing it can use: let crypto/tls say so
	} {
		got := server.tcp.pick(helloFor(c.sni, c.client))
		if got != server.certs[c.want] {
			t.Errorf("%q for a client of %s: certificate %d, want %d", c.sni, c.client, indexIn(server.certs, got), c.want)
		}
	}
	if !server.Covers("default.example", "default.example") || server.Covers("www.example.com", "more") || !server.Covers("www.example.com", "www.example.com") {
		t.Error("Covers must hold for every certificate that may have been shown")
	}
}

func indexIn(certs []*hostCert, c *hostCert) int {
	for i, x := range certs {
		if x == c {
			return i
		}
	}
	return -1
}
