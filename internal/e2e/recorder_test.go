package e2e

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// step is one thing that a side of a corpus vector does. In its strings one code point is one byte.
type step struct {
	B       *string // bytes to send
	Rep     string  // repeated N times: bytes to send
	N       int
	Sleep   int // milliseconds; here waiting is the vector
	Dribble int // send byte by byte, this many milliseconds apart
	Wait100 int // send on after an interim response, or after so many milliseconds
	Fin     bool
	Close   bool
	Rst     bool
}

func (s *step) bytes() []byte {
	if s.B != nil {
		return latin1(*s.B)
	}
	return []byte(strings.Repeat(s.Rep, s.N))
}

// latin1 is the bytes that a string of the corpus stands for, fromLatin1 is its inverse.
func latin1(s string) []byte {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		b = append(b, byte(r))
	}
	return b
}

func fromLatin1(b []byte) string {
	r := make([]rune, len(b))
	for i, c := range b {
		r[i] = rune(c)
	}
	return string(r)
}

// recorder is a server that keeps what reaches it. It answers each request with what was asked, or, at one path, with what
// it was told to play; bytes that are no request it keeps as a fault.
type recorder struct {
	*origin
	mu       sync.Mutex
	conns    map[int]net.Conn
	next     int
	requests []*recorded
	faults   []string
	play     playing
	attempts int
	busy     int             // connections on which it is being played
	played   map[string]bool // connections on which it was played
}

type recorded struct {
	*message
	conn string
}

// playing is what the recorder sends at a path instead of an echo.
type playing struct {
	path   string
	steps  []step
	atHead bool // before the request's body has come
}

func newRecorder(t *testing.T) *recorder {
	t.Helper()
	r := &recorder{origin: listen(t, plain), conns: map[int]net.Conn{}, played: map[string]bool{}}
	go func() {
		for c := range r.arrived {
			r.mu.Lock()
			r.next++
			id := r.next
			r.conns[id] = c
			r.mu.Unlock()
			go r.serve(id, c)
		}
	}()
	return r
}

// begin forgets everything and sets what is to be played.
func (r *recorder) begin(p playing) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests, r.faults, r.play, r.attempts, r.played = nil, nil, p, 0, map[string]bool{}
}

// reset closes every connection: a vector finds none that another has used.
func (r *recorder) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, c := range r.conns {
		_ = c.Close()
		delete(r.conns, id)
	}
}

// own is the requests that are not a bystander's.
func (r *recorder) own() (own []*recorded) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.requests {
		if p := m.path(); !strings.HasPrefix(p, "/victim/") && !strings.HasPrefix(p, "/after/") {
			own = append(own, m)
		}
	}
	return own
}

func (r *recorder) fault() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.faults, "; ")
}

// silent reports whether everything was played.
func (r *recorder) silent() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.busy == 0
}

func (r *recorder) serve(id int, c net.Conn) {
	defer c.Close()
	var in []byte
	buf := make([]byte, 64<<10)
	early, headSeen := false, false
	for {
		n, err := c.Read(buf)
		in = append(in, buf[:n]...)
		for len(in) > 0 {
			m, n, bad := cutRequest(in)
			if bad != nil && !errors.Is(bad, errShort) {
				r.mu.Lock()
				r.faults = append(r.faults, fmt.Sprintf("connection %d: %v", id, bad))
				r.mu.Unlock()
				return
			}
			if bad != nil {
				if m != nil && !headSeen {
					headSeen = true
					if early = r.playsAt(m, true); early && !r.perform(id, c) {
						return
					}
					if !early && m.get("Expect") != "" {
						_, _ = c.Write([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
					}
				}
				break
			}
			in, headSeen = in[n:], false
			r.mu.Lock()
			r.requests = append(r.requests, &recorded{m, fmt.Sprint(id)})
			r.mu.Unlock()
			if early {
				early = false
				continue
			}
			if r.playsAt(m, false) {
				if !r.perform(id, c) {
					return
				}
				continue
			}
			if !echo(id, c, m) {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// echo answers with what was asked, and on which connection.
func echo(id int, c net.Conn, m *message) bool {
	if m.method() == "CONNECT" {
		_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\n\r\n"))
		return false
	}
	body := m.method() + " " + visible(m.target()) + "\n"
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Echo: %s\r\nX-Origin-Conn: %d\r\n\r\n", len(body), visible(m.target()), id)
	if m.method() == "HEAD" {
		body = ""
	}
	_, err := c.Write([]byte(head + body))
	return err == nil
}

// visible makes a target fit for a field value.
func visible(s string) string {
	var b strings.Builder
	for i := 0; i < len(s) && i < 80; i++ {
		if s[i] > ' ' && s[i] < 0x7f {
			b.WriteByte(s[i])
		} else {
			fmt.Fprintf(&b, "\\x%02x", s[i])
		}
	}
	return b.String()
}

func (r *recorder) playsAt(m *message, head bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.play.path != "" && m.path() == r.play.path && (!head || r.play.atHead)
}

// perform plays; it reports whether the connection goes on.
func (r *recorder) perform(id int, c net.Conn) bool {
	r.mu.Lock()
	steps := r.play.steps
	r.attempts++
	r.busy++
	r.played[fmt.Sprint(id)] = true
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.busy--
		r.mu.Unlock()
	}()
	for i := range steps {
		s := &steps[i]
		switch {
		case s.Sleep > 0:
			time.Sleep(time.Duration(s.Sleep) * time.Millisecond)
		case s.Close:
			return false
		case s.Rst:
			_ = c.(*net.TCPConn).SetLinger(0)
			return false
		default:
			if !dribble(c, s) {
				return false
			}
		}
	}
	return true
}

// dribble sends the bytes of a step, one by one if it says so.
func dribble(c net.Conn, s *step) bool {
	b := s.bytes()
	if s.Dribble == 0 {
		_, err := c.Write(b)
		return err == nil
	}
	for i := range b {
		if _, err := c.Write(b[i : i+1]); err != nil {
			return false
		}
		time.Sleep(time.Duration(s.Dribble) * time.Millisecond)
	}
	return true
}
