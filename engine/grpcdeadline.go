package engine

import (
	"time"

	"weir/internal/msg"
)

// pastDeadline reports whether the time that a gRPC client has given its call is over. A server that ends the call for it
// resets the stream with CANCEL, whose meaning lies in the deadline: to the client it is not a failure of the server.
func (x *exchange) pastDeadline() bool {
	if !x.isGRPC() {
		return false
	}
	h := &x.req.head
	for i := range h.Fields {
		if f := &h.Fields[i]; f.ID == msg.FieldOther && string(h.Bytes(f.Name)) == "grpc-timeout" {
			d, ok := grpcTimeout(h.Bytes(f.Value))
			return ok && x.w.now.Sub(x.time.start) >= d
		}
	}
	return false
}

var grpcUnits = map[byte]time.Duration{
	'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
}

// grpcTimeout reads the value of grpc-timeout: at most eight digits and a unit.
func grpcTimeout(v []byte) (d time.Duration, ok bool) {
	if len(v) < 2 || len(v) > 9 {
		return 0, false
	}
	digits, unit := v[:len(v)-1], grpcUnits[v[len(v)-1]]
	n := int64(0)
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	if unit == 0 || n > int64(1<<62/unit) {
		return 0, false
	}
	return time.Duration(n) * unit, true
}
