package tlsio

import (
	"crypto"
	"crypto/ecdh"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"fmt"
	"io"
	"testing"

	"weir/netio"
)

// BenchmarkEcho is one request and response of 1 KiB each over a socketpair, both ends on one worker; next to it the
// same with two tls.Conn on goroutines.
func BenchmarkEcho(b *testing.B) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		b.Run("worker/"+tls.VersionName(version), func(b *testing.B) {
			s := newSite(b, version, "p256")
			client, server, k := s.connected(b)
			req, p := make([]byte, 1024), make([]byte, 16<<10)
			*k = sockets{}
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				echoOnce(b, client, server, req, p)
			}
			b.ReportMetric(float64(k.recvs+k.sends)/float64(b.N), "calls/op")
		})
		b.Run("goroutines/"+tls.VersionName(version), func(b *testing.B) {
			s := newSite(b, version, "p256")
			x, y := socketpair(b)
			server := tls.Server(netConn(b, y), s.server.tcp.front)
			client := tls.Client(netConn(b, x), s.goClient(version))
			go func() {
				p := make([]byte, 16<<10)
				for {
					n, err := server.Read(p)
					if err != nil {
						return
					}
					server.Write(p[:n])
				}
			}()
			req := make([]byte, 1024)
			b.ReportAllocs()
			if err := client.Handshake(); err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			for b.Loop() {
				client.Write(req)
				if _, err := io.ReadFull(client, req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// echoOnce sends req there and back, with the events an edge-triggered loop would deliver.
func echoOnce(t testing.TB, client, server *Conn, req, p []byte) {
	passOn(t, client, server, req, p)
	passOn(t, server, client, req, p)
}

func passOn(t testing.TB, from, to *Conn, req, p []byte) {
	if n, io := from.Send(req); n != len(req) || io != netio.OK {
		t.Fatalf("Send: %d, %d", n, io)
	}
	to.Ready(netio.Readable)
	for got := 0; ; {
		n, io := to.Recv(p)
		if io == netio.Again {
			if got != len(req) {
				t.Fatalf("%d bytes arrived", got)
			}
			return
		}
		got += n
	}
}

// BenchmarkBulk moves large writes one way over a socketpair, both ends on one worker.
func BenchmarkBulk(b *testing.B) {
	for _, size := range []int{16 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			s := newSite(b, tls.VersionTLS13, "p256")
			client, server, k := s.connected(b)
			req, p := make([]byte, size), make([]byte, 64<<10)
			*k = sockets{}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				for sent, got := 0, 0; got < size; {
					n, _ := client.Send(req[sent:])
					sent += n
					client.Flush()
					m, _ := server.Recv(p)
					got += m
				}
			}
			b.ReportMetric(float64(k.recvs+k.sends)/float64(b.N), "calls/op")
		})
	}
}

// BenchmarkRecordSizing sends the first 128 KiB of a connection, in responses of 16 KiB, with and without the small first
// records of crypto/tls. After 128 KiB both are the same.
func BenchmarkRecordSizing(b *testing.B) {
	for _, dynamic := range []bool{false, true} {
		b.Run(fmt.Sprintf("dynamic=%v", dynamic), func(b *testing.B) {
			s := newSite(b, tls.VersionTLS13, "p256")
			for _, cs := range s.server.tcp.each {
				cs.bare.DynamicRecordSizingDisabled = !dynamic
			}
			rsp, p := make([]byte, 16<<10), make([]byte, 64<<10)
			w := newWorker(new(sockets))
			x, y := socketpair(b)
			records := 0
			for i := 0; i < b.N; i++ {
				b.StopTimer()
				client, server := w.Client(x, s.peer), w.Server(y, s.server)
				drive(b, client, server)
				client.Recv(p) // the ticket
				b.StartTimer()
				for range 8 {
					server.Send(rsp)
					for got := 0; got < len(rsp); {
						n, _ := client.Recv(p)
						got += n
						records++
					}
				}
				client.Close()
				server.Close()
			}
			b.ReportMetric(float64(records)/float64(b.N), "reads/op")
		})
	}
}

// BenchmarkHandshake is a whole handshake, both ends on one worker, with the final read that takes the ticket.
func BenchmarkHandshake(b *testing.B) {
	for _, c := range []struct {
		name            string
		version         uint16
		kind            string
		resumed, hybrid bool
	}{
		{"full/1.3/p256", tls.VersionTLS13, "p256", false, false},
		{"full/1.3/p256/hybrid", tls.VersionTLS13, "p256", false, true},
		{"full/1.3/rsa", tls.VersionTLS13, "rsa", false, false},
		{"full/1.2/p256", tls.VersionTLS12, "p256", false, false},
		{"resumed/1.3", tls.VersionTLS13, "p256", true, false},
		{"resumed/1.2", tls.VersionTLS12, "p256", true, false},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := newSite(b, c.version, c.kind)
			opts := *s.client.opts
			opts.PostQuantum = c.hybrid
			if !c.resumed {
				opts.Sessions = nil
			}
			peer := clientConfig(b, &opts).Peer("backend/s1", "example.com", "")
			w, p := newWorker(new(sockets)), make([]byte, 1024)
			x, y := socketpair(b)
			b.ReportAllocs()
			for b.Loop() {
				client, server := w.Client(x, peer), w.Server(y, s.server)
				drive(b, client, server)
				client.Recv(p)
				client.Close()
				server.Close()
			}
		})
	}
}

// BenchmarkKeyExchange is the server's part of an ECDHE: a fresh key and one multiplication.
func BenchmarkKeyExchange(b *testing.B) {
	for _, c := range []struct {
		name  string
		curve ecdh.Curve
	}{{"P-256", ecdh.P256()}, {"X25519", ecdh.X25519()}, {"P-384", ecdh.P384()}} {
		b.Run(c.name, func(b *testing.B) {
			peer, _ := c.curve.GenerateKey(rand.Reader)
			for b.Loop() {
				own, _ := c.curve.GenerateKey(rand.Reader)
				if _, err := own.ECDH(peer.PublicKey()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("ML-KEM-768", func(b *testing.B) {
		k, _ := mlkem.GenerateKey768()
		for b.Loop() {
			k.EncapsulationKey().Encapsulate()
		}
	})
}

// BenchmarkSign is the signature of a full handshake, by the kind of the certificate's key.
func BenchmarkSign(b *testing.B) {
	digest := make([]byte, 32)
	for _, kind := range []string{"p256", "ed25519", "p384", "rsa"} {
		b.Run(kind, func(b *testing.B) {
			key := newKey(b, kind)
			var opts crypto.SignerOpts = crypto.SHA256
			switch kind {
			case "rsa":
				opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
			case "ed25519":
				opts = crypto.Hash(0)
			}
			for b.Loop() {
				if _, err := key.Sign(rand.Reader, digest, opts); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
