package engine

import (
	"net/netip"
	"strconv"

	"weir/internal/config"
	"weir/internal/msg"
)

// dressRequest adds what tells a server about the client and removes what a client must not claim. It runs once an
// exchange, before the first attempt.
func (x *exchange) dressRequest() {
	fe, h := x.s.fe, &x.req.head
	if fe.cfg.Forwarded != config.ForwardedOff {
		x.dressForwarded(fe.trusts(x.s.peer.Addr()))
	}
	if fe.cfg.RequestID && h.Get(msg.FieldXRequestID) == nil {
		var id [32]byte
		h.Add(msg.FieldXRequestID, "X-Request-ID", x.w.ids.next(id[:0]))
	}
	if fe.via[h.Version] != nil {
		h.Add(msg.FieldVia, "Via", fe.via[h.Version])
	}
	if h.Flags.Has(msg.FlagEarlyData) {
		h.DropAll(msg.FieldEarlyData)
		h.Add(msg.FieldEarlyData, "Early-Data", []byte("1"))
	}
}

// trusts reports whether the forwarding fields of a peer are believed.
func (fe *frontend) trusts(a netip.Addr) bool {
	a = a.Unmap()
	for _, p := range fe.cfg.TrustedProxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// dressForwarded extends the forwarding fields of a trusted peer and replaces those of any other.
func (x *exchange) dressForwarded(trusted bool) {
	h, kind := &x.req.head, x.s.fe.cfg.Forwarded
	if !trusted {
		for i := range h.Fields {
			switch f := &h.Fields[i]; f.ID {
			case msg.FieldForwarded, msg.FieldXForwardedFor, msg.FieldXForwardedProto, msg.FieldXForwardedHost,
				msg.FieldXForwardedPort, msg.FieldXRealIP:
				f.Drop = true
			case msg.FieldOther:
				f.Drop = f.Drop || forwards(h.Bytes(f.Name))
			}
		}
	}
	if kind == config.ForwardedX || kind == config.ForwardedBoth {
		x.dressX(trusted)
	}
	if kind == config.ForwardedRFC || kind == config.ForwardedBoth {
		x.dressRFC7239()
	}
}

// forwards reports whether a name that weir does not know is one that servers take for a forwarding field: another of the
// X-Forwarded family, or one of the known ones with underscores, which are hyphens to CGI and its heirs.
func forwards(name []byte) bool {
	const family, realIP = "x-forwarded-", "x-real-ip"
	return len(name) > len(family) && sameName(name[:len(family)], family) || sameName(name, realIP)
}

// sameName compares a name with one in lower case, without regard to case and to what its words are joined by.
func sameName(name []byte, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i, c := range name {
		if c == '_' {
			c = '-'
		} else if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// dressX sets X-Forwarded-For, -Proto, -Host and -Port. A trusted peer's list of addresses is extended; what it says of
// scheme, host and port stands, since it has seen the original.
func (x *exchange) dressX(trusted bool) {
	h, w := &x.req.head, x.w
	list := w.fieldBuf[:0]
	for i := range h.Fields {
		if f := &h.Fields[i]; f.ID == msg.FieldXForwardedFor && !f.Drop {
			list = append(append(list, h.Bytes(f.Value)...), ", "...)
			f.Drop = true
		}
	}
	list = x.s.peer.Addr().Unmap().AppendTo(list)
	h.Add(msg.FieldXForwardedFor, "X-Forwarded-For", list)
	w.fieldBuf = list
	if !trusted || h.Get(msg.FieldXForwardedProto) == nil {
		h.Add(msg.FieldXForwardedProto, "X-Forwarded-Proto", schemeWord(x.s.scheme()))
	}
	if h.Authority.Len() > 0 && (!trusted || h.Get(msg.FieldXForwardedHost) == nil) {
		w.fieldBuf = append(w.fieldBuf[:0], h.Bytes(h.Authority)...)
		h.Add(msg.FieldXForwardedHost, "X-Forwarded-Host", w.fieldBuf)
	}
	if !trusted || h.Get(msg.FieldXForwardedPort) == nil {
		w.fieldBuf = strconv.AppendUint(w.fieldBuf[:0], uint64(x.s.bind.Address.Port()), 10)
		h.Add(msg.FieldXForwardedPort, "X-Forwarded-Port", w.fieldBuf)
	}
}

// dressRFC7239 adds one element to Forwarded (RFC 7239 section 4).
func (x *exchange) dressRFC7239() {
	h, w := &x.req.head, x.w
	v := w.fieldBuf[:0]
	for i := range h.Fields {
		if f := &h.Fields[i]; f.ID == msg.FieldForwarded && !f.Drop {
			v = append(append(v, h.Bytes(f.Value)...), ", "...)
			f.Drop = true
		}
	}
	v = append(v, "for="...)
	if a := x.s.peer.Addr().Unmap(); a.Is6() {
		v = append(a.AppendTo(append(v, `"[`...)), `]"`...)
	} else {
		v = a.AppendTo(v)
	}
	if h.Authority.Len() > 0 {
		v = append(append(append(v, `;host="`...), h.Bytes(h.Authority)...), '"')
	}
	v = append(append(v, ";proto="...), schemeWord(x.s.scheme())...)
	h.Add(msg.FieldForwarded, "Forwarded", v)
	w.fieldBuf = v
}

var (
	wordHTTP  = []byte("http")
	wordHTTPS = []byte("https")
)

func schemeWord(s msg.Scheme) []byte {
	if s == msg.SchemeHTTPS {
		return wordHTTPS
	}
	return wordHTTP
}

// dressResponse adds what weir has to say to the client.
func (x *exchange) dressResponse(h *msg.Head) {
	if v := x.s.fe.via[h.Version]; v != nil {
		h.Add(msg.FieldVia, "Via", v)
	}
	if x.way.setSticky {
		x.addStickyCookie(h)
	}
	if x.s.advertisesH3() && h.Get(msg.FieldAltSvc) == nil {
		x.w.fieldBuf = appendAltSvc(x.w.fieldBuf[:0], x.s.bind)
		h.Add(msg.FieldAltSvc, "Alt-Svc", x.w.fieldBuf)
	}
}
