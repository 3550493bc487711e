package e2e

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"
)

// pair is the protocols of a client and of a server.
type pair struct {
	over        transport
	front, back string // "h1", "h2"
	client      *http.Client
	w           *weir
	scheme      string
}

// eachPair runs a dialogue for every pair of protocols, in cleartext and over TLS.
func eachPair(t *testing.T, h http.HandlerFunc, dialogue func(t *testing.T, p *pair)) {
	t.Parallel()
	for _, over := range []transport{plain, tlsed} {
		for _, front := range []string{"h1", "h2"} {
			for _, back := range []string{"h1", "h2"} {
				t.Run(string(over)+"/"+front+"-"+back, func(t *testing.T) {
					t.Parallel()
					dialogue(t, newPair(t, over, front, back, h))
				})
			}
		}
	}
}

// speakH2 is the key of a backend whose servers speak HTTP/2.
func speakH2(over transport) string {
	if over == tlsed {
		return "h2 = true\n"
	}
	return "h2 = \"h2c\"\n"
}

func newPair(t *testing.T, over transport, front, back string, h http.HandlerFunc) *pair {
	t.Helper()
	o := goOrigin(t, protocols{over: over, h1: back == "h1", h2: back == "h2"}, h)
	s := setup{over: over, servers: []*origin{o}, backend: "reuse = \"always\"\n"}
	if back == "h2" {
		s.backend += speakH2(over)
	}
	p := &pair{over: over, front: front, back: back, w: start(t, s), scheme: "http"}
	if over == tlsed {
		p.scheme = "https"
	}
	p.client = p.w.browser(t, front)
	return p
}

// browser is a client of net/http that speaks only this protocol.
func (w *weir) browser(t *testing.T, front string) *http.Client {
	tr := &http.Transport{Protocols: &http.Protocols{}, TLSClientConfig: &tls.Config{RootCAs: roots}, DisableCompression: true}
	tr.Protocols.SetHTTP1(front == "h1")
	tr.Protocols.SetHTTP2(front == "h2" && w.over == tlsed)
	tr.Protocols.SetUnencryptedHTTP2(front == "h2" && w.over == plain)
	tr.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, w.front())
		if err == nil { // its owner may take a while to see that it is idle
			t.Cleanup(func() { _ = c.Close() })
		}
		return c, err
	}
	return &http.Client{Transport: tr, Timeout: patience}
}

func (p *pair) url(path string) string { return p.scheme + "://a.example" + path }

const pairBytes = 3*megabyte + 17

func TestH2PairsBodiesAndTrailers(t *testing.T) {
	eachPair(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Got, X-Client-Trailer")
		w.Header().Set("X-Proto", r.Proto)
		if r.URL.Path == "/early" { // both bodies flow at once
			w.WriteHeader(200)
			_ = http.NewResponseController(w).EnableFullDuplex()
		}
		got, _ := sum(r.Body)
		_, _ = io.Copy(w, noise(2, pairBytes))
		w.Header().Set("X-Got", got)
		w.Header().Set("X-Client-Trailer", r.Trailer.Get("X-Sent"))
	}, func(t *testing.T, p *pair) {
		for _, method := range []string{"PUT", "POST"} {
			r, err := http.NewRequest(method, p.url("/"), io.NopCloser(noise(1, pairBytes)))
			if err != nil {
				t.Fatal(err)
			}
			r.Trailer = http.Header{"X-Sent": {"it"}}
			rsp, err := p.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := wantSum("response", rsp.Body, 2, pairBytes); err != nil {
				t.Error(err)
			}
			_ = rsp.Body.Close()
			if want := map[string]string{"h1": "HTTP/1.1", "h2": "HTTP/2.0"}; rsp.Proto != want[p.front] || rsp.Header.Get("X-Proto") != want[p.back] {
				t.Errorf("client %s, server %s", rsp.Proto, rsp.Header.Get("X-Proto"))
			}
			if got := rsp.Trailer.Get("X-Got"); got != sumOfNoise(1, pairBytes) {
				t.Errorf("the server got %q", got)
			}
			if got := rsp.Trailer.Get("X-Client-Trailer"); got != "it" {
				t.Errorf("the client's trailer came as %q", got)
			}
		}
	})
}

func TestH2PairsInterimAndBodiless(t *testing.T) {
	eachPair(t, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		switch r.URL.Path {
		case "/hints":
			h.Set("Link", "</a.css>; rel=preload")
			w.WriteHeader(103)
			_, _ = io.WriteString(w, "hello")
		case "/none":
			w.WriteHeader(204)
		case "/same":
			h.Set("ETag", `"x"`)
			w.WriteHeader(304)
		default:
			h.Set("Content-Length", "1000")
			_, _ = w.Write(make([]byte, 1000))
		}
	}, func(t *testing.T, p *pair) {
		hints := ""
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			if code == 103 {
				hints = h.Get("Link")
			}
			return nil
		}})
		for _, c := range []struct {
			method, path string
			status, body int
			length       int64
		}{
			{"GET", "/hints", 200, 5, 5}, {"GET", "/none", 204, 0, 0}, {"GET", "/same", 304, 0, 0}, {"HEAD", "/", 200, 0, 1000}, {"GET", "/", 200, 1000, 1000},
		} {
			r, _ := http.NewRequestWithContext(ctx, c.method, p.url(c.path), nil)
			rsp, err := p.client.Do(r)
			if err != nil {
				t.Fatalf("%s %s: %v", c.method, c.path, err)
			}
			b, err := io.ReadAll(rsp.Body)
			if rsp.StatusCode != c.status || len(b) != c.body || err != nil || c.path == "/" && rsp.ContentLength != c.length {
				t.Errorf("%s %s: status %d, %d bytes of %d, %v", c.method, c.path, rsp.StatusCode, len(b), rsp.ContentLength, err)
			}
		}
		if hints != "</a.css>; rel=preload" {
			t.Errorf("early hints %q", hints)
		}
	})
}

// A response that its server cuts short must not look whole, and a client that goes away frees its server.
func TestH2PairsResets(t *testing.T) {
	left := make(chan struct{}, 64)
	eachPair(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 20000))
		_ = http.NewResponseController(w).Flush()
		if r.URL.Path == "/cut" {
			panic(http.ErrAbortHandler)
		}
		<-r.Context().Done()
		left <- struct{}{}
	}, func(t *testing.T, p *pair) {
		rsp, err := p.client.Get(p.url("/cut"))
		if err == nil {
			var b []byte
			if b, err = io.ReadAll(rsp.Body); err == nil {
				t.Errorf("a response that was cut looks whole: %d bytes", len(b))
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		r, _ := http.NewRequestWithContext(ctx, "GET", p.url("/wait"), nil)
		rsp, err = p.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(rsp.Body, make([]byte, 20000)); err != nil {
			t.Error(err)
		}
		cancel()
		if _, err := io.ReadAll(rsp.Body); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		select {
		case <-left:
		case <-time.After(patience):
			t.Error("the server does not learn that its client has gone")
		}
	})
}

// A client that does not read one stream, however large its response, stops no other: neither on its connection nor on
// the connection to the server that both share.
func TestH2SlowReaderOfOneStream(t *testing.T) {
	t.Parallel()
	for _, over := range []transport{plain, tlsed} {
		for _, back := range []string{"h1", "h2"} {
			t.Run(string(over)+"/"+back, func(t *testing.T) {
				t.Parallel()
				p := newPair(t, over, "h2", back, func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/big" {
						_, _ = io.Copy(w, noise(2, 8*megabyte))
						return
					}
					sayHello(w, r)
				})
				client := p.w.dialH2(t)
				client.greedy = false
				client.must(client.framer.WriteWindowUpdate(0, 1<<30))
				before := p.w.rss()
				slow := []uint32{1, 3, 5}
				for _, id := range slow {
					client.get(id, "/big")
					s := client.stream(id)
					client.until("a window full", func() bool { return len(s.body) == 65535 })
				}
				for id := uint32(7); id < 27; id += 2 {
					client.get(id, "/")
					if s := client.whole(id); string(s.body) != "hello" {
						t.Fatalf("%q", s.body)
					}
				}
				other := p.w.dialH2(t)
				other.get(1, "/")
				other.whole(1)
				p.w.wantGrowth(before, 6*megabyte)
				for _, id := range slow {
					client.must(client.framer.WriteWindowUpdate(id, 16<<20))
				}
				for _, id := range slow {
					if s := client.whole(id); len(s.body) != 8*megabyte {
						t.Errorf("%d bytes", len(s.body))
					}
				}
			})
		}
	}
}

// A server that does not read one upload stops no other stream of that client.
func TestH2SlowUploadOfOneStream(t *testing.T) {
	t.Parallel()
	for _, back := range []string{"h1", "h2"} {
		t.Run(back, func(t *testing.T) {
			t.Parallel()
			release := make(chan struct{})
			p := newPair(t, plain, "h2", back, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/stuck" {
					<-release
				}
				n, _ := io.Copy(io.Discard, r.Body)
				w.Header().Set("X-Got", http.StatusText(int(n)))
				sayHello(w, r)
			})
			client := p.w.dialH2(t)
			client.head(1, false, client.request("PUT", "/stuck")...)
			body := strings.Repeat("x", 16000)
			for range 4 {
				client.data(1, false, body)
			}
			for id := uint32(3); id < 13; id += 2 {
				client.head(id, false, client.request("POST", "/")...)
				client.data(id, true, body)
				if s := client.whole(id); string(s.body) != "hello" {
					t.Fatalf("%q", s.body)
				}
			}
			close(release)
			client.data(1, true, "x")
			client.whole(1)
		})
	}
}
