package msg

import "bytes"

// ValidAuthority reports whether b is host[:port] with a host: a name, an IPv4 address, or an IPv6 address in brackets
// (RFC 3986 section 3.2.2). Userinfo is refused (RFC 9110 section 4.2.4), so is a port above 65535, so is IPvFuture.
func ValidAuthority(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	if b[0] == '[' {
		end := bytes.IndexByte(b, ']')
		return end > 0 && validIPv6(b[1:end]) && (end+1 == len(b) || b[end+1] == ':' && validPort(b[end+2:]))
	}
	i := 0
	for i < len(b) && octets[b[i]]&octetHost != 0 {
		i++
	}
	if i == len(b) {
		return true
	}
	if b[i] == '%' {
		return validEscaped(b)
	}
	return i > 0 && b[i] == ':' && validPort(b[i+1:])
}

// validEscaped is the rare case of ValidAuthority: a name with percent-encoded bytes.
func validEscaped(b []byte) bool {
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case octets[c]&octetHost != 0:
		case c == '%' && i+2 < len(b) && IsHex(b[i+1]) && IsHex(b[i+2]):
			i += 2
		case c == ':' && i > 0:
			return validPort(b[i+1:])
		default:
			return false
		}
	}
	return true
}

// validPort: digits up to 65535; RFC 3986 section 3.2.3 lets a port be empty.
func validPort(b []byte) bool {
	n := 0
	for _, c := range b {
		if octets[c]&octetDigit == 0 {
			return false
		}
		if n = n*10 + int(c-'0'); n > 65535 {
			return false
		}
	}
	return len(b) <= 5
}

// validIPv6 reports whether b is an IPv6 address (RFC 3986 section 3.2.2) without a zone.
func validIPv6(b []byte) bool {
	groups, gap := 0, false
	if len(b) >= 2 && b[0] == ':' && b[1] == ':' {
		gap, b = true, b[2:]
	}
	for len(b) > 0 {
		n := 0
		for n < len(b) && IsHex(b[n]) {
			n++
		}
		if n < len(b) && b[n] == '.' {
			groups += 2
			return validIPv4(b) && wholeIPv6(groups, gap)
		}
		if n == 0 || n > 4 {
			return false
		}
		groups++
		if b = b[n:]; len(b) == 0 {
			break
		}
		if b[0] != ':' || len(b) == 1 {
			return false
		}
		if b = b[1:]; b[0] == ':' {
			if gap {
				return false
			}
			gap, b = true, b[1:]
		}
	}
	return wholeIPv6(groups, gap)
}

// wholeIPv6: eight groups, or fewer and a "::" that stands for the others.
func wholeIPv6(groups int, gap bool) bool { return groups == 8 && !gap || groups < 8 && gap }

func validIPv4(b []byte) bool {
	for part := range 4 {
		n, v := 0, 0
		for n < len(b) && n < 3 && octets[b[n]]&octetDigit != 0 {
			v = v*10 + int(b[n]-'0')
			n++
		}
		if n == 0 || v > 255 || n > 1 && b[0] == '0' {
			return false
		}
		if b = b[n:]; part == 3 {
			break
		}
		if len(b) == 0 || b[0] != '.' {
			return false
		}
		b = b[1:]
	}
	return len(b) == 0
}
