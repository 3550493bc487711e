package h3

import (
	"testing"

	"weir/internal/msg"
)

// What is done for every request on the worker's thread, and for every head, allocates nothing once it has grown to its
// usual size.
func TestHotPathsDoNotAllocate(t *testing.T) {
	block := fields(browserHead...)
	wire := join(frame(frameHeaders, block), frame(frameData, make([]byte, 100)))
	e, h := NewEncoder(), benchResponse()
	tail := response(0, msg.BodyNone, 0, "X-Sum: 1", "grpc-status: 0")
	head := &msg.Head{}
	c := &Conn{cfg: &Config{BufferBytes: 128 << 10}}
	for why, f := range map[string]func(){
		"a head": func() {
			head.Reset()
			sec := section{fields: msg.NewSection(head, msg.RequestSection), max: 64 << 10}
			if sec.read(block) != nil || sec.finish(true) != nil {
				t.Fatal("refused")
			}
		},
		"its frames": func() {
			p := reqParser{blockMax: 64 << 10}
			for rest := wire; len(rest) > 0; {
				_, _, n, err := p.next(rest)
				if err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
		},
		"a response's head": func() { e.head(h) },
		"trailers":          func() { e.trailers(tail) },
		"a priority":        func() { msg.PriorityUnsaid.Read([]byte("u=2, i")) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", why, n)
		}
	}
	data := make([]byte, 1000)
	n := testing.AllocsPerRun(100, func() {
		s := Stream{Conn: c}
		s.SendHead(e, h, false)
		s.SendData(data)
		s.SendEnd()
		if s.Room() != 0 || s.Pending() < 1000 {
			t.Fatal("nothing waits")
		}
		s.send.mu.Lock()
		s.drop()
		s.send.mu.Unlock()
	})
	if n > 1 { // the stream itself
		t.Errorf("a response: %v allocations", n)
	}
}
