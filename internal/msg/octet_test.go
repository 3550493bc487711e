package msg

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestOctets(t *testing.T) {
	const token = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	const target = "-._~!$&'()*+,;=:@/?%[]0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for c := range 256 {
		b := byte(c)
		if want := strings.IndexByte(token, b) >= 0; IsToken(b) != want {
			t.Errorf("IsToken(%#x) = %v", b, !want)
		}
		if want := strings.IndexByte(target, b) >= 0; IsTarget(b) != want {
			t.Errorf("IsTarget(%#x) = %v", b, !want)
		}
		if want := strings.IndexByte("0123456789abcdefABCDEF", b) >= 0; IsHex(b) != want {
			t.Errorf("IsHex(%#x) = %v", b, !want)
		}
	}
	if ValidToken(nil) || !ValidToken([]byte("x-1")) || ValidToken([]byte("x 1")) {
		t.Error("ValidToken")
	}
}

// ScanValue must find what its byte-wise oracle finds, for every byte at every place of a word.
func TestScanValue(t *testing.T) {
	for c := range 256 {
		for at := range 20 {
			b := bytes.Repeat([]byte{'v'}, 20)
			b[at] = byte(c)
			for i := range 20 {
				if got, want := ScanValue(b, i), scanValueSlow(b, i); got != want {
					t.Fatalf("byte %#x at %d, from %d: %d, want %d", c, at, i, got, want)
				}
			}
		}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 64)
	for range 20000 {
		for i := range b {
			b[i] = byte(rnd.UintN(256))
			if rnd.UintN(3) > 0 {
				b[i] |= 0x40
			}
		}
		i := rnd.IntN(len(b) + 1)
		if got, want := ScanValue(b, i), scanValueSlow(b, i); got != want {
			t.Fatalf("%x from %d: %d, want %d", b, i, got, want)
		}
	}
}

func BenchmarkScanValue(b *testing.B) {
	v := append(bytes.Repeat([]byte("text/html "), 10), '\r', '\n')
	for name, scan := range map[string]func([]byte, int) int{"words": ScanValue, "bytes": scanValueSlow} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(v)))
			for b.Loop() {
				if scan(v, 0) != 100 {
					b.Fatal("not found")
				}
			}
		})
	}
}

func TestEqualFold(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"", "", true}, {"a", "", false}, {"Host", "hOST", true}, {"x-1", "X-1", true}, {"[", "{", false}, {"@", "`", false},
		{"a\x00", "a ", false}, {"\xc3", "\xe3", false}, {"abc", "abd", false}, {"_", "\x7f", false},
	} {
		if got := EqualFold([]byte(c.a), []byte(c.b)); got != c.want {
			t.Errorf("EqualFold(%q, %q) = %v", c.a, c.b, got)
		}
	}
}

func TestLookupField(t *testing.T) {
	for id := FieldHost; id < fieldCount; id++ {
		for _, name := range []string{id.String(), strings.ToUpper(id.String())} {
			if got := LookupField([]byte(name)); got != id {
				t.Errorf("%q is %d, want %d", name, got, id)
			}
		}
		name := []byte(id.String())
		for i, c := range name { // a neighbour of a known name is another name
			name[i] = c ^ 0x40
			if got := LookupField(name); got == id {
				t.Errorf("%q passes for %q", name, id)
			}
			name[i] = c
		}
	}
	for _, name := range []string{"", "x", "transfer_encoding", "content-lengt", "content-length ", strings.Repeat("x", 300)} {
		if id := LookupField([]byte(name)); id != FieldOther {
			t.Errorf("%q is %v", name, id)
		}
	}
}

func TestParseLength(t *testing.T) {
	for in, want := range map[string]int64{
		"0": 0, "5": 5, "005": 5, "9223372036854775807": 1<<63 - 1, "0000000000000000001": 1,
		"": -1, " 5": -1, "+5": -1, "-0": -1, "5,5": -1, "0x5": -1, "9223372036854775808": -1, "9999999999999999999": -1,
		"18446744073709551621": -1, "00000000000000000005": -1, "5\x00": -1, "\xd9\xa5": -1,
	} {
		n, ok := ParseLength([]byte(in))
		if ok != (want >= 0) || ok && n != want {
			t.Errorf("ParseLength(%q) = %d, %v", in, n, ok)
		}
	}
}

func TestMethods(t *testing.T) {
	for name, want := range map[string]Method{"GET": MethodGet, "HEAD": MethodHead, "POST": MethodPost, "PUT": MethodPut,
		"DELETE": MethodDelete, "CONNECT": MethodConnect, "OPTIONS": MethodOptions, "TRACE": MethodTrace,
		"PATCH": MethodPatch, "get": MethodOther, "FROB": MethodOther, "": MethodOther} {
		if got := LookupMethod([]byte(name)); got != want {
			t.Errorf("%q is %d, want %d", name, got, want)
		}
	}
	safe := []Method{MethodGet, MethodHead, MethodOptions, MethodTrace}
	idempotent := append(safe, MethodPut, MethodDelete)
	for m := MethodOther; m <= MethodPatch; m++ {
		if m.Safe() != contains(safe, m) || m.Idempotent() != contains(idempotent, m) {
			t.Errorf("method %d: safe %v, idempotent %v", m, m.Safe(), m.Idempotent())
		}
	}
}

func contains(l []Method, m Method) bool {
	for _, x := range l {
		if x == m {
			return true
		}
	}
	return false
}
