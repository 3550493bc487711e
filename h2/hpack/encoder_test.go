package hpack

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	xhpack "golang.org/x/net/http2/hpack"
	"pgregory.net/rapid"

	"weir/internal/msg"
)

func field(e *Encoder, dst []byte, name, value string) []byte {
	return e.AppendField(dst, msg.LookupField([]byte(name)), []byte(name), []byte(value), false)
}

// A field goes out literally once, enters the table the second time, and is an index from the third on.
func TestRecurringFieldIsIndexed(t *testing.T) {
	e := &Encoder{}
	var got []string
	for range 4 {
		got = append(got, fmt.Sprintf("%x", field(e, e.Begin(nil), "X-Colour", "red")))
	}
	want := []string{"0008782d636f6c6f757203726564", "4008782d636f6c6f757203726564", "be", "be"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// RFC 7541 section 7.1.3: what is secret is never-indexed however often it is sent; so is what a client marked so
// (section 6.2.3).
func TestSecretsAreNeverIndexed(t *testing.T) {
	e := &Encoder{}
	for _, name := range []string{"Authorization", "proxy-authorization", "cookie", "Set-Cookie"} {
		for range 3 {
			if b := field(e, nil, name, "secret"); b[0]&0xf0 != 0x10 {
				t.Errorf("%s: first octet %#x", name, b[0])
			}
		}
	}
	for range 3 {
		if b := e.AppendField(nil, 0, []byte("x-a"), []byte("b"), true); b[0]&0xf0 != 0x10 {
			t.Errorf("marked field: first octet %#x", b[0])
		}
		if b := e.AppendField(nil, msg.FieldXRequestID, []byte("x-request-id"), []byte("b"), true); b[0]&0xf0 != 0x10 {
			t.Errorf("marked field: first octet %#x", b[0])
		}
	}
	if e.table.inserted != 0 {
		t.Error("a secret is in the table")
	}
}

// RFC 7541 section 4.2: a limit that went down and up again shows as two updates, the lowest first, and only once.
func TestSetLimit(t *testing.T) {
	for _, tt := range []struct {
		limits []uint32
		want   string
	}{
		{[]uint32{}, ""},
		{[]uint32{4096}, ""},
		{[]uint32{65536}, ""},
		{[]uint32{0}, "20"},
		{[]uint32{100}, "3f45"},
		{[]uint32{0, 4096}, "203fe11f"},
		{[]uint32{200, 100, 300}, "3f453f8d02"},
		{[]uint32{100, 50, 50}, "3f13"},
	} {
		e := &Encoder{}
		for _, n := range tt.limits {
			e.SetLimit(n)
		}
		if got := fmt.Sprintf("%x", e.Begin(nil)); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.limits, got, tt.want)
		}
		if got := e.Begin(nil); len(got) > 0 {
			t.Errorf("%v: said again: %x", tt.limits, got)
		}
	}
}

// step is one block of TestAnyFieldsArrive.
func drawFields(t *rapid.T) [][2]string {
	name := rapid.SampledFrom([]string{":authority", ":path", ":method", ":protocol", ":status", ":scheme", "date", "x-a", "X-B", "cookie",
		"content-length", "cache-control", "user-agent", "x-request-id", "server", "etag"})
	value := rapid.OneOf(rapid.SampledFrom([]string{"", "200", "404", "418", "GET", "PUT", "http", "https", "/", "/index.html", "/a", "a.example"}),
		rapid.Map(rapid.IntRange(0, 40), func(n int) string { return strings.Repeat("v", n*60) }),
		rapid.StringMatching(`[ -~]{0,20}`))
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) [2]string { return [2]string{name.Draw(t, "n"), value.Draw(t, "v")} }), 0, 12).Draw(t, "fields")
}

func appendAny(e *Encoder, dst []byte, kv *[2]string) []byte {
	v := []byte(kv[1])
	switch kv[0] {
	case ":authority":
		return e.AppendAuthority(dst, v)
	case ":path":
		return e.AppendPath(dst, v)
	case ":method":
		return e.AppendMethod(dst, msg.LookupMethod(v), v)
	case ":protocol":
		return e.AppendProtocol(dst, v)
	case ":scheme":
		kv[1] = map[bool]string{true: "https", false: "http"}[len(v)%2 == 1]
		return e.AppendScheme(dst, kv[1] == "https")
	case ":status":
		n := 100 + len(v)%500
		kv[1] = fmt.Sprint(n)
		return e.AppendStatus(dst, uint16(n))
	}
	return field(e, dst, kv[0], kv[1])
}

// Whatever is sent, with the limit changing between blocks, arrives as it was at x/net's decoder and at ours.
func TestAnyFieldsArrive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e, d := &Encoder{}, &Decoder{}
		oracle := xhpack.NewDecoder(TableBytes, nil)
		for range rapid.IntRange(1, 20).Draw(t, "blocks") {
			if rapid.IntRange(0, 4).Draw(t, "change") == 0 {
				e.SetLimit(uint32(rapid.SampledFrom([]int{0, 40, 100, 500, 4096, 9999}).Draw(t, "limit")))
			}
			fields := drawFields(t)
			block := e.Begin(nil)
			for i := range fields {
				block = appendAny(e, block, &fields[i])
				e.table.verify()
			}
			want, err := oracle.DecodeFull(block)
			if err != nil {
				t.Fatalf("the oracle refuses %x: %v", block, err)
			}
			got, err := decode(d, block)
			if err != nil || len(got) != len(fields) || len(want) != len(fields) {
				t.Fatalf("%x: we read %q, %v; the oracle %v", block, got, err, want)
			}
			for i, kv := range fields {
				text := strings.ToLower(kv[0]) + ": " + kv[1]
				if got[i] != text || want[i].Name+": "+want[i].Value != text {
					t.Fatalf("sent %q, we read %q, the oracle %v", text, got[i], want[i])
				}
			}
			if d.table.size != e.table.size || d.table.count != e.table.count {
				t.Fatalf("tables differ: %d/%d and %d/%d", e.table.size, e.table.count, d.table.size, d.table.count)
			}
		}
	})
}

// The static table is RFC 7541 appendix A's, by way of x/net's decoder; every name in it is found again.
func TestStaticTable(t *testing.T) {
	d := xhpack.NewDecoder(TableBytes, nil)
	first := map[string]int{}
	for i := 1; i <= staticCount; i++ {
		want, err := d.DecodeFull([]byte{0x80 | byte(i)})
		if err != nil || want[0].Name != staticTable[i].name || want[0].Value != staticTable[i].value {
			t.Errorf("entry %d is %q: %q, the oracle has %v", i, staticTable[i].name, staticTable[i].value, want)
		}
		name := staticTable[i].name
		if first[name] == 0 {
			first[name] = i
		}
		if name[0] != ':' && int(staticName(msg.LookupField([]byte(name)), bytes.ToUpper([]byte(name)))) != first[name] {
			t.Errorf("%s is not found", name)
		}
	}
	for _, name := range []string{"x", "viaa", "datf", "", strings.Repeat("a", 28)} {
		if staticName(0, []byte(name)) != 0 {
			t.Errorf("%q is found", name)
		}
	}
}

var responseFields = []struct{ name, value string }{
	{"Date", "Mon, 21 Oct 2013 20:13:21 GMT"}, {"Content-Type", "text/html; charset=utf-8"}, {"Server", "nginx"},
	{"Cache-Control", "max-age=3600, public"}, {"ETag", "\"5f3a-61b2c3d4e5f60\""}, {"Vary", "Accept-Encoding"},
	{"X-Frame-Options", "DENY"}, {"Via", "1.1 weir"},
}

type encodable struct {
	id          msg.FieldID
	name, value []byte
}

func responseEncodables() (list []encodable) {
	for _, f := range responseFields {
		list = append(list, encodable{msg.LookupField([]byte(f.name)), []byte(f.name), []byte(f.value)})
	}
	return list
}

func TestEncodeAllocs(t *testing.T) {
	e, fields, dst := &Encoder{}, responseEncodables(), make([]byte, 0, 4096)
	run := func() {
		out := e.AppendStatus(e.Begin(dst), 200)
		for i := range fields {
			out = e.AppendField(out, fields[i].id, fields[i].name, fields[i].value, false)
		}
	}
	run()
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations a block", n)
	}
}

func BenchmarkEncode(b *testing.B) {
	b.Run("weir", func(b *testing.B) {
		e, fields, dst := &Encoder{}, responseEncodables(), make([]byte, 0, 4096)
		b.ReportAllocs()
		for b.Loop() {
			out := e.AppendStatus(e.Begin(dst), 200)
			for i := range fields {
				out = e.AppendField(out, fields[i].id, fields[i].name, fields[i].value, false)
			}
		}
	})
	b.Run("xnet", func(b *testing.B) {
		var out bytes.Buffer
		e := xhpack.NewEncoder(&out)
		b.ReportAllocs()
		for b.Loop() {
			out.Reset()
			e.WriteField(xhpack.HeaderField{Name: ":status", Value: "200"})
			for _, f := range responseFields { // the names in lower case at no cost, which flatters it
				e.WriteField(xhpack.HeaderField{Name: f.name, Value: f.value})
			}
		}
	})
}
