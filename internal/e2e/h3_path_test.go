package e2e

import (
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

// udpPath is the way of one client's packets to weir. It loses what it is told to.
type udpPath struct {
	front, back *net.UDPConn

	mu     sync.Mutex
	client net.Addr
	rng    *rand.Rand
	loss   int // percent, each way
	lost   int // so far
	gulp   int // of the next packets from weir
}

func newPath(t *testing.T, to string) *udpPath {
	t.Helper()
	front, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	addr, err := net.ResolveUDPAddr("udp4", to)
	if err != nil {
		t.Fatal(err)
	}
	back, err := net.DialUDP("udp4", nil, addr)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*net.UDPConn{front, back} {
		_ = c.SetReadBuffer(4 << 20) // what is lost is to be the path's choice
	}
	p := &udpPath{front: front, back: back, rng: rand.New(rand.NewPCG(1, 2))}
	var ends sync.WaitGroup
	ends.Go(p.forth)
	ends.Go(p.backwards)
	t.Cleanup(func() {
		_ = front.Close()
		_ = back.Close()
		ends.Wait()
	})
	return p
}

func (p *udpPath) addr() *net.UDPAddr { return p.front.LocalAddr().(*net.UDPAddr) }

// losing loses some packets of a hundred, each way.
func (p *udpPath) losing(percent int) {
	p.mu.Lock()
	p.loss = percent
	p.mu.Unlock()
}

// swallow loses the next n packets that weir sends.
func (p *udpPath) swallow(n int) {
	p.mu.Lock()
	p.gulp = n
	p.mu.Unlock()
}

// loses decides about a packet. The caller holds mu.
func (p *udpPath) loses() bool {
	if p.rng.IntN(100) >= p.loss {
		return false
	}
	p.lost++
	return true
}

func (p *udpPath) forth() {
	buf := make([]byte, 2048)
	for {
		n, from, err := p.front.ReadFrom(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.client = from
		lost := p.loses()
		p.mu.Unlock()
		if !lost {
			_, _ = p.back.Write(buf[:n])
		}
	}
}

func (p *udpPath) backwards() {
	buf := make([]byte, 2048)
	for {
		n, err := p.back.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		to, lost := p.client, p.gulp > 0 || p.loses()
		p.gulp = max(p.gulp-1, 0)
		p.mu.Unlock()
		if !lost {
			_, _ = p.front.WriteTo(buf[:n], to)
		}
	}
}
