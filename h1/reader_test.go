package h1

import (
	"reflect"
	"strings"
	"testing"

	"weir/internal/msg"
)

// A million idle connections each hold one.
func TestReaderIsSmall(t *testing.T) {
	if n := reflect.TypeFor[Reader]().Size(); n > 64 {
		t.Errorf("a Reader has %d bytes", n)
	}
}

func TestHeadLimit(t *testing.T) {
	const line = "GET / HTTP/1.1\r\n"
	head := line + "Host: a\r\nX: " + strings.Repeat("v", 100) + crlf + crlf
	for _, c := range []struct {
		why     string
		stream  string
		headMax int
		fault   msg.Fault
	}{
		{"just fits", head, len(head), 0},
		{"just fits, with bytes behind", head + line, len(head), 0},
		{"one byte over", head, len(head) - 1, msg.FaultHeadSize},
		{"endless field", head[:60], 60, msg.FaultHeadSize},
		{"one byte of room", head[:59], 60, 0},
		{"endless target", "GET /" + strings.Repeat("x", 100), 60, msg.FaultTargetSize},
		{"endless method", strings.Repeat("G", 100), 60, msg.FaultTargetSize},
		{"endless version", "GET /" + strings.Repeat("x", 52) + " H", 59, msg.FaultTargetSize},
		{"a fault before the limit", line + "X : y\r\n" + head, 60, msg.FaultSpaceColon},
		{"a fault behind the limit", head[:len(head)-2] + "X : y\r\n", 60, msg.FaultHeadSize},
		{"a fault in a line that the limit cuts", line + "X: \x00" + strings.Repeat("v", 100), 60, msg.FaultFieldValue},
		{"empty lines before do not count", crlf + crlf + head, len(head), 0},
		{"endless trailers", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + strings.Repeat("v", 100), 70,
			msg.FaultHeadSize},
	} {
		for _, cuts := range cutsOf(len(c.stream), 7) {
			got := play([]byte(c.stream), cuts, nil, false, c.headMax)
			if c.fault.InRequest() != got.err {
				t.Errorf("%s: %v, want %v; cut at %v", c.why, got.err, c.fault.InRequest(), cuts)
			}
		}
	}
	for f, status := range map[msg.Fault]uint16{msg.FaultHeadSize: 431, msg.FaultTargetSize: 414, msg.FaultFieldCount: 431} {
		if got := f.InRequest().Status; got != status {
			t.Errorf("%v is answered with %d, want %d", f.InRequest(), got, status)
		}
	}
	got := play([]byte("HTTP/1.1 200 "+strings.Repeat("x", 100)), nil, []request{{}}, false, 60)
	if got.err != msg.FaultHeadSize.InResponse() {
		t.Errorf("endless reason: %v", got.err)
	}
}

func TestFieldCount(t *testing.T) {
	head := func(n int) string {
		return "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("a:b\r\n", n-1) + crlf
	}
	got := sameForAnyCut(t, []byte(head(msg.FieldsMax)), nil, false)
	if got.err != nil || len(got.messages[0].head.Fields) != msg.FieldsMax {
		t.Errorf("as many as allowed: %v", got.err)
	}
	got = sameForAnyCut(t, []byte(head(msg.FieldsMax+1)), nil, false)
	if got.err != msg.FaultFieldCount.InRequest() {
		t.Errorf("one more: %v", got.err)
	}
	got = sameForAnyCut(t, []byte(strings.TrimSuffix(head(msg.FieldsMax+1), crlf)), nil, false)
	if got.err != msg.FaultFieldCount.InRequest() {
		t.Errorf("one more, before the head is whole: %v", got.err)
	}
}

// Data pays for extensions byte by byte; what is not paid for is bounded (RFC 9112 section 7.1.1).
func TestChunkExtensionsAreBounded(t *testing.T) {
	body := func(data, ext, count int) []byte {
		b := []byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
		for range count {
			line := string(AppendChunkHead(nil, data))
			b = append(b, strings.TrimSuffix(line, crlf)+";"+strings.Repeat("e", ext-1)+crlf...) // the CR counts too
			b = AppendChunkEnd(append(b, make([]byte, data)...))
		}
		return AppendLastChunk(b, nil)
	}
	for _, c := range []struct {
		why              string
		data, ext, count int
		fault            msg.Fault
	}{
		{"all that is allowed", 1, extensionBytesMax, 1, 0},
		{"one more", 1, extensionBytesMax + 1, 1, msg.FaultChunkExtension},
		{"paid for", 100, 50, 400, 0},
		{"two thousand one-byte chunks", 1, 1000, 2000, msg.FaultChunkExtension},
		{"small debts add up", 1, 20, 1000, msg.FaultChunkExtension},
	} {
		if got := sameForAnyCut(t, body(c.data, c.ext, c.count), nil, false); got.err != c.fault.InRequest() {
			t.Errorf("%s: %v", c.why, got.err)
		}
	}
}

// Every question that the engine may ask between two calls.
func TestReaderTellsWhereItIs(t *testing.T) {
	var r Reader
	var h msg.Head
	want := func(why string, idle, inHead bool, left int64) {
		t.Helper()
		if r.Idle() != idle || r.InHead() != inHead || r.BodyLeft() != left {
			t.Errorf("%s: idle %v, in head %v, left %d", why, r.Idle(), r.InHead(), r.BodyLeft())
		}
	}
	recv := func(s string, kind Kind, used int) {
		t.Helper()
		ev, n, err := r.Recv([]byte(s), &h)
		if err != nil || ev.Kind != kind || n != used {
			t.Fatalf("%q: event %d, %d bytes used, %v; want event %d, %d bytes", s, ev.Kind, n, err, kind, used)
		}
	}
	r.InitRequests(1000)
	want("new", true, false, 0)
	recv("", None, 0)
	recv("\r", None, 0)
	recv("\r\n", None, 2)
	want("an empty line", true, false, 0)
	recv("P", None, 0)
	want("begun", false, true, 0)
	head := "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
	recv(head[:40], None, 0)
	recv(head+"he", Head, len(head))
	want("head", false, false, 5)
	recv("he", Data, 2)
	want("body", false, false, 3)
	recv("", None, 0)
	recv("llo!", Data, 3)
	want("body done", false, false, 0)
	recv("!", End, 0)
	want("between", true, false, 0)
	chunked := "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	recv(chunked, Head, len(chunked))
	want("chunked", false, false, -1)
	recv("5\r\nhello\r\n", Data, 10)
	recv("0\r\n", None, 3)
	want("trailers", false, false, 0)
	recv("\r\n", End, 2)
	want("between again", true, false, 0)

	r.InitResponses(1000)
	want("a new connection", true, false, 0)
	recv("", None, 0)
	r.Expect(msg.MethodGet, false)
	want("waiting", false, false, 0)
	recv("HTTP/1.1 103 x\r\n\r\n", Head, 18)
	want("after 103", false, false, 0)
	recv("H", None, 0)
	want("the final head has begun", false, true, 0)
	recv("HTTP/1.1 204 x\r\n\r\n", Head, 18)
	recv("", End, 0)
	want("answered", true, false, 0)
	r.Expect(msg.MethodGet, false)
	recv("HTTP/1.1 200 x\r\n\r\n", Head, 18)
	want("to the end of the connection", false, false, -1)
	if k, err := r.EOF(); k != End || err != nil {
		t.Errorf("EOF: %d, %v", k, err)
	}
	want("ended", true, false, 0)
}

func TestEOF(t *testing.T) {
	var r Reader
	r.InitRequests(1000)
	if k, err := r.EOF(); k != None || err != nil {
		t.Errorf("idle: %d, %v", k, err)
	}
	r.InitResponses(1000)
	if k, err := r.EOF(); k != None || err != nil {
		t.Errorf("quiet: %d, %v", k, err)
	}
	r.Expect(msg.MethodGet, false)
	if k, err := r.EOF(); k != None || err != msg.FaultTruncated.InResponse() {
		t.Errorf("waiting: %d, %v", k, err)
	}
	var h msg.Head
	r.InitRequests(1000)
	mustRecv(t, &r, []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), &h, Head)
	if k, err := r.EOF(); k != End || err != nil {
		t.Errorf("only End was due: %d, %v", k, err)
	}
}

// A caller that bounds what it shows by its room for the body may show less of the trailers than before.
func TestTrailersShownInPart(t *testing.T) {
	var r Reader
	var h msg.Head
	r.InitRequests(1000)
	head := []byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
	_, n := mustRecv(t, &r, head, &h, Head)
	mustRecv(t, &r, head[n:], &h, None)
	trailers := []byte("A: 1\r\nB: 2\r\n\r\n")
	for _, n := range []int{8, 3, 0, 8, 7, 13} {
		mustRecv(t, &r, trailers[:n], &h, None)
	}
	if _, n := mustRecv(t, &r, trailers, &h, End); n != len(trailers) || len(h.Fields) != 2 {
		t.Errorf("%d bytes used, %d fields", n, len(h.Fields))
	}
}

// After a fault nothing comes out any more, whatever is shown.
func TestFaultsStick(t *testing.T) {
	var r Reader
	var h msg.Head
	r.InitRequests(1000)
	_, _, first := r.Recv([]byte("GET / HTTP/1.1\r\nHost : a\r\n\r\n"), &h)
	if first != msg.FaultSpaceColon.InRequest() {
		t.Fatal(first)
	}
	ev, n, err := r.Recv([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), &h)
	if ev.Kind != None || n != 0 || err != first {
		t.Errorf("event %d, %d bytes used, %v", ev.Kind, n, err)
	}
	if k, err := r.EOF(); k != None || err != first {
		t.Errorf("EOF: %d, %v", k, err)
	}
	if r.Idle() || r.InHead() || r.BodyLeft() != 0 {
		t.Error("a failed reader is nowhere")
	}
}

func TestUnsolicitedResponse(t *testing.T) {
	var r Reader
	var h msg.Head
	r.InitResponses(1000)
	if _, _, err := r.Recv([]byte("HTTP/1.1 408 Request Timeout\r\n\r\n"), &h); err != msg.FaultUnsolicited.InResponse() {
		t.Error(err)
	}
}

func TestExpectOutOfPlacePanics(t *testing.T) {
	for why, init := range map[string]func(*Reader){
		"a reader of requests": func(r *Reader) { r.InitRequests(100) },
		"twice":                func(r *Reader) { r.InitResponses(100); r.Expect(msg.MethodGet, false) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", why)
				}
			}()
			var r Reader
			init(&r)
			r.Expect(msg.MethodGet, false)
		}()
	}
}

// The head's memory is exactly what was used: appending to it must not write into bytes that are still to be read.
func TestHeadDoesNotReachBehindItself(t *testing.T) {
	var r Reader
	var h msg.Head
	r.InitRequests(1000)
	b := []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /next")
	_, n := mustRecv(t, &r, b, &h, Head)
	if len(h.Buf) != n || cap(h.Buf) != n || &h.Buf[0] != &b[0] {
		t.Errorf("Buf has %d bytes of room for %d", cap(h.Buf), n)
	}
	h.PutString("xxxxxxxxx")
	if string(b[n:]) != "GET /next" {
		t.Error("the next request was written over")
	}
	r.InitRequests(1000)
	b = []byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nokGET")
	_, n = mustRecv(t, &r, b, &h, Head)
	if ev, _ := mustRecv(t, &r, b[n:], &h, Data); cap(ev.Data) != 2 {
		t.Error("a body reaches behind itself")
	}
	r.InitRequests(1000)
	b = []byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
	_, n = mustRecv(t, &r, b, &h, Head)
	if ev, _ := mustRecv(t, &r, b[n:], &h, Data); cap(ev.Data) != 2 {
		t.Error("a chunk reaches behind itself")
	}
}

// A Head is used again: what vetting marked in one message must not show in the next.
func TestHeadIsUsedAgain(t *testing.T) {
	var r Reader
	var h msg.Head
	var dst []byte
	r.InitRequests(1000)
	first := "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, x\r\nX: y\r\nTE: trailers\r\nMax-Forwards: 1\r\n\r\n"
	second := "POST / HTTP/1.1\r\nHost: b\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nContent-Length: 0\r\n\r\n"
	exchangeRequest(t, &r, []byte(first), &h, dst)
	dst = exchangeRequest(t, &r, []byte(second), &h, dst)
	wantBytes(t, "second", dst, "POST / HTTP/1.1\r\nHost: b\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nContent-Length: 0\r\n\r\n")
}
