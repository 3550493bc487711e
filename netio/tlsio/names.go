package tlsio

import (
	"crypto/x509"
	"net/netip"
	"slices"
	"strings"
)

// coverage is the hosts that a certificate is good for, made for looking up without an allocation.
type coverage struct {
	exact map[string]struct{}
	wild  map[string]struct{} // "example.com" for *.example.com
	addrs []netip.Addr
}

func coverageOf(leaf *x509.Certificate) coverage {
	c := coverage{exact: make(map[string]struct{}), wild: make(map[string]struct{})}
	for _, name := range leaf.DNSNames {
		name = strings.ToLower(name)
		if base, ok := strings.CutPrefix(name, "*."); ok {
			c.wild[base] = struct{}{}
		} else {
			c.exact[name] = struct{}{}
		}
	}
	for _, ip := range leaf.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok {
			c.addrs = append(c.addrs, a.Unmap())
		}
	}
	return c
}

// hostBytesMax is the longest DNS name (RFC 1035 section 2.3.4), with its final dot.
const hostBytesMax = 254

// covers reports whether the certificate is good for host: lower case or not, with a final dot or not, an address with
// or without brackets. A wildcard stands for exactly one label (RFC 9525 section 6.3).
func (c *coverage) covers(host []byte) bool {
	var lower [hostBytesMax]byte
	if len(host) == 0 || len(host) > hostBytesMax {
		return false
	}
	if a, ok := address(host); ok {
		return slices.Contains(c.addrs, a)
	}
	for i, b := range host {
		if 'A' <= b && b <= 'Z' {
			b |= 0x20
		}
		lower[i] = b
	}
	name := lower[:len(host)]
	if name[len(name)-1] == '.' {
		name = name[:len(name)-1]
	}
	if _, ok := c.exact[string(name)]; ok {
		return true
	}
	for i, b := range name {
		if b == '.' {
			_, ok := c.wild[string(name[i+1:])]
			return ok && i > 0
		}
	}
	return false
}

// address parses host when it can be nothing but an address: it has a colon, or its last label is a number.
func address(host []byte) (netip.Addr, bool) {
	if host[0] == '[' && host[len(host)-1] == ']' {
		host = host[1 : len(host)-1]
	}
	if len(host) == 0 {
		return netip.Addr{}, false
	}
	last := host[len(host)-1]
	colon := slices.Contains(host, ':')
	if !colon && (last < '0' || last > '9') {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(string(host))
	return a.Unmap(), err == nil
}

// hostOf is the host of an authority: without the port, addresses in their brackets.
func hostOf(authority []byte) []byte {
	for i := len(authority) - 1; i >= 0; i-- {
		switch b := authority[i]; {
		case b == ':':
			if slices.Contains(authority[:i], ':') && authority[0] != '[' {
				return authority // an address without brackets
			}
			return authority[:i]
		case b < '0' || b > '9':
			return authority
		}
	}
	return authority
}

// nameIndex finds the certificates for a server name.
type nameIndex struct {
	exact, wild map[string][]*hostCert
	rest        []*hostCert // for every other name and for none: the first certificate, and those of other kinds for its names
}

func indexOf(certs []*hostCert) nameIndex {
	x := nameIndex{exact: make(map[string][]*hostCert), wild: make(map[string][]*hostCert)}
	for _, c := range certs {
		for name := range c.names.exact {
			x.exact[name] = append(x.exact[name], c)
		}
		for base := range c.names.wild {
			x.wild[base] = append(x.wild[base], c)
		}
	}
	// Within the certificates for a name the cheaper kind comes first, and the order of the configuration decides the rest.
	byRank := func(a, b *hostCert) int { return a.rank - b.rank }
	for _, m := range []map[string][]*hostCert{x.exact, x.wild} {
		for _, list := range m {
			slices.SortStableFunc(list, byRank)
		}
	}
	first := certs[0]
	x.rest = []*hostCert{first}
	for _, c := range certs[1:] {
		if c.rank != first.rank && sameNames(&c.names, &first.names) {
			x.rest = append(x.rest, c)
		}
	}
	slices.SortStableFunc(x.rest, byRank)
	return x
}

func sameNames(a, b *coverage) bool {
	if len(a.exact) != len(b.exact) || len(a.wild) != len(b.wild) {
		return false
	}
	for name := range a.exact {
		if _, ok := b.exact[name]; !ok {
			return false
		}
	}
	for base := range a.wild {
		if _, ok := b.wild[base]; !ok {
			return false
		}
	}
	return true
}

// lookup returns the certificates for an SNI name, best match first: exact, then wildcard; neither: the default.
func (x *nameIndex) lookup(name string) (match, fallback []*hostCert) {
	name = strings.ToLower(name)
	match = x.exact[name]
	if _, base, ok := strings.Cut(name, "."); ok {
		fallback = x.wild[base]
	}
	if match == nil {
		match, fallback = fallback, nil
	}
	if match == nil {
		match = x.rest
	}
	return match, fallback
}
