package engine

import (
	"bytes"

	"weir/internal/config"
	"weir/internal/msg"
)

// route finds the exchange's backend and sends it there. The first route that matches wins.
func (x *exchange) route() {
	h := &x.req.head
	r := x.s.fe.routeOf(hostOf(h.Bytes(h.Authority)), h.Bytes(h.Target))
	x.way.route = r.cells
	if r.backend == nil {
		x.answer(causeNoServer)
		return
	}
	x.way.backend = r.backend
	x.dressRequest()
	x.admit()
}

// route is one entry of a frontend's table, as this worker sees it.
type route struct {
	host    string // lower case; "*.example.com": any name below it; "": any
	prefix  string
	backend *backend // nil: nothing is configured for what comes here
	cells   *routeCells
}

func (r *route) matches(host, target []byte) bool {
	if r.prefix != "" && !(len(target) >= len(r.prefix) && string(target[:len(r.prefix)]) == r.prefix) {
		return false
	}
	switch {
	case r.host == "":
		return true
	case r.host[0] == '*':
		suffix := r.host[1:]
		return len(host) > len(suffix) && msg.EqualLower(host[len(host)-len(suffix):], suffix)
	}
	return msg.EqualLower(host, r.host)
}

// routeOf returns the first route that matches, or the frontend's own backend.
func (fe *frontend) routeOf(host, target []byte) *route {
	for i := range fe.routes {
		if r := &fe.routes[i]; r.matches(host, target) {
			return r
		}
	}
	return &fe.fallback
}

// hostOf is an authority without its port and without the dot that ends an absolute name.
func hostOf(authority []byte) []byte {
	if i := bytes.LastIndexByte(authority, ':'); i >= 0 && bytes.IndexByte(authority[i:], ']') < 0 {
		authority = authority[:i]
	}
	if n := len(authority); n > 1 && authority[n-1] == '.' {
		authority = authority[:n-1]
	}
	return authority
}

// speaksH2 reports whether requests to this backend may be streams, which a server can refuse without having seen them.
func (be *backend) speaksH2() bool { return be.cfg.H2 != config.BackendH2Off }

// h2c reports whether cleartext connections to this backend begin with HTTP/2.
func (be *backend) h2c() bool { return be.cfg.H2 == config.BackendH2C }

// forwardsClose reports whether the server's wish to close its connection is passed to the client.
func (w *way) forwardsClose() bool {
	return w.backend != nil && w.backend.cfg.ForwardClose && !w.backend.cfg.Multiplex
}
