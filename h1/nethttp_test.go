package h1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"weir/internal/msg"
)

// net/http is the second opinion: what the Reader accepts, net/http must read as the same messages with the same bodies.
// It may refuse more. Where it does so for a reason that is none of ours, the comparison ends:
//
//   - a target that net/url does not parse: weir passes percent signs unexamined (msg.IsTarget);
//   - a Trailer field that announces framing fields: weir drops those trailers, the announcement is harmless;
//   - CONNECT, which the vetting refuses.

// agreeRequests reads stream with net/http as far as got has whole messages.
func agreeRequests(t *testing.T, stream []byte, got *transcript) {
	t.Helper()
	in := bufio.NewReader(bytes.NewReader(stream))
	for _, m := range got.messages {
		if !m.complete || m.head.Method == msg.MethodConnect {
			return
		}
		for {
			if b, _ := in.Peek(2); string(b) != crlf {
				break
			}
			in.Discard(2) // net/http leaves empty lines to its server
		}
		r, err := http.ReadRequest(in)
		if err != nil {
			if _, bad := url.ParseRequestURI(rawTarget(m)); bad != nil || announcesFraming(&m.head) {
				return
			}
			t.Fatalf("net/http refuses %q: %v", stream, err)
		}
		h := &m.head
		body, err := io.ReadAll(r.Body)
		switch {
		case err != nil:
			t.Fatalf("net/http refuses the body of %q: %v", stream, err)
		case r.Method != string(h.Bytes(h.Name)):
			t.Fatalf("net/http reads method %q of %q", r.Method, stream)
		case !strings.EqualFold(r.Host, string(h.Bytes(h.Authority))):
			t.Fatalf("net/http reads host %q of %q, not %q", r.Host, stream, h.Bytes(h.Authority))
		case !strings.HasSuffix(r.RequestURI, string(h.Bytes(h.Target))) && h.Scheme == msg.SchemeNone:
			t.Fatalf("net/http reads target %q of %q, not %q", r.RequestURI, stream, h.Bytes(h.Target))
		case h.Scheme != msg.SchemeNone && r.URL.RawQuery != queryOf(h):
			t.Fatalf("net/http reads query %q of %q, not %q", r.URL.RawQuery, stream, h.Bytes(h.Target))
		case !bytes.Equal(body, m.body):
			t.Fatalf("net/http reads body %q of %q, not %q", body, stream, m.body)
		}
	}
}

// rawTarget is what net/url had to parse: an absolute-form target is pieced together again.
func rawTarget(m *message) string {
	h := &m.head
	t := string(h.Bytes(h.Target))
	if h.Scheme == msg.SchemeNone {
		return t
	}
	return "http://" + string(h.Bytes(h.Authority)) + t
}

func queryOf(h *msg.Head) string {
	_, q, _ := strings.Cut(string(h.Bytes(h.Target)), "?")
	return q
}

func announcesFraming(h *msg.Head) bool {
	for _, f := range h.Fields {
		if f.ID == msg.FieldTrailer {
			v := strings.ToLower(string(h.Bytes(f.Value)))
			if strings.Contains(v, "transfer-encoding") || strings.Contains(v, "content-length") || strings.Contains(v, "trailer") {
				return true
			}
		}
	}
	return false
}

var methodNames = map[msg.Method]string{msg.MethodGet: "GET", msg.MethodHead: "HEAD", msg.MethodPost: "POST",
	msg.MethodConnect: "CONNECT"}

func agreeResponses(t *testing.T, stream []byte, asked request, got *transcript) {
	t.Helper()
	in := bufio.NewReader(bytes.NewReader(stream))
	for _, m := range got.messages {
		h := &m.head
		interim := h.Status < 200
		if !m.complete && !interim || h.Framing == msg.BodyTunnel || asked.method == msg.MethodConnect {
			return
		}
		r, err := http.ReadResponse(in, &http.Request{Method: methodNames[asked.method]})
		if err != nil {
			if announcesFraming(h) {
				return
			}
			t.Fatalf("net/http refuses %q: %v", stream, err)
		}
		body, err := io.ReadAll(r.Body)
		switch {
		case err != nil:
			t.Fatalf("net/http refuses the body of %q: %v", stream, err)
		case r.StatusCode != int(h.Status):
			t.Fatalf("net/http reads status %d of %q", r.StatusCode, stream)
		case !bytes.Equal(body, m.body):
			t.Fatalf("net/http reads body %q of %q, not %q", body, stream, m.body)
		}
	}
}
