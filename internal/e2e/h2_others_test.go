package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// echoSum answers with what came.
func echoSum(w http.ResponseWriter, r *http.Request) {
	got, _ := sum(r.Body)
	w.Header().Set("X-Got", got)
	_, _ = io.Copy(w, noise(2, pairBytes))
}

// noiseFile is a file with pairBytes of noise.
func noiseFile(t *testing.T, seed byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "noise")
	f, err := os.Create(name)
	if err == nil {
		_, err = io.Copy(f, noise(seed, pairBytes))
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestCurl(t *testing.T) {
	t.Parallel()
	for _, over := range []transport{plain, tlsed} {
		for _, version := range []string{"--http1.1", "--http2"} {
			t.Run(string(over)+"/"+version, func(t *testing.T) {
				t.Parallel()
				o := goOrigin(t, protocols{over: over, h1: true}, http.HandlerFunc(echoSum))
				w := start(t, setup{over: over, servers: []*origin{o}})
				url, protocol := "http://a.example:8080/", version
				if over == tlsed {
					url = "https://a.example:8080/"
				} else if version == "--http2" {
					protocol = "--http2-prior-knowledge"
				}
				dir := t.TempDir()
				out := program(t, "curl", protocol, "--no-progress-meter", "--noproxy", "*", "--resolve", "a.example:8080:"+w.host, "--cacert", filepath.Join(files, "ca.pem"),
					"-T", noiseFile(t, 1), "-D", filepath.Join(dir, "head"), "-o", filepath.Join(dir, "body"), "-w", "%{http_code} %{http_version} %{num_connects}", url)
				if want := map[string]string{"--http1.1": "200 1.1 1", "--http2": "200 2 1"}[version]; out != want {
					t.Errorf("curl says %q, want %q", out, want)
				}
				f, err := os.Open(filepath.Join(dir, "body"))
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				if err := wantSum("response", f, 2, pairBytes); err != nil {
					t.Error(err)
				}
				head, _ := os.ReadFile(filepath.Join(dir, "head"))
				if !strings.Contains(strings.ToLower(string(head)), "x-got: "+sumOfNoise(1, pairBytes)) {
					t.Errorf("%s", head)
				}
			})
		}
	}
}

// s_client speaks with OpenSSL: what it is told on its standard input it sends.
func (w *weir) sClient(t *testing.T, input func(io.Writer), args ...string) string {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	c := exec.Command(path, append([]string{"s_client", "-connect", w.front(), "-servername", "a.example", "-CAfile", filepath.Join(files, "ca.pem"), "-verify_return_error"}, args...)...)
	c.WaitDelay = patience
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out transcript
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(patience, func() { _ = c.Process.Kill() })
	defer kill.Stop()
	// What follows must not be read together with commands of s_client.
	eventually(t, "s_client has shaken hands", func() bool {
		return strings.Contains(out.String(), "Verify return code") || strings.Contains(out.String(), "rror")
	})
	input(in)
	_ = c.Wait()
	_ = in.Close()
	return out.String()
}

const lastRequest = "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"

func TestOpenSSL(t *testing.T) {
	t.Parallel()
	for name, flag := range map[string]string{"1.2": "-tls1_2", "1.3": "-tls1_3"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, behind(site("site", "site-rsa"), setup{servers: []*origin{httpOrigin(t, sayHello)}}))
			session := filepath.Join(t.TempDir(), "session")
			ask := func(in io.Writer) { _, _ = io.WriteString(in, lastRequest) }
			for _, c := range []struct {
				what, want string
				args       []string
			}{
				{"full", "New, TLSv" + name, []string{"-sess_out", session}},
				{"resumed", "Reused, TLSv" + name, []string{"-sess_in", session}},
				{"h1 by ALPN", "ALPN protocol: http/1.1", []string{"-alpn", "http/1.1"}},
			} {
				out := w.sClient(t, ask, append(c.args, flag)...)
				if !strings.Contains(out, c.want) || !strings.Contains(out, "200 OK") || !strings.Contains(out, "Verify return code: 0") {
					t.Errorf("%s: no %q in\n%s", c.what, c.want, out)
				}
			}
		})
	}
	t.Run("KeyUpdate", func(t *testing.T) {
		t.Parallel()
		w := start(t, behind(site("site"), setup{servers: []*origin{httpOrigin(t, sayHello)}}))
		out := w.sClient(t, func(in io.Writer) {
			for range 3 { // K: update, and ask for the other side's
				_, _ = io.WriteString(in, "K\n")
				time.Sleep(30 * time.Millisecond) // s_client takes commands only at the start of a read
			}
			_, _ = io.WriteString(in, lastRequest)
		}, "-tls1_3")
		if !strings.Contains(out, "KEYUPDATE") || !strings.Contains(out, "200 OK") || !strings.Contains(out, "hello") {
			t.Errorf("%s", out)
		}
	})
	t.Run("renegotiation", func(t *testing.T) {
		t.Parallel()
		w := start(t, behind(site("site"), setup{servers: []*origin{httpOrigin(t, sayHello)}}))
		out := w.sClient(t, func(in io.Writer) {
			_, _ = io.WriteString(in, "R\n")
			time.Sleep(50 * time.Millisecond)
			_, _ = io.WriteString(in, lastRequest)
		}, "-tls1_2")
		if !strings.Contains(out, "RENEGOTIATING") || strings.Contains(out, "200 OK") {
			t.Errorf("%s", out)
		}
	})
}

// transcript is what another program has said so far.
type transcript struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *transcript) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *transcript) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// node runs a script and returns what it prints.
func node(t *testing.T, script string, args ...string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "script.js")
	if err := os.WriteFile(name, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	return program(t, "node", append([]string{name}, args...)...)
}

const nodeClient = `
const [url, host, ca, file] = process.argv.slice(2)
const http2 = require('http2'), fs = require('fs'), crypto = require('crypto'), net = require('net'), tls = require('tls')
const options = { ca: fs.readFileSync(ca), servername: 'a.example' }
options.createConnection = u => url.startsWith('https') ? tls.connect({ ...options, host, port: 8080, ALPNProtocols: ['h2'] }) : net.connect(8080, host)
const session = http2.connect(url, options)
session.on('error', e => { console.log('session', e.message); process.exit(1) })
let left = 20
for (let i = 0; i < 20; i++) {
  const r = session.request({ ':method': 'POST', ':path': '/' + i })
  const hash = crypto.createHash('sha256')
  let n = 0, head, trailer
  r.on('response', h => head = h)
  r.on('trailers', h => trailer = h)
  r.on('data', b => { n += b.length; hash.update(b) })
  r.on('error', e => { console.log(i, e.message); process.exit(1) })
  r.on('end', () => {
    console.log(head[':status'], head['x-got'], '|', n + ' bytes ' + hash.digest('hex').slice(0, 16), '|', trailer && trailer['x-trailer'])
    if (--left == 0) session.close()
  })
  fs.createReadStream(file).pipe(r)
}
`

func TestNodeAsClient(t *testing.T) {
	t.Parallel()
	const size = 300000
	for _, over := range []transport{plain, tlsed} {
		t.Run(string(over), func(t *testing.T) {
			t.Parallel()
			o := goOrigin(t, protocols{over: over, h1: true}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got, _ := sum(r.Body)
				w.Header().Set("Trailer", "X-Trailer")
				w.Header().Set("X-Got", got)
				_, _ = io.Copy(w, noise(2, size))
				w.Header().Set("X-Trailer", "behind")
			}))
			w := start(t, setup{over: over, servers: []*origin{o}})
			url := map[transport]string{plain: "http://a.example", tlsed: "https://a.example"}[over]
			out := node(t, nodeClient, url, w.host, filepath.Join(files, "ca.pem"), noiseFile(t, 1))
			line := fmt.Sprintf("200 %s | %s | behind\n", sumOfNoise(1, pairBytes), sumOfNoise(2, size))
			if out != strings.Repeat(line, 20) {
				t.Errorf("%s\nwant 20 times\n%s", out, line)
			}
		})
	}
}

// serverProgram starts another program that listens at the address, and returns it as an origin.
func serverProgram(t *testing.T, addr, name string, args ...string) *origin {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	var out transcript
	c := exec.Command(path, args...)
	c.Stdout, c.Stderr = &out, &out
	if err := startTied(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	})
	eventually(t, name+" listens", func() bool {
		conn, err := net.DialTimeout("tcp", addr, patience)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return &origin{t: t, addr: addr}
}

const nodeServer = `
const [host, cert, key] = process.argv.slice(2)
const http2 = require('http2'), fs = require('fs'), crypto = require('crypto')
const handler = (q, s) => {
  const hash = crypto.createHash('sha256')
  let n = 0
  q.on('data', b => { n += b.length; hash.update(b) })
  q.on('end', () => {
    s.setHeader('x-version', q.httpVersion)
    s.setHeader('x-got', n + ' bytes ' + hash.digest('hex').slice(0, 16))
    s.end('hello')
  })
}
const server = cert ? http2.createSecureServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key), allowHTTP1: true }, handler) : http2.createServer(handler)
server.listen(9000, host)
`

func TestNodeAsServer(t *testing.T) {
	t.Parallel()
	for _, over := range []transport{plain, tlsed} {
		t.Run(string(over), func(t *testing.T) {
			t.Parallel()
			name, ip := filepath.Join(t.TempDir(), "server.js"), newHost()
			if err := os.WriteFile(name, []byte(nodeServer), 0o600); err != nil {
				t.Fatal(err)
			}
			args := []string{name, ip}
			s := setup{over: plain, backend: "reuse = \"always\"\n" + speakH2(over)}
			if over == tlsed {
				args = append(args, filepath.Join(files, "server.pem"), filepath.Join(files, "server.key"))
				s.backend += "tls = { enabled = true, ca = \"$FILES/ca.pem\" }\n"
			}
			s.servers = []*origin{serverProgram(t, ip+":9000", "node", args...)}
			w := start(t, s)
			for _, front := range []string{"h1", "h2"} {
				client := w.browser(t, front)
				for range 3 {
					rsp, err := client.Post("http://a.example/", "text/plain", noise(1, pairBytes))
					if err != nil {
						t.Fatal(err)
					}
					b, err := io.ReadAll(rsp.Body)
					if string(b) != "hello" || err != nil || rsp.Header.Get("X-Version") != "2.0" || rsp.Header.Get("X-Got") != sumOfNoise(1, pairBytes) {
						t.Errorf("%q, %v, %v", b, rsp.Header, err)
					}
				}
			}
		})
	}
}

// nginxConf is a server that serves one file. Its listen directive is the test's.
const nginxConf = `daemon off; master_process off; worker_processes 1; pid $DIR/nginx.pid; error_log stderr;
events { worker_connections 256; }
http {
  access_log off; client_body_temp_path $DIR/b; proxy_temp_path $DIR/p; fastcgi_temp_path $DIR/f; uwsgi_temp_path $DIR/u; scgi_temp_path $DIR/s;
  server {
    listen $LISTEN; root $DIR;
    ssl_certificate $FILES/server.pem; ssl_certificate_key $FILES/server.key; ssl_protocols $VERSION;
    add_header X-Version $server_protocol; add_header X-TLS $ssl_protocol; add_header X-Reused $ssl_session_reused;
    location = /close { return 200 "hello"; keepalive_timeout 0; }
  }
}
`

func TestNginxAsServer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, listen, version, tls, protocol string }{
		{"h2c", " http2", "TLSv1.3", "", "HTTP/2.0"}, {"h1 TLS 1.2", " ssl", "TLSv1.2", "TLSv1.2", "HTTP/1.1"},
		{"h1 TLS 1.3", " ssl", "TLSv1.3", "TLSv1.3", "HTTP/1.1"}, {"h2 TLS 1.3", " ssl http2", "TLSv1.3", "TLSv1.3", "HTTP/2.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir, ip := t.TempDir(), newHost()
			conf := strings.NewReplacer("$DIR", dir, "$FILES", files, "$LISTEN", ip+":9000"+c.listen, "$VERSION", c.version).Replace(nginxConf)
			content, err := os.ReadFile(noiseFile(t, 2))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, "noise"), content, 0o644)
			}
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			s := setup{over: plain, backend: "reuse = \"always\"\n"}
			s.servers = []*origin{serverProgram(t, ip+":9000", "nginx", "-p", dir, "-c", filepath.Join(dir, "conf"))}
			switch {
			case c.tls == "":
				s.backend += speakH2(plain)
			case c.protocol == "HTTP/2.0":
				s.backend += speakH2(tlsed)
			}
			if c.tls != "" {
				s.backend += "tls = { enabled = true, ca = \"$FILES/ca.pem\" }\n"
			}
			w := start(t, s)
			for _, front := range []string{"h1", "h2"} {
				client := w.browser(t, front)
				for _, path := range []string{"/noise", "/close", "/noise"} {
					rsp, err := client.Get("http://a.example" + path)
					if err != nil {
						t.Fatal(err)
					}
					b, err := io.ReadAll(rsp.Body)
					if path == "/noise" && !bytes.Equal(b, content) || rsp.StatusCode != 200 || err != nil {
						t.Errorf("%s: %d, %d bytes, %v", path, rsp.StatusCode, len(b), err)
					}
					if h := rsp.Header; h.Get("X-Version") != c.protocol || h.Get("X-TLS") != c.tls {
						t.Errorf("%s: nginx was spoken to in %s over %q", path, h.Get("X-Version"), h.Get("X-TLS"))
					}
				}
			}
		})
	}
}
