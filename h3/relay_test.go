package h3

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
)

// relay is a UDP path between one client and the endpoint: it can lose packets, and it can change the address that the
// endpoint sees, as a NAT does that has forgotten a client.
type relay struct {
	t      testing.TB
	front  *net.UDPConn
	server *net.UDPAddr

	mu     sync.Mutex
	back   *net.UDPConn
	client netip.AddrPort
	lose   func() bool
	mute   bool            // nothing comes back
	ports  map[uint16]bool // that the endpoint has seen
}

func newRelay(t testing.TB, server netip.AddrPort) *relay {
	front, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{t: t, front: front, server: net.UDPAddrFromAddrPort(server), lose: func() bool { return false }, ports: map[uint16]bool{}}
	r.rebind()
	go r.forth()
	t.Cleanup(func() {
		front.Close()
		r.mu.Lock()
		r.back.Close()
		r.mu.Unlock()
	})
	return r
}

// losing makes the relay drop one of n packets in each direction, the same ones in every run.
func (r *relay) losing(percent int, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	var mu sync.Mutex
	r.mu.Lock()
	r.lose = func() bool {
		mu.Lock()
		defer mu.Unlock()
		return rng.IntN(100) < percent
	}
	r.mu.Unlock()
}

// setMute loses everything that the endpoint sends, or nothing of it.
func (r *relay) setMute(on bool) {
	r.mu.Lock()
	r.mute = on
	r.mu.Unlock()
}

func (r *relay) addr() *net.UDPAddr { return r.front.LocalAddr().(*net.UDPAddr) }

// rebind gives the path a new address towards the endpoint.
func (r *relay) rebind() {
	back, err := net.DialUDP("udp4", nil, r.server)
	if err != nil {
		r.t.Error(err)
		return
	}
	r.mu.Lock()
	old := r.back
	r.back = back
	r.ports[back.LocalAddr().(*net.UDPAddr).AddrPort().Port()] = true
	r.mu.Unlock()
	if old != nil {
		old.Close()
	}
	go r.backwards(back)
}

func (r *relay) forth() {
	buf := make([]byte, 2048)
	for {
		n, from, err := r.front.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		r.mu.Lock()
		r.client = from
		back, lost := r.back, r.lose()
		r.mu.Unlock()
		if !lost {
			back.Write(buf[:n])
		}
	}
}

func (r *relay) backwards(back *net.UDPConn) {
	buf := make([]byte, 2048)
	for {
		n, err := back.Read(buf)
		if err != nil {
			return
		}
		r.mu.Lock()
		to, lost := r.client, r.lose() || r.mute
		r.mu.Unlock()
		if !lost {
			r.front.WriteToUDPAddrPort(buf[:n], to)
		}
	}
}
