package engine

import (
	"slices"

	"weir/internal/config"
	"weir/pool"
)

// streamsPromised is how many exchanges wait for one h2 connection that is being opened before another one is. Servers
// allow a hundred streams as a rule (RFC 9113 section 6.5.2); what is promised too much waits a little longer.
const streamsPromised = 64

// sharesDial reports whether x should wait for an h2 connection that is being opened already, instead of opening its own.
func (srv *server) sharesDial(x *exchange) bool {
	switch {
	case !srv.be.speaksH2() || srv.noH2:
		return false
	case x.private():
		return srv.sharesOwnDial(x)
	case x.way.need != pool.Any:
		return false
	}
	key, promised := x.poolKey(), 0
	for _, c := range srv.dials {
		if c.node.Key() == key {
			promised += streamsPromised
		}
	}
	if promised == 0 {
		return false
	}
	return promised >= srv.line.len()
}

// sharesOwnDial reports whether the session is opening a connection already that can carry x too: the streams of a client
// are no reason for more than one that is its own.
func (srv *server) sharesOwnDial(x *exchange) bool {
	if x.way.fresh || x.needsH1() {
		return false
	}
	key := x.ownKey()
	for c := x.s.hold.private; c != nil; c = c.sibling {
		if c.srv == srv && c.stage < backOpen && !c.onlyH1 && c.node.Key() == key {
			return true
		}
	}
	return false
}

// dialBegun remembers a connection that others may share.
func (srv *server) dialBegun(c *backConn) {
	if srv.be.speaksH2() && c.owner == nil {
		srv.dials = append(srv.dials, c)
	}
}

// dialEnded forgets it. Who waited for it and got no stream looks for another one.
func (srv *server) dialEnded(c *backConn) {
	i := slices.Index(srv.dials, c)
	if i < 0 {
		return
	}
	srv.dials = slices.Delete(srv.dials, i, i+1)
}

// kick has every exchange that waits for another's connection look again.
func (srv *server) kick() {
	var sharing []*exchange
	for _, l := range [...]*list{&srv.line.riders, &srv.line.owners} {
		if l.sharing == 0 {
			continue
		}
		for x := l.first; x != nil; x = x.way.wait.next {
			if x.looksOn() {
				sharing = append(sharing, x)
			}
		}
	}
	for _, x := range sharing {
		if x.looksOn() && !srv.sharesDial(x) {
			x.dialStep(stepDialRate)
		}
	}
}

// looksOn reports whether the exchange waits without a connection of its own on the way.
func (x *exchange) looksOn() bool { return x.way.awaits() && x.place == placeWaiting && !x.way.dialing }

// wantsPing reports whether an idle connection must answer a PING before it is used: it has been silent for longer than
// idle-ping.
func (c *backConn) wantsPing() bool {
	d := c.srv.be.cfg.IdlePing
	return d > 0 && c.h2 != nil && c.h2.live == 0 && c.w.now.Sub(c.h2.heard) > d
}

// checkAlive has x wait for the answer of an idle connection.
func (c *backConn) checkAlive(x *exchange) {
	c.srv.await(x)
	x.place, x.way.dialing = placeWaiting, true
	x.arm(c.srv.be.timeouts.Connect)
	c.wanted = x.token
	c.count(gaugeUsed)
	c.h2.ping()
}

// http1Only remembers that a server which was offered HTTP/2 has chosen HTTP/1.1.
func (srv *server) http1Only() {
	if srv.be.cfg.H2 == config.BackendH2ALPN && !srv.noH2 {
		srv.noH2 = true
	}
}
