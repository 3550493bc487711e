package netio

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// sockaddr is room for a sockaddr_in or a sockaddr_in6 (ip(7), ipv6(7)), laid out by hand: x/sys would allocate one
// object for every address that is read.
type sockaddr [unix.SizeofSockaddrInet6]byte

// put encodes a and returns the address's family and length. The family of an address that is not valid is 0.
func (s *sockaddr) put(a netip.AddrPort) (family int, size uintptr) {
	*s = sockaddr{}
	ip := a.Addr().Unmap()
	binary.BigEndian.PutUint16(s[2:], a.Port())
	switch {
	case ip.Is4():
		family, size = unix.AF_INET, unix.SizeofSockaddrInet4
		b := ip.As4()
		copy(s[4:8], b[:])
	case ip.Is6():
		family, size = unix.AF_INET6, unix.SizeofSockaddrInet6
		b := ip.As16()
		copy(s[8:24], b[:])
		binary.NativeEndian.PutUint32(s[24:], scopeOf(ip.Zone()))
	}
	binary.NativeEndian.PutUint16(s[0:], uint16(family))
	return family, size
}

// get decodes what the kernel wrote. Addresses of IPv4 come out as such, also from an IPv6 socket.
func (s *sockaddr) get() netip.AddrPort {
	port := binary.BigEndian.Uint16(s[2:])
	switch binary.NativeEndian.Uint16(s[0:]) {
	case unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(s[4:8])), port)
	case unix.AF_INET6:
		ip := netip.AddrFrom16([16]byte(s[8:24])).Unmap()
		// A scope only means something to link-local addresses; it is the one thing here that allocates.
		if scope := binary.NativeEndian.Uint32(s[24:]); scope != 0 && ip.IsLinkLocalUnicast() {
			ip = ip.WithZone(strconv.FormatUint(uint64(scope), 10))
		}
		return netip.AddrPortFrom(ip, port)
	}
	return netip.AddrPort{}
}

// scopeOf is the interface index of a zone, which is a number or an interface's name; 0 when there is none such.
func scopeOf(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	if i, err := net.InterfaceByName(zone); err == nil {
		return uint32(i.Index)
	}
	return 0
}
