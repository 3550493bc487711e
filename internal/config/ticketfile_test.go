package config

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"
)

func TestParseTicketKeys(t *testing.T) {
	k48, k80 := bytes.Repeat([]byte{1}, 48), bytes.Repeat([]byte{2, 0xf3}, 40)
	b64, hx := base64.StdEncoding.EncodeToString, hex.EncodeToString
	raw := make([]byte, 64)
	rand.Read(raw)
	raw[0] = 0
	for _, c := range []struct {
		name, in string
		want     [][]byte
		err      string
	}{
		{"base64", b64(k48) + "\n", [][]byte{k48}, ""},
		{"hex", hx(k80) + "\n", [][]byte{k80}, ""},
		{"upper-case hex", strings.ToUpper(hx(k80)), [][]byte{k80}, ""},
		{"base64 without padding", base64.RawStdEncoding.EncodeToString(k80[:49]), [][]byte{k80[:49]}, ""},
		{"newest first", "# keys\r\n\n  " + b64(k80) + "  \r\n\t" + hx(k48) + "\n", [][]byte{k80, k48}, ""},
		{"raw bytes", string(raw), [][]byte{raw}, ""},
		{"48 bytes as hex are not 72 as base64", hx(k48), [][]byte{k48}, ""},
		{"nothing", "", nil, "there is no key"},
		{"only comments", "# later\n\n", nil, "there is no key"},
		{"too short", b64(k48[:47]) + "\n", nil, "line 1: a key has 48 to 80 bytes, this one 47"},
		{"too long", "\n" + hx(k80) + "00\n", nil, "line 2: a key has 48 to 80 bytes, this one 81"},
		{"neither", "not a key!\n", nil, "line 1: neither base64 nor hex"},
		{"stray bits", "A" + b64(k48)[1:62] + "B=", nil, "line 1: neither"},
		{"twice the same", b64(k48) + "\n" + hx(k48) + "\n", nil, "line 2: the same key as key 1"},
		{"raw and too short", "\x00\x01", nil, "a raw key has 32 to 1024 bytes, here are 2"},
		{"raw and too long", strings.Repeat("\x00", 1025), nil, "a raw key has 32 to 1024 bytes, here are 1025"},
	} {
		got, err := parseTicketKeys([]byte(c.in))
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want %q", c.name, err, c.err)
			}
			continue
		}
		if err != nil || len(got) != len(c.want) {
			t.Errorf("%s: %d keys, %v", c.name, len(got), err)
			continue
		}
		for i := range got {
			if !bytes.Equal(got[i], c.want[i]) {
				t.Errorf("%s: key %d is %x", c.name, i, got[i])
			}
		}
	}
	var many strings.Builder
	for i := range ticketLinesMax + 1 {
		many.WriteString(hx(bytes.Repeat([]byte{byte(i)}, 48)) + "\n")
	}
	if _, err := parseTicketKeys([]byte(many.String())); err == nil || !strings.Contains(err.Error(), "line 17: more than 16") {
		t.Errorf("17 keys: %v", err)
	}
}

// FuzzTicketKeys: whatever is accepted is within the bounds, distinct, and reads the same when it is written again.
func FuzzTicketKeys(f *testing.F) {
	f.Add([]byte(strings.Repeat("A", 64) + "\n" + strings.Repeat("0f", 48)))
	f.Add([]byte("# c\r\n\r\n" + strings.Repeat("/+A9", 20) + "\t\n"))
	f.Add(bytes.Repeat([]byte{0xff}, 48))
	f.Fuzz(func(t *testing.T, b []byte) {
		keys, err := parseTicketKeys(b)
		if err != nil {
			return
		}
		if len(keys) == 0 || len(keys) > ticketLinesMax {
			t.Fatalf("%d keys", len(keys))
		}
		if !isText(b) {
			if len(keys) != 1 || !bytes.Equal(keys[0], b) {
				t.Fatal("a raw key is not the file")
			}
			return
		}
		var again []byte
		for _, k := range keys {
			if len(k) < ticketLineBytesMin || len(k) > ticketLineBytesMax {
				t.Fatalf("a key of %d bytes", len(k))
			}
			again = hex.AppendEncode(again, k)
			again = append(again, '\n')
		}
		same, err := parseTicketKeys(again)
		if err != nil || len(same) != len(keys) {
			t.Fatalf("written again: %d keys, %v", len(same), err)
		}
		for i := range keys {
			if !bytes.Equal(keys[i], same[i]) {
				t.Fatalf("key %d reads differently", i)
			}
		}
	})
}
