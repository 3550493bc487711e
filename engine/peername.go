package engine

import (
	"net/netip"

	"weir/internal/config"
	"weir/internal/stats"
	"weir/pool"
)

// Where the SNI follows the request's host, a connection that is opened for nobody yet, to be kept warm or to check the
// server, has no name to ask for. It takes the one that a request has last reached a server of the backend by. Until there
// is one it is unnamed: it stands under a key that no request has, so that it carries none, and gives way once there is.

// unnamedSNI stands in the key of unnamed connections. No host has a space.
const unnamedSNI = " "

// asksForHosts reports whether servers are asked for by the host of each request.
func (be *backend) asksForHosts() bool { return be.secure != nil && be.cfg.TLS.SNI == config.SNIHost }

// warmKey is the key of connections that are opened for nobody yet.
func (be *backend) warmKey() (k pool.Key) {
	if !be.asksForHosts() {
		return k
	}
	if k.SNI = be.named; k.SNI == "" {
		k.SNI = unnamedSNI
	}
	return k
}

// unnamed reports whether c was opened before anybody knew by which name.
func (c *backConn) unnamed() bool { return c.node.Key().SNI == unnamedSNI }

// guess is the name that a server is asked for while none is known: its own if it has one.
func (srv *server) guess() string {
	if _, err := netip.ParseAddr(srv.cfg.Host); err == nil {
		return ""
	}
	return srv.cfg.Host
}

// learnName remembers by which name the server was reached. What clients ask for and no server has is not worth trying.
func (c *backConn) learnName() {
	if name := c.node.Key().SNI; name != "" && name != unnamedSNI {
		c.srv.be.named = name
	}
}

// replaceUnnamed closes idle connections that no request can ride on. Those of the right name are opened in their place.
func (srv *server) replaceUnnamed() {
	if srv.be.named == "" {
		return
	}
	for {
		c, ok := srv.shard.EvictLike(pool.Key{SNI: unnamedSNI}, 1)
		if !ok {
			return
		}
		c.end(stats.CauseEvicted, false)
	}
}
