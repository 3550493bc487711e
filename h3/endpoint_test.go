package h3

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// When many handshakes are under way, a client has to prove its address first. It notices no more than a round trip.
func TestAddressValidation(t *testing.T) {
	r := newRig(t, 1, func(c *Config) { c.Unverified = -1 })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	counted := &countingConn{PacketConn: newUDP(t)}
	tr := &quic.Transport{Conn: counted}
	defer tr.Close()
	q, err := tr.Dial(ctx, net.UDPAddrFromAddrPort(r.e.Addr()), clientTLS(), &quic.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer q.CloseWithError(0x100, "")
	if counted.retries.Load() == 0 { // one for each packet of the client's first flight
		t.Errorf("%d Retry packets", counted.retries.Load())
	}
	c := &rawClient{t: t, q: q}
	c.uni(streamControl, frame(frameSettings, nil))
	c.wantAlive("after a Retry")
}

// countingConn counts the Retry packets that come (RFC 9000 section 17.2.5).
type countingConn struct {
	net.PacketConn
	retries atomic.Int64
}

func (c *countingConn) ReadFrom(p []byte) (int, net.Addr, error) {
	n, a, err := c.PacketConn.ReadFrom(p)
	if n > 0 && p[0]&0xf0 == 0xf0 {
		c.retries.Add(1)
	}
	return n, a, err
}

// A flood of Initials from anywhere costs bounded memory, and the clients that are there do not notice.
func TestInitialFlood(t *testing.T) {
	r := newRig(t, 1, func(c *Config) { c.Unverified = 20 })
	before := r.settled()
	before.wantAlive("before")
	flood := newUDP(t)
	to := net.UDPAddrFromAddrPort(r.e.Addr())
	packet := make([]byte, 1200)
	for i := range 3000 {
		rand.Read(packet)
		packet[0] = 0xc3
		copy(packet[1:], []byte{0, 0, 0, 1, 8}) // version 1, an ID of eight bytes
		packet[14], packet[15] = 0, 0           // no ID of its own, no token
		packet[16], packet[17] = 0x44, 0x9e     // the rest of the packet
		flood.WriteTo(packet, to)
		if i%500 == 0 {
			before.wantAlive("meanwhile")
		}
	}
	before.wantAlive("after")
	if n := r.e.ports[0].shaking.Load(); n > 20 {
		t.Errorf("%d handshakes are under way", n)
	}
	r.settled().wantAlive("a new client")
}

// A process that comes after one that has died tells its clients so, if it has the same secret.
func TestStatelessReset(t *testing.T) {
	secret := NewSecret()
	cfg := DefaultConfig(serverTLS())
	listen := func(addr netip.AddrPort) *Endpoint {
		e, err := Listen(addr, 3, &cfg, &secret, nil)
		if err != nil {
			t.Fatal(err)
		}
		var sinks []Sink
		for range 3 {
			w := newTestWorker()
			t.Cleanup(func() { close(w.done) })
			sinks = append(sinks, w)
		}
		if err := e.Serve(sinks); err != nil {
			t.Fatal(err)
		}
		return e
	}
	e := listen(netip.MustParseAddrPort("127.0.0.1:0"))
	r := &rig{t: t, e: e, cfg: cfg}
	var clients []*rawClient
	for range 6 {
		c := r.settled()
		c.wantAlive("before")
		clients = append(clients, c)
	}
	for _, p := range e.ports { // as if the process had been killed: no goodbye
		p.tr.Close()
	}
	e.Close(NoError)
	e = listen(e.Addr())
	t.Cleanup(func() { e.Close(NoError) })
	for _, c := range clients {
		s, err := c.q.OpenStream()
		if err == nil {
			s.Write(head("GET", "/bytes/1"))
			s.Close()
		}
		select {
		case <-c.q.Context().Done():
		case <-time.After(patience):
			t.Fatal("the client was not told")
		}
		var reset *quic.StatelessResetError
		if err := context.Cause(c.q.Context()); !errors.As(err, &reset) {
			t.Error(err)
		}
	}
}

// guest is let in when the test says so.
type guest struct {
	says chan bool // nil: at once
	left func()
}

func (g *guest) Wait(ctx context.Context) bool {
	if g.says == nil {
		return true
	}
	select {
	case in := <-g.says:
		return in
	case <-ctx.Done():
		return false
	}
}

func (g *guest) Leave() { g.left() }

// Clients that are not admitted are told so; what they held is given back.
func TestAdmission(t *testing.T) {
	var open atomic.Int64
	r := newRig(t, 1, func(c *Config) {
		c.Admit = func(worker int, client netip.AddrPort) Guest {
			if open.Load() == 2 {
				return nil
			}
			open.Add(1)
			return &guest{left: func() { open.Add(-1) }}
		}
	})
	a, b := r.settled(), r.settled()
	a.wantAlive("the first")
	b.wantAlive("the second")
	_, err := quic.DialAddr(context.Background(), r.e.Addr().String(), clientTLS(), nil)
	var refused *quic.TransportError
	if !errors.As(err, &refused) || refused.ErrorCode != quic.ConnectionRefused {
		t.Error(err)
	}
	a.q.CloseWithError(0x100, "")
	r.want("the end of the first", "gone 100")
	for open.Load() == 2 {
		runtime.Gosched()
	}
	r.settled().wantAlive("the third")
}

// A client that waits for its admission hears nothing meanwhile; then its handshake goes on, or an alert ends it. Who still
// waits when the endpoint closes keeps nobody.
func TestAdmissionThatTakesTime(t *testing.T) {
	guests, left := make(chan *guest, 3), make(chan struct{}, 3)
	r := newRig(t, 1, func(c *Config) {
		c.HandshakeTimeout = time.Minute
		c.Admit = func(int, netip.AddrPort) Guest {
			g := &guest{says: make(chan bool), left: func() { left <- struct{}{} }}
			guests <- g
			return g
		}
	})
	dial := func(ctx context.Context) chan error {
		done := make(chan error, 1)
		go func() {
			q, err := quic.DialAddr(ctx, r.e.Addr().String(), clientTLS(), nil)
			if err == nil {
				err = q.CloseWithError(0x100, "")
			}
			done <- err
		}()
		return done
	}
	first, second := dial(t.Context()), dial(t.Context())
	one, two := <-guests, <-guests
	select {
	case err := <-first:
		t.Fatal("not waited: ", err)
	case err := <-second:
		t.Fatal("not waited: ", err)
	case one.says <- true:
	}
	two.says <- false
	errs := []error{<-first, <-second}
	if errs[0] != nil { // who dialled first need not be who came first
		slices.Reverse(errs)
	}
	var alert *quic.TransportError
	if errs[0] != nil || !errors.As(errs[1], &alert) || !alert.ErrorCode.IsCryptoError() {
		t.Error(errs)
	}
	<-left
	<-left
	_ = dial(t.Context())
	<-guests
	r.e.Close(NoError)
	<-left
}

// A drain refuses new clients, at once and aloud, and leaves the others alone. It can be taken back.
func TestDrain(t *testing.T) {
	r := newRig(t, 2, nil)
	c := r.settled()
	c.wantAlive("before")
	r.e.Drain()
	var refused *quic.TransportError
	if _, err := quic.DialAddr(t.Context(), r.e.Addr().String(), clientTLS(), nil); !errors.As(err, &refused) || refused.ErrorCode != quic.ConnectionRefused {
		t.Error(err)
	}
	c.wantAlive("after")
	r.e.Resume()
	again := r.settled()
	again.wantAlive("a new one")
	r.e.Drain()
	again.q.CloseWithError(0x100, "")
	if r.e.Idle() {
		t.Error("idle with a client")
	}
	c.q.CloseWithError(0x100, "")
	for over := time.Now().Add(patience); !r.e.Idle(); runtime.Gosched() {
		if time.Now().After(over) {
			t.Fatal("clients that have gone are still there")
		}
	}
}

// A client in the middle of its handshake keeps an endpoint from being idle, and a drain does not cut it.
func TestDrainInHandshake(t *testing.T) {
	r := newRig(t, 1, nil)
	rl := newRelay(t, r.e.Addr())
	rl.setMute(true)
	dialled := make(chan error, 1)
	go func() {
		q, err := quic.DialAddr(t.Context(), rl.addr().String(), clientTLS(), nil)
		if err == nil {
			t.Cleanup(func() { q.CloseWithError(0x100, "") })
		}
		dialled <- err
	}()
	for r.e.Idle() {
		runtime.Gosched()
	}
	r.e.Drain()
	rl.setMute(false)
	if err := <-dialled; err != nil {
		t.Error(err)
	}
}

// A client that does not read makes us hold no more than we said, and its neighbour streams go on.
func TestSlowReader(t *testing.T) {
	r := newRig(t, 1, nil)
	q, err := quic.DialAddr(context.Background(), r.e.Addr().String(), clientTLS(), &quic.Config{
		InitialStreamReceiveWindow: 16 << 10, MaxStreamReceiveWindow: 16 << 10, InitialConnectionReceiveWindow: 32 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.CloseWithError(0x100, "") })
	c := &rawClient{t: t, q: q}
	c.uni(streamControl, frame(frameSettings, nil))
	const stalled = 60
	for range stalled {
		s := c.request(head("GET", "/bytes/10000000"))
		s.Close()
	}
	for range 20 {
		c.wantAlive("beside stalled streams")
	}
	w := r.workers[0]
	most := 0
	w.sync(func() {
		for s := range w.streams {
			most += s.Pending()
		}
		for c := range w.conns {
			if n := int(c.queued.Load()); n > r.cfg.BufferBytes+stalled*sendBytesFloor {
				t.Errorf("%d bytes are queued", n)
			}
		}
	})
	if limit := r.cfg.BufferBytes + stalled*(sendBytesFloor+blockLargeBytes); most > limit {
		t.Errorf("%d bytes wait to be sent, at most %d should", most, limit)
	}
	if most == 0 {
		t.Error("nothing waits: the test stalls nothing")
	}
	// A stream that is read at last gets all of its body.
	s := c.request(head("GET", "/bytes/1000000"))
	s.Close()
	if status, body := c.answer("a stream that is read", s); status != "200" || len(body) != 1_000_000 {
		t.Error(status, len(body))
	}
}

// A server that takes nothing of a body makes us hold no more than we said, and other uploads go on.
func TestSlowUpload(t *testing.T) {
	r := newRig(t, 1, nil)
	c := r.settled()
	stalled := c.request(head("POST", "/slow"))
	r.want("the upload", "POST /slow")
	go stalled.Write(frame(frameData, body(4<<20)))
	r.want("its data", "slow data")
	for range 5 {
		s := c.request(head("POST", "/echo"), frame(frameData, body(20_000)))
		s.Close()
		if status, b := c.answer("beside a stalled upload", s); status != "200" || len(b) != 20_000 {
			t.Error(status, len(b))
		}
	}
	w := r.workers[0]
	w.sync(func() {
		if limit := r.cfg.recvBytesMax() + blockLargeBytes; w.holding > limit || w.holding == 0 {
			t.Errorf("%d bytes of the body are held, at most %d should", w.holding, limit)
		}
	})
	stalled.CancelWrite(quic.StreamErrorCode(RequestCancelled))
	r.want("the end", "reset 10c")
}

// A connection that ends takes its streams along.
func TestConnectionLoss(t *testing.T) {
	r := newRig(t, 1, nil)
	c := r.settled()
	for range 5 {
		c.request(head("POST", "/hold"))
	}
	for range 5 {
		r.want("a request", "POST /hold")
	}
	c.q.CloseWithError(quic.ApplicationErrorCode(NoError), "")
	r.want("the end", "gone 100")
	w := r.workers[0]
	w.sync(func() {
		if len(w.streams) != 0 || len(w.conns) != 0 {
			t.Errorf("%d streams and %d connections are left", len(w.streams), len(w.conns))
		}
	})
	r = newRig(t, 1, func(c *Config) { c.IdleTimeout = 2 * time.Second })
	u := newUDP(t)
	tr := &quic.Transport{Conn: u}
	q, err := tr.Dial(context.Background(), net.UDPAddrFromAddrPort(r.e.Addr()), clientTLS(), nil)
	if err != nil {
		t.Fatal(err)
	}
	vanished := &rawClient{t: t, q: q}
	vanished.uni(streamControl, frame(frameSettings, nil))
	vanished.wantAlive("before")
	tr.Close() // without a word
	r.want("the silence", "gone 0")
}

// A head that does not come in time is answered.
func TestHeadTimeout(t *testing.T) {
	r := newRig(t, 1, func(c *Config) { c.HeadTimeout = 500 * time.Millisecond })
	c := r.settled()
	s := c.request(head("GET", "/")[:5])
	r.want("the timeout", "refused "+ErrHeadTimeout.Detail)
	if b, err := io.ReadAll(s); err != nil || statusIn(b) != "431" { // what the test's worker answers to any fault
		t.Error(b, err)
	}
	c.wantAlive("afterwards")
}

// Two endpoints cannot share an address unless one takes over from the other: the kernel would mix their sockets up.
func TestAddressTaken(t *testing.T) {
	all := []string{"127.0.0.1:0", "0.0.0.0:0", "[::]:0"}
	if u, err := net.ListenPacket("udp6", "[::1]:0"); err == nil { // there is IPv6
		u.Close()
		all = append(all, "[::1]:0")
	}
	for _, at := range all {
		secret, cfg := NewSecret(), DefaultConfig(serverTLS())
		e, err := Listen(netip.MustParseAddrPort(at), 2, &cfg, &secret, nil)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := Listen(e.Addr(), 2, &cfg, &secret, nil); !errors.Is(err, errTaken) {
			t.Errorf("%s: %v", at, err)
			second.Close(NoError)
		}
		e.Close(NoError)
		again, err := Listen(e.Addr(), 2, &cfg, &secret, nil)
		if err != nil {
			t.Error(err)
			continue
		}
		again.Close(NoError)
	}
}

// No two processes at an address have the same mark.
func TestTagsDiffer(t *testing.T) {
	all := &Handover{}
	for tag := range 1 << 16 {
		if tag != 0xabcd {
			all.Processes = append(all.Processes, places{Tag: uint16(tag)})
		}
	}
	if tag := newTag(all); tag != 0xabcd {
		t.Errorf("tag %x is another's", tag)
	}
}
