package engine

import (
	"weir/internal/config"
	"weir/internal/proxyproto"
	"weir/internal/stats"
	"weir/netio"
)

// readProxyHeader collects the PROXY header that a listener with accept-proxy demands, and reports whether it is complete. It never reads a byte behind the header: those are TLS's or HTTP's.
func (s *session) readProxyHeader() bool {
	for s.has(canRead) {
		need, err := proxyproto.Need(s.pending())
		if err != nil {
			s.close(true)
			return false
		}
		if need == 0 {
			return s.proxied()
		}
		p := s.w.scratch[:need]
		n, io := s.w.k.Recv(int(s.fd), p)
		switch io {
		case netio.OK:
			s.in.Append(p[:n])
		case netio.Again:
			s.clear(canRead)
			return false
		default:
			s.close(true)
			return false
		}
	}
	if need, err := proxyproto.Need(s.pending()); err == nil && need == 0 && s.in.Len() > 0 {
		return s.proxied()
	}
	return false
}

// proxied takes over what the header says.
func (s *session) proxied() bool {
	h, err := proxyproto.Parse(s.pending())
	s.in.Reset()
	if err != nil {
		s.close(true)
		return false
	}
	if !h.Local {
		s.peer, s.rarely().local = h.Source, h.Destination
	}
	return true
}

// sendProxyHeader tells the server whose connection this is. The connection is private: it is one client's.
func (c *backConn) sendProxyHeader() bool {
	version := c.srv.be.cfg.SendProxy
	if version == config.SendProxyOff {
		return true
	}
	w := c.w
	b := w.headBuf[:0]
	var s *session
	if c.owner != nil {
		s = c.owner
	}
	switch {
	case s == nil && version == config.SendProxyV1:
		b = append(b, "PROXY UNKNOWN\r\n"...)
	case s == nil:
		b = proxyproto.AppendV2(b, w.k.LocalAddr(int(c.fd)), c.srv.addr)
	case version == config.SendProxyV1:
		b = proxyproto.AppendV1(b, s.peer, s.localAddr())
	default:
		b = proxyproto.AppendV2(b, s.peer, s.localAddr())
	}
	w.headBuf = b
	// A fresh connection's send buffer is empty: the header fits, and it must be the first thing on the wire, before TLS.
	n, io := w.k.Send(int(c.fd), b)
	if io != netio.OK || n != len(b) {
		c.failConnect(causeConnectFailed, stats.CausePeerReset)
		return false
	}
	return true
}
