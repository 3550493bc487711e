package tlsio

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"weir/netio"
)

// forger is a client that shakes hands with crypto/tls (TLS 1.3, AES-128-GCM) and then seals records of its own making,
// with the keys from the key log. It can say what no library says.
type forger struct {
	t      testing.TB
	fd     int
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

// newForger connects a forger to server, which must be a fresh Conn on the other end of fd.
func newForger(t testing.TB, s *site, fd int, server *Conn) *forger {
	t.Helper()
	var keys bytes.Buffer
	cfg := s.goClient(tls.VersionTLS13)
	cfg.KeyLogWriter = &keys
	raw := netConn(t, fd)
	done := make(chan error)
	go func() { done <- tls.Client(raw, cfg).Handshake() }()
	if err := handshakeOn(t, server); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if server.State().Cipher != tls.TLS_AES_128_GCM_SHA256 {
		t.Skip("the forger speaks AES-128-GCM only")
	}
	f := &forger{t: t, fd: fd}
	for line := range bytes.Lines(keys.Bytes()) {
		if w := bytes.Fields(line); string(w[0]) == "CLIENT_TRAFFIC_SECRET_0" {
			f.secret = make([]byte, len(w[2])/2)
			hex.Decode(f.secret, w[2])
		}
	}
	f.rekey()
	return f
}

// expand is HKDF-Expand-Label (RFC 8446 section 7.1).
func (f *forger) expand(label string, n int) []byte {
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(info, byte(len("tls13 "+label)))
	info = append(info, "tls13 "+label...)
	info = append(info, 0)
	out, err := hkdf.Expand(sha256.New, f.secret, string(info), n)
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

func (f *forger) rekey() {
	block, err := aes.NewCipher(f.expand("key", 16))
	if err != nil {
		f.t.Fatal(err)
	}
	f.aead, _ = cipher.NewGCM(block)
	f.iv, f.seq = f.expand("iv", 12), 0
}

// update moves on to the next generation of keys (RFC 8446 section 7.2).
func (f *forger) update() {
	f.secret = f.expand("traffic upd", 32)
	f.rekey()
}

// seal makes one record of the given inner type.
func (f *forger) seal(typ byte, plaintext []byte) []byte {
	nonce := bytes.Clone(f.iv)
	for i := range 8 {
		nonce[4+i] ^= byte(f.seq >> (56 - 8*i))
	}
	f.seq++
	inner := append(bytes.Clone(plaintext), typ)
	header := []byte{23, 3, 3, 0, 0}
	binary.BigEndian.PutUint16(header[3:], uint16(len(inner)+16))
	return f.aead.Seal(header, nonce, inner, header)
}

// say writes bytes to the server's socket.
func (f *forger) say(b ...[]byte) {
	f.t.Helper()
	all := bytes.Join(b, nil)
	for len(all) > 0 {
		n, err := unix.Write(f.fd, all)
		if err != nil {
			f.t.Fatal(fmt.Errorf("forger: %w", err))
		}
		all = all[n:]
	}
}

// The types of records and messages that the tests forge.
const (
	typeAlert     = 21
	typeHandshake = 22
	typeData      = 23
)

var (
	keyUpdateQuiet     = []byte{24, 0, 0, 1, 0}
	keyUpdateRequested = []byte{24, 0, 0, 1, 1}
	closeNotify        = []byte{1, 0}
)

// forged returns a forger and the server it talks to.
func forged(t testing.TB) (*forger, *Conn, *sockets) {
	t.Helper()
	s := newSite(t, tls.VersionTLS13, "p256")
	k := new(sockets)
	a, b := socketpair(t)
	server := newWorker(k).Server(b, s.server)
	t.Cleanup(server.Close)
	return newForger(t, s, a, server), server, k
}

// Whatever records a peer mixes, and wherever the network cuts them: the data arrives, and nothing else.
func TestRandomRecords(t *testing.T) {
	versionsOfInnards(t, func(t *testing.T) {
		rapid.Check(t, func(r *rapid.T) {
			f, server, _ := forged(t)
			defer server.Close()
			if n := rapid.SampledFrom([]int{0, 16 << 10}).Draw(r, "bufferMax"); n > 0 {
				server.SetBufferMax(n)
			}
			var stream, want, got []byte
			dataless := 0 // crypto/tls ends a connection after 16 records in a row that bring nothing
			for range rapid.IntRange(1, 30).Draw(r, "records") {
				kind := rapid.IntRange(0, 4).Draw(r, "kind")
				if dataless++; kind > 2 || dataless > 6 {
					kind, dataless = 3, 0
				}
				switch kind {
				case 0:
					stream = append(stream, f.seal(typeData, nil)...)
				case 1, 2:
					update := rapid.SampledFrom([][]byte{keyUpdateQuiet, keyUpdateRequested}).Draw(r, "update")
					cut := rapid.IntRange(0, len(update)-1).Draw(r, "cut")
					if cut > 0 {
						stream = append(stream, f.seal(typeHandshake, update[:cut])...)
					}
					stream = append(stream, f.seal(typeHandshake, update[cut:])...)
					f.update()
				default:
					data := pattern(byte(len(want)), rapid.SampledFrom([]int{1, 100, 5000, 16384}).Draw(r, "bytes"))
					stream = append(stream, f.seal(typeData, data)...)
					want = append(want, data...)
				}
			}
			for len(stream) > 0 {
				part := stream[:min(len(stream), rapid.SampledFrom([]int{1, 4, 300, 9000, 30_000, 100_000}).Draw(r, "part"))]
				stream = stream[len(part):]
				f.say(part)
				server.Ready(netio.Readable)
				for p := make([]byte, rapid.SampledFrom([]int{64, 3000, 40_000}).Draw(r, "p")); ; {
					n, io := server.Recv(p)
					got = append(got, p[:n]...)
					if io == netio.Again {
						break
					}
					if io != netio.OK {
						r.Fatalf("Recv: %d after %d bytes: %v", io, len(got), server.Err())
					}
				}
				if rapid.Bool().Draw(r, "idle") {
					server.Idle()
				}
			}
			if !bytes.Equal(got, want) {
				r.Fatalf("%d bytes of %d arrived", len(got), len(want))
			}
			if server.Idle(); server.Held() != 0 {
				r.Fatalf("%d bytes are held after all", server.Held())
			}
		})
	})
}
