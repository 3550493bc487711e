package hpack

import (
	"encoding/binary"
	"math/bits"
)

// huffmanBits is the length of each octet's code (RFC 7541 appendix B). The code is canonical: codes of one length count
// up with the octet, and the shortest come first, so that the lengths are all there is to know. The EOS symbol is the last
// of the 30-bit codes, all ones; it never stands in a string (section 5.2).
var huffmanBits = [256]uint8{
	13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
	28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
	6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
	5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
	13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
	7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
	15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
	6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
	20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
	24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
	22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
	21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
	26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
	19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
	20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
	26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
}

const (
	huffmanBitsMin = 5
	huffmanBitsMax = 30
	huffmanDirect  = 12 // bits that one look-up takes in: two octets of most text, or one with a code as long
)

// huffmanTable says what the next huffmanDirect bits begin with: one or two octets, the first one lowest, then above 16 bits
// how many bits they take, and above 24 bits how many octets they are. Zero means a code that is longer than that.
//
// Two at once cost 0.8 ns an octet where one at a time costs 1.9 (BenchmarkHuffman).
var huffmanTable [1 << huffmanDirect]uint32

// huffmanLong decodes the longer codes: the codes of a length n, left-aligned in 32 bits, lie below limit[n], and the
// octet is octets[rank of the code].
var huffmanLong struct {
	limit  [huffmanBitsMax + 1]uint32 // first left-aligned code that is longer than n bits
	first  [huffmanBitsMax + 1]uint32 // code of the first octet with n bits, right-aligned
	rank   [huffmanBitsMax + 1]int    // its place in octets
	octets [256]uint8                 // in order of their codes
}

func init() {
	code, rank := uint32(0), 0
	for n := huffmanBitsMin; n <= huffmanBitsMax; n++ {
		code <<= 1
		huffmanLong.first[n], huffmanLong.rank[n] = code, rank
		for c := range 256 {
			if int(huffmanBits[c]) == n {
				huffmanLong.octets[rank] = uint8(c)
				code++
				rank++
			}
		}
		huffmanLong.limit[n] = code << (32 - n)
	}
	for i := range huffmanTable {
		acc := uint64(i) << (64 - huffmanDirect)
		one, n := symbol(acc)
		if n == 0 || n > huffmanDirect {
			continue
		}
		huffmanTable[i] = uint32(one) | uint32(n)<<16 | 1<<24
		if two, m := symbol(acc << n); m != 0 && n+m <= huffmanDirect {
			huffmanTable[i] = uint32(one) | uint32(two)<<8 | uint32(n+m)<<16 | 2<<24
		}
	}
}

// symbol decodes one code from the top of acc; n is 0 for EOS. It is the slow way.
func symbol(acc uint64) (octet uint8, n uint) {
	code := uint32(acc >> 32)
	for n := huffmanBitsMin; n <= huffmanBitsMax; n++ {
		if code < huffmanLong.limit[n] {
			at := huffmanLong.rank[n] + int(code>>(32-n)-huffmanLong.first[n])
			return huffmanLong.octets[at], uint(n)
		}
	}
	return 0, 0
}

// huffmanLenMax is the longest text that n octets of code can stand for.
func huffmanLenMax(n int) int { return n * 8 / huffmanBitsMin }

// appendHuffman appends the text that src is the code of. It reports false when src holds EOS, or is not padded with
// fewer than eight one bits (RFC 7541 section 5.2).
//
// acc holds the bits that come next, left-aligned; have says how many of them are real. Zeros stand behind them, except
// at the end of src, where ones do: what remains then decodes as padding or not at all.
func appendHuffman(dst, src []byte) (_ []byte, ok bool) {
	n := len(dst)
	dst = extend(dst, huffmanLenMax(len(src))+1) // a look-up writes two octets even if it finds one
	var acc uint64
	var have uint
	for {
		if len(src) >= 8 {
			acc |= binary.BigEndian.Uint64(src) >> (have & 63)
			src = src[(63-have)>>3:]
			have |= 56
		} else {
			for have <= 56 && len(src) > 0 {
				acc |= uint64(src[0]) << ((56 - have) & 63)
				src, have = src[1:], have+8
			}
		}
		if have < huffmanBitsMax && len(src) == 0 {
			break
		}
		for have >= huffmanBitsMax {
			e := huffmanTable[acc>>(64-huffmanDirect)]
			if e == 0 {
				octet, l := symbol(acc)
				if l == 0 {
					return dst[:n], false
				}
				e = uint32(octet) | uint32(l)<<16 | 1<<24
			}
			two := dst[n : n+2]
			two[0], two[1] = byte(e), byte(e>>8)
			n += int(e >> 24)
			l := uint(e>>16) & 0xff
			acc <<= l & 63
			have -= l
		}
	}
	return huffmanTail(dst, n, acc, have)
}

// huffmanTail decodes the last bits, fewer than a code may have, and checks the padding.
func huffmanTail(dst []byte, n int, acc uint64, have uint) ([]byte, bool) {
	for acc |= ^uint64(0) >> have; have >= huffmanBitsMin; acc |= ^uint64(0) >> have {
		e := huffmanTable[acc>>(64-huffmanDirect)]
		octet, l := byte(e), uint(huffmanBits[byte(e)])
		if e == 0 {
			octet, l = symbol(acc)
		}
		if l == 0 || l > have {
			break
		}
		dst[n] = octet
		n++
		acc <<= l
		have -= l
	}
	return dst[:n], have < 8 && acc == ^uint64(0)
}

// extend returns b with room for n bytes behind its length, its length covering them.
func extend(b []byte, n int) []byte {
	if cap(b)-len(b) < n {
		size := 1 << bits.Len(uint(len(b)+n))
		b = append(make([]byte, 0, size), b...)
	}
	return b[:len(b)+n]
}
