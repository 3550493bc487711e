package pool

import (
	"math"
	"time"

	"weir/internal/mono"
)

const usesUnlimited = math.MaxUint32

// Recycle is when one connection has done enough: by the number of its exchanges, by age, or because its server said so.
// It is a value in the connection's Node; its jitter is fixed when the connection is opened.
type Recycle struct {
	expires   mono.Time     // pool-max-age
	idleSince mono.Time     // 0 while in use
	hintIdle  time.Duration // Keep-Alive: timeout, less a margin; -1: none was given
	uses      uint32
	usesMax   uint32 // max-reuse
	hintUses  uint32 // Keep-Alive: max
}

// Use counts an exchange that begins on the connection.
func (r *Recycle) Use() {
	r.uses++
	r.idleSince = 0
}

// Uses is the number of exchanges that began on the connection.
func (r *Recycle) Uses() uint32 { return r.uses }

// Rest says that the connection is idle from now on, and returns when it has to be closed at the latest; mono.Never if no
// time is set. Calling it again while it is idle does not make the time longer.
func (r *Recycle) Rest(now mono.Time) (deadline mono.Time) {
	if r.idleSince.IsZero() {
		r.idleSince = now
	}
	return r.Deadline()
}

// Deadline is when the connection has to be closed if it stays as it is.
func (r *Recycle) Deadline() mono.Time {
	if r.hintIdle < 0 || r.idleSince.IsZero() {
		return r.expires
	}
	return min(r.expires, r.idleSince.Add(r.hintIdle))
}

// Over reports whether the connection should carry no further exchange, and why. One that it carries it finishes first.
func (r *Recycle) Over(now mono.Time) (Cause, bool) {
	switch {
	case r.uses >= r.usesMax:
		return MaxReuse, true
	case !r.expires.After(now):
		return MaxAge, true
	case r.uses >= r.hintUses:
		return ServerHint, true
	case !r.Deadline().After(now):
		return ServerHint, true
	}
	return 0, false
}

// Last reports whether the exchange that began last is the connection's last one, so that the server can be told.
func (r *Recycle) Last(now mono.Time) bool {
	_, over := r.Over(now)
	return over
}

// Hint takes a server's Keep-Alive field into account: "timeout=5, max=100" (RFC 2068 section 19.7.1). timeout is how
// long the server keeps an idle connection; ours is closed a little before, since a request that meets the server's close
// on its way would have to be retried. max is how many further requests it will answer. What is not understood is ignored:
// the field is a hint, and a server that does not mean it closes by itself.
func (r *Recycle) Hint(field []byte) {
	for len(field) > 0 {
		var p []byte
		p, field = nextParameter(field)
		if n, ok := numberOf(p, "timeout"); ok {
			d := time.Duration(n) * time.Second
			r.hintIdle = d - min(time.Second, d/5)
		}
		if n, ok := numberOf(p, "max"); ok {
			r.hintUses = uint32(min(uint64(r.uses)+uint64(n), usesUnlimited))
		}
	}
}

// nextParameter splits the first element off a comma-separated list.
func nextParameter(b []byte) (p, rest []byte) {
	for i, c := range b {
		if c == ',' {
			return b[:i], b[i+1:]
		}
	}
	return b, nil
}

// hintMax bounds the numbers that are believed: more is as good as none.
const hintMax = 1_000_000_000

// numberOf reads the number of a parameter "name=number", with white space around it allowed.
func numberOf(p []byte, name string) (n uint32, ok bool) {
	for len(p) > 0 && (p[0] == ' ' || p[0] == '\t') {
		p = p[1:]
	}
	if len(p) < len(name)+2 || p[len(name)] != '=' {
		return 0, false
	}
	for i := range len(name) {
		if p[i]|0x20 != name[i] {
			return 0, false
		}
	}
	p = p[len(name)+1:]
	for len(p) > 0 && (p[len(p)-1] == ' ' || p[len(p)-1] == '\t') {
		p = p[:len(p)-1]
	}
	for _, c := range p {
		if c < '0' || c > '9' {
			return 0, false
		}
		if n = n*10 + uint32(c-'0'); n > hintMax {
			n = hintMax
		}
	}
	return n, len(p) > 0
}
