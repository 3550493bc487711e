package tlsio

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"reflect"
	"unsafe"
)

// innards are what outlives its use inside a crypto/tls connection. crypto/tls gives no way to hand it back: rawInput
// grows to the largest record ever seen (18 KiB) and hand to the largest handshake message, and both stay for the life of
// the connection, as do the peer's certificates. A million idle connections would hold 20 GiB instead of 4.
//
// While raw is lent a block, the kernel's bytes go into it directly (fill) and are decrypted in place, which also saves
// the allocation that crypto/tls makes for every read of its own.
type innards struct {
	raw   *bytes.Buffer // ciphertext that was received, from the start of a record
	input *bytes.Reader // plaintext of the record that is being read; aliases raw's memory
	hand  *bytes.Buffer // handshake messages that are not complete

	certs  *[]*x509.Certificate   // of the peer
	chains *[][]*x509.Certificate // from them to a CA
}

// layout is where a tls.Conn keeps its innards. When a release of Go moves or retypes them, known is false and every
// connection works through wire.Read alone: with one allocation more for each read, and larger when idle.
var layout = findLayout(reflect.TypeFor[tls.Conn]())

type connLayout struct {
	raw, input, hand, certs, chains uintptr
	known                           bool
}

func findLayout(conn reflect.Type) connLayout {
	raw, ok1 := conn.FieldByName("rawInput")
	input, ok2 := conn.FieldByName("input")
	hand, ok3 := conn.FieldByName("hand")
	certs, ok4 := conn.FieldByName("peerCertificates")
	chains, ok5 := conn.FieldByName("verifiedChains")
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 {
		return connLayout{}
	}
	buffer, reader := reflect.TypeFor[bytes.Buffer](), reflect.TypeFor[bytes.Reader]()
	return connLayout{
		raw: raw.Offset, input: input.Offset, hand: hand.Offset, certs: certs.Offset, chains: chains.Offset,
		known: raw.Type == buffer && input.Type == reader && hand.Type == buffer &&
			certs.Type == reflect.TypeFor[[]*x509.Certificate]() && chains.Type == reflect.TypeFor[[][]*x509.Certificate](),
	}
}

// innardsOf returns the innards of tc, or the zero value when they are not where they are expected.
func innardsOf(tc *tls.Conn) innards {
	if !layout.known {
		return innards{}
	}
	p := unsafe.Pointer(tc)
	return innards{
		raw:   (*bytes.Buffer)(unsafe.Add(p, layout.raw)),
		input: (*bytes.Reader)(unsafe.Add(p, layout.input)),
		hand:  (*bytes.Buffer)(unsafe.Add(p, layout.hand)),

		certs:  (*[]*x509.Certificate)(unsafe.Add(p, layout.certs)),
		chains: (*[][]*x509.Certificate)(unsafe.Add(p, layout.chains)),
	}
}

// open reports whether the innards can be reached.
func (in *innards) open() bool { return in.raw != nil }

// set makes b, to its capacity, the memory of raw, and its len bytes the content.
func (in *innards) set(b []byte) { *in.raw = *bytes.NewBuffer(b) }

// spent reports whether nothing that was received waits inside, decrypted or not.
func (in *innards) spent() bool { return in.raw.Len() == 0 && in.input.Len() == 0 }

// drop takes the memory away from raw and input, and what waits in it.
func (in *innards) drop() {
	*in.raw = bytes.Buffer{}
	in.input.Reset(nil)
}

// dropHand lets the handshake buffer go unless part of a message waits in it.
func (in *innards) dropHand() {
	if in.hand.Len() == 0 {
		*in.hand = bytes.Buffer{}
	}
}

// dropCerts forgets what a client has proven its identity with: 5 KiB for each certificate, of which State keeps what
// anybody asks for. It is for servers, whose last ticket is written before the handshake is over; a client puts the
// certificates of its server into every session it is given later.
func (in *innards) dropCerts() { *in.certs, *in.chains = nil, nil }

// The record header (RFC 8446 section 5.1, RFC 5246 section 6.2.1) and the longest record there is: TLS 1.2 allows 2048
// bytes more than the plaintext.
const (
	recordHeaderBytes = 5
	plaintextBytesMax = 16384
	recordBytesMax    = recordHeaderBytes + plaintextBytesMax + 2048
)

// recordIn returns the length of the record at the start of b, or 0 when its header is not complete. A header that
// announces more than any record may have counts as a record of its own: crypto/tls refuses it by its header alone.
func recordIn(b []byte) int {
	if len(b) < recordHeaderBytes {
		return 0
	}
	n := recordHeaderBytes + (int(b[3])<<8 | int(b[4]))
	if n > recordBytesMax {
		return recordHeaderBytes
	}
	return n
}

// complete reports whether crypto/tls can take a record from raw without asking for more bytes.
func (in *innards) complete() bool {
	b := in.raw.Bytes()
	n := recordIn(b)
	return n > 0 && n <= len(b)
}
