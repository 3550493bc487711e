package msg

import (
	"slices"
	"strings"
	"testing"
)

// received feeds lines, "name: value", to a section as a codec does.
func received(k SectionKind, lines []string) (Section, Fault) {
	s := NewSection(&Head{Version: HTTP2}, k)
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		f := s.AddText(Field{Name: s.Head.PutString(name), Value: s.Head.PutString(value)})
		if f != 0 {
			return s, f
		}
	}
	return s, 0
}

// asked is a request of the lines.
func asked(end bool, lines ...string) (*Head, Fault) {
	s, f := received(RequestSection, lines)
	if f == 0 {
		f = s.FinishRequest(true, end)
	}
	return s.Head, f
}

// get is a whole request with further lines.
func get(path string, more ...string) []string { return whole("GET", path, "a.example", more...) }

func whole(method, path, authority string, more ...string) []string {
	return append([]string{":method: " + method, ":scheme: https", ":path: " + path, ":authority: " + authority}, more...)
}

// without leaves out the lines of a name.
func without(name string, lines []string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return strings.HasPrefix(l, name+": ") })
}

// RFC 9113 sections 8.2 and 8.3, RFC 9114 sections 4.2 and 4.3.
func TestSectionOfARequest(t *testing.T) {
	h, f := asked(false, get("/x?a=1&b=%20;c&d=/?@:", "accept: */*", "x-a: v w", "te: trailers")...)
	if f != 0 || h.Method != MethodGet || h.Scheme != SchemeHTTPS || h.Framing != BodyStream || len(h.Fields) != 3 {
		t.Errorf("plain: %+v, %v", h, f.InRequest())
	}
	for _, c := range []struct {
		why   string
		want  Fault
		lines []string
	}{
		{"CRLF in a value", FaultFieldValue, get("/x", "x-a: a\r\nx-inj: 1")},
		{"bare CR", FaultFieldValue, get("/x", "x-a: a\rb")},
		{"NUL", FaultFieldValue, get("/x", "x-a: a\x00b")},
		{"control byte", FaultFieldValue, get("/x", "x-a: a\x01b")},
		{"leading space", FaultFieldValue, get("/x", "x-a:  v")},
		{"trailing tab", FaultFieldValue, get("/x", "x-a: v\t")},
		{"CRLF in a name", FaultFieldName, get("/x", "x\r\ny: v")},
		{"space in a name", FaultFieldName, get("/x", "x a: v")},
		{"upper case", FaultFieldName, get("/x", "X-A: v")},
		{"colon in a name", FaultFieldName, get("/x", "x:a: v")},
		{"high byte in a name", FaultFieldName, get("/x", "x-\xe9: v")},
		{"empty name", FaultFieldName, get("/x", ": v")},
		{"pseudo field late", FaultPseudoOrder, append(get("", "x-a: v"), ":path: /x")},
		{"pseudo field twice", FaultPseudoTwice, get("/x", ":path: /x")},
		{"unknown pseudo field", FaultPseudoUnknown, get("/x", ":transfer-encoding: chunked")},
		{":status", FaultPseudoUnknown, get("/x", ":status: 200")},
		{"no method", FaultPseudoMissing, without(":method", get("/x"))},
		{"no scheme", FaultPseudoMissing, without(":scheme", get("/x"))},
		{"no path", FaultPseudoMissing, without(":path", get("/x"))},
		{"another scheme", FaultScheme, append([]string{":scheme: ftp"}, without(":scheme", get("/x"))...)},
		{"space in the method", FaultMethod, whole("GET /admin", "/x", "a.example")},
		{"empty method", FaultMethod, whole("", "/x", "a.example")},
		{"NUL in the path", FaultFieldValue, get("/x\x00y")},
		{"LF in the path", FaultFieldValue, get("/x\ny")},
		{"space in the path", FaultTarget, get("/x y")},
		{"fragment", FaultTarget, get("/x#f")},
		{"empty path", FaultTarget, get("")},
		{"relative path", FaultTarget, get("x")},
		{"* with GET", FaultTarget, get("*")},
		{"connection", FaultHopField, get("/x", "connection: close")},
		{"keep-alive", FaultHopField, get("/x", "keep-alive: timeout=5")},
		{"proxy-connection", FaultHopField, get("/x", "proxy-connection: close")},
		{"transfer-encoding", FaultHopField, get("/x", "transfer-encoding: chunked")},
		{"upgrade", FaultHopField, get("/x", "upgrade: h2c")},
		{"te", FaultHopField, get("/x", "te: trailers, gzip")},
		{"two lengths", FaultLengthTwice, get("/x", "content-length: 5", "content-length: 5")},
		{"bad length", FaultLength, get("/x", "content-length: +5")},
		{"empty length", FaultLength, get("/x", "content-length: ")},
		{"two hosts", FaultHostTwice, get("/x", "host: a.example", "host: a.example")},
		{"another host", FaultHostDiffers, get("/x", "host: b.example")},
		{"bad authority", FaultHost, whole("GET", "/x", "a.example/evil")},
		{"userinfo", FaultHost, whole("GET", "/x", "u@a.example")},
		{"no authority", FaultHostMissing, without(":authority", get("/x"))},
		{"empty authority", FaultHostMissing, whole("GET", "/x", "")},
		{"bad host", FaultHost, without(":authority", get("/x", "host: a b"))},
		{"CONNECT with a path", FaultPseudoSurplus, whole("CONNECT", "/x", "a.example")},
		{"CONNECT without authority", FaultPseudoMissing, []string{":method: CONNECT"}},
		{"CONNECT with a length", FaultLength, []string{":method: CONNECT", ":authority: a.example:1", "content-length: 0"}},
		{"protocol without CONNECT", FaultPseudoSurplus, append([]string{":protocol: websocket"}, get("/x")...)},
		{"protocol without path", FaultPseudoMissing, []string{":method: CONNECT", ":protocol: websocket", ":authority: a.example"}},
		{"protocol that is no token", FaultProtocol, append([]string{":protocol: a b"}, whole("CONNECT", "/x", "a.example")...)},
	} {
		if _, f := asked(false, c.lines...); f != c.want {
			t.Errorf("%s: %v, want %v", c.why, f.InRequest(), c.want.InRequest())
		}
	}
}

func TestSectionAuthority(t *testing.T) {
	h, f := asked(true, without(":authority", get("/x", "host: b.example"))...)
	if got := string(h.Bytes(h.Authority)); f != 0 || got != "b.example" {
		t.Errorf("host only: authority %q, %v", got, f.InRequest())
	}
	if _, f = asked(true, get("/x", "host: A.Example")...); f != 0 {
		t.Errorf("both: %v", f.InRequest())
	}
	if _, f = asked(true, whole("OPTIONS", "*", "a.example")...); f != 0 {
		t.Errorf("OPTIONS *: %v", f.InRequest())
	}
}

// RFC 9113 section 8.1.1, RFC 9114 section 4.1.2.
func TestSectionFraming(t *testing.T) {
	for _, c := range []struct {
		why     string
		end     bool
		lines   []string
		framing Framing
		length  int64
		want    Fault
	}{
		{"known", false, get("/x", "content-length: 5"), BodyLength, 5, 0},
		{"not known", false, get("/x"), BodyStream, 0, 0},
		{"none", true, get("/x", "content-length: 0"), BodyNone, 0, 0},
		{"a body that does not come", true, get("/x", "content-length: 5"), BodyNone, 0, FaultLengthDiffers},
		{"tunnel", false, append([]string{":protocol: websocket"}, whole("CONNECT", "/x", "a.example")...), BodyTunnel, 0, 0},
		{"ended tunnel", true, []string{":method: CONNECT", ":authority: a.example:1"}, BodyNone, 0, 0},
	} {
		h, f := asked(c.end, c.lines...)
		if f != c.want || f == 0 && (h.Framing != c.framing || h.Length != c.length) {
			t.Errorf("%s: framing %d, length %d, %v", c.why, h.Framing, h.Length, f.InRequest())
		}
	}
	s, _ := received(RequestSection, append([]string{":protocol: websocket"}, whole("CONNECT", "/x", "a.example")...))
	if f := s.FinishRequest(false, false); f != FaultPseudoSurplus {
		t.Errorf("extended CONNECT that was not offered: %v", f.InRequest())
	}
}

// RFC 9113 section 8.2.3.
func TestSectionJoinsCookies(t *testing.T) {
	for want, lines := range map[string][]string{
		"cookie=a=1; b=2; c=3 x=y": {"cookie: a=1", "x: y", "cookie: b=2", "cookie: c=3"},
		"cookie=a=1; c=3":          {"cookie: ", "cookie: a=1", "cookie: ", "cookie: c=3", "cookie: "},
		"cookie=":                  {"cookie: ", "cookie: "},
		"cookie=a; b":              {"cookie: a; b"},
	} {
		if h, f := asked(true, get("/", lines...)...); f != 0 || h.kept() != want {
			t.Errorf("%q, want %q, %v", h.kept(), want, f.InRequest())
		}
	}
}

// RFC 9110 section 6.4.1.
func TestSectionOfAResponse(t *testing.T) {
	for _, c := range []struct {
		why     string
		to      Method
		end     bool
		lines   []string
		framing Framing
		length  int64
		want    Fault
	}{
		{"plain", MethodGet, false, []string{":status: 200", "content-length: 5"}, BodyLength, 5, 0},
		{"without a length", MethodGet, false, []string{":status: 200"}, BodyStream, LengthUnsaid, 0},
		{"to HEAD", MethodHead, true, []string{":status: 200", "content-length: 5"}, BodyNone, 0, 0},
		{"304", MethodGet, true, []string{":status: 304", "content-length: 5"}, BodyNone, 0, 0},
		{"to CONNECT", MethodConnect, false, []string{":status: 200", "content-length: 5"}, BodyTunnel, LengthUnsaid, 0},
		{"refusal of CONNECT", MethodConnect, false, []string{":status: 403"}, BodyStream, LengthUnsaid, 0},
		{"cut", MethodGet, true, []string{":status: 200", "content-length: 5"}, 0, 0, FaultLengthDiffers},
		{"interim", MethodGet, false, []string{":status: 103"}, BodyNone, LengthUnsaid, 0},
		{"interim at the end", MethodGet, true, []string{":status: 103"}, 0, 0, FaultInterim},
		{"101", MethodGet, false, []string{":status: 101"}, 0, 0, FaultStatus},
		{"99", MethodGet, false, []string{":status: 099"}, 0, 0, FaultStatus},
		{"600", MethodGet, false, []string{":status: 600"}, 0, 0, FaultStatus},
		{"two digits", MethodGet, false, []string{":status: 20"}, 0, 0, FaultStatus},
		{"no digits", MethodGet, false, []string{":status: 2x0"}, 0, 0, FaultStatus},
		{"no status", MethodGet, false, []string{"a: b"}, 0, 0, FaultPseudoMissing},
		{":path", MethodGet, false, []string{":path: /"}, 0, 0, FaultPseudoUnknown},
		{"connection", MethodGet, false, []string{":status: 200", "connection: close"}, 0, 0, FaultHopField},
		{"te", MethodGet, false, []string{":status: 200", "te: trailers"}, 0, 0, FaultHopField},
		{"two lengths", MethodGet, false, []string{":status: 200", "content-length: 1", "content-length: 1"}, 0, 0, FaultLengthTwice},
	} {
		s, f := received(ResponseSection, c.lines)
		if f == 0 {
			f = s.FinishResponse(c.to, c.end)
		}
		if f != c.want || f == 0 && (s.Head.Framing != c.framing || s.Length != c.length) {
			t.Errorf("%s: framing %d, length %d, %v", c.why, s.Head.Framing, s.Length, f.InResponse())
		}
	}
}

func TestSectionOfTrailers(t *testing.T) {
	if s, f := received(TrailerSection, []string{"x-t: v", "grpc-status: 0"}); f != 0 || s.Head.kept() != "x-t=v grpc-status=0" {
		t.Errorf("kept %q, %v", s.Head.kept(), f.InRequest())
	}
	for l, want := range map[string]Fault{
		"x: a\r\nb":         FaultFieldValue,
		"X: a":              FaultFieldName,
		":path: /":          FaultPseudoTrailers,
		"a b: c":            FaultFieldName,
		"content-length: 5": FaultLength,
		"te: trailers":      FaultHopField,
	} {
		if _, f := received(TrailerSection, []string{l}); f != want {
			t.Errorf("%q: %v, want %v", l, f.InRequest(), want.InRequest())
		}
	}
}
