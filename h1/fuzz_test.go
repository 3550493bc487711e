package h1

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"weir/internal/msg"
)

// seeds are the streams of the corpus and of the .wire files: requests, or responses with what they answer.
func seeds(f *testing.F, requests bool) (streams [][]byte) {
	for _, file := range wireFiles(f) {
		for _, c := range loadWire(f, file) {
			if asked, _ := c.asked(f); (asked == nil) == requests {
				streams = append(streams, c.stream)
			}
		}
	}
	file := "testdata/responses.json"
	if requests {
		file = "testdata/requests.json"
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		f.Fatal(err)
	}
	var doc struct{ Vectors []vector }
	if err := json.Unmarshal(raw, &doc); err != nil {
		f.Fatal(err)
	}
	for _, v := range doc.Vectors {
		if b, _ := streamOf(append(v.Send, v.Reply...)); len(b) < 4096 {
			streams = append(streams, b)
		}
	}
	return streams
}

// headMaxOf makes limits part of the fuzzing: one in four inputs is read with a small one.
func headMaxOf(seed uint16) int {
	if seed%4 == 0 {
		return 16 + int(seed/4)%256
	}
	return testHeadMax
}

// checkCuts plays a stream whole and cut, and returns the whole.
func checkCuts(t *testing.T, stream []byte, asked []request, eof bool, seed uint16) transcript {
	headMax := headMaxOf(seed)
	whole := play(stream, nil, asked, eof, headMax)
	want := whole.String()
	for _, cuts := range cutsOf(len(stream), uint64(seed))[1:4] {
		got := play(stream, cuts, asked, eof, headMax)
		if s := got.String(); s != want {
			t.Fatalf("cut at %v:\n%s\nwhole:\n%s", cuts, s, want)
		}
		narrow := playNarrow(stream, cuts, asked, eof, headMax)
		if s := narrow.String(); s != want {
			t.Fatalf("cut at %v, with little room:\n%s\nwhole:\n%s", cuts, s, want)
		}
	}
	return whole
}

// FuzzRequest: any cut gives the same events; what crosses reads back the same; net/http agrees with all of it.
func FuzzRequest(f *testing.F) {
	for i, s := range seeds(f, true) {
		f.Add(s, uint16(i))
	}
	f.Fuzz(func(t *testing.T, stream []byte, seed uint16) {
		got := checkCuts(t, stream, nil, seed&0x8000 != 0, seed)
		agreeRequests(t, stream, &got)
		for i, m := range got.messages {
			if !m.complete || got.err != nil && i == len(got.messages)-1 {
				continue
			}
			if m.head.Authority.Len() == 0 {
				continue // an empty Host is for a server that allows it
			}
			sent := AppendRequest(nil, &m.head, RequestOptions{})
			sent = appendBody(sent, m, m.head.Framing == msg.BodyChunked)
			back := transcript{bare: true}
			back.play(sent, nil, nil, false, len(sent)+1)
			sameMessage(t, sent, m, &back)
			agreeRequests(t, sent, &back)
		}
	})
}

// FuzzResponse is FuzzRequest for the other side.
func FuzzResponse(f *testing.F) {
	for i, s := range seeds(f, false) {
		f.Add(s, byte(i), uint16(i))
	}
	methods := []msg.Method{msg.MethodGet, msg.MethodHead, msg.MethodPost, msg.MethodConnect}
	f.Fuzz(func(t *testing.T, stream []byte, how byte, seed uint16) {
		ask := request{methods[how&3], how&4 != 0}
		got := checkCuts(t, stream, []request{ask, ask}, how&8 != 0, seed)
		agreeResponses(t, stream, ask, &got)
		for i, m := range got.messages {
			if !m.complete || m.head.Framing == msg.BodyTunnel || got.err != nil && i == len(got.messages)-1 {
				continue
			}
			o := ResponseOptions{Version: msg.HTTP11, Head: ask.method == msg.MethodHead}
			sent := AppendResponse(nil, &m.head, o)
			sent = appendBody(sent, m, o.Chunked(&m.head))
			back := transcript{bare: true}
			back.play(sent, nil, []request{ask}, false, len(sent)+1)
			sameMessage(t, sent, m, &back)
			agreeResponses(t, sent, ask, &back)
		}
	})
}

// sameMessage compares what was vetted with what the other side reads.
func sameMessage(t *testing.T, sent []byte, want *message, got *transcript) {
	t.Helper()
	if got.err != nil || len(got.messages) != 1 || !got.messages[0].complete || got.used != len(sent) {
		t.Fatalf("%q reads back as\n%s", sent, got.String())
	}
	m := got.messages[0]
	a, b := &want.head, &m.head
	switch {
	case !bytes.Equal(a.Bytes(a.Name), b.Bytes(b.Name)), !bytes.Equal(a.Bytes(a.Target), b.Bytes(b.Target)),
		!bytes.Equal(a.Bytes(a.Authority), b.Bytes(b.Authority)), a.Status != b.Status:
		t.Fatalf("%q starts another message", sent)
	case !bytes.Equal(want.body, m.body):
		t.Fatalf("%q has another body than %q", sent, want.body)
	}
	if x, y := fieldsOf(a, true), fieldsOf(b, false); !slices.Equal(x, y) {
		t.Fatalf("%q has other fields: %q, not %q", sent, y, x)
	}
	if b.Framing != msg.BodyChunked {
		return
	}
	if x, y := fieldsOf(&want.trailers, true), fieldsOf(&m.trailers, false); !slices.Equal(x, y) {
		t.Fatalf("%q has other trailers: %q, not %q", sent, y, x)
	}
}

// fieldsOf lists a head's fields: those that may cross, or all but what the serialiser makes.
func fieldsOf(h *msg.Head, vetted bool) (s []string) {
	for _, f := range h.Fields {
		switch f.ID {
		case msg.FieldHost, msg.FieldConnection, msg.FieldTransferEncoding, msg.FieldTE, msg.FieldUpgrade:
			if !vetted {
				continue
			}
		case msg.FieldContentLength:
			continue
		}
		if !f.Drop {
			s = append(s, string(h.Bytes(f.Name))+": "+string(h.Bytes(f.Value)))
		}
	}
	return s
}

// FuzzChunked compares the coding with an oracle that has the whole body.
func FuzzChunked(f *testing.F) {
	for _, s := range seeds(f, true) {
		if _, body, ok := bytes.Cut(s, []byte("\r\n\r\n")); ok && bytes.Contains(bytes.ToLower(s), []byte("chunked")) {
			f.Add(body, uint16(len(body)))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, seed uint16) {
		stream := append([]byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"), body...)
		got := checkCuts(t, stream, nil, false, seed|1)
		data, size, ok := dechunk(body)
		m := got.messages[0]
		if m.complete != ok && !(ok && len(body) > extensionBytesMax) {
			t.Fatalf("complete %v, oracle %v, for %q", m.complete, ok, body)
		}
		if !ok {
			return
		}
		if string(m.body) != data || size < len(body) && got.used < len(stream)-len(body)+size {
			t.Fatalf("%q gives %q, oracle %q", body, m.body, data)
		}
	})
}

var (
	chunkLine = regexp.MustCompile(`^([0-9A-Fa-f]{1,16})(?:;` + token + `(?:=(?:` + token + `|"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"))?)*\r\n`)
	fieldLine = regexp.MustCompile(`^` + token + `:[\t -~\x80-\xff]*\r\n`)
)

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"

// dechunk is the grammar of RFC 9112 section 7.1 as regular expressions.
func dechunk(b []byte) (data string, size int, ok bool) {
	s := latin(b)
	var out strings.Builder
	for {
		m := chunkLine.FindStringSubmatch(s)
		if m == nil {
			return "", 0, false
		}
		var n uint64
		for _, c := range []byte(m[1]) {
			n = n<<4 | uint64(hexDigits[c])
		}
		s = s[len(m[0]):]
		if n == 0 {
			break
		}
		runes := []rune(s)
		if uint64(len(runes)) < n || !strings.HasPrefix(string(runes[n:]), "\r\n") {
			return "", 0, false
		}
		for _, r := range runes[:n] {
			out.WriteByte(byte(r))
		}
		s = string(runes[n+2:])
	}
	for range msg.FieldsMax + 1 {
		if strings.HasPrefix(s, "\r\n") {
			return out.String(), len(b) - len([]rune(s)) + 2, true
		}
		m := fieldLine.FindString(s)
		if m == "" {
			break
		}
		s = s[len(m):]
	}
	return "", 0, false
}

// latin makes each byte one rune, so that the expressions' classes mean bytes.
func latin(b []byte) string { return toLatin1(b) }

// FuzzStreamRequest: a request from HTTP/2 or 3 becomes HTTP/1 only if it reads back as the same request, whatever bytes
// its pseudo fields and fields held. lines is "name: value" lines divided by NUL.
func FuzzStreamRequest(f *testing.F) {
	f.Add("GET", "/x", "a.example", "", "a: b\x00cookie: a=1\x00cookie: b=2", int8(-1))
	f.Add("POST", "/x?y", "a.example:80", "", "content-length: 5\x00te: trailers\x00host: a.example:80", int8(5))
	f.Add("CONNECT", "/chat", "a.example", "websocket", "sec-websocket-version: 13", int8(-1))
	f.Add("GET", "/x", "", "", "host: a.example\r\nx-inj: 1", int8(0))
	f.Add("GET /admin", "/x HTTP/1.1\r\n\r\n", "a/evil", "web socket", "x-a: a\r\n\r\nGET /smuggled HTTP/1.1\x00: \x00x y: z", int8(0))
	f.Add("OPTIONS", "*", "[::1]:8080", "", "expect: 100-continue\x00max-forwards: 10\x00transfer-encoding: chunked", int8(9))
	f.Fuzz(func(t *testing.T, method, target, authority, protocol, lines string, body int8) {
		all := []string{":method: " + method, ":scheme: https", ":path: " + target, ":authority: " + authority}
		if protocol != "" {
			all = append(all, ":protocol: "+protocol)
		}
		m := &message{complete: true, body: make([]byte, max(body, 0))}
		h, fault := sectionOf(append(all, strings.Split(lines, "\x00")...), body < 0)
		if fault != 0 || msg.VetRequest(h) != nil || h.Framing == msg.BodyLength && h.Length != int64(len(m.body)) {
			return // refused here, or by the codec that counts
		}
		m.head.CopyFrom(h)
		sent := AppendRequest(nil, h, RequestOptions{})
		if !h.Flags.Has(msg.FlagUpgrade) {
			sent = appendBody(sent, m, h.Framing == msg.BodyStream)
		}
		back := transcript{bare: true}
		back.play(sent, nil, nil, false, len(sent)+1)
		if h.Flags.Has(msg.FlagUpgrade) {
			m.body = nil
			m.head.Name = m.head.PutString("GET")
		}
		sameMessage(t, sent, m, &back)
		agreeRequests(t, sent, &back)
	})
}
