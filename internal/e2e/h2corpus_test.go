package e2e

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// h2Step is one thing that the client of a vector of field sections does.
type h2Step struct {
	H     [][2]string // a field section
	D     *string     // a DATA frame
	End   bool
	Sleep int
	Bomb  int // a field section that refers to one large field so many times
}

func TestCorpusFieldSections(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		eachVector(t, loadCorpus(t, fieldsCorpus, 67), lanes(t, 3, over, ""), runFields)
	})
}

// runFields plays a vector of h2requests.json.
func runFields(t *testing.T, l *lane, v *vector) (observed, bad string) {
	l.rec.begin(playing{})
	p := l.dialH2(t)
	frames(p, v.Steps)
	s := p.stream(1)
	for end := time.Now().Add(2 * time.Second); !p.ended && p.goaway == nil && !s.ended && s.reset == nil && p.step(end); {
	}
	_ = p.conn.Close()
	for i := range 2 {
		if bad := h2Bystander(t, l, fmt.Sprintf("/victim/%s-%d", v.ID, i)); bad != "" {
			return "", "bystander: " + bad
		}
	}
	own := l.rec.own()
	status, _ := strconv.Atoi(s.get(":status"))
	refused := s.reset != nil || p.goaway != nil || p.ended || status >= 400
	observed = fmt.Sprintf("client: status %d, reset %v, goaway %v, ended %v", status, s.reset, p.goaway, p.ended) + describe(own)
	if f := l.rec.fault(); f != "" {
		return observed, "the server got what is no request: " + f
	}
	for _, m := range own {
		if m.has("x-inj") || strings.Contains(m.target(), "/smuggled") && !strings.HasPrefix(m.target(), "http") {
			return observed, "injected bytes have reached the server"
		}
	}
	return observed, judge(v, func(a *outcome) string { return a.ofFields(status, refused, own) })
}

// frames sends the steps. The client goes on whatever comes: an error shows in what is received.
func frames(p *h2Peer, steps []h2Step) {
	for i := range steps {
		s := &steps[i]
		switch {
		case s.Sleep > 0:
			time.Sleep(time.Duration(s.Sleep) * time.Millisecond)
		case s.Bomb > 0:
			_ = p.tryHead(1, true, bomb(p, s.Bomb))
		case s.D != nil:
			_ = p.framer.WriteData(1, s.End, latin1(*s.D))
		default:
			var fields []string
			for _, f := range s.H {
				fields = append(fields, string(latin1(f[0])), string(latin1(f[1])))
			}
			_ = p.tryHead(1, s.End, p.encode(fields...))
		}
	}
}

// bomb is a block of n references to a field of 4 KB that it puts into the dynamic table (RFC 7541 section 6.2.1).
func bomb(p *h2Peer, n int) []byte {
	const size = 3900
	b := append(p.encode(p.request("GET", "/x")...), 0x40, 6)
	b = append(b, "x-bomb"...)
	rest := size - 127
	b = append(b, 0x7f, byte(rest&0x7f|0x80), byte(rest>>7))
	b = append(b, bytes.Repeat([]byte("a"), size)...)
	return append(b, bytes.Repeat([]byte{0xbe}, n)...)
}

func h2Bystander(t *testing.T, l *lane, path string) string {
	p := l.dialH2(t)
	defer p.conn.Close()
	p.get(1, path)
	s := p.stream(1)
	for end := time.Now().Add(2500 * time.Millisecond); !s.ended && p.step(end); {
	}
	if !s.ended || s.get("x-echo") != path {
		return fmt.Sprintf("ended %v, status %s, the answer to %q, %v", s.ended, s.get(":status"), s.get("x-echo"), p.err)
	}
	return ""
}

// ofFields returns "" if the outcome is what has come of a field section, else what differs.
func (a *outcome) ofFields(status int, refused bool, own []*recorded) string {
	switch a.Do {
	case "reject":
		switch {
		case len(own) > 0:
			return "a request has reached the server"
		case !refused:
			return "it is not refused"
		}
		return ""
	case "status":
		if slices.Contains(a.Status, status) {
			return ""
		}
		return fmt.Sprintf("status %d", status)
	case "forward_any":
		if len(own) > 0 && status == 200 {
			return ""
		}
		return "it does not get through"
	case "forward":
		if bad := a.crossed(own); bad != "" || status == 200 {
			return bad
		}
		return fmt.Sprintf("status %d", status)
	}
	return "unknown outcome"
}
