package origin

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// maskedFrame is what a client sends.
func maskedFrame(op byte, payload []byte) []byte {
	f := []byte{finBit | op}
	f = appendFrameSize(f, len(payload))
	f[1] |= maskBit
	key := [4]byte{1, 2, 3, 4}
	f = append(f, key[:]...)
	for i, b := range payload {
		f = append(f, b^key[i&3])
	}
	return f
}

func readFrame(rd io.Reader) (op byte, payload []byte, err error) {
	var head [2]byte
	if _, err = io.ReadFull(rd, head[:]); err != nil {
		return 0, nil, err
	}
	size := uint64(head[1])
	switch size {
	case 126:
		var b [2]byte
		_, err = io.ReadFull(rd, b[:])
		size = uint64(binary.BigEndian.Uint16(b[:]))
	case 127:
		var b [8]byte
		_, err = io.ReadFull(rd, b[:])
		size = binary.BigEndian.Uint64(b[:])
	}
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, size)
	_, err = io.ReadFull(rd, payload)
	return head[0] &^ finBit, payload, err
}

func TestSocketEchoes(t *testing.T) {
	engines(t, func(t *testing.T, at Addresses) {
		c, err := net.Dial("tcp4", at.Serve.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprint(c, "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
		rd := bufio.NewReader(c)
		rsp, err := http.ReadResponse(rd, nil)
		if err != nil || rsp.StatusCode != 101 {
			t.Fatal(rsp, err)
		}
		// The answer to the key of RFC 6455 section 1.3.
		if got := rsp.Header.Get("Sec-WebSocket-Accept"); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
			t.Errorf("Sec-WebSocket-Accept is %q", got)
		}
		for _, size := range []int{0, 1, 125, 126, 65535, 65536, 200000} {
			want := Body(size)
			go c.Write(maskedFrame(2, want))
			if op, got, err := readFrame(rd); err != nil || op != 2 || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes: op %d, %d bytes, %v", size, op, len(got), err)
			}
		}
		c.Write(maskedFrame(opPing, []byte("p")))
		if op, got, err := readFrame(rd); err != nil || op != opPong || string(got) != "p" {
			t.Errorf("a ping is answered by op %d %q, %v", op, got, err)
		}
		c.Write(maskedFrame(opClose, nil))
		if op, _, err := readFrame(rd); err != nil || op != opClose {
			t.Errorf("a close is answered by op %d, %v", op, err)
		}
		if _, err := rd.ReadByte(); err != io.EOF {
			t.Errorf("the connection stays open after the closing handshake: %v", err)
		}
	})
}

func TestSocketRefusesUnmaskedFrames(t *testing.T) {
	c := &conn{srv: &server{replies: replies{}, counters: new(Counters)}, mode: modeSocket}
	c.recv([]byte{finBit | 2, 1, 'x'}, nil)
	if c.mode != modeEnded {
		t.Error("an unmasked frame was taken")
	}
}
