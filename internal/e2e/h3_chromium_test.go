package e2e

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// discoveryPage answers with a page that asks again and again until it is answered over HTTP/3, which the browser has to learn
// of from Alt-Svc, then loads pageResources scripts, and says in its title over which protocols they came. Its load event
// waits for that: an image of it is answered last.
type discoveryPage struct {
	once sync.Once
	done chan struct{}
}

func (p *discoveryPage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case path == "/":
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><link rel=icon href="data:,"><title></title><body><img src=/last><script>
			const protocol = path => performance.getEntriesByName(location.origin + path).map(e => e.nextHopProtocol)[0]
			const load = i => new Promise(ready => {
				const s = document.createElement('script')
				s.src = '/script-' + i + '.js'
				s.onload = () => ready(protocol('/script-' + i + '.js'))
				document.body.append(s)
			})
			const run = async () => {
				for (let i = 0; ; i++) {
					await (await fetch('/again-' + i)).text()
					if (protocol('/again-' + i) == 'h3') break
					await new Promise(later => setTimeout(later, 20))
				}
				const seen = await Promise.all([...Array(%d).keys()].map(load))
				document.title = window.ran + ' over ' + [...new Set(seen)].sort()
				await fetch('/done')
			}
			run()
		</script>`, pageResources)
	case path == "/last":
		select {
		case <-p.done:
		case <-r.Context().Done():
		}
	case path == "/done":
		p.once.Do(func() { close(p.done) })
	case strings.HasPrefix(path, "/script-"):
		w.Header().Set("Content-Type", "text/javascript")
		fmt.Fprintf(w, "window.ran = (window.ran || 0) + 1 // %s\n", strings.Repeat("x", 20000))
	}
}

// A browser comes over TCP, learns of HTTP/3 from Alt-Svc, and loads a page of 100 resources over it.
func TestChromiumOverH3(t *testing.T) {
	t.Parallel()
	chromiumPath(t)
	for _, back := range []string{"h1", "h2"} {
		t.Run(back, func(t *testing.T) { // one browser at a time
			o := goOrigin(t, protocols{over: plain, h1: back == "h1", h2: back == "h2"}, &discoveryPage{done: make(chan struct{})})
			s := setup{over: tlsed, bind: "h3 = true", global: `access-log = "$DIR/lines"`, servers: []*origin{o},
				backend: "reuse = \"always\"\ntimeouts = \"long\"\n", tables: "[timeouts.long]\nserver = \"2m\"\n"} // its load event is a response that waits
			if back == "h2" {
				s.backend += speakH2(plain)
			}
			w := start(t, s)
			// A browser speaks QUIC only with servers whose certificate has a root that it came with, but for hosts on which
			// it is forced to; this one is forced to at another port, so that here it has to find out.
			dom := w.chromium(t, "https://a.example:8080/", "--enable-quic", "--origin-to-force-quic-on=a.example:1",
				"--ignore-certificate-errors-spki-list="+pinOf("site"))
			if want := fmt.Sprintf("<title>%d over h3</title>", pageResources); !strings.Contains(dom, want) {
				t.Errorf("no %s in\n%.300s", want, dom)
			}
			first, scripts := "", map[any]bool{}
			for _, l := range w.linesUntil("/done") {
				path := l["path"].(string)
				if path == "/" {
					first = l["protocol"].(string)
				}
				if strings.HasPrefix(path, "/script-") {
					l.want(t, "protocol", "HTTP/3", "status", 200, "reason", "", "method", "GET")
					scripts[path] = true
				}
			}
			if first != "HTTP/2" || len(scripts) != pageResources {
				t.Errorf("the page came over %q, and %d scripts", first, len(scripts))
			}
		})
	}
}

// pinOf is the hash of a certificate's public key, as a browser wants it that is to take the certificate for good: of one
// whose errors it merely ignores it does not believe Alt-Svc.
func pinOf(name string) string {
	leaf, err := x509.ParseCertificate(keyPair(name).Certificate[0])
	must(err)
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// linesUntil is the access log when a path is in it.
func (w *weir) linesUntil(path string) (lines []logLine) {
	w.t.Helper()
	eventually(w.t, path+" is logged", func() bool {
		lines = w.logged()
		for _, l := range lines {
			if l["path"] == path {
				return true
			}
		}
		return false
	})
	return lines
}

// logged is the access log so far.
func (w *weir) logged() (lines []logLine) {
	b, _ := os.ReadFile(filepath.Join(w.dir, "lines"))
	for l := range strings.Lines(string(b)) {
		var line logLine
		if json.Unmarshal([]byte(l), &line) == nil { // the last one may be in the middle of being written
			lines = append(lines, line)
		}
	}
	return lines
}
