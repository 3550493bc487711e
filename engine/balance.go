package engine

import (
	"bytes"
	"net/netip"

	"weir/internal/config"
	"weir/internal/msg"
	"weir/internal/stats"
	"weir/pool"
)

// choose picks the server of an exchange: the one that persistence names, else, without multiplex, the one that the session
// has, else by the backend's balance. nil: none can be given anything.
func (x *exchange) choose() *server {
	be := x.way.backend
	if s := x.persisted(); s != nil && s != x.way.avoid {
		x.way.sticky = true
		x.hold(s)
		return s
	}
	x.way.setSticky = be.cfg.Persistence.Type == config.PersistenceCookie
	if s := x.held(); s != nil {
		return s
	}
	s := be.balance(x)
	if s == nil && x.way.avoid != nil {
		x.way.avoid = nil
		s = be.balance(x)
	}
	if s != nil {
		x.hold(s)
	}
	return s
}

// hold ties the session to a server where its connections are not shared with others.
func (x *exchange) hold(s *server) {
	if !s.be.cfg.Multiplex {
		x.s.hold.server = s
	}
}

// held is the server that the session is tied to, if that may still be used: what does not say whose it is stays with what
// came before on the client's connection.
func (x *exchange) held() *server {
	be, s := x.way.backend, x.s.hold.server
	if s == nil || s.be != be || s.retired || be.cfg.Multiplex || !s.persistable() || s == x.way.avoid {
		return nil
	}
	return s
}

// persisted is the server that the client was given before, if the configuration remembers and it may still be used.
func (x *exchange) persisted() *server {
	be, h := x.way.backend, &x.req.head
	switch be.cfg.Persistence.Type {
	case config.PersistenceCookie:
		return be.byCookie(h)
	case config.PersistenceSourceIP:
		return be.byHash(hashAddr(x.s.peer.Addr()), x.way.avoid, false)
	case config.PersistenceHeader:
		if v := fieldValue(h, be.cfg.Persistence.Name); v != nil {
			return be.byHash(hashBytes(v), x.way.avoid, false)
		}
	}
	return nil
}

// persistable reports whether the server may have the exchanges of clients that were given it before.
func (s *server) persistable() bool {
	return s.state <= stats.StateDrain && s.addr.IsValid()
}

// balanceable reports whether the server may have new clients.
func (s *server) balanceable() bool {
	return s.state <= stats.StateSlowStart && s.weight > 0 && s.addr.IsValid() && s.reachable()
}

// balance picks a server among those that may have new clients.
func (be *backend) balance(x *exchange) *server {
	switch be.cfg.Balance {
	case config.BalanceLeastConn:
		return be.leastConn(x.way.avoid)
	case config.BalanceRandom2:
		return be.random2(x)
	case config.BalanceHashSource:
		return be.byHash(hashAddr(x.s.peer.Addr()), x.way.avoid, true)
	case config.BalanceHashHeader:
		if v := fieldValue(&x.req.head, be.cfg.BalanceHeader); v != nil {
			return be.byHash(hashBytes(v), x.way.avoid, true)
		}
	}
	return be.roundRobin(x)
}

// roundRobin is the smooth weighted kind: each server gains its weight, the richest serves and pays the sum. With shared
// connections a server whose connections are all busy is skipped when another has an idle one that the exchange may use. It
// pays all the same: what it was spared would else come all at once when it is free. A server that has no connection is not
// busy: skipping it as well would leave it without any for ever.
func (be *backend) roundRobin(x *exchange) *server {
	var best, bestIdle *server
	total := 0
	for _, s := range be.servers {
		if !s.balanceable() || s == x.way.avoid {
			continue
		}
		weight := s.effectiveWeight(x.w.now)
		s.credit += weight
		total += weight
		if best == nil || s.credit > best.credit {
			best = s
		}
		if be.cfg.Multiplex && s.hasIdle() && (bestIdle == nil || s.credit > bestIdle.credit) {
			bestIdle = s
		}
	}
	if best == nil {
		return nil
	}
	best.credit -= total
	if bestIdle != nil && bestIdle != best && best.busy() && be.mayShare(x) {
		return bestIdle
	}
	return best
}

// mayShare reports whether the exchange could use an idle connection if there were one.
func (be *backend) mayShare(x *exchange) bool {
	return !x.private() && x.connectionNeed() != pool.Never
}

// leastConn picks the server with the fewest exchanges in flight over all workers for its weight. Among those that have as
// few it goes round like roundRobin, so that each has its share also while there is little to do.
func (be *backend) leastConn(avoid *server) *server {
	least := be.leastLoaded(avoid)
	if least == nil {
		return nil
	}
	best, total := least, 0
	load, weight := least.load(), int64(least.effectiveWeight(be.w.now))
	for _, s := range be.servers {
		w := s.effectiveWeight(be.w.now)
		if !s.balanceable() || s == avoid || s.load()*weight > load*int64(w) {
			continue
		}
		s.credit += w
		total += w
		if s.credit > best.credit {
			best = s
		}
	}
	best.credit -= total
	return best
}

// leastLoaded is the first of those servers.
func (be *backend) leastLoaded(avoid *server) *server {
	var best *server
	var bestLoad, bestWeight int64
	for _, s := range be.servers {
		if !s.balanceable() || s == avoid {
			continue
		}
		load, weight := s.load(), int64(s.effectiveWeight(be.w.now))
		if best == nil || load*bestWeight < bestLoad*weight {
			best, bestLoad, bestWeight = s, load, weight
		}
	}
	return best
}

// random2 takes the less loaded of two servers drawn by weight.
func (be *backend) random2(x *exchange) *server {
	a := be.draw(x, nil)
	if a == nil {
		return nil
	}
	b := be.draw(x, a)
	if b != nil && b.load()*int64(a.weight) < a.load()*int64(b.weight) {
		return b
	}
	return a
}

// draw picks a server at random by weight, other than not.
func (be *backend) draw(x *exchange, not *server) *server {
	total := 0
	for _, s := range be.servers {
		if s.balanceable() && s != not && s != x.way.avoid {
			total += s.effectiveWeight(x.w.now)
		}
	}
	if total == 0 {
		return nil
	}
	r := int(x.w.rand.next() % uint64(total))
	for _, s := range be.servers {
		if s.balanceable() && s != not && s != x.way.avoid {
			if r -= s.effectiveWeight(x.w.now); r < 0 {
				return s
			}
		}
	}
	return nil
}

// byHash is rendezvous hashing by weight: when a server leaves, only its clients move. bounded: a server with more than
// its share of the load by a quarter passes the client on to the next in the client's own order (consistent hashing with
// bounded loads).
func (be *backend) byHash(key uint64, avoid *server, bounded bool) *server {
	limit := int64(-1)
	if bounded {
		limit = be.fairLoad()
	}
	var best, any *server
	var bestScore, anyScore float64
	for _, s := range be.servers {
		ok := s.balanceable() || (!bounded && s.persistable() && s.weight > 0)
		if !ok || s == avoid {
			continue
		}
		score := rendezvousScore(key, s.hash, s.weight)
		if any == nil || score > anyScore {
			any, anyScore = s, score
		}
		if limit >= 0 && s.load() >= limit*int64(s.weight) {
			continue
		}
		if best == nil || score > bestScore {
			best, bestScore = s, score
		}
	}
	if best == nil {
		return any
	}
	return best
}

// fairLoad is the load for each unit of weight beyond which a server is passed over.
func (be *backend) fairLoad() int64 {
	var load, weight int64
	for _, s := range be.servers {
		if s.balanceable() {
			load += s.load()
			weight += int64(s.weight)
		}
	}
	if weight == 0 {
		return 0
	}
	return (load+1)*5/(4*weight) + 1
}

func hashAddr(a netip.Addr) uint64 {
	b := a.As16()
	return hashBytes(b[:])
}

// fieldValue is the value of the first kept field with a name in lower case.
func fieldValue(h *msg.Head, name string) []byte {
	if name == "host" {
		return h.Bytes(h.Authority)
	}
	for i := range h.Fields {
		if f := &h.Fields[i]; !f.Drop && msg.EqualLower(h.Bytes(f.Name), name) {
			return h.Bytes(f.Value)
		}
	}
	return nil
}

// byCookie is the server that a cookie in any of the Cookie fields names (RFC 6265 section 5.4). There may be several of the
// same name, for different paths, and some that others have set: the first that names a server counts.
func (be *backend) byCookie(h *msg.Head) *server {
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.ID != msg.FieldCookie || f.Drop {
			continue
		}
		for rest := h.Bytes(f.Value); len(rest) > 0; {
			var pair []byte
			pair, rest, _ = bytes.Cut(rest, []byte(";"))
			k, v, ok := bytes.Cut(bytes.TrimSpace(pair), []byte("="))
			if !ok || string(k) != be.cfg.Persistence.Name {
				continue
			}
			for _, s := range be.servers {
				if string(v) == s.cookie && s.persistable() {
					return s
				}
			}
		}
	}
	return nil
}

// addStickyCookie tells the client its server.
func (x *exchange) addStickyCookie(h *msg.Head) {
	v := append(x.w.fieldBuf[:0], x.way.backend.cfg.Persistence.Name...)
	v = append(append(v, '='), x.way.server.cookie...)
	v = append(v, "; Path=/; HttpOnly; SameSite=Lax"...)
	if x.s.secure != nil {
		v = append(v, "; Secure"...)
	}
	h.Add(msg.FieldSetCookie, "Set-Cookie", v)
	x.w.fieldBuf = v
}
