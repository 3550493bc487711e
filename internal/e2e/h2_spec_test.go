package e2e

import (
	"context"
	"encoding/xml"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// h2specModule is the newest version of h2spec that can be had as a Go module: its tags from v2.2.2 on do not carry the
// major version that their module paths would need.
const (
	h2specModule  = "github.com/summerwind/h2spec"
	h2specVersion = "v2.2.1+incompatible"
)

// h2specCases is how many cases h2spec has in strict mode: fewer would mean that it has stopped early.
const h2specCases = 146

// TestH2Spec runs h2spec, all of it and in strict mode, against a frontend in cleartext and over TLS.
func TestH2Spec(t *testing.T) {
	t.Parallel()
	tool := h2spec(t)
	for _, over := range []transport{plain, tlsed} {
		t.Run(string(over), func(t *testing.T) {
			t.Parallel()
			back := httpOrigin(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("hello")) })
			w := start(t, setup{over: over, servers: []*origin{back}})
			if over == tlsed { // a request for the address is misdirected unless the certificate names it
				ourCA.issueAddress(w.dir, "own", w.host)
				w.rewrite(func(s *setup) {
					*s = behind("certificates = [{ cert = \"$DIR/own.pem\", key = \"$DIR/own.key\" }]", *s)
				})
				w.reload()
			}
			w.runH2Spec(t, tool, over)
		})
	}
}

// h2spec builds the tool. It is not part of this module; where it cannot be downloaded it is missing like any other program.
// Once it is there, what keeps it from being built is a failure.
func h2spec(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	run := func(args ...string) ([]byte, error) {
		c := exec.Command("go", args...)
		c.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=-mod=mod")
		c.Dir = dir // not our module: it must not be held to our versions
		return c.CombinedOutput()
	}
	if out, err := run("mod", "download", h2specModule+"@"+h2specVersion); err != nil {
		t.Skipf("%s cannot be had: %v\n%s", h2specModule, err, out)
	}
	if out, err := run("install", h2specModule+"/cmd/h2spec@"+h2specVersion); err != nil {
		t.Fatalf("%s: %v\n%s", h2specModule, err, out)
	}
	return filepath.Join(dir, "h2spec")
}

// junitReport is what h2spec writes of a run.
type junitReport struct {
	Suites []struct {
		Package string `xml:"package,attr"`
		Cases   []struct {
			Name    string  `xml:"classname,attr"`
			Failure *string `xml:"failure"`
			Error   *string `xml:"error"`
			Skipped *string `xml:"skipped"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

func (w *weir) runH2Spec(t *testing.T, tool string, over transport) {
	t.Helper()
	report := filepath.Join(w.dir, "h2spec.xml")
	host, port, _ := net.SplitHostPort(w.front())
	args := []string{"--strict", "-h", host, "-p", port, "--timeout", "2", "--junit-report", report}
	if over == tlsed {
		args = append(args, "--tls", "--insecure")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, runErr := exec.CommandContext(ctx, tool, args...).CombinedOutput()
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatalf("h2spec left no report: %v, %v\n%s", err, runErr, out)
	}
	var r junitReport
	if err := xml.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	cases := 0
	for _, s := range r.Suites {
		for _, c := range s.Cases {
			cases++
			if c.Failure != nil || c.Error != nil || c.Skipped != nil {
				t.Errorf("%s: %s", s.Package, c.Name)
			}
		}
	}
	if cases != h2specCases || runErr != nil {
		t.Errorf("h2spec played %d cases of %d: %v", cases, h2specCases, runErr)
	}
	if t.Failed() {
		_, failures, _ := strings.Cut(string(out), "Failures:")
		t.Log(failures)
	}
}

// A cleartext client that begins neither as HTTP/2 does nor as HTTP/1 does is answered in neither.
func TestH2PrefaceThatIsNone(t *testing.T) {
	t.Parallel()
	back := listen(t, plain)
	w := start(t, setup{over: plain, servers: []*origin{back}})
	for _, first := range []string{"INVALID CONNECTION PREFACE\r\n\r\n"} {
		client := w.dial()
		client.send(first)
		client.end()
	}
	for _, first := range []string{"GET / ICE/1.1\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET / HTTP/2.0\r\n\r\n", "GET /  HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\rx"} {
		client := w.dial()
		client.send(first)
		if s := client.response().status(); s != 400 && s != 505 {
			t.Errorf("%q: %d", first, s)
		}
		client.end()
	}
}
