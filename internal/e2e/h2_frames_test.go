package e2e

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const downloadBytes = 100 * megabyte

// smallFrame is a DATA frame that costs the receiver as much as a large one, for next to nothing.
const smallFrame = 512

// downloads is an origin whose pieces do not fit into frames.
func downloads(w http.ResponseWriter, r *http.Request) {
	body := noise(3, downloadBytes)
	piece := make([]byte, 5000)
	for {
		n, err := body.Read(piece)
		if _, bad := w.Write(piece[:n]); bad != nil || err != nil {
			return
		}
	}
}

func eachBack(t *testing.T, f func(t *testing.T, w *weir)) {
	t.Parallel()
	for _, over := range []transport{plain, tlsed} {
		for _, back := range []string{"h1", "h2"} {
			t.Run(string(over)+"/"+back, func(t *testing.T) {
				t.Parallel()
				o := goOrigin(t, protocols{over: plain, h1: back == "h1", h2: back == "h2"}, http.HandlerFunc(downloads))
				s := setup{over: over, servers: []*origin{o}}
				if back == "h2" {
					s.backend = speakH2(plain)
				}
				f(t, start(t, s))
			})
		}
	}
}

// TestEveryFrameAcknowledged: a client that gives each DATA frame back as soon as it has it, on the stream and on the
// connection, however small it is, is no attacker and gets large frames.
func TestEveryFrameAcknowledged(t *testing.T) {
	eachBack(t, func(t *testing.T, w *weir) {
		client := w.dialH2(t)
		client.get(1, "/")
		s, hash := client.stream(1), sha256.New()
		got, frames, small := 0, 0, 0
		for !s.ended {
			if !client.step(time.Now().Add(patience)) || s.reset != nil || client.goaway != nil {
				t.Fatalf("after %d bytes: ended %v, %v, %v, %v", got, client.ended, client.err, s.reset, client.goaway)
			}
			if n := len(s.body); n > 0 {
				frames++
				if n < smallFrame {
					small++
				}
				got += n
				hash.Write(s.body)
				s.body = s.body[:0]
			}
		}
		if want := sumOfNoise(3, downloadBytes); fmt.Sprintf("%d bytes %.16x", got, hash.Sum(nil)[:8]) != want {
			t.Errorf("%d bytes %x, not %s", got, hash.Sum(nil)[:8], want)
		}
		t.Logf("%d frames, %d of them small", frames, small)
		// What is left are ends of the server's chunks, of which a busy machine makes more. That windows are waited for is seen
		// where time is exact (package h2, silly_test.go).
		if small > frames/2 {
			t.Errorf("%d of %d frames have less than %d bytes", small, frames, smallFrame)
		}
	})
}

// TestLargeDownloads with clients that open their windows each in its own way.
func TestLargeDownloads(t *testing.T) {
	eachBack(t, func(t *testing.T, w *weir) {
		rsp, err := (&http.Client{Transport: w.browser(t, "h2").Transport}).Get(map[transport]string{plain: "http", tlsed: "https"}[w.over] + "://a.example/")
		if err != nil {
			t.Fatal(err)
		}
		defer rsp.Body.Close()
		if err := wantSum("response", rsp.Body, 3, downloadBytes); err != nil {
			t.Error(err)
		}
	})
}

const nodeDownload = `
const [url, host, ca] = process.argv.slice(2)
const http2 = require('http2'), fs = require('fs'), crypto = require('crypto'), net = require('net'), tls = require('tls')
const options = { ca: fs.readFileSync(ca), servername: 'a.example' }
options.createConnection = u => url.startsWith('https') ? tls.connect({ ...options, host, port: 8080, ALPNProtocols: ['h2'] }) : net.connect(8080, host)
const session = http2.connect(url, options)
session.on('error', e => { console.log('session', e.message); process.exit(1) })
session.on('goaway', code => console.log('goaway', code))
const r = session.request({ ':path': '/' }), hash = crypto.createHash('sha256')
let n = 0
r.on('data', b => { n += b.length; hash.update(b) })
r.on('error', e => { console.log(e.message); process.exit(1) })
r.on('end', () => { console.log(n + ' bytes ' + hash.digest('hex').slice(0, 16)); session.close() })
`

func TestNodeDownloads(t *testing.T) {
	eachBack(t, func(t *testing.T, w *weir) {
		url := map[transport]string{plain: "http://a.example", tlsed: "https://a.example"}[w.over]
		out := node(t, nodeDownload, url, w.host, filepath.Join(files, "ca.pem"))
		if want := sumOfNoise(3, downloadBytes); strings.TrimSpace(out) != want {
			t.Errorf("%s, not %s", out, want)
		}
	})
}

// TestH2load: what nghttp2's load generator asks for comes whole, with many streams on few connections and windows of its own.
func TestH2load(t *testing.T) {
	t.Parallel()
	for _, over := range []transport{plain, tlsed} {
		for _, window := range []string{"10", "16", "24"} { // bits: 1 KiB, 64 KiB, 16 MiB
			t.Run(string(over)+"/windows of 2^"+window, func(t *testing.T) {
				t.Parallel()
				o := goOrigin(t, protocols{over: plain, h2: true}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(w, noise(1, 100000))
				}))
				w := start(t, setup{over: over, servers: []*origin{o}, backend: speakH2(plain)})
				url := map[transport]string{plain: "http", tlsed: "https"}[over] + "://a.example:8080/"
				out := program(t, "h2load", "-n", "1000", "-c", "4", "-m", "20", "-w", window, "-W", "16", "--connect-to="+w.front(), url)
				if !strings.Contains(out, "1000 succeeded, 0 failed, 0 errored, 0 timeout") || !strings.Contains(out, "(100000000) data") {
					t.Errorf("%s", out)
				}
				if n := w.metric("weir_requests_total", "protocol", "h2", "code", "2xx"); n != 1000 {
					t.Errorf("%v requests over HTTP/2", n)
				}
			})
		}
	}
}
