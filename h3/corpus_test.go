package h3

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// vector is an entry of the corpus of requests that the h2 package plays too: what one version refuses, so must the other.
type vector struct {
	ID, Desc string
	Steps    []struct {
		H    [][2]string
		D    *string
		End  bool
		Rst  *int
		Bomb int
	}
	Accept, Allow []struct {
		Do     string
		Status any
	}
}

// TestCorpus plays the field sections of the corpus. That a request is taken means here that the test's worker answers it
// with 200.
func TestCorpus(t *testing.T) {
	text, err := os.ReadFile("../h2/testdata/h2requests.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Vectors []vector }
	if err := json.Unmarshal(text, &file); err != nil || len(file.Vectors) < 60 {
		t.Fatal(len(file.Vectors), err)
	}
	r := newRig(t, 1, nil)
	for i := range file.Vectors {
		v := &file.Vectors[i]
		if got := r.outcome(v); !v.accepts(got) {
			t.Errorf("%s (%s): %s", v.ID, v.Desc, got)
		}
	}
}

// accepts reports whether an outcome, "200", another status or "reset", is one that passes.
func (v *vector) accepts(got string) bool {
	for _, a := range v.Accept {
		switch a.Do {
		case "forward", "forward_any":
			if got == "200" {
				return true
			}
		case "reject":
			if got == "reset" || got >= "400" && got <= "599" {
				return true
			}
		case "status":
			if list, ok := a.Status.([]any); ok {
				for _, s := range list {
					if n, _ := s.(float64); statusOf(got) == int(n) {
						return true
					}
				}
			}
		}
	}
	return false
}

// latin1 is the bytes that a string of the corpus stands for.
func latin1(s string) string {
	b := make([]byte, 0, len(s))
	for _, c := range s {
		b = append(b, byte(c))
	}
	return string(b)
}

// outcome plays a vector on a connection of its own.
func (r *rig) outcome(v *vector) string {
	client := r.settled()
	s := client.request()
	for _, step := range v.Steps {
		switch {
		case step.Bomb > 0:
			return "reset" // needs a dynamic table; TestBomb has what can be done without one
		case step.Rst != nil:
			s.CancelWrite(quic.StreamErrorCode(RequestCancelled))
		case step.D != nil:
			s.Write(frame(frameData, []byte(latin1(*step.D))))
		default:
			var list []string
			for _, f := range step.H {
				list = append(list, latin1(f[0]), latin1(f[1]))
			}
			s.Write(frame(frameHeaders, fields(list...)))
		}
		if step.End {
			s.Close()
		}
	}
	s.SetReadDeadline(time.Now().Add(patience))
	b, err := io.ReadAll(s)
	var reset *quic.StreamError
	var closed *quic.ApplicationError
	switch {
	case errors.As(err, &reset), errors.As(err, &closed):
		return "reset"
	case err != nil:
		r.t.Fatal(v.ID, err)
	}
	return statusIn(b)
}
