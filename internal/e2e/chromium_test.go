package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// browserPatience is how long Chromium may take to start and to load a page on a busy machine.
const browserPatience = 2 * time.Minute

// chromiumPath is the browser, or the test is skipped.
func chromiumPath(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("Chromium is not installed")
	return ""
}

// chromium has a new browser with an empty profile load a page of a.example:8080 from weir, and returns the page's text as
// it stands when everything in it is loaded. The browser has ended by then, and nothing of it is left.
func (w *weir) chromium(t *testing.T, url string, flags ...string) string {
	t.Helper()
	path := chromiumPath(t)
	profile, err := os.MkdirTemp("", "weir-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		eventually(t, "the browser's profile is removed", func() bool { return os.RemoveAll(profile) == nil })
	}()
	ctx, cancel := context.WithTimeout(context.Background(), browserPatience)
	defer cancel()
	c := exec.CommandContext(ctx, path, append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-breakpad",
		"--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--disable-default-apps", "--disable-extensions", "--no-proxy-server",
		"--user-data-dir=" + profile, "--ignore-certificate-errors", "--host-resolver-rules=MAP a.example " + w.host, "--dump-dom",
	}, append(flags, url)...)...)
	c.Env = append(os.Environ(), "HOME="+profile, "XDG_CONFIG_HOME="+profile, "XDG_CACHE_HOME="+profile)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	// The browser is a family of processes: they end together.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = patience
	if err = startTied(c); err == nil {
		err = c.Wait()
	}
	if c.Process != nil {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s", path, err, errs.String())
	}
	return out.String()
}

// pageResources is how many scripts the page of browserPage has.
const pageResources = 100

// browserPage answers with a page of pageResources scripts, which says in its title how many have run and over which
// protocols they came.
func browserPage(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/" {
		w.Header().Set("Content-Type", "text/javascript")
		fmt.Fprintf(w, "window.ran = (window.ran || 0) + 1 // %s\n", strings.Repeat("x", 20000))
		return
	}
	w.Header().Set("Content-Type", "text/html")
	fmt.Fprint(w, `<!doctype html><link rel=icon href="data:,"><title></title><body>`)
	for i := range pageResources {
		fmt.Fprintf(w, "<script async src=/script-%d.js></script>", i)
	}
	fmt.Fprint(w, `<script>onload = () => {
		const entries = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
		const seen = [...new Set(entries.map(e => e.nextHopProtocol))].sort()
		document.title = window.ran + ' over ' + seen
	}</script>`)
}

func TestChromiumOverH2(t *testing.T) {
	t.Parallel()
	chromiumPath(t)
	for _, back := range []string{"h1", "h2"} {
		t.Run(back, func(t *testing.T) {
			t.Parallel()
			o := goOrigin(t, protocols{over: plain, h1: back == "h1", h2: back == "h2"}, http.HandlerFunc(browserPage))
			s := setup{over: tlsed, global: `access-log = "$DIR/lines"`, servers: []*origin{o}}
			if back == "h2" {
				s.backend = speakH2(plain)
			}
			w := start(t, s)
			dom := w.chromium(t, "https://a.example:8080/", "--disable-quic")
			if want := fmt.Sprintf("<title>%d over h2</title>", pageResources); !strings.Contains(dom, want) {
				t.Errorf("no %s in\n%.300s", want, dom)
			}
			paths := map[any]bool{}
			for _, l := range w.lines(1 + pageResources) {
				l.want(t, "protocol", "HTTP/2", "status", 200, "reason", "", "method", "GET")
				paths[l["path"]] = true
			}
			if len(paths) != 1+pageResources {
				t.Errorf("%d paths in the log", len(paths))
			}
			if n := w.metric("weir_frontend_connections_total", "protocol", "h2"); n < 1 || n > 2 {
				t.Errorf("the browser has opened %v connections of HTTP/2", n)
			}
		})
	}
}
