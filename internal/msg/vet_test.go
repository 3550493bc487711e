package msg

import (
	"fmt"
	"strings"
	"testing"
)

// request makes a head as an h1 reader would hand it over: identities resolved, framing known. Lines are "Name: value".
func request(line string, lines ...string) *Head {
	h := &Head{Version: HTTP11, Framing: BodyNone}
	name, target, _ := strings.Cut(line, " ")
	h.Name, h.Target = h.PutString(name), h.PutString(target)
	h.Method = LookupMethod([]byte(name))
	h.Authority = h.PutString("a.example")
	h.addLines(lines)
	return h
}

// stream makes a head as an h2 or h3 codec would.
func stream(line string, lines ...string) *Head {
	h := request(line)
	h.Version, h.Scheme, h.Framing = HTTP2, SchemeHTTPS, BodyStream
	h.addLines(lines)
	return h
}

func response(status uint16, framing Framing, lines ...string) *Head {
	h := &Head{Version: HTTP11, Status: status, Framing: framing}
	h.addLines(lines)
	return h
}

func (h *Head) addLines(lines []string) {
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		h.Add(LookupField([]byte(name)), name, []byte(value))
	}
}

// kept lists what may be sent on, one word a field.
func (h *Head) kept() string {
	var s []string
	for _, f := range h.Fields {
		if !f.Drop {
			s = append(s, fmt.Sprintf("%s=%s", h.Bytes(f.Name), h.Bytes(f.Value)))
		}
	}
	return strings.Join(s, " ")
}

func wantKept(t *testing.T, why string, h *Head, err *Error, want string) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: refused: %v", why, err)
	} else if got := h.kept(); got != want {
		t.Errorf("%s: kept %q, want %q", why, got, want)
	}
}

func wantFault(t *testing.T, why string, err *Error, want Fault) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: accepted", why)
	} else if err.Fault != want {
		t.Errorf("%s: %v, want %v", why, err, want.InRequest())
	}
}

func wantFlags(t *testing.T, why string, h *Head, want Flags) {
	t.Helper()
	if h.Flags != want {
		t.Errorf("%s: flags %b, want %b", why, h.Flags, want)
	}
}

// RFC 9110 section 7.6.1.
func TestHopByHopFieldsEndHere(t *testing.T) {
	for _, c := range []struct {
		why, want string
		lines     []string
	}{
		{"plain", "Accept=*/*", []string{"Host: a.example", "Accept: */*"}},
		{"what is always dropped", "", []string{"Connection: close", "Keep-Alive: timeout=5", "Proxy-Connection: close", "TE: gzip",
			"Transfer-Encoding: chunked", "Content-Length: 5", "Upgrade: h2c", "HTTP2-Settings: AAMA", "Host: a.example"}},
		{"what a proxy passes", "Trailer=X Proxy-Authorization=Basic eA== Via=1.1 x",
			[]string{"Trailer: X", "Proxy-Authorization: Basic eA==", "Via: 1.1 x"}},
		{"named by Connection", "X-Bar=2", []string{"Connection: X-Foo, close", "x-fOO: 1", "X-Bar: 2", "X-Foo: 3"}},
		{"named twice, with empty members", "B=1", []string{"A: 1", "Connection: , a,,", "Connection: A", "B: 1"}},
		{"credentials named", "", []string{"Connection: authorization, cookie", "Authorization: Basic eA==", "Cookie: a=b"}},
		{"framing named", "", []string{"Connection: content-length, host", "Content-Length: 5", "Host: a.example"}},
		{"no prefix match", "X-Foo-Bar=1 X-Fo=2", []string{"Connection: x-foo", "X-Foo-Bar: 1", "X-Fo: 2"}},
	} {
		h := request("GET /", c.lines...)
		wantKept(t, c.why, h, VetRequest(h), c.want)
	}
	h := response(200, BodyLength, "Connection: x-hop", "X-Hop: 1", "X-End: 2", "Keep-Alive: max=3", "Content-Length: 2", "Set-Cookie: a")
	wantKept(t, "response", h, VetResponse(h), "X-End=2 Set-Cookie=a")
}

func TestConnectionIsBounded(t *testing.T) {
	many := "Connection: x" + strings.Repeat(", x", connectionOptionsMax-1)
	h := request("GET /", many)
	wantKept(t, "as many as allowed", h, VetRequest(h), "")
	wantFault(t, "one more", VetRequest(request("GET /", many, "Connection: close")), FaultConnection)
	wantFault(t, "one more in a response", VetResponse(response(200, BodyNone, many+", x")), FaultConnection)
	wantFault(t, "not a token", VetRequest(request("GET /", "Connection: a b")), FaultConnection)
	wantFault(t, "quoted", VetRequest(request("GET /", "Connection: \"close\"")), FaultConnection)
}

// RFC 9112 section 9.3.
func TestPersistence(t *testing.T) {
	for _, c := range []struct {
		version    Version
		connection string
		want       Flags
	}{
		{HTTP11, "", FlagKeepAlive}, {HTTP11, "close", FlagCloseSaid}, {HTTP11, "keep-alive, CLOSE", FlagCloseSaid},
		{HTTP11, "closed", FlagKeepAlive}, {HTTP10, "", 0}, {HTTP10, "Keep-Alive", FlagKeepAlive},
		{HTTP10, "keep-alive, close", FlagCloseSaid},
	} {
		why := fmt.Sprint(c.version, " ", c.connection)
		h := request("GET /", "Connection: "+c.connection)
		h.Version = c.version
		VetRequest(h)
		wantFlags(t, "request "+why, h, c.want)
		h = response(200, BodyLength, "Connection: "+c.connection)
		h.Version = c.version
		VetResponse(h)
		wantFlags(t, "response "+why, h, c.want)
	}
	h := response(200, BodyClose, "Connection: keep-alive")
	VetResponse(h)
	wantFlags(t, "a body that ends with the connection", h, 0)
	h = response(204, BodyNone, "Content-Length: 5")
	wantKept(t, "204 with a length", h, VetResponse(h), "")
	wantFlags(t, "204 with a length", h, 0)
	h = response(204, BodyNone, "Content-Length: 0")
	wantKept(t, "204 with length zero", h, VetResponse(h), "")
	wantFlags(t, "204 with length zero", h, FlagKeepAlive)
	h = response(204, BodyNone, "Transfer-Encoding: chunked")
	VetResponse(h)
	wantFlags(t, "204 with a coding", h, 0)
}

// RFC 9110 section 8.6: what a HEAD or 304 says of a body that is not sent is for the client.
func TestLengthWithoutBody(t *testing.T) {
	for _, status := range []uint16{200, 304} {
		h := response(status, BodyNone, "Content-Length: 5")
		wantKept(t, fmt.Sprint(status), h, VetResponse(h), "Content-Length=5")
		wantFlags(t, fmt.Sprint(status), h, FlagKeepAlive)
	}
	wantFault(t, "103 with a length", VetResponse(response(103, BodyNone, "Content-Length: 5")), FaultInterim)
	wantFault(t, "103 with a coding", VetResponse(response(103, BodyNone, "Transfer-Encoding: chunked")), FaultInterim)
	h := response(103, BodyNone, "Content-Length: 0", "Link: </a>")
	wantKept(t, "103 with length zero", h, VetResponse(h), "Link=</a>")
}

// RFC 9110 section 10.1.1.
func TestExpect(t *testing.T) {
	for _, c := range []struct {
		why, value string
		version    Version
		framing    Framing
		length     int64
		want       Flags
		kept       string
	}{
		{"with a length", "100-continue", HTTP11, BodyLength, 5, FlagExpect100, "Expect=100-continue"},
		{"in chunks", "100-Continue", HTTP11, BodyChunked, 0, FlagExpect100, "Expect=100-Continue"},
		{"nothing to wait for", "100-continue", HTTP11, BodyNone, 0, 0, ""},
		{"length zero", "100-continue", HTTP11, BodyLength, 0, 0, ""},
		{"HTTP/1.0", "100-continue", HTTP10, BodyLength, 5, 0, ""},
	} {
		h := request("POST /", "Expect: "+c.value)
		h.Version, h.Framing, h.Length = c.version, c.framing, c.length
		wantKept(t, c.why, h, VetRequest(h), c.kept)
		wantFlags(t, c.why, h, c.want|h.Flags&FlagKeepAlive)
	}
	h := request("POST /", "Expect: 100-continue", "Expect: 100-continue")
	h.Framing = BodyChunked
	wantKept(t, "twice", h, VetRequest(h), "Expect=100-continue")
	for _, v := range []string{"x 100-continue", "100-continue, x", "", "200-ok"} {
		err := VetRequest(request("POST /", "Expect: "+v))
		wantFault(t, v, err, FaultExpect)
		if err.Status != 417 {
			t.Errorf("%q is answered with %d", v, err.Status)
		}
	}
}

// RFC 9110 section 7.6.2.
func TestMaxForwards(t *testing.T) {
	for in, want := range map[string]string{"3": "2", "1": "0", "10": "09", "100": "099", "200": "199", "010": "009", "999999999": "999999998"} {
		for _, method := range []string{"TRACE", "OPTIONS"} {
			h := request(method+" /", "Max-Forwards: "+in)
			wantKept(t, method+" "+in, h, VetRequest(h), "Max-Forwards="+want)
			wantFlags(t, method+" "+in, h, FlagMaxForwards|FlagKeepAlive)
		}
	}
	for _, in := range []string{"", "x", "-1", "1 ", "+1", "1,2", "9999999999"} {
		wantFault(t, in, VetRequest(request("TRACE /", "Max-Forwards: "+in)), FaultMaxForwards)
	}
	wantFault(t, "twice", VetRequest(request("TRACE /", "Max-Forwards: 1", "Max-Forwards: 1")), FaultMaxForwards)
	for _, in := range []string{"0", "000"} {
		wantFault(t, in, VetRequest(request("TRACE /", "Max-Forwards: "+in)), FaultTraceEnd)
		err := VetRequest(request("OPTIONS /", "Max-Forwards: "+in))
		wantFault(t, in, err, FaultOptionsEnd)
		if err.Status != 200 {
			t.Errorf("OPTIONS that ends here is answered with %d", err.Status)
		}
	}
	h := request("GET /", "Max-Forwards: 0")
	wantKept(t, "other methods", h, VetRequest(h), "Max-Forwards=0")
}

func TestMethodsThatEndHere(t *testing.T) {
	wantFault(t, "CONNECT", VetRequest(request("CONNECT a.example:80")), FaultConnect)
	h := request("TRACE /", "Content-Length: 5")
	h.Framing, h.Length = BodyLength, 5
	wantFault(t, "TRACE with a body", VetRequest(h), FaultTraceBody)
	h = request("TRACE /")
	wantKept(t, "TRACE", h, VetRequest(h), "")
	h.Framing, h.Length = BodyLength, 0
	wantKept(t, "TRACE that says it is empty", h, VetRequest(h), "")
	h.Framing = BodyChunked
	wantFault(t, "TRACE with chunks", VetRequest(h), FaultTraceBody)
	h = stream("TRACE /")
	wantKept(t, "TRACE on a stream that may end yet", h, VetRequest(h), "")
}

// RFC 4559, and NTLM which has no RFC: a connection that these authenticated is private.
func TestConnectionAuthentication(t *testing.T) {
	for v, want := range map[string]Flags{
		"NTLM TlRMTVNTUAABAAAA": FlagNTLM, "ntlm": FlagNTLM, "Negotiate YII=": FlagNTLM, "NEGOTIATE": FlagNTLM,
		"Basic realm=\"x\", Negotiate": FlagNTLM, "Digest a=b,NTLM": FlagNTLM,
		"Basic eA==": 0, "NTLMv2 x": 0, "Bearer ntlm": 0, "": 0, "x-negotiate": 0, "Basic realm=NTLM": 0,
	} {
		for _, name := range []string{"Authorization", "Proxy-Authorization"} {
			h := request("GET /", name+": "+v)
			VetRequest(h)
			wantFlags(t, name+" "+v, h, FlagKeepAlive|want)
		}
		for _, name := range []string{"WWW-Authenticate", "Proxy-Authenticate"} {
			h := response(401, BodyLength, name+": "+v)
			wantKept(t, name, h, VetResponse(h), name+"="+v)
			wantFlags(t, name+" "+v, h, FlagKeepAlive|want)
		}
	}
	h := response(200, BodyLength, "Authorization: NTLM x")
	VetResponse(h)
	wantFlags(t, "a response has no credentials", h, FlagKeepAlive)
}

func TestTETrailers(t *testing.T) {
	for v, want := range map[string]Flags{"trailers": FlagTETrailers, "gzip;q=1, Trailers": FlagTETrailers, "gzip": 0, "trailersx": 0, "": 0} {
		h := request("GET /", "TE: "+v, "Connection: TE")
		wantKept(t, v, h, VetRequest(h), "")
		wantFlags(t, v, h, FlagKeepAlive|want)
	}
}

const websocketKey = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="

// RFC 6455 section 4.1, RFC 9110 section 7.8.
func TestUpgrade(t *testing.T) {
	whole := []string{"Connection: keep-alive, Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", websocketKey}
	h := request("GET /", whole...)
	wantKept(t, "websocket", h, VetRequest(h), "Sec-WebSocket-Version=13 Sec-WebSocket-Key=dGhlIHNhbXBsZSBub25jZQ==")
	wantFlags(t, "websocket", h, FlagUpgrade|FlagKeepAlive)
	if got := string(h.Bytes(h.Protocol)); got != "websocket" {
		t.Errorf("protocol %q", got)
	}
	h = request("GET /", "Upgrade: how/1,\t, webs, WebSocket ,w", whole[0], whole[2], whole[3])
	VetRequest(h)
	if got := string(h.Bytes(h.Protocol)); got != "WebSocket" {
		t.Errorf("protocol %q among others", got)
	}
	swap := func(i int, line string) []string {
		l := append([]string(nil), whole...)
		l[i] = line
		return l
	}
	for why, c := range map[string]struct {
		line  string
		lines []string
		want  Flags
	}{
		"among others":       {"GET /", swap(1, "Upgrade: h2c,  \tWebSocket , foo/1"), FlagUpgrade},
		"an old version":     {"GET /", swap(2, "Sec-WebSocket-Version: 7"), FlagUpgrade},
		"h2c":                {"GET /", swap(1, "Upgrade: h2c"), 0},
		"another token":      {"GET /", swap(1, "Upgrade: websocket/13"), 0},
		"not connected":      {"GET /", swap(0, "Connection: keep-alive"), 0},
		"no key":             {"GET /", swap(3, "X: y"), 0},
		"short key":          {"GET /", swap(3, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ="), 0},
		"key not base64":     {"GET /", swap(3, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j!Q=="), 0},
		"bad key first":      {"GET /", []string{"Sec-WebSocket-Key: x", whole[2], whole[1], whole[0]}, 0},
		"two keys":           {"GET /", append(whole, websocketKey), 0},
		"no version":         {"GET /", swap(2, "X: y"), 0},
		"version not digits": {"GET /", swap(2, "Sec-WebSocket-Version: x"), 0},
		"another method":     {"POST /", whole, 0},
	} {
		h := request(c.line, c.lines...)
		if err := VetRequest(h); err != nil {
			t.Errorf("%s: %v", why, err)
		}
		wantFlags(t, why, h, c.want|FlagKeepAlive)
		if (h.Protocol.Len() > 0) != (c.want != 0) {
			t.Errorf("%s: protocol %q", why, h.Bytes(h.Protocol))
		}
		if v := h.Get(FieldUpgrade); v != nil {
			t.Errorf("%s: Upgrade was kept: %q", why, v)
		}
	}
	h = request("GET /", whole...)
	h.Framing, h.Length = BodyLength, 5
	VetRequest(h)
	wantFlags(t, "with a body", h, FlagKeepAlive)
	h = request("GET /", whole...)
	h.Version = HTTP10
	VetRequest(h)
	wantFlags(t, "HTTP/1.0", h, FlagKeepAlive)
}

func TestUpgradeResponse(t *testing.T) {
	h := response(101, BodyTunnel, "Connection: Upgrade", "Upgrade: WebSocket", "Sec-WebSocket-Accept: x")
	wantKept(t, "101", h, VetResponse(h), "Sec-WebSocket-Accept=x")
	wantFlags(t, "101", h, FlagUpgrade)
	if got := string(h.Bytes(h.Protocol)); got != "WebSocket" {
		t.Errorf("protocol %q", got)
	}
	wantFault(t, "101 to something else", VetResponse(response(101, BodyTunnel, "Connection: Upgrade", "Upgrade: h2c")), FaultSwitch)
	wantFault(t, "101 without Connection", VetResponse(response(101, BodyTunnel, "Upgrade: websocket")), FaultSwitch)
	h = response(426, BodyLength, "Connection: Upgrade", "Upgrade: websocket")
	wantKept(t, "426", h, VetResponse(h), "")
	if h.Flags.Has(FlagUpgrade) || string(h.Bytes(h.Protocol)) != "websocket" {
		t.Errorf("426: flags %b, protocol %q", h.Flags, h.Bytes(h.Protocol))
	}
	h = response(200, BodyLength, "Upgrade: h2,h2c")
	wantKept(t, "an offer", h, VetResponse(h), "")
}

func TestErrors(t *testing.T) {
	for f := FaultRequestLine; f < faultCount; f++ {
		req, rsp := f.InRequest(), f.InResponse()
		if req.Detail == "" || req.Fault != f || req.Status < 200 || req.Reason == "" || strings.Contains(req.Error(), "\n") {
			t.Errorf("fault %d: %+v", f, req)
		}
		if rsp.Status != 502 || rsp.Fault != f || rsp.Detail != req.Detail {
			t.Errorf("fault %d: %+v", f, rsp)
		}
	}
	if Fault(0).InRequest() != nil || Fault(0).InResponse() != nil {
		t.Error("no fault is an error")
	}
	if FaultTruncated.InResponse().Reason != "server-closed" || FaultLength.InResponse().Reason != "bad-response" {
		t.Error("reasons of responses")
	}
}

func TestPhrase(t *testing.T) {
	for status, want := range map[uint16]string{0: "", 99: "", 100: "Continue", 101: "Switching Protocols", 200: "OK",
		204: "No Content", 304: "Not Modified", 404: "Not Found", 408: "Request Timeout", 413: "Content Too Large",
		414: "URI Too Long", 417: "Expectation Failed", 421: "Misdirected Request", 425: "Too Early", 426: "Upgrade Required",
		429: "Too Many Requests", 431: "Request Header Fields Too Large", 451: "Unavailable For Legal Reasons",
		501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
		505: "HTTP Version Not Supported", 511: "Network Authentication Required", 512: "", 999: ""} {
		if got := Phrase(status); got != want {
			t.Errorf("%d: %q, want %q", status, got, want)
		}
	}
}

// Vetting is on every request's path.
func TestVetDoesNotAllocate(t *testing.T) {
	req := request("GET /", "Host: a.example", "Connection: keep-alive, x-foo", "X-Foo: 1", "Accept: */*", "Cookie: a=b",
		"Authorization: Negotiate x", "TE: trailers")
	h2 := stream("POST /x", "accept: */*", "content-length: 5", "cookie: a=b", "x-y: z")
	rsp := response(200, BodyLength, "Connection: keep-alive", "Keep-Alive: timeout=5", "Content-Length: 5", "Server: x")
	if n := testing.AllocsPerRun(100, func() {
		req.Flags, h2.Flags, rsp.Flags = 0, 0, 0
		if VetRequest(req) != nil || VetRequest(h2) != nil || VetResponse(rsp) != nil {
			t.Fatal("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
