package h3

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

// Conn is one client connection.
//
// The exported fields are set before OnConn; User is the worker's. Methods may be called from any goroutine and do not
// block.
type Conn struct {
	Local      netip.AddrPort
	ServerName string // the SNI
	Resumed    bool   // the TLS session
	User       any    // the worker's

	q       *quic.Conn
	cfg     *Config
	sink    Sink
	first   netip.AddrPort // the client's address when it came
	control *quic.SendStream
	budget  budget
	queued  atomic.Int64 // bytes that its streams hold for sending
	count   atomic.Int64 // requests so far
	cause   atomic.Pointer[Cause]
	shaken  atomic.Bool // the handshake is complete
	credit  credit
	shared  connShared
}

// connShared is what the goroutines of a connection tell each other.
type connShared struct {
	mu     sync.Mutex
	next   int64 // stream of the next request
	limit  int64 // requests on streams from here on came after GOAWAY
	away   bool  // limit was told
	early  early // priorities of requests that have not come yet
	opened [streamTypes]bool
}

// streamMax is above every identifier of a client's stream, and a multiple of four: the first GOAWAY of a graceful
// shutdown names it (RFC 9114 section 5.2).
const streamMax = 1<<62 - 4

func newConn(q *quic.Conn, cfg *Config, sink Sink) *Conn {
	c := &Conn{q: q, cfg: cfg, sink: sink}
	c.shared.limit = streamMax
	c.credit.most = min(creditsHeldMax, cfg.MaxStreams/8)
	c.first, c.Local = addrPort(q.RemoteAddr()), addrPort(q.LocalAddr())
	return c
}

func addrPort(a net.Addr) netip.AddrPort {
	u, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := u.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// Peer is the client's address now: it may change (RFC 9000 section 9).
func (c *Conn) Peer() netip.AddrPort { return addrPort(c.q.RemoteAddr()) }

// Guest is what Config.Admit has let in; nil when everybody is.
func (c *Conn) Guest() Guest {
	if a, ok := c.q.Context().Value(admissionKey{}).(*admission); ok {
		return a.guest
	}
	return nil
}

// Sink is where the connection reports.
func (c *Conn) Sink() Sink { return c.sink }

// Requests is how many requests the client has sent.
func (c *Conn) Requests() int64 { return c.count.Load() }

// Cause is why the connection has ended; nil while it has not, or when both sides were content.
func (c *Conn) Cause() *Cause { return c.cause.Load() }

// serve runs the connection until it ends. It is a goroutine of its own: the one that takes new requests.
func (c *Conn) serve() {
	if err := c.sendSettings(); err != nil {
		c.Close(ProtocolError, "no control stream can be opened") // RFC 9114 section 6.2 wants three to be allowed
		return
	}
	go c.acceptUni()
	if !c.mayBegin() {
		return
	}
	if a, ok := c.q.Context().Value(admissionKey{}).(*admission); ok {
		a.shaken()
	}
	state := c.q.ConnectionState()
	c.ServerName, c.Resumed = state.TLS.ServerName, state.TLS.DidResume
	c.sink.OnConn(c)
	c.acceptRequests()
	c.sink.OnGone(c)
}

// mayBegin waits until the client has proven that it is there: until the handshake is complete, or until it has begun with
// 0-RTT, which takes a ticket that was good.
func (c *Conn) mayBegin() bool {
	if c.q.ConnectionState().Used0RTT {
		return true
	}
	select {
	case <-c.q.HandshakeComplete():
		c.shaken.Store(true)
		return true
	case <-c.q.Context().Done():
		return false
	}
}

// early reports whether what comes now may be a replay.
func (c *Conn) early() bool {
	if c.shaken.Load() {
		return false
	}
	select {
	case <-c.q.HandshakeComplete():
		c.shaken.Store(true)
		return false
	default:
		return true
	}
}

// sendSettings opens our control stream. The streams for QPACK are not opened: without a dynamic table there is nothing to
// say on them (RFC 9204 section 4.2).
func (c *Conn) sendSettings() error {
	control, err := c.q.OpenUniStream()
	if err != nil {
		return err
	}
	c.control = control
	control.SetPriority(0, false)
	_, err = control.Write(appendSettings(nil, c.cfg.MaxFieldSection))
	return err
}

// acceptRequests takes the client's request streams in their order until the connection ends.
func (c *Conn) acceptRequests() {
	for {
		q, err := c.q.AcceptStream(context.Background())
		if err != nil {
			c.ended(err)
			return
		}
		id := int64(q.StreamID())
		sh := &c.shared
		sh.mu.Lock()
		sh.next = id + 4
		late := id >= sh.limit
		p, told := sh.early.take(id)
		sh.mu.Unlock()
		if late {
			q.CancelRead(quic.StreamErrorCode(RequestRejected))
			q.CancelWrite(quic.StreamErrorCode(RequestRejected))
			q.ReleaseStreamCredit()
			continue
		}
		c.count.Add(1)
		s := &Stream{Conn: c, q: q}
		if told {
			s.SetPriority(p)
			s.recv.prioritised = true
		}
		s.begin()
	}
}

// ended keeps why nothing more comes.
func (c *Conn) ended(err error) {
	var app *quic.ApplicationError
	switch {
	case errors.As(err, &app) && app.Remote:
		c.cause.CompareAndSwap(nil, &Cause{Code: Code(app.ErrorCode)})
	case errors.As(err, &app): // ours: whoever closed it has said why
	default:
		c.cause.CompareAndSwap(nil, &Cause{})
	}
}

// fail ends the connection because of what the client did.
func (c *Conn) fail(err *Error) {
	if c.cause.CompareAndSwap(nil, &Cause{Err: err}) {
		c.Close(err.Code, err.Detail)
	}
}

// Queued is how many bytes of responses wait to be sent for the first time.
func (c *Conn) Queued() int64 { return c.queued.Load() }

// LossTime is how long it takes until the client has what was sent to it, even if some of it has to be sent again twice
// (RFC 9002 section 6.2). QUIC does not tell us what was acknowledged, and closing a connection forgets what was not.
func (c *Conn) LossTime() time.Duration {
	s := c.q.ConnectionStats()
	probe := s.SmoothedRTT + 4*s.MeanDeviation + ackDelayMax
	return min(max(3*probe, lossTimeMin), lossTimeMax)
}

const (
	ackDelayMax = 25 * time.Millisecond // RFC 9000 section 18.2, the default
	lossTimeMin = 200 * time.Millisecond
	lossTimeMax = 3 * time.Second
)

// Close ends the connection and everything on it, also what was not acknowledged. The client sees code and detail.
func (c *Conn) Close(code Code, detail string) {
	go c.q.CloseWithError(quic.ApplicationErrorCode(code), detail) // waits until the connection's own goroutine has ended
}

// WarnAway tells the client that the connection will end soon, and to send no new requests on it if it can help it. Those
// that are on their way are still taken (RFC 9114 section 5.2).
func (c *Conn) WarnAway() { c.sendControl(appendGoAway(nil, streamMax)) }

// GoAway tells the client which requests were the last to be taken. Later ones are rejected, so that they can be sent
// again elsewhere.
func (c *Conn) GoAway() {
	sh := &c.shared
	sh.mu.Lock()
	told := sh.away
	if !told {
		sh.away, sh.limit = true, sh.next
	}
	limit := sh.limit
	sh.mu.Unlock()
	if !told {
		c.sendControl(appendGoAway(nil, uint64(limit)))
	}
}

func (c *Conn) sendControl(b []byte) {
	if c.control.TryWriteAll(b) == quic.ErrWouldBlock {
		go c.control.Write(b) // a client that lets us send nothing on our control stream
	}
}

// onPriority acts on a PRIORITY_UPDATE.
func (c *Conn) onPriority(stream int64, p Priority) *Error {
	sh := &c.shared
	sh.mu.Lock()
	come := stream < sh.next
	if !come {
		sh.early.put(stream, p)
	}
	sh.mu.Unlock()
	if come {
		c.sink.OnPriority(c, stream, p)
	}
	return nil
}
