package h3

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
)

// errTaken is why an address cannot be listened on.
var errTaken = errors.New("the address has UDP sockets of another process, or of one that has not ended yet")

// alone reports whether an address has no sockets yet. SO_REUSEPORT would let ours join those that there are, if their user is
// ours: then our sums of who is at which place would be wrong, and connections of both sides would break. So we look first.
// Where /proc cannot be read the operator has to see to it.
func alone(addr netip.AddrPort) error {
	name := "/proc/self/net/udp"
	if addr.Addr().Is6() && !addr.Addr().Is4In6() {
		name = "/proc/self/net/udp6"
	}
	f, err := os.Open(name)
	if err != nil || addr.Port() == 0 {
		return nil
	}
	defer f.Close()
	want := procAddr(addr)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 1 && fields[1] == want {
			return errTaken
		}
	}
	return nil
}

// procAddr is an address as /proc/net/udp has it: words of four bytes, each as the machine's number.
func procAddr(addr netip.AddrPort) string {
	var b strings.Builder
	for words := addr.Addr().Unmap().AsSlice(); len(words) > 0; words = words[4:] {
		fmt.Fprintf(&b, "%08X", binary.NativeEndian.Uint32(words))
	}
	return fmt.Sprintf("%s:%04X", &b, addr.Port())
}
