package tlsio

import (
	"bytes"
	"crypto/tls"
	"testing"

	"golang.org/x/sys/unix"

	"weir/netio"
)

// records counts the records in the socket fd, and their bytes, without taking them.
func records(t *testing.T, fd int) (n int, lengths []int) {
	t.Helper()
	b := make([]byte, 1<<20)
	got, _, err := unix.Recvfrom(fd, b, unix.MSG_PEEK)
	if err != nil {
		t.Fatal(err)
	}
	for b = b[:got]; len(b) > 0; n++ {
		l := recordIn(b)
		lengths = append(lengths, l)
		b = b[l:]
	}
	return n, lengths
}

func TestSendVMakesFewRecords(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		client, server, k := newSite(t, version, "p256").connected(t)
		k.sends = 0
		pieces := [][]byte{nil, []byte("HTTP/1.1 200 OK\r\n"), []byte("Content-Length: 20000\r\n\r\n"), {}, bytes.Repeat([]byte("x"), 20000), []byte("tail")}
		want := bytes.Join(pieces, nil)
		if n, io := client.SendV(pieces); n != len(want) || io != netio.OK {
			t.Fatalf("SendV: %d, %d", n, io)
		}
		if n, lengths := records(t, int(server.fd)); n != 2 || k.sends != 1 {
			t.Errorf("%d records of %v bytes in %d calls, want 2 in 1", n, lengths, k.sends)
		}
		if got := recvAll(t, server, len(want)); !bytes.Equal(got, want) {
			t.Error("the pieces arrived as something else")
		}
		if n, io := client.SendV(nil); n != 0 || io != netio.OK {
			t.Errorf("SendV of nothing: %d, %d", n, io)
		}
		if n, io := client.Send(nil); n != 0 || io != netio.OK {
			t.Errorf("Send of nothing: %d, %d", n, io)
		}
	})
}

func TestSendStopsAtTheBound(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		client, server, k := newSite(t, version, "p256").connected(t)
		unix.SetsockoptInt(int(client.fd), unix.SOL_SOCKET, unix.SO_SNDBUF, 4096)
		wantIO(t, client, netio.Again) // takes the ticket of TLS 1.3
		accepted := 0
		for {
			n, io := client.Send(make([]byte, 10_000))
			if io == netio.Again {
				if n != 0 {
					t.Fatalf("Again with %d bytes", n)
				}
				break
			}
			if io != netio.OK {
				t.Fatalf("Send: %d", io)
			}
			accepted += n
		}
		if b := client.Backlog(); b > backlogBytes || b < backlogBytes-pieceBytesMin-recordOverheadMax {
			t.Errorf("backlog of %d bytes", b)
		}
		client.Ready(netio.Readable) // from now on the kernel is not asked in vain
		if io := client.Flush(); io != netio.Again {
			t.Errorf("Flush: %d", io)
		}
		k.sends = 0
		if io := client.Flush(); io != netio.Again || k.sends != 0 {
			t.Errorf("Flush again: %d, %d calls", io, k.sends)
		}
		client.Idle()
		p := make([]byte, 32<<10)
		for got := 0; got < accepted; {
			n, _ := server.Recv(p)
			got += n
			client.Ready(netio.Writable)
			client.Flush()
		}
		if client.Backlog() != 0 || client.Held() != 0 {
			t.Errorf("backlog %d, held %d", client.Backlog(), client.Held())
		}
	})
}

func TestReadyMakesAShortWriteTheEnd(t *testing.T) {
	client, server, k := newSite(t, tls.VersionTLS13, "p256").connected(t)
	unix.SetsockoptInt(int(client.fd), unix.SOL_SOCKET, unix.SO_SNDBUF, 20_000)
	wantIO(t, client, netio.Again)
	client.Ready(netio.Writable)
	for k.sends = 0; client.Backlog() == 0; {
		k.sendMax = 10_000 // short although there is room: only the event is to be believed
		client.Send(make([]byte, 16_000))
	}
	if k.sends != 1 {
		t.Fatalf("%d calls up to the short one", k.sends)
	}
	k.sendMax = 0
	if io := client.Flush(); io != netio.Again || k.sends != 1 {
		t.Errorf("Flush before the event: %d, %d calls", io, k.sends)
	}
	client.Ready(netio.Readable)
	if io := client.Flush(); io != netio.Again || k.sends != 1 {
		t.Errorf("Flush after another event: %d, %d calls", io, k.sends)
	}
	client.Ready(netio.Writable)
	if io := client.Flush(); io != netio.OK || k.sends != 2 {
		t.Errorf("Flush after the event: %d, %d calls", io, k.sends)
	}
	if got := recvAll(t, server, 16_000); len(got) != 16_000 {
		t.Errorf("%d bytes arrived", len(got))
	}
}

func TestDetachOnlyWhenIdle(t *testing.T) {
	if !layout.known {
		t.Skip("the innards of crypto/tls are not known")
	}
	s := newSite(t, tls.VersionTLS13, "p256")
	for why, busy := range map[string]func(client, server *Conn){
		"the rest of a record waits": func(client, server *Conn) { client.Send([]byte("ab")); wantRecvUpTo(t, server, "a") },
		"part of a record waits": func(_, server *Conn) {
			deliver(t, int(server.fd), s, []byte{23, 3, 3, 0, 99})
			wantIO(t, server, netio.Again)
		},
		"ciphertext waits": func(client, server *Conn) {
			unix.SetsockoptInt(int(server.fd), unix.SOL_SOCKET, unix.SO_SNDBUF, 1)
			for server.Backlog() == 0 {
				server.Send(make([]byte, 10_000))
			}
		},
		"the stream has ended": func(client, server *Conn) {
			client.CloseNotify()
			client.Flush()
			wantIO(t, server, netio.EOF)
		},
		"we have said goodbye": func(_, server *Conn) { server.CloseNotify(); server.Flush() },
	} {
		client, server, _ := s.connected(t)
		busy(client, server)
		if server.Detach() || server.w == nil {
			t.Errorf("%s: detached", why)
		}
	}
	_, b := socketpair(t)
	w := newWorker(new(sockets))
	if silent := w.Server(b, s.server); silent.Detach() {
		t.Error("detached before the handshake")
	}
	client, server, _ := s.connected(t)
	if !server.Detach() {
		t.Fatal("an idle connection was not detached")
	}
	server.Attach(w, int(server.fd))
	client.Send([]byte("to another worker"))
	wantRecv(t, server, "to another worker")
	defer func() {
		if recover() == nil {
			t.Error("no panic: Attach without Detach")
		}
	}()
	server.Attach(w, 0)
}
