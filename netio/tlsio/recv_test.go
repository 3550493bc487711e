package tlsio

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"testing"

	"golang.org/x/sys/unix"

	"weir/netio"
)

func wantRecv(t *testing.T, c *Conn, want string) {
	t.Helper()
	p := make([]byte, len(want)+100)
	if n, io := c.Recv(p); io != netio.OK || string(p[:n]) != want {
		t.Fatalf("Recv: %q, %d, want %q (%v)", p[:n], io, want, c.Err())
	}
}

func wantIO(t *testing.T, c *Conn, want netio.IO) {
	t.Helper()
	p := make([]byte, 100)
	if n, io := c.Recv(p); io != want || n != 0 {
		t.Fatalf("Recv: %d bytes, %d, want %d (%v)", n, io, want, c.Err())
	}
}

func TestRecordSplitAtEveryByte(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		s := newSite(t, version, "p256")
		client, server, _ := s.connected(t)
		wantIO(t, client, netio.Again) // takes the ticket of TLS 1.3
		far, near := socketpair(t)     // what the client sends is held back here
		client.fd = int32(near)
		for cut := 1; ; cut++ {
			first, second := fmt.Sprintf("first %d", cut), fmt.Sprintf("second %d", cut)
			client.Send([]byte(first))
			client.Send([]byte(second))
			wire := make([]byte, 1000)
			n, _ := unix.Read(far, wire)
			if cut >= n {
				break
			}
			got := ""
			p := make([]byte, 100)
			for _, part := range [][]byte{wire[:cut], wire[cut:n]} {
				deliver(t, int(server.fd), s, part)
				for {
					m, io := server.Recv(p)
					if io == netio.Again {
						break
					}
					if io != netio.OK {
						t.Fatalf("cut at %d: %d", cut, io)
					}
					got += string(p[:m])
				}
			}
			if got != first+second {
				t.Fatalf("cut at %d: %q arrived", cut, got)
			}
		}
	})
}

// deliver puts bytes into fd's receive queue: it writes them to the other end, which the test keeps.
func deliver(t *testing.T, fd int, s *site, b []byte) {
	t.Helper()
	if _, err := unix.Write(s.otherEnd[fd], b); err != nil {
		t.Fatal(err)
	}
}

func TestOneByteForEachCall(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		s := newSite(t, version, "p256")
		w := newWorker(&sockets{recvMax: 1, sendMax: 1})
		client, server := s.connectedOn(t, w)
		client.Send([]byte("hello"))
		if got := recvAll(t, server, 5); string(got) != "hello" {
			t.Fatalf("%q arrived", got)
		}
		server.Send([]byte("world"))
		if got := recvAll(t, client, 5); string(got) != "world" {
			t.Fatalf("%q arrived", got)
		}
	})
}

func TestBufferedRecordsNeedNoEvent(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		client, server, _ := newSite(t, version, "p256").connected(t)
		for i := range 10 {
			client.Send([]byte{byte('0' + i)})
		}
		server.Ready(netio.Readable)
		got := ""
		for {
			p := make([]byte, 3)
			n, io := server.Recv(p)
			if io == netio.Again {
				break
			}
			got += string(p[:n])
		}
		if got != "0123456789" {
			t.Errorf("before Again came %q", got)
		}
	})
}

func TestABlockIsHeldOnlyWhileSomethingWaitsInIt(t *testing.T) {
	if !layout.known {
		t.Skip("the innards of crypto/tls are not known")
	}
	bothVersions(t, func(t *testing.T, version uint16) {
		client, server, _ := newSite(t, version, "p256").connected(t)
		wantIO(t, client, netio.Again)
		for _, c := range []*Conn{client, server} {
			if c.Held() != 0 || c.in.raw.Cap() != 0 {
				t.Errorf("after the handshake %d bytes are held, raw %d", c.Held(), c.in.raw.Cap())
			}
			if c.Idle(); c.in.hand.Cap() != 0 {
				t.Errorf("an idle connection keeps %d bytes for handshakes", c.in.hand.Cap())
			}
		}
		client.Send([]byte("two pieces"))
		wantRecvUpTo(t, server, "two ")
		if server.Held() != recvBytes {
			t.Errorf("%d bytes are held in the midst of a record", server.Held())
		}
		wantRecv(t, server, "pieces")
		// Nothing inside crypto/tls may still point into a block that another connection may have by now.
		if server.Held() != 0 || server.in.raw.Cap() != 0 || server.in.input.Size() != 0 {
			t.Errorf("after the last byte %d are held, raw %d, input %d", server.Held(), server.in.raw.Cap(), server.in.input.Size())
		}
	})
}

func wantRecvUpTo(t *testing.T, c *Conn, want string) {
	t.Helper()
	p := make([]byte, len(want))
	if n, io := c.Recv(p); io != netio.OK || string(p[:n]) != want {
		t.Fatalf("Recv: %q, %d, want %q (%v)", p[:n], io, want, c.Err())
	}
}

func TestSmallReadsOfALargeRecord(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		client, server, _ := newSite(t, version, "p256").connected(t)
		want := bytes.Repeat([]byte("abcdefg"), 2000)
		client.Send(want)
		var got []byte
		for p := make([]byte, 777); ; {
			n, io := server.Recv(p)
			if io == netio.Again {
				break
			}
			got = append(got, p[:n]...)
			server.Idle() // at any moment, and nothing is lost
		}
		if !bytes.Equal(got, want) {
			t.Error("the plaintext arrived as something else")
		}
	})
}

func TestCloseNotifyIsNoTruncation(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		client, server, _ := newSite(t, version, "p256").connected(t)
		client.Send([]byte("last words"))
		client.CloseNotify()
		client.CloseNotify() // once is enough
		client.Flush()
		unix.Shutdown(int(client.fd), unix.SHUT_WR)
		server.Ready(netio.Readable | netio.PeerClosed)
		wantRecv(t, server, "last words")
		wantIO(t, server, netio.EOF)
		wantIO(t, server, netio.EOF)
		if server.Truncated() || server.Err() != nil {
			t.Errorf("truncated %v, error %v", server.Truncated(), server.Err())
		}
		if n, io := client.Send([]byte("more")); io != netio.Failed || n != 0 {
			t.Errorf("Send after CloseNotify: %d, %d", n, io)
		}
		// The other direction is still open (RFC 8446 section 6.1).
		if n, io := server.Send([]byte("answer")); n != 6 || io != netio.OK {
			t.Fatalf("Send after the peer's close_notify: %d, %d", n, io)
		}
		wantRecv(t, client, "answer")
	})
}

func TestEndWithoutCloseNotifyIsTruncation(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		for _, half := range []bool{false, true} {
			s := newSite(t, version, "p256")
			client, server, _ := s.connected(t)
			if half { // the end is inside a record
				far, near := socketpair(t)
				client.fd = int32(near)
				client.Send([]byte("never to arrive"))
				wire := make([]byte, 100)
				n, _ := unix.Read(far, wire)
				deliver(t, int(server.fd), s, wire[:n-1])
			}
			unix.Shutdown(s.otherEnd[int(server.fd)], unix.SHUT_WR)
			server.Ready(netio.Readable | netio.PeerClosed)
			wantIO(t, server, netio.EOF)
			if !server.Truncated() || server.Failure() != FailTruncated {
				t.Errorf("inside a record %v: truncated %v, %v", half, server.Truncated(), server.Failure())
			}
			wantIO(t, server, netio.EOF)
		}
	})
}

func TestDataAndEndInOneEvent(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		client, server, _ := newSite(t, version, "p256").connected(t)
		wantIO(t, server, netio.Again)
		client.Send([]byte("data"))
		unix.Shutdown(int(client.fd), unix.SHUT_WR)
		server.Ready(netio.Readable | netio.PeerClosed) // the only event there will be
		wantRecv(t, server, "data")
		wantIO(t, server, netio.EOF)
	})
}

func TestReadyMakesAShortReadTheEnd(t *testing.T) {
	client, server, k := newSite(t, tls.VersionTLS13, "p256").connected(t)
	client.Send([]byte("one"))
	server.Ready(netio.Readable)
	k.recvs = 0
	wantRecv(t, server, "one")
	wantIO(t, server, netio.Again)
	wantIO(t, server, netio.Again)
	if layout.known && k.recvs != 1 {
		t.Errorf("%d calls to receive one short message", k.recvs)
	}
	client.Send([]byte("two"))
	wantIO(t, server, netio.Again) // until the event is told
	server.Ready(netio.Readable)
	wantRecv(t, server, "two")
}

func TestReset(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		client, server, _ := newSite(t, version, "p256").connected(t)
		wantIO(t, client, netio.Again)
		server.Send([]byte("unread"))
		unix.Close(int(client.fd)) // with unread data a unix socket resets its peer, as TCP does
		client.fd = -1
		wantIO(t, server, netio.Reset)
		wantIO(t, server, netio.Reset)
		if server.Failure() != FailConnection {
			t.Errorf("failure %v", server.Failure())
		}
		if _, io := server.Send([]byte("x")); io != netio.Reset {
			t.Errorf("Send: %d", io)
		}
		if io := server.Flush(); io != netio.Reset {
			t.Errorf("Flush: %d", io)
		}
	})
}

func TestForgedRecords(t *testing.T) {
	type script func(f *forger) []byte
	for _, c := range []struct {
		name string
		say  script
		data string   // what Recv delivers before
		want netio.IO // it ends in
		fail Failure
	}{
		{"data behind close_notify", func(f *forger) []byte {
			return append(f.seal(typeAlert, closeNotify), f.seal(typeData, []byte("x"))...)
		}, "", netio.EOF, FailNone},
		{"close_notify behind data", func(f *forger) []byte {
			return append(f.seal(typeData, []byte("x")), f.seal(typeAlert, closeNotify)...)
		}, "x", netio.EOF, FailNone},
		{"empty records before data", func(f *forger) []byte {
			return append(bytes.Join([][]byte{f.seal(typeData, nil), f.seal(typeData, nil)}, nil), f.seal(typeData, []byte("y"))...)
		}, "y", netio.Again, FailNone},
		{"a flood of empty records", func(f *forger) (b []byte) {
			for range 100 {
				b = append(b, f.seal(typeData, nil)...)
			}
			return b
		}, "", netio.Failed, FailProtocol},
		{"a fatal alert", func(f *forger) []byte { return f.seal(typeAlert, []byte{2, 80}) }, "", netio.Failed, FailPeerAlert},
		{"a broken MAC", func(f *forger) []byte {
			b := f.seal(typeData, []byte("x"))
			b[len(b)-1] ^= 1
			return b
		}, "", netio.Failed, FailProtocol},
		{"an unknown type", func(f *forger) []byte { return f.seal(99, []byte("x")) }, "", netio.Failed, FailProtocol},
		{"only padding", func(f *forger) []byte { return f.seal(0, make([]byte, 10)) }, "", netio.Failed, FailProtocol},
		{"too long a record", func(f *forger) []byte { return []byte{23, 3, 3, 0xff, 0xff} }, "", netio.Failed, FailProtocol},
		{"too long a plaintext", func(f *forger) []byte { return f.seal(typeData, make([]byte, 16385)) }, "", netio.Failed, FailProtocol},
		{"another version", func(f *forger) []byte { return []byte{23, 3, 1, 0, 1, 0} }, "", netio.Failed, FailProtocol},
		{"a message that servers send", func(f *forger) []byte {
			return f.seal(typeHandshake, []byte{4, 0, 0, 15, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 1, 'x', 0, 0})
		}, "", netio.Failed, FailProtocol},
		{"data inside a message", func(f *forger) []byte {
			return append(f.seal(typeHandshake, keyUpdateQuiet[:3]), f.seal(typeData, []byte("x"))...)
		}, "", netio.Failed, FailProtocol},
		{"a message of 16 MiB", func(f *forger) []byte {
			return f.seal(typeHandshake, []byte{24, 0xff, 0xff, 0xff})
		}, "", netio.Failed, FailProtocol},
		{"key update, then data", func(f *forger) []byte {
			b := f.seal(typeHandshake, keyUpdateQuiet)
			f.update()
			return append(b, f.seal(typeData, []byte("under new keys"))...)
		}, "under new keys", netio.Again, FailNone},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, server, _ := forged(t)
			f.say(c.say(f))
			if c.data != "" {
				wantRecv(t, server, c.data)
			}
			wantIO(t, server, c.want)
			wantIO(t, server, c.want)
			if server.Failure() != c.fail {
				t.Errorf("failure %v, want %v (%v)", server.Failure(), c.fail, server.Err())
			}
			server.Idle()
			if held := server.Held(); held != 0 && c.want != netio.Again {
				t.Errorf("%d bytes are held after the end", held)
			}
		})
	}
}

func TestKeyUpdateInPieces(t *testing.T) {
	f, server, _ := forged(t)
	for i := range keyUpdateRequested { // one byte of the message in each record
		wantIO(t, server, netio.Again)
		f.say(f.seal(typeHandshake, keyUpdateRequested[i:i+1]))
	}
	f.update()
	server.Idle()
	wantIO(t, server, netio.Again)
	f.say(f.seal(typeData, []byte("new keys")))
	wantRecv(t, server, "new keys")
	if n, io := server.Send([]byte("after our own update")); n != 20 || io != netio.OK {
		t.Fatalf("Send: %d, %d", n, io)
	}
}

func TestAnswersThatNobodyReadsAreBounded(t *testing.T) {
	f, server, k := forged(t)
	unix.SetsockoptInt(int(server.fd), unix.SOL_SOCKET, unix.SO_SNDBUF, 1) // the kernel's least
	peak := 0
	for range 100_000 {
		b := f.seal(typeHandshake, keyUpdateRequested)
		f.update()
		f.say(b, f.seal(typeData, []byte("x")))
		for {
			n, io := server.Recv(make([]byte, 10))
			peak = max(peak, server.Held())
			if io == netio.Failed {
				if server.Failure() != FailUnread {
					t.Fatalf("failure %v: %v", server.Failure(), server.Err())
				}
				if peak > 256<<10 {
					t.Errorf("%d bytes were held", peak)
				}
				return
			}
			if n == 0 {
				break
			}
		}
	}
	t.Fatalf("no end after 100000 demands; backlog %d, %d sends", server.Backlog(), k.sends)
}

func TestPartialRecordIsHeldInLittleMemory(t *testing.T) {
	if !layout.known {
		t.Skip("the innards of crypto/tls are not known")
	}
	f, server, _ := forged(t)
	record := f.seal(typeData, make([]byte, 16000))
	f.say(record[:100])
	wantIO(t, server, netio.Again)
	if held := server.Held(); held > 2048 {
		t.Errorf("100 bytes of a record are held in %d bytes", held)
	}
	f.say(record[100:9000])
	wantIO(t, server, netio.Again)
	server.Idle()
	if held := server.Held(); held > 16<<10 {
		t.Errorf("9000 bytes of a record are held in %d bytes", held)
	}
	f.say(record[9000:])
	if got := recvAll(t, server, 16000); len(got) != 16000 {
		t.Errorf("%d bytes arrived", len(got))
	}
	server.Idle()
	if held := server.Held(); held != 0 {
		t.Errorf("%d bytes are held after the record", held)
	}
}

// TestBigTransfersWithTinyBuffers pumps both ways at once between a Conn and crypto/tls on goroutines.
func TestBigTransfersWithTinyBuffers(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		const size = 3 << 20
		s := newSite(t, version, "p256")
		a, b := socketpair(t)
		for _, fd := range []int{a, b} {
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 4096)
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4096)
		}
		peer := tls.Client(netConn(t, a), s.goClient(version))
		sum := make(chan [32]byte)
		errs := make(chan error, 2)
		go func() {
			_, err := peer.Write(pattern(1, size))
			errs <- err
		}()
		go func() {
			got := make([]byte, size)
			_, err := io.ReadFull(peer, got)
			errs <- err
			sum <- sha256.Sum256(got)
		}()
		server := newWorker(new(sockets)).Server(b, s.server)
		defer server.Close()
		if err := handshakeOn(t, server); err != nil {
			t.Fatal(err)
		}
		got := pump(t, server, pattern(2, size), size)
		for range 2 {
			if err := <-errs; err != nil {
				t.Fatal(err)
			}
		}
		if <-sum != sha256.Sum256(pattern(2, size)) {
			t.Error("what we sent arrived as something else")
		}
		if sha256.Sum256(got) != sha256.Sum256(pattern(1, size)) {
			t.Error("what we received is something else")
		}
	})
}

func pattern(seed byte, n int) []byte {
	b := make([]byte, n)
	x := uint32(seed)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// pump sends out and receives want bytes at the same time, as events allow.
func pump(t *testing.T, c *Conn, out []byte, want int) (got []byte) {
	t.Helper()
	p := make([]byte, 10_000)
	for len(got) < want || len(out) > 0 || c.Backlog() > 0 {
		events := int16(unix.POLLIN)
		if len(out) > 0 {
			piece := out[:min(len(out), 50_000)]
			n, io := c.SendV([][]byte{piece[:len(piece)/3], piece[len(piece)/3 : len(piece)/3], piece[len(piece)/3:]})
			if io != netio.OK && io != netio.Again {
				t.Fatalf("SendV: %d: %v", io, c.Err())
			}
			out = out[n:]
		}
		if io := c.Flush(); io == netio.Again {
			events |= unix.POLLOUT
		} else if io != netio.OK {
			t.Fatalf("Flush: %d", io)
		}
		if c.Backlog() > backlogBytes {
			t.Fatalf("backlog of %d bytes", c.Backlog())
		}
		n, io := c.Recv(p)
		switch io {
		case netio.OK:
			got = append(got, p[:n]...)
		case netio.Again:
			if len(got) < want || c.Backlog() > 0 {
				await(t, int(c.fd), events)
			}
		default:
			t.Fatalf("Recv: %d: %v", io, c.Err())
		}
	}
	return got
}
