package load

import (
	"slices"
	"testing"
)

// answers feeds in to a client with a few requests out, in pieces of cut bytes, and returns what it made of it.
func answers(p protocol, in []byte, cut int) (got []outcome, wrong string) {
	p.reset()
	p.hello(nil)
	for i := range 3 {
		p.request(int64(i+1), nil)
	}
	for len(in) > 0 && wrong == "" {
		n := min(cut, len(in))
		_, wrong = p.recv(in[:n], nil, func(o outcome) { got = append(got, o) })
		in = in[n:]
	}
	return got, wrong
}

// Whatever a server sends, nothing panics, no request is answered twice, and the cuts between reads make no difference.
func FuzzProtocols(f *testing.F) {
	f.Add(uint8(0), []byte("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"))
	f.Add(uint8(1), []byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x01\x01\x05\x00\x00\x00\x01\x88"))
	f.Add(uint8(2), []byte("HTTP/1.1 101 Switching Protocols\r\n\r\n\x82\x03abc\x82\x03abc"))
	jobs := []*Job{{Protocol: H1, Method: "GET", Path: "/"}, {Protocol: H2, Method: "GET", Path: "/"},
		{Protocol: Socket, Method: "GET", Path: "/ws", Body: 3}}
	f.Fuzz(func(t *testing.T, which uint8, in []byte) {
		j := jobs[int(which)%len(jobs)]
		whole, wrong := answers(newProtocol(j), in, len(in))
		single, wrongToo := answers(newProtocol(j), in, 1)
		if !slices.Equal(whole, single) || wrong != wrongToo {
			t.Errorf("%s whole: %+v %q, byte by byte: %+v %q", j.Protocol, whole, wrong, single, wrongToo)
		}
		if len(whole) > 3 {
			t.Errorf("%d answers to 3 requests", len(whole))
		}
	})
}

func TestSteadyAnswersAllocateNothing(t *testing.T) {
	for _, c := range []struct {
		job    Job
		answer func(p protocol) []byte
	}{
		{Job{Protocol: H1, Method: "GET", Path: "/"}, func(protocol) []byte {
			return []byte("HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 3\r\n\r\nabc")
		}},
		{Job{Protocol: H2, Method: "GET", Path: "/"}, func(p protocol) []byte {
			id := byte(p.(*h2).nextID - 2)
			return []byte{0, 0, 1, frameHeaders, flagEndHeaders, 0, 0, 0, id, 0x88, 0, 0, 3, frameData, flagEndStream, 0, 0, 0, id, 1, 2, 3}
		}},
	} {
		p := newProtocol(&c.job)
		p.reset()
		answered := 0
		done := func(outcome) { answered++ }
		out := make([]byte, 0, 4096)
		var in []byte
		// Stream identifiers outgrow a byte after 127 requests; the runs stay below.
		n := testing.AllocsPerRun(50, func() {
			out = p.request(1, out[:0])
			in = append(in[:0], c.answer(p)...)
			out, _ = p.recv(in, out[:0], done)
		})
		if n > 1 || answered != 51 { // One is the answer that the test itself makes.
			t.Errorf("%s: %v allocations a request, %d answered", c.job.Protocol, n, answered)
		}
	}
}
