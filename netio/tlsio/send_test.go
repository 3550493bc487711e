package tlsio

import (
	"bytes"
	"crypto/tls"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

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

// Whatever the sizes of pieces, buffers, calls and sockets: the bytes arrive, in order, and the backlog is bounded.
func TestRandomTraffic(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		s := newSite(t, version, "p256")
		rapid.Check(t, func(r *rapid.T) {
			k := &sockets{recvMax: rapid.SampledFrom([]int{0, 0, 1, 7, 1000}).Draw(r, "recvMax"), sendMax: rapid.SampledFrom([]int{0, 0, 3, 1500}).Draw(r, "sendMax")}
			bounded := k.recvMax > 0 || k.sendMax > 0 // then a short call means nothing, and events are not told
			w, other := newWorker(k), newWorker(k)
			fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
			if err != nil {
				r.Fatal(err)
			}
			defer unix.Close(fds[0])
			defer unix.Close(fds[1])
			unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_SNDBUF, rapid.SampledFrom([]int{1, 20_000, 200_000}).Draw(r, "sndbuf"))
			client, server := w.Client(fds[0], s.peer), w.Server(fds[1], s.server)
			drive(t, client, server)
			if n := rapid.SampledFrom([]int{0, 1, 16 << 10, 40_000, 1 << 20}).Draw(r, "bufferMax"); n > 0 {
				client.SetBufferMax(n)
				server.SetBufferMax(n)
			}
			sent, got := []byte{}, []byte{}
			step := func() {
				if !bounded {
					client.Ready(netio.Writable)
					server.Ready(netio.Readable)
				}
			}
			recv := func(p []byte) netio.IO {
				n, io := server.Recv(p)
				got = append(got, p[:n]...)
				return io
			}
			r.Repeat(map[string]func(*rapid.T){
				"send": func(r *rapid.T) {
					b := pattern(byte(len(sent)), rapid.IntRange(1, 40_000).Draw(r, "n"))
					n, _ := client.Send(b)
					sent = append(sent, b[:n]...)
				},
				"sendv": func(r *rapid.T) {
					var pieces [][]byte
					for _, n := range rapid.SliceOfN(rapid.IntRange(0, 17_000), 0, 6).Draw(r, "sizes") {
						pieces = append(pieces, pattern(byte(n), n))
					}
					n, _ := client.SendV(pieces)
					sent = append(sent, bytes.Join(pieces, nil)[:n]...)
				},
				"flush": func(r *rapid.T) { step(); client.Flush() },
				"recv": func(r *rapid.T) {
					step()
					recv(make([]byte, rapid.IntRange(1, 40_000).Draw(r, "n")))
				},
				"idle": func(r *rapid.T) { client.Idle(); server.Idle() },
				"move": func(r *rapid.T) {
					for _, c := range []*Conn{client, server} {
						from := c.w
						if to := map[*Worker]*Worker{w: other, other: w}[from]; c.Detach() {
							c.Attach(to, int(c.fd))
						} else if c.w != from {
							r.Fatal("a refused Detach changed the worker")
						}
					}
				},
				"": func(r *rapid.T) {
					if client.Backlog() > client.bounds.backlog() || client.Held() > 2*client.bounds.backlog()+recvBytesMin || !bytes.HasPrefix(sent, got) {
						r.Fatalf("backlog %d; %d bytes of %d arrived", client.Backlog(), len(got), len(sent))
					}
				},
			})
			for range 1_000_000 {
				step()
				if client.Flush(); len(got) == len(sent) {
					break
				}
				recv(make([]byte, 64<<10))
			}
			if !bytes.Equal(sent, got) {
				r.Fatalf("%d bytes of %d arrived", len(got), len(sent))
			}
			for _, c := range []*Conn{client, server} {
				if c.Recv(make([]byte, 1)); c.Held() != 0 {
					r.Errorf("%d bytes are held after all", c.Held())
				}
				c.Close()
			}
			if n := w.blocks.InUse() + other.blocks.InUse(); n != 0 {
				r.Errorf("%d bytes of blocks were not given back", n)
			}
		})
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
