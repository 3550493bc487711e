package h3

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/bpf"
)

// datagram is a packet whose destination connection ID begins with a worker's byte and a tag.
func datagram(long bool, worker byte, tag uint16) []byte {
	b := make([]byte, 40)
	if long {
		b[0], b[5] = 0xc0, idBytes
		b[longHeaderID], b[longHeaderID+1], b[longHeaderID+2] = worker, byte(tag>>8), byte(tag)
	} else {
		b[0] = 0x40
		b[shortHeaderID], b[shortHeaderID+1], b[shortHeaderID+2] = worker, byte(tag>>8), byte(tag)
	}
	return b
}

// The program, in the x/net virtual machine: every byte goes to its worker, wherever that worker's socket is.
func TestSteeringProgram(t *testing.T) {
	mine := places{Tag: 0x1234, At: []int{2, 3, 4}}
	other := places{Tag: 0x5678, At: []int{0, 7, 1, 5}}
	vm, err := bpf.NewVM(steering(mine, []places{other}))
	if err != nil {
		t.Fatal(err)
	}
	for _, long := range []bool{false, true} {
		for worker := range 256 {
			for tag, want := range map[uint16]int{0x1234: mine.At[worker%3], 0x5678: other.At[worker%4], 0xffff: mine.At[worker%3]} {
				got, err := vm.Run(datagram(long, byte(worker), tag))
				if err != nil || got != want {
					t.Fatalf("long %v, byte %d, tag %x: %d, %v; want %d", long, worker, tag, got, err, want)
				}
			}
		}
	}
	for n := range 4 {
		if got, err := vm.Run(make([]byte, n)); got != 0 || err != nil {
			t.Errorf("%d bytes: %d, %v", n, got, err)
		}
	}
}

// Connection IDs name their worker and nothing else: of 256 workers at most, and spread over the byte.
func TestConnectionIDs(t *testing.T) {
	for _, workers := range []int{1, 2, 3, 7, 64, 200, 256} {
		for _, worker := range []int{0, workers / 2, workers - 1} {
			m := &idMaker{worker: worker, workers: workers, tag: 0xabcd}
			seen, firsts := map[string]bool{}, map[byte]bool{}
			for range 6000 {
				id, err := m.GenerateConnectionID()
				if err != nil || id.Len() != m.ConnectionIDLen() {
					t.Fatal(id, err)
				}
				b := id.Bytes()
				if int(b[0])%workers != worker || b[1] != 0xab || b[2] != 0xcd {
					t.Fatalf("worker %d of %d: %x", worker, workers, b)
				}
				seen[string(b)], firsts[b[0]] = true, true
			}
			if len(seen) != 6000 {
				t.Errorf("%d different IDs of 6000", len(seen))
			}
			if want := (256 - worker + workers - 1) / workers; len(firsts) != want {
				t.Errorf("worker %d of %d: %d first bytes, want %d", worker, workers, len(firsts), want)
			}
		}
	}
}

// The kernel does as the program says, and a socket that is closed has its place taken by the last one: the fact that the
// program is made anew by.
func TestSteeringInKernel(t *testing.T) {
	g, err := openGroup(netip.MustParseAddrPort("127.0.0.1:0"), 4, 0x1111, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		g.conns = slices.DeleteFunc(g.conns, func(c *net.UDPConn) bool { return c == nil })
		g.close()
	}()
	client, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(g.addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	check := func(why string) {
		t.Helper()
		for worker := range 256 {
			b := datagram(worker%2 == 0, byte(worker), 0x1111)
			to := g.conns[worker%4]
			if to == nil {
				continue // a place that is not there is as good as no answer: the kernel chooses by hash
			}
			client.Write(b)
			to.SetReadDeadline(time.Now().Add(patience))
			got := make([]byte, 100)
			n, err := to.Read(got)
			if err != nil || !slices.Equal(got[:n], b) {
				t.Fatalf("%s: byte %d: %x, %v", why, worker, got[:n], err)
			}
		}
	}
	check("in order")
	g.conns[1].Close()
	g.conns[1] = nil
	g.own.At = []int{0, 3, 2, 1} // the fourth is second now
	if err := g.attach(); err != nil {
		t.Fatal(err)
	}
	check("after one was closed")
}

// Packets that come to the wrong worker, while sockets move, are lost and no worse: a stateless reset from there would end
// their connections.
func TestMisroutedPackets(t *testing.T) {
	const workers = 4
	r := newRig(t, workers, nil)
	g := r.e.group
	right := slices.Clone(g.own.At)
	var clients []*rawClient
	for range 16 {
		c := r.settled()
		c.wantAlive("before")
		clients = append(clients, c)
	}
	for range 3 {
		g.own.At = append(slices.Clone(right[1:]), right[0])
		if err := g.attach(); err != nil {
			t.Fatal(err)
		}
		for _, c := range clients { // these packets go astray
			s := c.request(head("GET", "/bytes/1"))
			s.Close()
		}
		for range 200 {
			c := clients[rand.IntN(len(clients))]
			s := c.request(head("POST", "/echo"), frame(frameData, []byte("x")))
			s.Close()
			if rand.IntN(10) == 0 {
				break
			}
		}
		g.own.At = right
		if err := g.attach(); err != nil {
			t.Fatal(err)
		}
		for _, c := range clients {
			c.wantAlive("after")
		}
	}
}
