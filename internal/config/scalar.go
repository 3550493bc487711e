package config

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// parseDuration reads "250ms", "5s", "1h30m" or "0".
func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return 0, errors.New(`is not a duration such as "250ms", "5s" or "1h"`)
	case d < 0:
		return 0, errors.New("is negative")
	case d > durationMax:
		return 0, errors.New("is longer than a year")
	}
	return d, nil
}

// formatDuration writes a duration the way a person would: 1h, not 1h0m0s, and 60s, not 1m0s.
func formatDuration(d time.Duration) string {
	if d < 2*time.Minute && d%time.Second == 0 {
		return strconv.Itoa(int(d/time.Second)) + "s"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// sizeUnits are tried in this order; "B" must come after the units that end in it.
var sizeUnits = []struct {
	name string
	size uint64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1},
}

// parseSize reads "128KiB", "1MB" (a million bytes) or "4096".
func parseSize(s string) (int, error) {
	digits, unit := strings.TrimSpace(s), uint64(1)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(digits, u.name); ok {
			digits, unit = strings.TrimRight(rest, " "), u.size
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return 0, errors.New(`is not a size such as "128KiB", "1MiB" or 4096`)
	}
	if n > math.MaxInt/unit {
		return 0, errors.New("is too large")
	}
	return int(n * unit), nil
}

// formatSize writes bytes in the largest binary unit that needs no fraction.
func formatSize(n int) string {
	for _, u := range []struct {
		name string
		size int
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= u.size && n%u.size == 0 {
			return strconv.Itoa(n/u.size) + u.name
		}
	}
	return strconv.Itoa(n) + "B"
}

// parseListen reads the address of a listener: a numeric address and a port. "*" and nothing are every IPv4 address,
// "localhost" is 127.0.0.1; any other name would have to be looked up before anything can be served.
func parseListen(s string) (netip.AddrPort, error) {
	host, port, err := splitHostPort(s)
	if err != nil {
		return netip.AddrPort{}, err
	}
	switch host {
	case "", "*":
		host = "0.0.0.0"
	case "localhost":
		host = "127.0.0.1"
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is not a numeric address", host)
	}
	return netip.AddrPortFrom(addr.Unmap(), port), nil
}

// splitHostPort separates host and port; an IPv6 address stands in brackets. The port is 1 to 65535.
func splitHostPort(s string) (host string, port uint16, err error) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", 0, errors.New(`a port is missing, e.g. "127.0.0.1:8080"`)
	}
	host = s[:i]
	n, err := strconv.ParseUint(s[i+1:], 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("%q is not a port, allowed 1 to 65535", s[i+1:])
	}
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
		if a, err := netip.ParseAddr(host); err != nil || !a.Is6() {
			return "", 0, fmt.Errorf("%q is not an IPv6 address", host)
		}
		return host, uint16(n), nil
	}
	if strings.ContainsRune(host, ':') {
		return "", 0, errors.New(`an IPv6 address stands in brackets, e.g. "[::1]:8080"`)
	}
	return host, uint16(n), nil
}

// validHostname reports whether s can be a DNS name: letters, digits, hyphens and underscores in labels of 1 to 63.
func validHostname(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	for _, label := range strings.Split(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if !isAlnum(c) && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// validToken reports whether s is a token: a field name, a cookie name (RFC 9110 section 5.6.2).
func validToken(s string) bool {
	for _, c := range []byte(s) {
		if !isAlnum(c) && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// validFieldValue reports whether s may stand in a field (RFC 9110 section 5.5).
func validFieldValue(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return strings.Trim(s, " \t") == s
}

// validName reports whether s can name a section or a server: it must survive in labels, columns and B/S addressing.
func validName(s string) bool {
	for _, c := range []byte(s) {
		if !isAlnum(c) && strings.IndexByte("-_.:[]", c) < 0 {
			return false
		}
	}
	return s != "" && len(s) <= 64
}
