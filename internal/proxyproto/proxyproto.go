// Package proxyproto reads and writes the PROXY protocol's headers, versions 1 and 2: what a proxy in front says about the
// connection it has accepted (haproxy.org, "The PROXY protocol", 2020/03/05).
//
// It does no I/O. Need tells how many bytes may be read without taking any that follow the header, since those belong to
// TLS or HTTP and may be read by somebody else.
package proxyproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
)

// The signature of version 2 and the start of version 1.
var (
	signature = []byte("\r\n\r\n\x00\r\nQUIT\n")
	prefix    = []byte("PROXY ")
)

const (
	v1BytesMin  = 15  // "PROXY UNKNOWN\r\n"
	v1BytesMax  = 107 // section 2.1
	v1TCP4Min   = 32  // "PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n"
	v1TCP6Min   = 22  // "PROXY TCP6 :: :: 0 0\r\n"
	v2HeadBytes = 16
	// HeaderBytesMax bounds a version 2 header with its extensions. Larger ones are refused.
	HeaderBytesMax = 4096
)

// ErrMalformed means that what came is not a PROXY header, or one that contradicts itself.
var ErrMalformed = errors.New("proxyproto: malformed header")

// Header is what a PROXY header says. Local: the connection is the proxy's own (a health check); the addresses of the
// connection itself stand. Otherwise Source and Destination are valid, unless the proxy does not know them.
type Header struct {
	Local               bool
	Source, Destination netip.AddrPort
}

// Need returns how many more bytes are surely part of the header that starts with b; 0: b is the whole header.
func Need(b []byte) (int, error) {
	if len(b) < v1BytesMin {
		if !bytes.HasPrefix(signature, b[:min(len(b), len(signature))]) && !bytes.HasPrefix(prefix, b[:min(len(b), len(prefix))]) {
			return 0, ErrMalformed
		}
		return v1BytesMin - len(b), nil
	}
	if bytes.HasPrefix(b, signature) {
		return needV2(b)
	}
	if !bytes.HasPrefix(b, prefix) {
		return 0, ErrMalformed
	}
	return needV1(b)
}

func needV2(b []byte) (int, error) {
	if len(b) < v2HeadBytes {
		return v2HeadBytes - len(b), nil
	}
	size := v2HeadBytes + int(binary.BigEndian.Uint16(b[14:]))
	if size > HeaderBytesMax || b[12]>>4 != 2 {
		return 0, ErrMalformed
	}
	return size - len(b), nil
}

func needV1(b []byte) (int, error) {
	if bytes.HasSuffix(b, []byte("\r\n")) {
		return 0, nil
	}
	if len(b) >= v1BytesMax || bytes.IndexByte(b[:len(b)-1], '\r') >= 0 || bytes.IndexByte(b, '\n') >= 0 {
		return 0, ErrMalformed
	}
	least := 0
	switch {
	case bytes.HasPrefix(b[len(prefix):], []byte("TCP4 ")):
		least = v1TCP4Min
	case bytes.HasPrefix(b[len(prefix):], []byte("TCP6 ")):
		least = v1TCP6Min
	}
	return max(1, least-len(b)), nil
}

// Parse reads a whole header, for which Need has returned 0.
func Parse(b []byte) (Header, error) {
	if bytes.HasPrefix(b, signature) {
		return parseV2(b)
	}
	return parseV1(b)
}

func parseV1(b []byte) (h Header, err error) {
	words := bytes.Split(bytes.TrimSuffix(b, []byte("\r\n")), []byte(" "))
	if len(words) < 2 || string(words[0]) != "PROXY" {
		return h, ErrMalformed
	}
	if string(words[1]) == "UNKNOWN" {
		h.Local = true
		return h, nil
	}
	four := string(words[1]) == "TCP4"
	if len(words) != 6 || !four && string(words[1]) != "TCP6" {
		return h, ErrMalformed
	}
	h.Source, err = endpoint(words[2], words[4], four)
	if err != nil {
		return h, err
	}
	h.Destination, err = endpoint(words[3], words[5], four)
	return h, err
}

func endpoint(addr, port []byte, four bool) (netip.AddrPort, error) {
	a, err := netip.ParseAddr(string(addr))
	if err != nil || a.Is4() != four || a.Zone() != "" {
		return netip.AddrPort{}, ErrMalformed
	}
	p, err := strconv.ParseUint(string(port), 10, 16)
	if err != nil || (len(port) > 1 && port[0] == '0') {
		return netip.AddrPort{}, ErrMalformed
	}
	return netip.AddrPortFrom(a, uint16(p)), nil
}

// Commands and families of version 2 (section 2.2).
const (
	v2Local  = 0x20
	v2Proxy  = 0x21
	v2Unspec = 0x00
	v2TCP4   = 0x11
	v2TCP6   = 0x21
)

func parseV2(b []byte) (h Header, err error) {
	if len(b) < v2HeadBytes {
		return h, ErrMalformed
	}
	body := b[v2HeadBytes:]
	switch b[12] {
	case v2Local:
		h.Local = true
		return h, nil
	case v2Proxy:
	default:
		return h, ErrMalformed
	}
	switch b[13] {
	case v2TCP4:
		if len(body) < 12 {
			return h, ErrMalformed
		}
		h.Source = netip.AddrPortFrom(netip.AddrFrom4([4]byte(body[0:4])), binary.BigEndian.Uint16(body[8:]))
		h.Destination = netip.AddrPortFrom(netip.AddrFrom4([4]byte(body[4:8])), binary.BigEndian.Uint16(body[10:]))
	case v2TCP6:
		if len(body) < 36 {
			return h, ErrMalformed
		}
		h.Source = netip.AddrPortFrom(netip.AddrFrom16([16]byte(body[0:16])), binary.BigEndian.Uint16(body[32:]))
		h.Destination = netip.AddrPortFrom(netip.AddrFrom16([16]byte(body[16:32])), binary.BigEndian.Uint16(body[34:]))
	default: // UNSPEC, UDP, UNIX: the addresses say nothing about a TCP client
		h.Local = true
	}
	return h, nil
}

// AppendV1 appends a version 1 header.
func AppendV1(dst []byte, src, to netip.AddrPort) []byte {
	s, d := src.Addr().Unmap(), to.Addr().Unmap()
	if !s.IsValid() || !d.IsValid() {
		return append(dst, "PROXY UNKNOWN\r\n"...)
	}
	family := "TCP4 "
	if s.Is6() || d.Is6() {
		family = "TCP6 "
		s, d = netip.AddrFrom16(s.As16()), netip.AddrFrom16(d.As16())
	}
	dst = append(append(dst, "PROXY "...), family...)
	dst = append(s.AppendTo(dst), ' ')
	dst = append(d.AppendTo(dst), ' ')
	dst = append(strconv.AppendUint(dst, uint64(src.Port()), 10), ' ')
	dst = strconv.AppendUint(dst, uint64(to.Port()), 10)
	return append(dst, "\r\n"...)
}

// AppendV2 appends a version 2 header without extensions.
func AppendV2(dst []byte, src, to netip.AddrPort) []byte {
	s, d := src.Addr().Unmap(), to.Addr().Unmap()
	dst = append(dst, signature...)
	switch {
	case !s.IsValid() || !d.IsValid():
		return append(dst, v2Local, v2Unspec, 0, 0)
	case s.Is4() && d.Is4():
		dst = append(dst, v2Proxy, v2TCP4, 0, 12)
		dst = append(append(dst, s.AsSlice()...), d.AsSlice()...)
	default:
		s16, d16 := s.As16(), d.As16()
		dst = append(dst, v2Proxy, v2TCP6, 0, 36)
		dst = append(append(dst, s16[:]...), d16[:]...)
	}
	dst = binary.BigEndian.AppendUint16(dst, src.Port())
	return binary.BigEndian.AppendUint16(dst, to.Port())
}
