package msg

import "math"

// lengthDigitsMax keeps the sum below 1<<64 while it is computed; no body that can be counted needs more digits, and a
// number padded with zeros beyond this is somebody probing.
const lengthDigitsMax = 19

// ParseLength reads a Content-Length: digits only, at most 1<<63-1 (RFC 9110 section 8.6). A list is refused even when
// its members are equal.
func ParseLength(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > lengthDigitsMax {
		return 0, false
	}
	var v uint64
	for _, c := range b {
		if octets[c]&octetDigit == 0 {
			return 0, false
		}
		v = v*10 + uint64(c-'0')
	}
	return int64(v), v <= math.MaxInt64
}
