package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// brokenFile is a value of a configuration that names a file which nothing can be done with.
type brokenFile struct {
	table, value string // the first such value is the one that the complaint must point at
	want         string
}

// brokenFiles writes the files to dir.
func brokenFiles(t *testing.T, dir string) []brokenFile {
	t.Helper()
	write := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"site.pem", "site.key", "site-rsa.key", "other.key", "client.pem"} {
		b, err := os.ReadFile(filepath.Join(files, name))
		if err != nil {
			t.Fatal(err)
		}
		write(name, b)
	}
	write("empty", nil)
	write("raw-31", make([]byte, 31))
	write("raw-1025", make([]byte, 1025))
	write("lines", []byte("# newest first\n"+strings.Repeat("/+A9", 16)+"\n"+strings.Repeat("0", 94)+"\n"))
	write("twice", []byte(strings.Repeat("/+A9", 16)+"\n"+strings.Repeat("/+A9", 16)+"\n"))
	write("comment", []byte("# none yet\n"))
	write("prose", []byte("the quick brown fox\n"))
	write("torn.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{0x30, 0x82, 1}}))
	write("locked.key", pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte{0x30, 0}}))
	ourCA.issue(dir, "small", newKeyOf(t, elliptic.P224()), "a.example")
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	staple, err := ocsp.CreateResponse(ourCA.cert, ourCA.cert, ocsp.Response{
		Status: ocsp.Good, SerialNumber: leafOf(t, "other").SerialNumber, ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour),
	}, ourCA.key)
	if err != nil {
		t.Fatal(err)
	}
	write("other.der", staple)

	pair := func(cert, key, more string) string {
		return fmt.Sprintf("certificates = [{ cert = %q, key = %q%s }]\n", cert, key, more)
	}
	own := pair("site.pem", "site.key", "")
	good := func(more string) string { return pair("site.pem", "site.key", more) }
	return []brokenFile{
		{own + `ticket-keys = "raw-31"`, "raw-31", "ticket-keys: raw-31: a raw key has 32 to 1024 bytes, here are 31"},
		{own + `ticket-keys = "raw-1025"`, "raw-1025", "a raw key has 32 to 1024 bytes, here are 1025"},
		{own + `ticket-keys = "lines"`, "lines", "lines: line 3: a key has 48 to 80 bytes, this one 47"},
		{own + `ticket-keys = "twice"`, "twice", "line 2: the same key as key 1"},
		{own + `ticket-keys = "comment"`, "comment", "there is no key in it"},
		{own + `ticket-keys = "empty"`, "empty", "there is no key in it"},
		{own + `ticket-keys = "prose"`, "prose", "line 1: neither base64 nor hex"},
		{own + `ticket-keys = "nowhere"`, "nowhere", "no such file or directory"},
		{own + `ticket-keys = "folder"`, "folder", "cannot read"},
		{pair("nowhere.pem", "site.key", ""), "nowhere.pem", "no such file or directory"},
		{pair("empty", "site.key", ""), "empty", "holds no PEM certificate"},
		{pair("torn.pem", "site.key", ""), "torn.pem", "certificate 1: "},
		{pair("site.key", "site.key", ""), "site.key", "holds a private key and no certificate"},
		{pair("small.pem", "small.key", ""), "small.pem", "P-224"},
		{pair("site.pem", "nowhere.key", ""), "nowhere.key", "no such file or directory"},
		{pair("site.pem", "empty", ""), "empty", "holds no PEM private key"},
		{pair("site.pem", "locked.key", ""), "locked.key", "the private key is encrypted"},
		{pair("site.pem", "other.key", ""), "other.key", "does not belong to the certificate in"},
		{pair("site.pem", "site-rsa.key", ""), "site-rsa.key", "does not belong to the certificate in"},
		{good(`, ocsp = "nowhere.der"`), "nowhere.der", "no such file or directory"},
		{good(`, ocsp = "empty"`), "empty", "is not a successful OCSP response in DER"},
		{good(`, ocsp = "prose"`), "prose", "is not a successful OCSP response in DER"},
		{good(`, ocsp = "other.der"`), "other.der", "no response matching the supplied certificate"},
		{own + "client-auth = \"require\"\nclient-ca = \"empty\"", "empty", "client-ca: empty: holds no PEM certificate"},
		{own + "client-auth = \"require\"\nclient-ca = \"nowhere.pem\"", "nowhere.pem", "no such file or directory"},
		{own + "client-auth = \"require\"\nclient-ca = \"torn.pem\"", "torn.pem", "certificate 1: "},
		{own + `client-auth = "require"`, "require", "needs client-ca"},
	}
}

func newKeyOf(t *testing.T, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// `weir check` finds every file that TLS would stumble over, each at its place, in one pass.
func TestCheckFindsEveryBrokenFileOfTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := "[frontend.web]\nbind = [{ address = \"127.0.0.1:8080\" }]\nbackend = \"api0\"\n"
	var places, want []string
	add := func(c brokenFile) {
		at := strings.Index(c.table, `"`+c.value+`"`)
		line := strings.Count(text+c.table[:at], "\n") + 1
		places = append(places, fmt.Sprintf("weir.toml:%d:%d: error: ", line, at-strings.LastIndexByte(c.table[:at], '\n')))
		want = append(want, c.want)
		text += c.table + "\n"
	}
	for i, c := range brokenFiles(t, dir) {
		text += fmt.Sprintf("[tls.t%d]\n", i)
		add(c)
	}
	for i, c := range []brokenFile{
		{`tls = { enabled = true, ca = "empty" }`, "empty", "ca: empty: holds no PEM certificate"},
		{`tls = { enabled = true, ca = "nowhere" }`, "nowhere", "no such file or directory"},
		{`tls = { enabled = true, cert = "client.pem", key = "other.key" }`, "other.key", "does not belong to the certificate in client.pem"},
		{`tls = { enabled = true, cert = "torn.pem", key = "other.key" }`, "torn.pem", "certificate 1: "},
	} {
		text += fmt.Sprintf("[backend.api%d]\nservers = [{ address = \"127.0.0.1:1\" }]\n", i)
		add(c)
	}
	file := filepath.Join(dir, "weir.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	status, out, _ := command(t, "check", "-c", file)
	if status != 1 {
		t.Errorf("status %d", status)
	}
	for i, place := range places {
		_, rest, found := strings.Cut(out, place)
		if message, _, _ := strings.Cut(rest, "\n"); !found || !strings.Contains(message, want[i]) {
			t.Errorf("at %s is %q, want %q", place, message, want[i])
		}
	}
	if n := strings.Count(out, ": error: "); n != len(want) || t.Failed() {
		t.Errorf("%d errors, want %d:\n%s", n, len(want), out)
	}
}
