package proxyproto

import (
	"bytes"
	"net/netip"
	"testing"
)

var (
	a4 = netip.MustParseAddrPort("192.0.2.1:5555")
	b4 = netip.MustParseAddrPort("198.51.100.7:443")
	a6 = netip.MustParseAddrPort("[2001:db8::1]:5555")
	b6 = netip.MustParseAddrPort("[2001:db8::2]:443")
)

// read feeds the header the way a connection does: never more bytes than Need asks for.
func read(t *testing.T, in []byte) (Header, int, error) {
	t.Helper()
	n := 0
	for {
		need, err := Need(in[:n])
		if err != nil {
			return Header{}, n, err
		}
		if need == 0 {
			h, err := Parse(in[:n])
			return h, n, err
		}
		if n+need > len(in) {
			t.Fatalf("asked for %d bytes of %q, which has %d", n+need, in, len(in))
		}
		n += need
	}
}

func TestRoundTrip(t *testing.T) {
	for _, pair := range [][2]netip.AddrPort{{a4, b4}, {a6, b6}, {a4, b6}} {
		for version, appendHeader := range map[string]func([]byte, netip.AddrPort, netip.AddrPort) []byte{"v1": AppendV1, "v2": AppendV2} {
			head := appendHeader(nil, pair[0], pair[1])
			h, n, err := read(t, append(bytes.Clone(head), "GET / HTTP/1.1\r\n"...))
			if err != nil || n != len(head) {
				t.Fatalf("%s %v: read %d of %d bytes: %v", version, pair, n, len(head), err)
			}
			if h.Source.Addr().Unmap() != pair[0].Addr() || h.Source.Port() != pair[0].Port() || h.Destination.Port() != pair[1].Port() {
				t.Errorf("%s: got %+v, want %v", version, h, pair)
			}
		}
	}
}

func TestLocal(t *testing.T) {
	for _, in := range []string{"PROXY UNKNOWN\r\n", "PROXY UNKNOWN ::1 ::1 1 1\r\n", string(AppendV2(nil, netip.AddrPort{}, b4)), string(AppendV1(nil, netip.AddrPort{}, b4))} {
		if h, n, err := read(t, []byte(in)); err != nil || !h.Local || n != len(in) {
			t.Errorf("%q: %+v after %d bytes, %v", in, h, n, err)
		}
	}
}

func TestMalformed(t *testing.T) {
	for _, in := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n.........................",
		"PROXY TCP4 ::1 ::1 1 1\r\n...........................",
		"PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n.................",
		"PROXY TCP9 1.2.3.4 1.2.3.4 1 1\r\n..................",
		"PROXY \rTCP4 1.2.3.4 1.2.3.4 1 1\r\n................",
		"\r\n\r\n\x00\r\nQUIT\n\x31\x11\x00\x0c............",
		"\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff............",
		"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x02............",
		"\r\n\r\n\x00\r\nQUIT\n\x22\x11\x00\x0c............",
	} {
		if h, _, err := read(t, append([]byte(in), make([]byte, 200)...)); err == nil {
			t.Errorf("%q was read as %+v", in, h)
		}
	}
}

func FuzzHeader(f *testing.F) {
	f.Add(AppendV1(nil, a4, b4))
	f.Add(AppendV2(nil, a6, b6))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		n := 0
		for {
			need, err := Need(in[:n])
			if err != nil {
				return
			}
			if need < 0 || n+need > HeaderBytesMax+v1BytesMax {
				t.Fatalf("asks for %d after %d", need, n)
			}
			if need == 0 {
				break
			}
			if n+need > len(in) {
				return
			}
			n += need
		}
		if h, err := Parse(in[:n]); err == nil && !h.Local && !h.Source.IsValid() {
			t.Fatal("a header without addresses that is not local")
		}
	})
}
