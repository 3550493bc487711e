package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"
)

// mutantTime is how long mutants are made of each corpus.
const mutantTime = 1500 * time.Millisecond

// mutate changes a few bytes: replaces, drops, doubles or cuts.
func mutate(r *rand.Rand, b []byte) []byte {
	const spice = "\r\n \t:;,=\x00\x0b\x7f\x80\xff0123456789abcdefGET/HTP.-_\"'"
	b = append([]byte(nil), b...)
	for range 1 + r.IntN(3) {
		if len(b) < 2 {
			return b
		}
		i := r.IntN(len(b))
		switch r.IntN(5) {
		case 0:
			b[i] = spice[r.IntN(len(spice))]
		case 1:
			b = append(b[:i], b[i+1:]...)
		case 2:
			b = append(b[:i], append([]byte{spice[r.IntN(len(spice))]}, b[i:]...)...)
		case 3:
			j := i + r.IntN(min(len(b)-i, 20))
			b = append(b[:j], append([]byte(string(b[i:j])), b[j:]...)...)
		case 4:
			b[i] ^= 1 << r.IntN(8)
		}
	}
	return b
}

// said is all bytes of a vector's steps, if there are not too many.
func said(steps []step) (b []byte) {
	for i := range steps {
		b = append(b, steps[i].bytes()...)
	}
	if len(b) > 20_000 {
		return nil
	}
	return b
}

// TestMutantsOfRequests sends requests that differ by a few bytes from those of the corpus. What becomes of each is not
// said; but the server never sees what is no request, the client never gets what is no response, and a bystander is served.
func TestMutantsOfRequests(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		l := <-lanes(t, 1, over, `alpn = ["http/1.1"]`)
		vectors := loadCorpus(t, requestCorpus, 204)
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 1))
		l.rec.begin(playing{})
		n := 0
		for end := time.Now().Add(mutantTime); time.Now().Before(end); n++ {
			v := &vectors[r.IntN(len(vectors))]
			b := said(v.Send)
			if b == nil {
				continue
			}
			b = mutate(r, b)
			if strings.Contains(string(b), "HEAD") { // where their responses end cannot be seen from outside
				continue
			}
			p := l.dialAs(t)
			if p.trySend(string(b)) == nil {
				_ = p.conn.(interface{ CloseWrite() error }).CloseWrite()
			}
			for deadline := time.Now().Add(patience); !p.ended; {
				if !p.more(deadline) {
					t.Fatalf("seed %d, mutant %d of %s: the connection stays open after %q", seed, n, v.ID, b)
				}
			}
			p.close()
			if bad := notResponses(p); bad != "" {
				t.Fatalf("seed %d, mutant %d of %s: to %q the client gets what is no response: %s in %q", seed, n, v.ID, b, bad, p.in)
			}
			if f := l.rec.fault(); f != "" {
				t.Fatalf("seed %d, mutant %d of %s: for %q the server gets what is no request: %s", seed, n, v.ID, b, f)
			}
		}
		if bad, _ := bystander(t, l, "/victim/mutants"); bad != "" {
			t.Error("bystander: ", bad)
		}
		t.Logf("%d mutants", n)
	})
}

// notResponses says what is wrong with what a client got; the last response may be cut short.
func notResponses(p *peer) string {
	for b := p.in; len(b) > 0; {
		m, n, err := cutResponse(b, "GET", true)
		switch {
		case errors.Is(err, errShort):
			return ""
		case err != nil:
			return err.Error()
		case m.framing == byTunnel:
			return ""
		}
		b = b[n:]
	}
	return ""
}

// TestMutantsOfResponses has the server send responses that differ by a few bytes from those of the corpus.
func TestMutantsOfResponses(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		vectors := loadCorpus(t, responseCorpus, 87)
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 2))
		back := listen(t, plain)
		mutants := make(chan []byte, 1)
		go func() {
			for c := range back.arrived {
				go sayMutants(c, mutants)
			}
		}()
		w := start(t, setup{over: over, servers: []*origin{back}, backend: "reuse = \"always\"\nmax-errors = 0\n" + useShort, tables: short("server")})
		n := 0
		for end := time.Now().Add(mutantTime); time.Now().Before(end); n++ {
			v := &vectors[r.IntN(len(vectors))]
			b := said(v.Reply)
			if b == nil {
				continue
			}
			b = mutate(r, b)
			select {
			case <-mutants: // the last one was not asked for
			default:
			}
			mutants <- b
			p := w.dial()
			p.send("GET /mutant HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
			for deadline := time.Now().Add(patience); !p.ended; {
				if !p.more(deadline) {
					t.Fatalf("seed %d, mutant %d of %s: no end after %q: %q", seed, n, v.ID, b, p.in)
				}
			}
			p.close()
			if bad := notResponses(p); bad != "" {
				t.Fatalf("seed %d, mutant %d of %s: for %q the client gets what is no response: %s in %q", seed, n, v.ID, b, bad, p.in)
			}
			if rest := behindTheFirst(p); rest != "" {
				t.Fatalf("seed %d, mutant %d of %s: for %q the client gets more than a response: %q", seed, n, v.ID, b, rest)
			}
		}
		t.Logf("%d mutants", n)
	})
}

// behindTheFirst is what came behind the first final response.
func behindTheFirst(p *peer) string {
	for b := p.in; len(b) > 0; {
		m, n, err := cutResponse(b, "GET", true)
		if err != nil || m.framing == byTunnel {
			return ""
		}
		if b = b[n:]; m.status() >= 200 {
			return string(b)
		}
	}
	return ""
}

// sayMutants answers each request with the next mutant, and closes: what it has begun to say is over then.
func sayMutants(c net.Conn, mutants chan []byte) {
	defer c.Close()
	buf := make([]byte, 4<<10)
	n, err := c.Read(buf)
	if err != nil || !strings.HasPrefix(string(buf[:n]), "GET /mutant ") {
		return
	}
	select {
	case b := <-mutants:
		_, _ = c.Write(b)
	default:
		_, _ = fmt.Fprint(c, "HTTP/1.1 500 No Mutant\r\nContent-Length: 0\r\n\r\n")
	}
}
