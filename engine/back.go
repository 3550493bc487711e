package engine

import (
	"weir/internal/mono"
	"weir/internal/stats"
	"weir/netio"
	"weir/netio/tlsio"
	"weir/pool"
)

// backConn is one server connection: its transport, whose it is, and the mux of the protocol that it speaks.
//
//	connecting ──► (proxy header) ──► handshake ──► open ──► closed
//	     └────────────────┴───────────────┴── failed ──────────▲
type backConn struct {
	conn
	stage   backStage
	srv     *server
	node    pool.Node[*backConn]
	owner   *session    // the only session that may use it; nil: shared
	sibling *backConn   // the next of its owner's
	wanted  netio.Token // the exchange it was opened for
	why     stats.Why
	epoch   uint32 // of the server's address
	onlyH1  bool   // TLS offers it no HTTP/2

	openedAt mono.Time // when the connect began
	tokens   connTokens
	gauge    connGauge
	check    bool // it was opened for a health check, and carries nothing else
	rested   bool // it has been idle: the server may have ended it before it could know of the exchange

	h1 backH1
	h2 *backH2
}

// backStage is how far a server connection has come.
type backStage uint8

const (
	backConnecting backStage = iota // exactly when TCP is not established
	backHandshake                   // exactly when the TLS handshake is under way
	backOpen                        // exactly when a mux may send requests
	backClosed                      // exactly when the descriptor is closed
)

// connGauge names the gauge that counts a server connection now; there is always exactly one.
type connGauge uint8

const (
	gaugeNone connGauge = iota
	gaugeConnecting
	gaugeUsed
	gaugeIdleFresh
	gaugeIdleSafe
	gaugePrivate
	gaugeDraining
)

// count moves c to another gauge.
func (c *backConn) count(g connGauge) {
	if c.owner != nil && (g == gaugeUsed || g == gaugeIdleFresh || g == gaugeIdleSafe) {
		g = gaugePrivate
	}
	if g == c.gauge {
		return
	}
	if p := c.srv.gaugeCell(c.gauge); p != nil {
		*p--
	}
	if p := c.srv.gaugeCell(g); p != nil {
		*p++
	}
	c.gauge = g
}

func (srv *server) gaugeCell(g connGauge) *int64 {
	switch g {
	case gaugeConnecting:
		return &srv.cells.Connecting
	case gaugeUsed:
		return &srv.cells.Used
	case gaugeIdleFresh:
		return &srv.cells.IdleFresh
	case gaugeIdleSafe:
		return &srv.cells.IdleSafe
	case gaugePrivate:
		return &srv.cells.Private
	case gaugeDraining:
		return &srv.cells.Draining
	}
	return nil
}

// onReadable implements connOwner.
func (c *backConn) onReadable() {
	if c.stage == backConnecting && !c.connected() {
		return
	}
	if c.stage == backHandshake && !c.shakeHands() {
		return
	}
	switch {
	case c.stage != backOpen:
	case c.h2 != nil:
		c.h2.onReadable()
	default:
		c.h1.onReadable(c)
	}
}

// onRoom implements connOwner.
func (c *backConn) onRoom() {
	switch {
	case c.stage != backOpen:
		c.onReadable()
	case c.h2 != nil:
		c.h2.onRoom()
	case c.h1.x != nil:
		c.h1.x.onReqRoom()
	case c.has(finished): // what a tunnel has left is sent
		c.end(stats.CauseSessionEnd, false)
	}
}

// onFull implements connOwner.
func (c *backConn) onFull(n int) { noteFull(n, c.srv.be.limits.Buffer) }

// onTimeout implements connOwner: the connect took too long, or an idle connection has reached its age.
func (c *backConn) onTimeout() {
	switch {
	case c.stage < backOpen:
		c.failConnect(causeConnectTimeout, stats.CauseTimeout)
	case c.h2 != nil:
		c.h2.onTimeout()
	default:
		c.h1.onTimeout(c)
	}
}

// onBroken implements connOwner: a write found the server gone. What it sent before that may still be read: a server that
// refuses a body early answers first and resets then.
func (c *backConn) onBroken() {
	c.set(canRead | hungUp)
	c.onReadable()
	if c.stage != backClosed && !c.has(canRead) {
		c.fail(stats.CausePeerReset)
	}
}

// connected finishes a TCP connect.
func (c *backConn) connected() bool {
	switch io := c.w.k.Connected(int(c.fd)); io {
	case netio.OK:
	case netio.Again:
		return false
	default:
		c.failConnect(causeConnectFailed, causeOfIO(io))
		return false
	}
	c.clear(opening | canRead)
	c.set(canWrite)
	if !c.sendProxyHeader() {
		return false
	}
	if c.srv.be.secure == nil {
		c.open(stats.H1)
		return c.stage == backOpen
	}
	c.beginHandshake()
	return true
}

// open makes the connection ready: TCP stands, TLS stands if asked for, the protocol is known.
func (c *backConn) open(proto stats.Protocol) {
	c.stage = backOpen
	c.arm(mono.Never)
	c.srv.be.cells.ConnectDuration.Observe(int64(c.w.now.Sub(c.openedAt)))
	c.srv.connectOK(c.w.now)
	c.learnName()
	if proto == stats.H2 || c.srv.be.h2c() {
		c.h2 = newBackH2(c)
		c.node.Stays = true
	} else {
		if !c.onlyH1 {
			c.srv.http1Only()
		}
		c.h1.begin()
	}
	x := c.w.exchanges.get(c.wanted)
	c.srv.opened(c, x)
}

// failConnect ends a connection that never stood, and lets the exchange that it was for try again.
func (c *backConn) failConnect(why *cause, end stats.Cause) {
	c.srv.cells.Errors[stats.ErrorConnect]++
	c.srv.connectFailed(c.w.now)
	x := c.w.exchanges.get(c.wanted)
	c.end(end, true)
	if x != nil && x.place == placeWaiting && x.way.dial == c.token { // it may have given this one up for another
		x.connectFailed(why)
	}
	c.srv.kick()
}

// fail ends a connection that broke. An exchange under way learns of it.
func (c *backConn) fail(end stats.Cause) {
	if c.h2 != nil {
		c.h2.fail(end)
		return
	}
	c.h1.fail(c, end)
}

// end closes the connection and counts why. It is the only place where a server connection closes.
func (c *backConn) end(why stats.Cause, abort bool) {
	if c.stage == backClosed {
		return
	}
	open := c.stage == backOpen
	if open && !c.check {
		c.srv.be.cells.RequestsPerConn.Observe(int64(c.node.Recycle.Uses()))
	}
	c.stage = backClosed
	c.srv.cells.Closed[why]++
	c.count(gaugeNone)
	c.srv.forget(c)
	if c.owner != nil {
		c.owner.dropPrivate(c)
	}
	if open && !abort && c.partWays() {
		return
	}
	c.conn.close(abort)
	c.tokens.release()
}

// sessionEnded is called when the only session that may use the connection has closed.
func (c *backConn) sessionEnded() {
	c.owner = nil
	c.end(stats.CauseSessionEnd, false)
}

// causeOfEnd is the close cause of a connection whose input ended. A server that breaks TLS, with a record that is none or
// with a renegotiation, which is refused, has not gone by itself: it was cut off.
func (c *backConn) causeOfEnd(io netio.IO) stats.Cause {
	if io == netio.Failed && c.tls != nil && c.tls.Failure() != tlsio.FailPeerAlert {
		return stats.CauseProtocolError
	}
	return causeOfIO(io)
}

// causeOfBreak is the answer to a request whose connection has broken for the given cause.
func causeOfBreak(end stats.Cause) *cause {
	if end == stats.CauseProtocolError {
		return causeBadResponse
	}
	return causeServerClosed
}

// causeOfIO is the close cause of a failed call.
func causeOfIO(io netio.IO) stats.Cause {
	switch io {
	case netio.EOF:
		return stats.CausePeerClosed
	case netio.TimedOut:
		return stats.CauseTimeout
	}
	return stats.CausePeerReset
}
