package e2e

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// bytewise sends one byte with each write.
type bytewise struct{ net.Conn }

func (b bytewise) Write(p []byte) (int, error) {
	for i := range p {
		if n, err := b.Conn.Write(p[i : i+1]); err != nil {
			return i + n, err
		}
	}
	return len(p), nil
}

// Ciphertext that comes byte by byte is the same as any other: handshakes of every kind, requests, the end.
func TestTLSByteByByte(t *testing.T) {
	eachVersion(t, func(t *testing.T, v uint16) {
		for _, demand := range []string{"", "client-auth = \"require\"\nclient-ca = \"$FILES/ca.pem\"\n"} {
			back := listen(t, tlsed)
			w := start(t, behind(site("site"), setup{servers: []*origin{back}, backend: `reuse = "always"`}))
			if demand != "" {
				w.rewrite(func(s *setup) { s.tables += demand })
				w.reload()
			}
			remember, _ := remembers(v)
			again := func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP521, tls.CurveP256} } // a second hello
			for i, change := range []func(*tls.Config){remember, remember, again} {
				p := newPeer(t, secured(t, bytewise{w.dialRaw("8080").conn}, asClient("a.example", func(c *tls.Config) { c.MinVersion, c.MaxVersion = v, v }, asMember("client"), change)))
				if resumed := p.state().DidResume; resumed != (i == 1) {
					t.Errorf("handshake %d: resumed %v", i, resumed)
				}
				p.ask("POST /"+fmt.Sprint(i)+" HTTP/1.1", host, "Content-Length: 5", "", "hello")
				back.serveBytewise(i > 0).want(t, "POST /"+fmt.Sprint(i)+" HTTP/1.1", "", "hello")
				p.response().want(t, ok, "", "hello")
				p.finish()
				p.gone()
			}
			w.wantMetric(0, "weir_frontend_connections")
		}
	})
}

// serveBytewise answers one request as a server whose ciphertext comes byte by byte.
func (o *origin) serveBytewise(resumes bool) *message {
	o.t.Helper()
	c := o.tls
	o.tls = nil
	raw := o.accept()
	o.tls = c
	s := tls.Server(bytewise{raw.conn}, c)
	p := newPeer(o.t, s)
	m := p.request()
	if s.ConnectionState().DidResume != resumes {
		o.t.Errorf("weir has resumed its session with the server: %v", !resumes)
	}
	p.answer(ok, "Connection: close", "Content-Length: 5", "", "hello")
	_ = s.CloseWrite()
	p.gone()
	return m
}

// cutter splits what is sent once, at one place of the whole stream. In between it waits until weir has taken the first part.
type cutter struct {
	net.Conn
	left int // bytes before the cut
	wait func()
}

func (c *cutter) Write(p []byte) (int, error) {
	n := c.left
	c.left -= len(p)
	if n <= 0 || n >= len(p) {
		return c.Conn.Write(p)
	}
	if _, err := c.Conn.Write(p[:n]); err != nil {
		return 0, err
	}
	c.wait()
	m, err := c.Conn.Write(p[n:])
	return n + m, err
}

// Wherever the stream of a client is cut in two, the first part arriving alone: the same comes of it. A worker has taken what
// its sockets brought before it answers a scrape, so that weir has seen the first part when the second comes.
func TestTLSCutAnywhere(t *testing.T) {
	eachVersion(t, func(t *testing.T, v uint16) {
		back := newRecorder(t)
		w := start(t, behind(site("site"), setup{servers: []*origin{back.origin}, backend: `reuse = "always"`}))
		change := func(c *tls.Config) {
			c.MinVersion, c.MaxVersion, c.CurvePreferences = v, v, []tls.CurveID{tls.X25519} // a hello of one segment
		}
		took := func() {
			if _, err := w.metrics(); err != nil {
				t.Error(err)
			}
		}
		cuts := 0
		for at := 1; ; at++ {
			c := &cutter{w.dialRaw("8080").conn, at, took}
			p := newPeer(t, secured(t, c, asClient("a.example", change)))
			p.ask("GET /"+fmt.Sprint(at)+" HTTP/1.1", host)
			if got := p.response().want(t, ok).get("X-Echo"); got != "/"+fmt.Sprint(at) {
				t.Fatalf("cut at %d: the answer to %q", at, got)
			}
			p.finish()
			p.gone()
			p.close()
			if c.left > 0 {
				break
			}
			cuts++
		}
		t.Logf("%d cuts", cuts)
		w.wantMetric(float64(cuts+1), "weir_frontend_tls_handshakes_total")
	})
}

// Keys change in both directions and at both ends while messages flow.
func TestTLSKeyUpdatesInMidTransfer(t *testing.T) {
	t.Parallel()
	back := listen(t, tlsed)
	w := start(t, setup{over: tlsed, servers: []*origin{back}})
	client, c := forgeClient(t, w)
	const pieces, size = 64, 20_000
	piece := func(i int) string { return strings.Repeat(string(rune('a'+i%26)), size) }
	client.send("PUT / HTTP/1.1\r\n" + host + "\r\nContent-Length: " + fmt.Sprint(pieces*size) + "\r\n\r\n")
	server, s := back.forgeServer()
	server.requestHead()
	for i := range pieces { // what one side sends arrives before it sends on: nothing is ever blocked
		c.put(c.updateOf(i%2 == 0), c.data(piece(i)), c.updateOf(false))
		server.bytes(piece(i))
	}
	server.send("HTTP/1.1 200 OK\r\nContent-Length: " + fmt.Sprint(pieces*size) + "\r\n\r\n")
	client.responseHead()
	for i := range pieces {
		s.put(s.updateOf(i%2 == 0), s.data(piece(i)), s.updateOf(false), s.updateOf(i%8 == 0))
		client.bytes(piece(i))
	}
	client.ask("GET /after HTTP/1.1", host)
	server.request().want(t, "GET /after HTTP/1.1")
	server.answer(ok, hello...)
	client.response().want(t, ok, "", "hello")
	if c.updates != pieces/2 || s.updates != pieces/2+pieces/8 || c.asked+s.asked > 0 {
		t.Errorf("the client got %d key updates, the server %d, %d ask for one in return", c.updates, s.updates, c.asked+s.asked)
	}
	client.finish()
	client.end()
}

// Records of any size and padding, empty ones among them, carry the same stream.
func TestTLSRecordsOfAnyShape(t *testing.T) {
	t.Parallel()
	for _, shape := range []struct{ piece, padding, empty int }{{1, 0, 0}, {1, 255, 1}, {3, 1, 15}, {0, 8000, 0}, {0, 0, 8}} {
		t.Run(fmt.Sprint(shape), func(t *testing.T) {
			t.Parallel()
			back := listen(t, tlsed)
			w := start(t, setup{over: tlsed, servers: []*origin{back}})
			client, c := forgeClient(t, w)
			body := strings.Repeat("0123456789", 100)
			head := "\r\n" + host + "\r\nContent-Length: 1000\r\n\r\n"
			send := func(f *forged, text string) {
				f.piece, f.padding = shape.piece, shape.padding
				for part := range strings.SplitAfterSeq(text, "9") {
					for range shape.empty {
						f.put(f.seal(recordData, ""))
					}
					f.put(f.data(part))
				}
			}
			send(c, "PUT / HTTP/1.1"+head)
			server, s := back.forgeServer() // before the time for connecting is over
			send(c, body)
			server.request().want(t, "PUT / HTTP/1.1", "", body)
			send(s, "HTTP/1.1 200 OK"+head+body)
			client.asked = []string{"PUT"}
			client.response().want(t, ok, "", body)
			client.finish()
			client.end()
		})
	}
}

// A client may say goodbye, and end its direction, right behind its request, all in one segment. It gets its response, and a
// goodbye in return.
func TestTLSGoodbyeBehindTheRequest(t *testing.T) {
	t.Parallel()
	back := listen(t, plain)
	w := start(t, setup{over: tlsed, servers: []*origin{back}})
	request := "GET / HTTP/1.1\r\n" + host + "\r\n\r\n"
	for what, end := range map[string]func(f *forged) [][]byte{
		"close_notify": func(f *forged) [][]byte { return [][]byte{f.goodbye()} },
		"close_notify and noise": func(f *forged) [][]byte {
			return [][]byte{f.goodbye(), f.data("GET /smuggled HTTP/1.1\r\n\r\n"), []byte("no TLS")}
		},
		"FIN alone": func(f *forged) [][]byte { return nil },
	} {
		for _, fin := range []bool{true, false} {
			if !fin && what == "FIN alone" {
				continue
			}
			client, f := forgeClient(t, w)
			f.put(append([][]byte{f.data(request)}, end(f)...)...)
			if fin {
				_ = f.Conn.(*net.TCPConn).CloseWrite()
			}
			client.asked = []string{"GET"}
			server := back.accept()
			server.request().want(t, "GET / HTTP/1.1")
			w.wantMetric(1, "weir_frontend_requests_in_flight")
			server.answer(ok, append([]string{"Connection: close"}, hello...)...)
			client.response().want(t, ok, "", "hello")
			client.end()
			if t.Failed() {
				t.Log(what, fin)
			}
			client.close()
		}
	}
	if n := back.connections(); n != 5 {
		t.Errorf("%d connections for 5 requests", n)
	}
}

// gathering passes one write on and keeps the others until it is told to send them in one.
type gathering struct {
	net.Conn
	begun bool
	kept  bytes.Buffer
}

func (g *gathering) Write(p []byte) (int, error) {
	if g.begun {
		return g.kept.Write(p)
	}
	g.begun = true
	return g.Conn.Write(p)
}

// The last flight of a handshake, the request and the goodbye may come in one segment too.
func TestTLSRequestAndGoodbyeBehindTheFinished(t *testing.T) {
	t.Parallel()
	table := site("site") + "client-auth = \"request\"\nclient-ca = \"$FILES/ca.pem\"\n"
	w := start(t, behind(table, setup{servers: []*origin{httpOrigin(t, sayHello)}}))
	remember, _ := remembers(tls.VersionTLS13)
	for _, change := range [][]func(*tls.Config){nil, {asMember("client")}, {remember}, {remember}} {
		g := &gathering{Conn: w.dialRaw("8080").conn}
		p := newPeer(t, secured(t, g, asClient("a.example", change...)))
		p.ask("GET / HTTP/1.1", host)
		p.finish()
		_ = g.SetWriteDeadline(time.Time{}) // crypto/tls leaves one behind its goodbye
		if _, err := g.kept.WriteTo(g.Conn); err != nil {
			t.Fatal(err)
		}
		p.response().want(t, ok, "", "hello")
		p.end()
	}
	w.wantMetric(1, "weir_frontend_tls_handshakes_total", "resumed", "true")
}
