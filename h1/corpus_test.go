package h1

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"weir/internal/msg"
)

// The corpus is written for a whole proxy. Here it is played to the codec and its vetting: what may reach the other side
// and which status answers the rest; closing, waiting and answering are the engine's and are checked end to end.

type step struct {
	B          *string
	Rep        string
	N          int
	Fin, Close bool
	Rst        bool
	Sleep      int
}

type outcome struct {
	Do         string
	Status     json.RawMessage
	Reqs       []wantRequest
	StatusTail []int `json:"status_tail"`
	Body       *string
	Hdr        map[string]json.RawMessage
	NoHdr      []string
	Interim    *[]int
	Data       string
}

type wantRequest struct {
	Method, Target string
	Body           *string
	Hdr            map[string]json.RawMessage
	NoHdr          []string
}

type vector struct {
	ID, Group, Desc string
	Send, Reply     []step
	Request         json.RawMessage
	Accept          []outcome
	BodyLen         int
	At              string
}

func loadCorpus(t *testing.T, file string) []vector {
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Vectors []vector }
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Vectors) < 80 {
		t.Fatalf("%s: only %d vectors", file, len(doc.Vectors))
	}
	return doc.Vectors
}

// latin1: in the corpus one code point is one byte.
func latin1(s string) []byte {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		b = append(b, byte(r))
	}
	return b
}

func toLatin1(b []byte) string {
	r := make([]rune, len(b))
	for i, c := range b {
		r[i] = rune(c)
	}
	return string(r)
}

func streamOf(steps []step) (b []byte, eof bool) {
	for _, s := range steps {
		switch {
		case s.B != nil:
			b = append(b, latin1(*s.B)...)
		case s.N > 0:
			b = append(b, latin1(strings.Repeat(s.Rep, s.N))...)
		}
		eof = eof || s.Fin || s.Close || s.Rst
	}
	return b, eof
}

func (o *outcome) statuses() (l []int) {
	if json.Unmarshal(o.Status, &l) != nil {
		var one int
		json.Unmarshal(o.Status, &one)
		l = []int{one}
	}
	return l
}

func TestCorpusRequests(t *testing.T) {
	for _, v := range loadCorpus(t, "testdata/requests.json") {
		t.Run(v.ID, func(t *testing.T) {
			stream, eof := streamOf(v.Send)
			got := sameForAnyCut(t, stream, nil, eof)
			var why []string
			for i := range v.Accept {
				w := judgeRequest(&v.Accept[i], &got)
				if w == "" {
					return
				}
				why = append(why, v.Accept[i].Do+": "+w)
			}
			t.Errorf("%s: %s\n%s", v.Desc, strings.Join(why, "; "), got.String())
		})
	}
}

func judgeRequest(o *outcome, got *transcript) string {
	switch o.Do {
	case "reject":
		switch {
		case got.err == nil && slices.Contains(o.statuses(), 408) && !got.r.Idle():
			return "" // silence; the engine's clock answers
		case got.err == nil:
			return "accepted"
		case !slices.Contains(o.statuses(), int(got.err.Status)):
			return "another status"
		case len(got.messages) > 0 && got.messages[0].complete:
			return "a whole request came before"
		}
		return ""
	case "close", "wait":
		switch {
		case len(got.messages) > 0 && got.messages[0].complete:
			return "a whole request came out"
		case o.Do == "close" && got.err == nil:
			return "accepted"
		case o.Do == "wait" && got.err != nil && got.err.Fault != msg.FaultTruncated:
			return "refused"
		}
		return ""
	case "forward":
		return judgeForward(o, got)
	}
	return "not for a codec"
}

func judgeForward(o *outcome, got *transcript) string {
	var whole []*message
	for _, m := range got.messages {
		if m.complete {
			whole = append(whole, m)
		}
	}
	if len(whole) != len(o.Reqs) {
		return "another number of requests"
	}
	if refused := got.err != nil; refused != (len(o.StatusTail) > 0) ||
		refused && !slices.Contains(o.StatusTail, int(got.err.Status)) {
		return "another end"
	}
	for i, want := range o.Reqs {
		m := crossed(whole[i])
		switch {
		case want.Method != string(m.head.Bytes(m.head.Name)):
			return "another method"
		case want.Target != toLatin1(m.head.Bytes(m.head.Target)):
			return "another target"
		case want.Body != nil && *want.Body != toLatin1(m.body):
			return "another body"
		}
		if w := judgeFields(m, want.Hdr, want.NoHdr); w != "" {
			return w
		}
	}
	return ""
}

// crossed is what a server reads of a request after it was serialised.
func crossed(m *message) *message {
	b := AppendRequest(nil, &m.head, RequestOptions{Host: "fallback.example"})
	b = appendBody(b, m, m.head.Framing == msg.BodyChunked || m.head.Framing == msg.BodyStream)
	got := transcript{bare: true}
	got.play(b, nil, nil, false, testHeadMax)
	if len(got.messages) != 1 || !got.messages[0].complete || got.used != len(b) {
		panic("what was appended does not read back: " + string(b))
	}
	return got.messages[0]
}

func appendBody(b []byte, m *message, chunked bool) []byte {
	if !chunked {
		return append(b, m.body...)
	}
	if len(m.body) > 0 {
		b = AppendChunkHead(b, len(m.body))
		b = append(b, m.body...)
		b = AppendChunkEnd(b)
	}
	return AppendLastChunk(b, &m.trailers)
}

func judgeFields(m *message, want map[string]json.RawMessage, not []string) string {
	for name, raw := range want {
		got := m.value(name)
		var one string
		var many []string
		if json.Unmarshal(raw, &one) == nil {
			if strings.HasPrefix(one, "re:") {
				if len(got) != 1 || !regexp.MustCompile(one[3:]).MatchString(got[0]) {
					return "field " + name
				}
				continue
			}
			many = []string{one}
		} else if err := json.Unmarshal(raw, &many); err != nil {
			return err.Error()
		}
		for i := range got {
			got[i] = toLatin1([]byte(got[i]))
		}
		if !slices.Equal(got, many) {
			return "field " + name
		}
	}
	for _, name := range not {
		name, part, _ := strings.Cut(name, ":")
		for _, v := range m.value(name) {
			if part == "" || strings.Contains(strings.ToLower(v), strings.ToLower(part)) {
				return "field " + name + " was passed on"
			}
		}
	}
	return ""
}

func TestCorpusResponses(t *testing.T) {
	for _, v := range loadCorpus(t, "testdata/responses.json") {
		t.Run(v.ID, func(t *testing.T) {
			asked := askedBy(t, &v)
			stream, eof := streamOf(v.Reply)
			got := sameForAnyCut(t, stream, []request{asked}, eof)
			var why []string
			for i := range v.Accept {
				w := judgeResponse(&v.Accept[i], &v, &got, stream)
				if w == "" {
					return
				}
				why = append(why, v.Accept[i].Do+": "+w)
			}
			t.Errorf("%s: %s\n%s", v.Desc, strings.Join(why, "; "), got.String())
		})
	}
}

// askedBy is the request that a response vector answers.
func askedBy(t *testing.T, v *vector) request {
	req := "GET /r HTTP/1.1\r\nHost: a.example\r\n\r\n"
	if len(v.Request) > 0 && json.Unmarshal(v.Request, &req) != nil {
		var steps []step
		if err := json.Unmarshal(v.Request, &steps); err != nil {
			t.Fatal(err)
		}
		b, _ := streamOf(steps)
		req = string(b)
	}
	got := play([]byte(req), nil, nil, false, testHeadMax)
	if got.err != nil || len(got.messages) != 1 {
		t.Fatalf("the vector's request is refused:\n%s", got.String())
	}
	h := &got.messages[0].head
	return request{h.Method, h.Flags.Has(msg.FlagUpgrade)}
}

func judgeResponse(o *outcome, v *vector, got *transcript, stream []byte) string {
	last := &message{}
	var interim []int
	for _, m := range got.messages {
		last = m
		if s := int(m.head.Status); s < 200 && s != 101 {
			interim = append(interim, s)
		}
	}
	final := last.head.Status >= 200
	switch o.Do {
	case "gw":
		st := o.statuses()
		switch {
		case slices.Contains(st, 502) && got.err != nil && !(final && got.err.Fault == msg.FaultTruncated):
		case slices.Contains(st, 504) && got.err == nil && !final: // silence; the engine's clock answers
		default:
			return "no gateway error"
		}
		return ""
	case "close", "truncated":
		if final && (got.err != nil || !last.complete) {
			return ""
		}
		return "not cut short"
	case "tunnel":
		if last.head.Status == 101 && last.head.Framing == msg.BodyTunnel && toLatin1(last.body) == o.Data {
			return ""
		}
		return "no tunnel"
	case "fwd":
		switch {
		case got.err != nil || !last.complete:
			return "not complete"
		case !slices.Contains(o.statuses(), int(last.head.Status)):
			return "another status"
		case o.Body != nil && *o.Body != toLatin1(last.body):
			return "another body"
		case v.BodyLen > 0 && v.BodyLen != len(last.body):
			return "another length"
		case o.Interim != nil && len(*o.Interim) > 0 && !slices.Equal(interim, *o.Interim):
			return "other interim responses"
		case got.used < len(stream) && !got.r.Idle():
			return "bytes were left"
		}
		return judgeFields(last, o.Hdr, o.NoHdr)
	}
	return "not for a codec"
}
