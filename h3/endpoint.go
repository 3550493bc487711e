package h3

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

// Endpoint is a UDP address that HTTP/3 is spoken on: a socket and a QUIC transport for each worker. Its methods may be
// called from any goroutine but a worker's: some wait.
type Endpoint struct {
	cfg   atomic.Pointer[Config]
	tls   *tls.Config
	ports []*port

	secret  Secret
	refuses atomic.Bool // new clients are told to go elsewhere
	open    context.Context
	end     context.CancelFunc // of open: nobody waits for his admission any more
	mu      sync.Mutex         // guards the rest
	group   *group
	late    *time.Timer // ends the time in which stragglers are taken; nil: there is none
}

// port is one worker's part of an endpoint.
type port struct {
	e        *Endpoint
	worker   int
	tr       *quic.Transport
	listener *quic.EarlyListener
	sink     Sink
	shaking  atomic.Int64 // connections in their handshake
	mu       sync.Mutex
	live     map[*Conn]struct{}
	takers   sync.WaitGroup // the goroutines that accept
	done     sync.WaitGroup // those that serve
}

// Secret is what an endpoint derives its keys from: of stateless resets, and of the tokens that prove an address. With the
// same secret a process knows the tokens of the one before it, and can tell its clients that their connections are gone.
type Secret [32]byte

// NewSecret makes one that nobody else has.
func NewSecret() (s Secret) {
	rand.Read(s[:])
	return s
}

// derive makes a key for one purpose.
func (s *Secret) derive(purpose string, n int) (key [32]byte) {
	h := hmac.New(sha256.New, s[:])
	h.Write([]byte(purpose))
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(n)))
	h.Sum(key[:0])
	return key
}

// Listen opens the sockets of an address. The port may be 0. Clients are not heard before Serve. before is what the process
// before this one has handed over, its descriptors as they are in this one; nil: nothing. Its secret replaces secret.
func Listen(addr netip.AddrPort, workers int, cfg *Config, secret *Secret, before *Handover) (*Endpoint, error) {
	cfg.check()
	// The library logs by itself where the kernel caps its buffers, which it tries to raise beyond what we ask for.
	os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	g, err := openGroup(addr, workers, newTag(before), before)
	if err != nil {
		return nil, err
	}
	e := &Endpoint{group: g, secret: *secret}
	e.open, e.end = context.WithCancel(context.Background())
	if before != nil {
		copy(e.secret[:], before.Secret)
	}
	e.cfg.Store(cfg)
	e.tls = e.frontTLS(cfg.TLS)
	for i, conn := range g.conns {
		e.ports = append(e.ports, e.newPort(i, workers, conn))
	}
	return e, nil
}

// newTag makes the mark of this process: none that another one at the address has.
func newTag(before *Handover) uint16 {
	for {
		var b [2]byte
		rand.Read(b[:])
		tag := binary.BigEndian.Uint16(b[:])
		if before == nil || !slices.ContainsFunc(before.Processes, func(p places) bool { return p.Tag == tag }) {
			return tag
		}
	}
}

// frontTLS is what QUIC asks first in every handshake. Who has to wait for his admission waits there, before anything is
// computed for him; then it hands over to the configuration that is in force.
func (e *Endpoint) frontTLS(first *tls.Config) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: first.NextProtos,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if a, ok := hello.Context().Value(admissionKey{}).(*admission); ok && !a.wait(hello.Context()) {
				return nil, errNotAdmitted
			}
			now := e.cfg.Load().TLS
			if now.GetConfigForClient == nil {
				return now, nil
			}
			chosen, err := now.GetConfigForClient(hello)
			if chosen == nil && err == nil {
				chosen = now
			}
			return chosen, err
		},
	}
}

func (e *Endpoint) newPort(worker, workers int, conn net.PacketConn) *port {
	p := &port{e: e, worker: worker, live: map[*Conn]struct{}{}}
	// Each worker has a key of its own. A packet that the kernel gave to the wrong one, while sockets move in the group, would
	// otherwise be answered with a reset that the client has to believe.
	reset := quic.StatelessResetKey(e.secret.derive("stateless reset", worker))
	token := quic.TokenGeneratorKey(e.secret.derive("address token", 0))
	p.tr = &quic.Transport{
		Conn:                  conn,
		ConnectionIDGenerator: &idMaker{worker: worker, workers: workers, tag: e.group.own.Tag},
		StatelessResetKey:     &reset,
		TokenGeneratorKey:     &token,
		VerifySourceAddress:   p.mustProve,
		ConnContext:           p.admit,
	}
	return p
}

// Addr is the address with the port that was given.
func (e *Endpoint) Addr() netip.AddrPort { return e.group.addr }

// Workers is how many workers it has.
func (e *Endpoint) Workers() int { return len(e.ports) }

// Update makes cfg the configuration of the connections that begin from now on.
func (e *Endpoint) Update(cfg *Config) {
	cfg.check()
	e.cfg.Store(cfg)
}

// Serve begins to take clients. sinks are the workers'.
func (e *Endpoint) Serve(sinks []Sink) error {
	for i, p := range e.ports {
		p.sink = sinks[i]
		l, err := p.tr.ListenEarly(e.tls, &quic.Config{
			GetConfigForClient: func(*quic.ClientInfo) (*quic.Config, error) { return e.cfg.Load().quic(), nil },
			Allow0RTT:          true,
		})
		if err != nil {
			return err
		}
		p.listener = l
		for range acceptors {
			p.takers.Go(p.accept)
		}
	}
	return nil
}

// acceptors is how many goroutines of a port wait for connections. QUIC refuses a connection whose handshake is complete
// when 32 others have not been taken yet; in a rush of clients that happens before a single goroutine gets its turn.
const acceptors = 32

// accept takes connections whose handshake has come far enough.
func (p *port) accept() {
	for {
		q, err := p.listener.Accept(context.Background())
		if err != nil {
			return
		}
		c := newConn(q, p.e.cfg.Load(), p.sink)
		p.mu.Lock()
		p.live[c] = struct{}{}
		p.mu.Unlock()
		p.done.Go(func() {
			c.serve()
			p.mu.Lock()
			delete(p.live, c)
			p.mu.Unlock()
		})
	}
}

// mustProve reports whether a client has to prove its address first: when so many are in their handshake that they may
// well be one, who makes addresses up.
func (p *port) mustProve(net.Addr) bool { return p.shaking.Load() >= int64(p.e.cfg.Load().Unverified) }

// admit is asked for every new connection, before its handshake.
func (p *port) admit(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	a := &admission{port: p}
	if p.e.refuses.Load() {
		return nil, errNotAdmitted
	}
	if ask := p.e.cfg.Load().Admit; ask != nil {
		if a.guest = ask(p.worker, addrPort(info.RemoteAddr)); a.guest == nil {
			return nil, errNotAdmitted
		}
	}
	p.shaking.Add(1)
	context.AfterFunc(ctx, func() {
		a.shaken()
		if a.guest != nil {
			a.guest.Leave()
		}
	})
	return context.WithValue(ctx, admissionKey{}, a), nil
}

// errNotAdmitted makes QUIC refuse a connection.
var errNotAdmitted = errors.New("h3: not admitted")

// admission is a connection's place among those that are in their handshake, or wait for that.
type admission struct {
	port  *port
	guest Guest // nil: everybody is admitted
	over  atomic.Bool
}

type admissionKey struct{}

// wait waits until the handshake may begin, and reports whether it may.
func (a *admission) wait(ctx context.Context) bool {
	if a.guest == nil {
		return true
	}
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	defer context.AfterFunc(a.port.e.open, leave)()
	return a.guest.Wait(ctx)
}

// shaken gives the place back. It may be called more than once.
func (a *admission) shaken() {
	if !a.over.Swap(true) {
		a.port.shaking.Add(-1)
	}
}

// stragglerTime is how long after a handover the next process's clients may still come to us: those whose first packets were
// in our sockets when the kernel began to steer, and those who have been asked by us to prove their address, which they do
// with a connection ID of ours. A round trip is enough, but they may have to repeat it.
const stragglerTime = 3 * time.Second

// Drain takes no more connections: clients are refused at once, so that they try elsewhere without waiting. Those that there
// are live on, also those in their handshake. Where the next process has the sockets, stragglers are still taken.
func (e *Endpoint) Drain() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.group.handed {
		e.refuses.Store(true)
		return
	}
	if e.late == nil {
		e.late = time.AfterFunc(stragglerTime, func() { e.refuses.Store(true) })
	}
}

// Resume takes connections again after a Drain.
func (e *Endpoint) Resume() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.late != nil {
		e.late.Stop()
		e.late = nil
	}
	e.refuses.Store(false)
}

// Close ends everything at once: connections are closed with code, then the sockets.
func (e *Endpoint) Close(code Code) {
	e.end()
	for _, p := range e.ports {
		if p.listener != nil {
			p.listener.Close()
		}
	}
	for _, p := range e.ports {
		p.takers.Wait()
		p.mu.Lock()
		for c := range p.live {
			c.Close(code, "")
		}
		p.mu.Unlock()
	}
	for _, p := range e.ports {
		p.done.Wait()
		p.tr.Close()
	}
	e.mu.Lock()
	e.group.close()
	e.mu.Unlock()
}

// Idle reports whether there is no connection, not even one in its handshake.
func (e *Endpoint) Idle() bool {
	for _, p := range e.ports {
		if p.shaking.Load() > 0 { // before it is taken from here it is among the live ones
			return false
		}
		p.mu.Lock()
		n := len(p.live)
		p.mu.Unlock()
		if n > 0 {
			return false
		}
	}
	return true
}
