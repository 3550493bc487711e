package msg

import (
	"encoding/binary"
	"math/bits"
)

// Classes of octets. One table serves all of them, so that one cache line or two decide most bytes of a head.
const (
	octetToken  = 1 << iota // tchar (RFC 9110 section 5.6.2)
	octetTarget             // may stand in a request target
	octetHost               // may stand in a host name
	octetDigit
	octetHex
	octetUpper
)

var octets = buildOctets()

func buildOctets() (t [256]uint8) {
	mark := func(set string, class uint8) {
		for i := range len(set) {
			t[set[i]] |= class
		}
	}
	const unreserved = "-._~"
	for c := range 256 {
		switch {
		case 'A' <= c && c <= 'Z':
			t[c] |= octetToken | octetTarget | octetHost | octetUpper
		case 'a' <= c && c <= 'z':
			t[c] |= octetToken | octetTarget | octetHost
		case '0' <= c && c <= '9':
			t[c] |= octetToken | octetTarget | octetHost | octetDigit
		}
	}
	mark("!#$%&'*+-.^_`|~", octetToken)
	// RFC 3986 sections 3.3 and 3.4, and the brackets that every browser sends bare in a query. Percent signs pass
	// unexamined: what they mean is between client and origin. Everything else that RFC 3986 excludes is refused,
	// because servers disagree about what it means: '#' and '\' end a path for some, bytes above 0x7f change charset.
	mark(unreserved+"!$&'()*+,;="+":@/?%[]", octetTarget)
	// RFC 3986 section 3.2.2 reg-name without the comma (a list to many readers of Host) and with '%' checked apart.
	mark(unreserved+"!$&'()*+;=", octetHost)
	mark("0123456789abcdefABCDEF", octetHex)
	return t
}

// IsToken reports whether c may stand in a token: a method, a field name (RFC 9110 section 5.6.2).
func IsToken(c byte) bool { return octets[c]&octetToken != 0 }

// IsTarget reports whether c may stand in a request target.
func IsTarget(c byte) bool { return octets[c]&octetTarget != 0 }

// IsHex reports whether c is a hexadecimal digit.
func IsHex(c byte) bool { return octets[c]&octetHex != 0 }

// ValidToken reports whether b is a token.
func ValidToken(b []byte) bool { return len(b) > 0 && all(b, octetToken) }

func all(b []byte, class uint8) bool {
	for _, c := range b {
		if octets[c]&class == 0 {
			return false
		}
	}
	return true
}

const (
	every01 = 0x0101010101010101
	every80 = 0x8080808080808080
)

// ScanValue returns the index of the first byte of b from i on that may not stand in a field value, or len(b): a control
// byte other than HTAB (RFC 9110 section 5.5). Every line end is such a byte.
//
// It looks at eight bytes at once (BenchmarkScanValue); scanValueSlow is its oracle.
func ScanValue(b []byte, i int) int {
	for i+8 <= len(b) {
		w := binary.LittleEndian.Uint64(b[i:])
		del := w ^ every01*0x7f
		// A byte's top bit is set when it is below 0x20, or 0x7f; exact for the lowest such byte, which is the one used.
		m := ((w-every01*0x20)&^w | (del-every01)&^del) & every80
		if m == 0 {
			i += 8
			continue
		}
		i += bits.TrailingZeros64(m) >> 3
		if b[i] != '\t' {
			return i
		}
		i++
	}
	return scanValueSlow(b, i)
}

func scanValueSlow(b []byte, i int) int {
	for ; i < len(b); i++ {
		if c := b[i]; c < 0x20 && c != '\t' || c == 0x7f {
			break
		}
	}
	return i
}

// EqualFold reports whether a and b are equal without regard to the case of ASCII letters.
func EqualFold(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i, c := range a {
		d := b[i]
		if c == d {
			continue
		}
		if c|0x20 != d|0x20 || c|0x20 < 'a' || c|0x20 > 'z' {
			return false
		}
	}
	return true
}

// trimSpace removes optional white space (RFC 9110 section 5.6.3) from both ends.
func trimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}
