package load

import (
	"strings"
	"testing"
)

func TestFramings(t *testing.T) {
	for answer, expect := range map[string]int64{
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n": 13,
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length:5\r\n\r\nabcde":                           5,
		"HTTP/1.0 200 OK\r\n\r\nto the end": 10,
	} {
		for cut := 1; cut <= len(answer); cut += 6 {
			h := newH1(&Job{Method: "GET", Path: "/"})
			h.request(1, nil)
			var got []outcome
			done := func(o outcome) { got = append(got, o) }
			for in := []byte(answer); len(in) > 0; {
				n := min(cut, len(in))
				if _, wrong := h.recv(in[:n], nil, done); wrong != "" {
					t.Fatalf("%q cut at %d: %s", answer, cut, wrong)
				}
				in = in[n:]
			}
			if strings.HasPrefix(answer, "HTTP/1.0") {
				if h.mode != h1ToClose || h.now.bytes != expect {
					t.Errorf("%q: mode %d, %d bytes", answer, h.mode, h.now.bytes)
				}
				continue
			}
			if len(got) != 1 || got[0].status != 200 || got[0].bytes != expect {
				t.Errorf("%q cut at %d: %+v", answer, cut, got)
			}
		}
	}
}

func TestResponseWithoutARequest(t *testing.T) {
	h := newH1(&Job{Method: "GET", Path: "/"})
	_, wrong := h.recv([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), nil, func(outcome) {})
	if wrong != "response without a request" {
		t.Errorf("got %q", wrong)
	}
}

func TestStatusOf(t *testing.T) {
	for _, c := range []struct {
		block  []byte
		status int
		ok     bool
	}{
		{[]byte{0x88, 0x5f}, 200, true},
		{[]byte{0x20, 0x88}, 200, true},
		{[]byte{0x3f, 0xe1, 0x1f, 0x88}, 200, true},
		{[]byte{0x8e}, 500, true},
		{[]byte{0x48, 3, '5', '0', '3'}, 503, true},
		{[]byte{0x08, 3, '5', '0', '3'}, 503, true},
		{append([]byte{0x48, 0x82}, 0x64, 0x02), 302, true}, // RFC 7541 C.6.1
		{[]byte{0xc0}, statusUnread, true},
		{[]byte{0x41, 3, 'a', 'b', 'c'}, 0, false},
		{[]byte{0x48, 9, '5'}, 0, false},
		{nil, 0, false},
	} {
		if status, ok := statusOf(c.block); status != c.status || ok != c.ok {
			t.Errorf("%x: %d, %v", c.block, status, ok)
		}
	}
}
