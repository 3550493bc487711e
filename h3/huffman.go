package h3

import (
	"bytes"

	"golang.org/x/net/http2/hpack"
)

// QPACK uses the Huffman code of HPACK (RFC 9204 section 4.1.2, RFC 7541 appendix B). The code is taken from
// golang.org/x/net/http2/hpack when the process starts; what is ours is a faster way to use it: half of the time of reading
// a request's head went into the library's decoder (BenchmarkSection).

const (
	huffmanBitsMax  = 30 // the longest code of an octet
	huffmanFastBits = 10 // codes up to here are looked up at once; all letters, digits and most of the rest
)

// huffmanCode is the code of an octet, in the low bits.
type huffmanCode struct {
	code uint32
	bits uint8
}

// huffmanEntry is the octet whose code begins with an index of huffmanFast; bits 0: the code is longer.
type huffmanEntry struct{ octet, bits uint8 }

var (
	huffmanCodes [256]huffmanCode
	huffmanFast  [1 << huffmanFastBits]huffmanEntry
	// huffmanLong holds the octets with longer codes by the length of their code. There are few of each.
	huffmanLong [huffmanBitsMax + 1][]uint8
)

func init() {
	for i := range huffmanCodes {
		// Eight of the same octet take as many octets as the code of one takes bits, and begin with the code.
		eight := hpack.AppendHuffmanString(nil, string(bytes.Repeat([]byte{byte(i)}, 8)))
		c := huffmanCode{bits: uint8(len(eight))}
		for _, b := range append(eight, 0, 0, 0)[:4] {
			c.code = c.code<<8 | uint32(b)
		}
		c.code >>= 32 - c.bits
		huffmanCodes[i] = c
		if c.bits > huffmanFastBits {
			huffmanLong[c.bits] = append(huffmanLong[c.bits], uint8(i))
			continue
		}
		first := c.code << (huffmanFastBits - c.bits)
		for j := range uint32(1) << (huffmanFastBits - c.bits) {
			huffmanFast[first+j] = huffmanEntry{uint8(i), c.bits}
		}
	}
}

// appendHuffman appends what src decodes to. It is not ok when src holds the end-of-string symbol, or does not end in less
// than eight ones (RFC 7541 section 5.2).
func appendHuffman(dst, src []byte) (_ []byte, ok bool) {
	var acc uint64 // the bits to come, from the top
	var have uint  // how many there are
	for {
		for have <= 56 && len(src) > 0 {
			acc |= uint64(src[0]) << (56 - have)
			src = src[1:]
			have += 8
		}
		for {
			e := huffmanFast[acc>>(64-huffmanFastBits)]
			n := uint(e.bits)
			if n == 0 || n > have {
				break
			}
			dst = append(dst, e.octet)
			acc <<= n
			have -= n
		}
		octet, n := longSymbol(acc)
		switch {
		case n > 0 && n <= have:
			dst = append(dst, octet)
			acc <<= n
			have -= n
		case len(src) > 0 && have <= 56:
		default:
			return dst, have < 8 && acc == ^uint64(0)<<(64-have)
		}
	}
}

// longSymbol finds the octet whose code acc begins with, if its code is not a fast one; n is 0 if there is none.
func longSymbol(acc uint64) (octet uint8, n uint) {
	if huffmanFast[acc>>(64-huffmanFastBits)].bits > 0 {
		return 0, 0
	}
	for n := uint(huffmanFastBits + 1); n <= huffmanBitsMax; n++ {
		for _, octet := range huffmanLong[n] {
			if uint64(huffmanCodes[octet].code) == acc>>(64-n) {
				return octet, n
			}
		}
	}
	return 0, 0
}

// huffmanBytes is how many octets src takes when it is encoded.
func huffmanBytes(src []byte) int {
	bits := 0
	for _, c := range src {
		bits += int(huffmanCodes[c].bits)
	}
	return (bits + 7) / 8
}

// encodeHuffman appends src encoded.
func encodeHuffman(dst, src []byte) []byte {
	var acc uint64
	var have uint
	for _, c := range src {
		code := huffmanCodes[c]
		acc = acc<<code.bits | uint64(code.code)
		for have += uint(code.bits); have >= 8; have -= 8 {
			dst = append(dst, byte(acc>>(have-8)))
		}
	}
	if have > 0 {
		dst = append(dst, byte(acc<<(8-have))|byte(0xff>>have))
	}
	return dst
}
