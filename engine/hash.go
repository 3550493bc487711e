package engine

import (
	"encoding/binary"
	"math"
)

// hashBytes is FNV-1a with a final mix, good enough to spread clients over servers; it keeps no secret.
func hashBytes(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return mix(h)
}

// mix is the finaliser of splitmix64: every bit of the input changes half of the output's.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// rendezvousScore is a server's claim to a key: the highest wins, in proportion to the weights.
func rendezvousScore(key, server uint64, weight int) float64 {
	u := (float64(mix(key^server)>>11) + 0.5) / (1 << 53)
	return float64(weight) / -math.Log(u)
}

// fastRand is a small generator for spreading and jitter (splitmix64). One worker owns it.
type fastRand struct{ state uint64 }

func (r *fastRand) next() uint64 {
	r.state += 0x9e3779b97f4a7c15
	return mix(r.state)
}

// below returns a number from 0 to n-1.
func (r *fastRand) below(n int64) int64 {
	if n <= 0 {
		return 0
	}
	return int64(r.next() % uint64(n))
}

// requestIDs makes identifiers of requests: 32 hex digits that no client can guess from those it has seen is not promised;
// that no two are the same is.
type requestIDs struct {
	prefix  uint64 // random, the worker's own
	counter uint64
}

const hexDigits = "0123456789abcdef"

func (r *requestIDs) next(dst []byte) []byte {
	r.counter++
	for _, v := range [2]uint64{r.prefix, mix(r.prefix + r.counter*0x9e3779b97f4a7c15)} {
		dst = binary.BigEndian.AppendUint64(dst, hexOf(uint32(v>>32)))
		dst = binary.BigEndian.AppendUint64(dst, hexOf(uint32(v)))
	}
	return dst
}

// hexOf is the eight hex digits of v, the first in the highest byte. All are made at once: digit by digit they were a
// twentieth of what an exchange costs (BenchmarkExchange).
func hexOf(v uint32) uint64 {
	x := uint64(v)
	x = (x | x<<16) & 0x0000_ffff_0000_ffff
	x = (x | x<<8) & 0x00ff_00ff_00ff_00ff
	x = (x | x<<4) & 0x0f0f_0f0f_0f0f_0f0f
	letters := (x + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101
	return x + 0x3030_3030_3030_3030 + letters*('a'-'0'-10)
}
