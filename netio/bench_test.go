package netio

import (
	"net/netip"
	"testing"
)

// The parts of a turn. What they say: recvfrom and sendto are 50 ns cheaper than read and write, and telling the scheduler
// costs 40 ns more; a poll before every sleep would cost three times what it saves when there is something.

func BenchmarkRecvAgain(b *testing.B) {
	k := openOne(b)
	_, server := openPair(b, k, "127.0.0.1:0")
	buf := make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		k.Recv(server, buf)
	}
}

func BenchmarkSendRecv(b *testing.B) {
	k := openOne(b)
	client, server := openPair(b, k, "127.0.0.1:0")
	buf, msg := make([]byte, 4096), make([]byte, 200)
	b.ReportAllocs()
	for b.Loop() {
		k.Send(client, msg)
		k.Recv(server, buf)
	}
}

func BenchmarkSendVRecv(b *testing.B) {
	k := openOne(b)
	client, server := openPair(b, k, "127.0.0.1:0")
	buf, msg := make([]byte, 4096), make([]byte, 100)
	pieces := [][]byte{msg, msg}
	b.ReportAllocs()
	for b.Loop() {
		k.SendV(client, pieces)
		k.Recv(server, buf)
	}
}

func BenchmarkWaitPast(b *testing.B) {
	k := openOne(b)
	ev := make([]Event, 128)
	b.ReportAllocs()
	for b.Loop() {
		k.Wait(ev, 1)
	}
}

// BenchmarkWaitReady has one event each time, and goes the way that may sleep.
func BenchmarkWaitReady(b *testing.B) {
	k := openOne(b)
	ev := make([]Event, 128)
	deadline := k.Now().Add(1e15)
	b.ReportAllocs()
	for b.Loop() {
		k.Wake()
		k.Wait(ev, deadline)
	}
}

func BenchmarkNow(b *testing.B) {
	k := openOne(b)
	for b.Loop() {
		k.Now()
	}
}

func BenchmarkConnectAccept(b *testing.B) {
	k := openOne(b)
	l, err := k.Listen(&ListenOptions{Addr: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		b.Fatal(err)
	}
	defer k.Close(l)
	o := &ConnectOptions{Addr: k.LocalAddr(l)}
	b.ReportAllocs()
	for b.Loop() {
		fd, _ := k.Connect(o)
		conn, _, _ := k.Accept(l)
		k.Abort(fd)
		k.Close(conn)
	}
}
