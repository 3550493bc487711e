package e2e

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"testing"
)

// eachH3Pair runs a dialogue of a client of HTTP/3 with a server of each protocol.
func eachH3Pair(t *testing.T, h http.HandlerFunc, dialogue func(t *testing.T, w *weir, c *h3Client, back string)) {
	t.Parallel()
	for _, back := range []string{"h1", "h2"} {
		for _, over := range []transport{plain, tlsed} {
			t.Run(back+"/"+string(over), func(t *testing.T) {
				t.Parallel()
				o := goOrigin(t, protocols{over: over, h1: back == "h1", h2: back == "h2"}, h)
				s := setup{over: tlsed, bind: "h3 = true", global: `access-log = "$DIR/lines"`, servers: []*origin{o}, backend: "reuse = \"always\"\n"}
				if back == "h2" {
					s.backend += speakH2(over)
				}
				w := start(t, s)
				dialogue(t, w, w.h3Client(t), back)
			})
		}
	}
}

// Large bodies of unknown length and trailers, both ways.
func TestH3PairsBodiesAndTrailers(t *testing.T) {
	const size = 10 * megabyte
	eachH3Pair(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Got, X-Client-Trailer")
		w.Header().Set("X-Proto", r.Proto)
		got, _ := sum(r.Body)
		_, _ = io.Copy(w, noise(2, size))
		w.Header().Set("X-Got", got)
		w.Header().Set("X-Client-Trailer", r.Trailer.Get("X-Sent"))
	}, func(t *testing.T, w *weir, c *h3Client, back string) {
		r, _ := http.NewRequest("PUT", "https://a.example/", io.NopCloser(noise(1, size)))
		r.Trailer = http.Header{"X-Sent": {"it"}}
		rsp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer rsp.Body.Close()
		if err := wantSum("response", rsp.Body, 2, size); err != nil {
			t.Error(err)
		}
		if want := map[string]string{"h1": "HTTP/1.1", "h2": "HTTP/2.0"}[back]; rsp.Header.Get("X-Proto") != want {
			t.Errorf("the server was spoken to in %s", rsp.Header.Get("X-Proto"))
		}
		if got := rsp.Trailer.Get("X-Got"); got != sumOfNoise(1, size) {
			t.Errorf("the server got %q", got)
		}
		if got := rsp.Trailer.Get("X-Client-Trailer"); got != "it" {
			t.Errorf("the client's trailer came as %q", got)
		}
		w.lines(1)[0].want(t, "protocol", "HTTP/3", "method", "PUT", "status", 200, "bytes_in", size, "bytes_out", size, "reason", "")
	})
}

// Interim responses pass: hints, and the one that a client waits for before it sends its body.
func TestH3PairsInterim(t *testing.T) {
	eachH3Pair(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hints" {
			w.Header().Set("Link", "</a.css>; rel=preload")
			w.WriteHeader(103)
		}
		_, _ = io.Copy(w, r.Body) // the server of net/http says 100 when the body is read
	}, func(t *testing.T, w *weir, c *h3Client, _ string) {
		var codes []int
		var link string
		up, feed := io.Pipe()
		trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			codes, link = append(codes, code), link+h.Get("Link")
			if code == 100 {
				go func() { _, _ = io.WriteString(feed, "body"); _ = feed.Close() }()
			}
			return nil
		}}
		ask := func(r *http.Request) string {
			t.Helper()
			rsp, err := c.Do(r.WithContext(httptrace.WithClientTrace(t.Context(), trace)))
			if err != nil {
				t.Fatal(err)
			}
			defer rsp.Body.Close()
			b, err := io.ReadAll(rsp.Body)
			if err != nil || rsp.StatusCode != 200 {
				t.Error(rsp.StatusCode, err)
			}
			return string(b)
		}
		r, _ := http.NewRequest("GET", "https://a.example/hints", nil)
		ask(r)
		if len(codes) != 1 || codes[0] != 103 || link != "</a.css>; rel=preload" {
			t.Errorf("interim responses %v with %q", codes, link)
		}
		codes = nil
		r, _ = http.NewRequest("POST", "https://a.example/", up)
		r.Header.Set("Expect", "100-continue")
		if b := ask(r); b != "body" || len(codes) != 1 || codes[0] != 100 {
			t.Errorf("%q after %v", b, codes)
		}
	})
}
