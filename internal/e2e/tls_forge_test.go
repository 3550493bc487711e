package e2e

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	be "encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// forged is one end of a TLS 1.3 connection that shakes hands with crypto/tls and makes its own records from then on, so
// that it can send what no library sends: key updates, records of any size and padding, bytes behind an end. And it is
// strict where crypto/tls is not: a stream without close_notify is cut short.
type forged struct {
	net.Conn
	t          *testing.T
	send, recv traffic
	plain      []byte
	piece      int // plaintext of a record at the most; 0: 16 KiB
	padding    int // zeros behind it (RFC 8446 section 5.4)
	updates    int // key updates of the other side
	asked      int // those of them that want one of ours
}

// traffic is the keys of one direction (RFC 8446 section 7.3).
type traffic struct {
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

// The types of records, and of the handshake messages that come after the handshake.
const (
	recordAlert, recordHandshake, recordData = 21, 22, 23
	messageKeyUpdate                         = 24
)

// forgeClient shakes hands as a client of weir.
func forgeClient(t *testing.T, w *weir) (*peer, *forged) {
	t.Helper()
	raw := w.dialRaw("8080").conn
	return forge(t, raw, "CLIENT", "SERVER", asClient("a.example"), tls.Client)
}

// forgeServer shakes hands as a server of weir.
func (o *origin) forgeServer() (*peer, *forged) {
	o.t.Helper()
	c := o.tls.Clone()
	c.SessionTicketsDisabled = true // nothing is sent with the keys that are ours from here on
	o.tls = nil
	raw := o.accept().conn
	o.tls = c
	return forge(o.t, raw, "SERVER", "CLIENT", c, tls.Server)
}

func forge(t *testing.T, raw net.Conn, own, other string, c *tls.Config, role func(net.Conn, *tls.Config) *tls.Conn) (*peer, *forged) {
	t.Helper()
	var keys bytes.Buffer
	c.MinVersion, c.MaxVersion, c.KeyLogWriter = tls.VersionTLS13, tls.VersionTLS13, &keys
	s := role(&recordwise{Conn: raw}, c)
	_ = s.SetDeadline(time.Now().Add(patience))
	if err := s.Handshake(); err != nil {
		t.Fatal(err)
	}
	_ = s.SetDeadline(time.Time{})
	if s.ConnectionState().CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
		t.Skip("only AES-128-GCM can be forged, and this processor prefers another cipher")
	}
	f := &forged{Conn: raw, t: t}
	for line := range bytes.Lines(keys.Bytes()) {
		w := bytes.Fields(line)
		secret, _ := hex.DecodeString(string(w[2]))
		switch string(w[0]) {
		case own + "_TRAFFIC_SECRET_0":
			f.send.use(secret)
		case other + "_TRAFFIC_SECRET_0":
			f.recv.use(secret)
		}
	}
	return newPeer(t, f), f
}

// recordwise gives one record at a time, so that crypto/tls reads nothing that is behind the handshake.
type recordwise struct {
	net.Conn
	rest []byte
}

func (r *recordwise) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		_, body, err := readRecord(r.Conn)
		if err != nil {
			return 0, err
		}
		r.rest = body
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// readRecord reads one record, header included.
func readRecord(c io.Reader) (kind byte, record []byte, err error) {
	record = make([]byte, 5, 5+1<<14+256)
	if _, err = io.ReadFull(c, record); err != nil {
		return 0, nil, err
	}
	record = append(record, make([]byte, be.BigEndian.Uint16(record[3:]))...)
	_, err = io.ReadFull(c, record[5:])
	return record[0], record, err
}

func (k *traffic) use(secret []byte) {
	k.secret, k.seq = secret, 0
	block, err := aes.NewCipher(k.expand("key", 16))
	must(err)
	k.aead, err = cipher.NewGCM(block)
	must(err)
	k.iv = k.expand("iv", 12)
}

// expand is HKDF-Expand-Label (RFC 8446 section 7.1).
func (k *traffic) expand(label string, n int) []byte {
	label = "tls13 " + label
	info := be.BigEndian.AppendUint16(nil, uint16(n))
	info = append(append(append(info, byte(len(label))), label...), 0)
	out, err := hkdf.Expand(sha256.New, k.secret, string(info), n)
	must(err)
	return out
}

func (k *traffic) update() { k.use(k.expand("traffic upd", sha256.Size)) }

func (k *traffic) nonce() []byte {
	n := bytes.Clone(k.iv)
	for i := range 8 {
		n[4+i] ^= byte(k.seq >> (56 - 8*i))
	}
	k.seq++
	return n
}

// seal makes a record.
func (f *forged) seal(kind byte, plain string) []byte {
	inner := append(append([]byte(plain), kind), make([]byte, f.padding)...)
	head := be.BigEndian.AppendUint16([]byte{recordData, 3, 3}, uint16(len(inner)+16))
	return f.send.aead.Seal(head, f.send.nonce(), inner, head)
}

// updateOf is a KeyUpdate as a record; what follows is sealed with new keys.
func (f *forged) updateOf(request bool) []byte {
	b := f.seal(recordHandshake, string([]byte{messageKeyUpdate, 0, 0, 1, map[bool]byte{true: 1}[request]}))
	f.send.update()
	return b
}

// goodbye is a close_notify.
func (f *forged) goodbye() []byte { return f.seal(recordAlert, "\x01\x00") }

// data is the records of some plaintext.
func (f *forged) data(plain string) (b []byte) {
	piece := f.piece
	if piece == 0 {
		piece = 16<<10 - f.padding
	}
	for len(plain) > 0 {
		n := min(piece, len(plain))
		b = append(b, f.seal(recordData, plain[:n])...)
		plain = plain[n:]
	}
	return b
}

// put writes records that were sealed before, in one write.
func (f *forged) put(records ...[]byte) {
	f.t.Helper()
	_ = f.Conn.SetWriteDeadline(time.Now().Add(patience))
	if _, err := f.Conn.Write(bytes.Join(records, nil)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *forged) Write(p []byte) (int, error) {
	_, err := f.Conn.Write(f.data(string(p)))
	return len(p), err
}

func (f *forged) CloseWrite() error {
	_, err := f.Conn.Write(f.goodbye())
	return err
}

func (f *forged) Close() error {
	_ = f.Conn.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = f.Conn.Write(f.goodbye())
	return f.Conn.Close()
}

func (f *forged) Read(p []byte) (int, error) {
	for len(f.plain) == 0 {
		kind, record, err := readRecord(f.Conn)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // no close_notify
		}
		if err != nil {
			return 0, err
		}
		if kind != recordData {
			return 0, fmt.Errorf("a record of type %d in the clear", kind)
		}
		inner, err := f.recv.aead.Open(nil, f.recv.nonce(), record[5:], record[:5])
		if err != nil {
			return 0, err
		}
		inner = bytes.TrimRight(inner, "\x00")
		if err := f.take(inner[len(inner)-1], inner[:len(inner)-1]); err != nil {
			return 0, err
		}
	}
	n := copy(p, f.plain)
	f.plain = f.plain[n:]
	return n, nil
}

// take acts on a record.
func (f *forged) take(kind byte, body []byte) error {
	switch kind {
	case recordData:
		f.plain = body
	case recordAlert:
		if body[1] == 0 {
			return io.EOF
		}
		return fmt.Errorf("remote error: tls: alert %d", body[1])
	case recordHandshake:
		for len(body) > 0 {
			n := 4 + int(be.BigEndian.Uint16(body[2:]))
			if body[0] == messageKeyUpdate {
				f.recv.update()
				f.updates++
				f.asked += int(body[4])
			}
			body = body[n:]
		}
	}
	return nil
}
