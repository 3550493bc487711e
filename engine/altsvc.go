package engine

import (
	"strconv"

	"weir/internal/config"
)

// appendAltSvc appends what tells a client that the port it came to also speaks HTTP/3, and that it may remember that for a
// day (RFC 7838).
func appendAltSvc(dst []byte, b *config.Bind) []byte {
	dst = append(dst, `h3=":`...)
	dst = strconv.AppendUint(dst, uint64(b.Address.Port()), 10)
	return append(dst, `"; ma=86400`...)
}
