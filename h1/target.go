package h1

import (
	"bytes"

	"weir/internal/msg"
)

// targetForm tells the forms of a request target apart (RFC 9112 section 3.2) and splits it into scheme, authority and
// path with query. The bytes were checked before.
func targetForm(h *msg.Head) msg.Fault {
	t := h.Bytes(h.Target)
	switch {
	case h.Method == msg.MethodConnect:
		return authorityForm(h, t)
	case t[0] == '/':
		return 0
	case len(t) == 1 && t[0] == '*':
		if h.Method != msg.MethodOptions {
			return msg.FaultTarget
		}
		return 0
	}
	return absoluteForm(h, t)
}

// authorityForm: host and port, which has no default (RFC 9110 section 9.3.6).
func authorityForm(h *msg.Head, t []byte) msg.Fault {
	if !msg.ValidAuthority(t) {
		return msg.FaultTarget
	}
	if i := bytes.LastIndexByte(t, ':'); i < 0 || i+1 == len(t) || t[len(t)-1] == ']' {
		return msg.FaultTarget
	}
	h.Authority, h.Target = h.Target, msg.Span{}
	return 0
}

func absoluteForm(h *msg.Head, t []byte) msg.Fault {
	n := 0
	switch {
	case len(t) > 7 && msg.EqualFold(t[:7], []byte("http://")):
		n, h.Scheme = 7, msg.SchemeHTTP
	case len(t) > 8 && msg.EqualFold(t[:8], []byte("https://")):
		n, h.Scheme = 8, msg.SchemeHTTPS
	default:
		return msg.FaultTarget
	}
	end := n
	for end < len(t) && t[end] != '/' && t[end] != '?' {
		end++
	}
	if !msg.ValidAuthority(t[n:end]) {
		return msg.FaultTarget
	}
	off := h.Target.Off
	h.Authority = msg.Span{Off: off + uint32(n), End: off + uint32(end)}
	h.Target.Off = off + uint32(end)
	return 0
}

// finishHost settles the authority: exactly one Host in HTTP/1.1, at most one in HTTP/1.0, the same as the target's if
// that has one (RFC 9112 sections 3.2 and 3.2.2). Where the RFC lets the target win over a Host that differs, the
// origin's own routing could see what ours did not, so it is refused.
func finishHost(h *msg.Head, x *framed) msg.Fault {
	switch {
	case x.hosts > 1:
		return msg.FaultHostTwice
	case x.hosts == 0 && h.Version != msg.HTTP10:
		return msg.FaultHostMissing
	}
	if x.hosts == 1 {
		v := h.Fields[x.host].Value
		if !msg.ValidAuthority(h.Bytes(v)) {
			return msg.FaultHost
		}
		if h.Authority.Len() == 0 {
			h.Authority = v
		} else if !msg.EqualFold(h.Bytes(h.Authority), h.Bytes(v)) {
			return msg.FaultHostDiffers
		}
	}
	if h.Scheme != msg.SchemeNone {
		completePath(h)
	}
	return 0
}

// completePath gives an absolute-form target without a path the "/" (RFC 9110 section 4.2.3), or "*" for OPTIONS without
// a query (RFC 9112 section 3.2.4), that origin-form wants. The bytes are made of those of the scheme's "//", in place.
func completePath(h *msg.Head) {
	switch slash := h.Authority.Off - 1; {
	case h.Target.Len() == 0:
		if h.Method == msg.MethodOptions {
			h.Buf[slash] = '*'
		}
		h.Target = msg.Span{Off: slash, End: slash + 1}
	case h.Buf[h.Target.Off] == '?':
		copy(h.Buf[slash:], h.Bytes(h.Authority))
		h.Authority.Off--
		h.Authority.End--
		h.Target.Off--
		h.Buf[h.Target.Off] = '/'
	}
}
