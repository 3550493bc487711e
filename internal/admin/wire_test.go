package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestDecodeRequest(t *testing.T) {
	for line, want := range map[string]Request{
		`{"cmd":"ping"}`: {Cmd: "ping"},
		` {"cmd":"show","args":["servers","conn"],"json":true} ` + "\r": {Cmd: "show", Args: []string{"servers", "conn"}, JSON: true},
	} {
		if got, err := decodeRequest([]byte(line)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v %v, want %+v", line, got, err, want)
		}
	}
	for line, want := range map[string]string{
		"":                             "malformed",
		"ping":                         "malformed",
		"{}":                           "no cmd",
		`{"cmd":"ping","arg":[]}`:      "unknown field",
		`{"cmd":"ping"}{"cmd":"ping"}`: "more than one",
		`{"cmd":"ping"} x`:             "more than one",
		`{"cmd":1}`:                    "malformed",
		`["ping"]`:                     "malformed",
		`{"cmd":"x","args":["` + strings.Repeat(`","`, requestArgsMax) + `"]}`: "more than 16 args",
		`{"cmd":"` + strings.Repeat("x", requestBytesMax) + `"}`:               "longer than",
	} {
		if got, err := decodeRequest([]byte(line)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %+v %v, want an error with %q", line, got, err, want)
		}
	}
}

func TestResponseText(t *testing.T) {
	if got := (&Response{Data: json.RawMessage(`"a\nb"`)}).Text(); got != "a\nb" {
		t.Errorf("text is %q", got)
	}
	if got := (&Response{Data: json.RawMessage(`{"a":1}`)}).Text(); got != `{"a":1}` {
		t.Errorf("JSON as text is %q", got)
	}
}

// FuzzRequestLine feeds arbitrary bytes to the protocol of the runtime socket, whole and cut in two: the answers must be
// the same, each one line of JSON, and whatever is accepted must survive its own encoding.
func FuzzRequestLine(f *testing.F) {
	f.Fuzz(func(t *testing.T, in []byte, cut uint) {
		whole := feed(t, in)
		at := int(cut % uint(len(in)+1))
		if split := feed(t, in[:at], in[at:]); !reflect.DeepEqual(whole, split) {
			t.Fatalf("whole: %q\ncut at %d: %q", whole, at, split)
		}
		line, _, _ := bytes.Cut(in, []byte("\n"))
		r, err := decodeRequest(line)
		if err != nil {
			return
		}
		again, err := encodeLine(r)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decodeRequest(again[:len(again)-1]); len(again) <= requestBytesMax && (err != nil || !sameRequest(r, back)) {
			t.Fatalf("%+v came back as %+v, %v", r, back, err)
		}
	})
}

func sameRequest(a, b Request) bool {
	if len(a.Args) == 0 && len(b.Args) == 0 {
		a.Args, b.Args = nil, nil
	}
	return reflect.DeepEqual(a, b)
}

// feed runs pieces through a connection's protocol and returns the answers.
func feed(t *testing.T, pieces ...[]byte) (answers []string) {
	t.Helper()
	l := &lines{control: newControl(&quietEngine{newFake()})}
	var in []byte
	for _, piece := range pieces {
		in = append(in, piece...)
		for {
			n, do := l.next(in)
			in = in[n:]
			if do == nil {
				break
			}
			out, then := do(context.Background())
			if !json.Valid(out) || bytes.IndexByte(out, '\n') != len(out)-1 {
				t.Fatalf("answer is no line of JSON: %q", out)
			}
			answers = append(answers, string(out))
			if then != keepOpen {
				return answers
			}
		}
	}
	return answers
}

// quietEngine is a fake whose Drain returns at once, any number of times.
type quietEngine struct{ *fakeEngine }

func (q *quietEngine) Drain(context.Context) (oldGen, newGen uint64, err error) { return 7, 7, nil }
