package engine

import (
	"weir/internal/limit"
	"weir/netio"
)

// parting is a connection that weir has ended and its server has not yet: our FIN is sent, the server's is awaited, and the
// place in the limits is kept until then. A server learns of an end when it gets round to it. Were the place of an idle
// connection given away at once, a server that may have ten would be seen with eleven.
type parting struct {
	conn
	count  *limit.Count // of those that part from the backend's servers
	tokens connTokens
}

// partWays leaves the rest of an open connection that is to be closed to a parting, and reports whether that is called for: where a
// limit counts the server's connections, and the server has not ended this one.
func (c *backConn) partWays() bool {
	w := c.w
	if !c.tokens.scarce() || c.has(peerClosed|hungUp) || c.backlog() > 0 || w.stopped {
		return false
	}
	if c.tls != nil {
		c.tls.CloseNotify()
		c.tls.Flush()
		c.tls.Close()
		c.tls = nil
	}
	fd, p := int(c.fd), &parting{count: c.srv.be.limits.Parting, tokens: c.tokens}
	c.tokens = connTokens{}
	w.k.ShutdownSend(fd)
	w.k.Unwatch(fd)
	c.conn.abandon()
	if !w.adopt(&p.conn, fd, p) {
		p.tokens.release()
		return true
	}
	p.count.TryAcquire()
	p.arm(deadlineAfter(w.now, c.srv.be.timeouts.ServerFin))
	return true
}

// scarce reports whether a limit is in force on what the tokens count.
func (t *connTokens) scarce() bool {
	return t.conn != nil && t.conn.Max() > 0 || t.ssl != nil && t.ssl.Max() > 0
}

// onReadable implements connOwner: what the server still says is thrown away.
func (p *parting) onReadable() {
	for range lingerReads {
		_, io := p.recv(p.w.scratch)
		switch io {
		case netio.OK:
		case netio.Again:
			return
		default:
			p.over(false)
			return
		}
	}
	p.wake()
}

// onRoom implements connOwner.
func (p *parting) onRoom() {}

// onFull implements connOwner.
func (p *parting) onFull(int) {}

// onBroken implements connOwner.
func (p *parting) onBroken() { p.over(false) }

// onTimeout implements connOwner: the server leaves its half open.
func (p *parting) onTimeout() { p.over(true) }

func (p *parting) over(abort bool) {
	p.close(abort)
	p.tokens.release()
	p.count.Release()
}
