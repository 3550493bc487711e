package h2

import (
	"weir/h2/hpack"
	"weir/internal/msg"
)

const (
	pseudoRequest = 1<<hpack.PseudoMethod | 1<<hpack.PseudoScheme | 1<<hpack.PseudoPath
	pseudoConnect = 1<<hpack.PseudoMethod | 1<<hpack.PseudoAuthority
	pseudoAll     = pseudoRequest | pseudoConnect | 1<<hpack.PseudoProtocol
)

// finishRequest judges a request (RFC 9113 section 8.3.1) and says how its body is framed.
func (sec *section) finishRequest(connectEnabled, end bool) *Error {
	h := sec.head
	if e := sec.method(connectEnabled); e != nil {
		return e
	}
	if e := sec.target(); e != nil {
		return e
	}
	if e := sec.authority(); e != nil {
		return e
	}
	sec.joinCookies()
	switch {
	case h.Method == msg.MethodConnect:
		sec.msgs |= msgConnect | msgTunnel
		if sec.body.known {
			return errLength // a tunnel has no content (RFC 9110 section 9.3.6)
		}
		h.Framing = msg.BodyTunnel
		if end {
			h.Framing = msg.BodyNone
		}
	case end:
		if sec.body.left != 0 {
			return errLengthDiffers
		}
	case sec.body.known:
		h.Framing, h.Length = msg.BodyLength, sec.body.left
	default:
		h.Framing = msg.BodyStream
	}
	return nil
}

// method checks :method, and which other pseudo-header fields go with it.
func (sec *section) method(connectEnabled bool) *Error {
	h := sec.head
	name := h.Bytes(h.Name)
	switch h.Method = msg.LookupMethod(name); {
	case !sec.has(hpack.PseudoMethod):
		return errPseudoMissing
	case h.Method == msg.MethodOther && !msg.ValidToken(name):
		return errMethod
	case sec.has(hpack.PseudoProtocol):
		// RFC 8441 section 4: an extended CONNECT has all of them.
		if !connectEnabled || h.Method != msg.MethodConnect || !msg.ValidToken(h.Bytes(h.Protocol)) {
			return errProtocol
		}
		if sec.pseudos != pseudoAll {
			return errPseudoMissing
		}
	case h.Method == msg.MethodConnect:
		if sec.pseudos&^pseudoConnect != 0 {
			return errPseudoSurplus // RFC 9113 section 8.5
		}
		if sec.pseudos != pseudoConnect {
			return errPseudoMissing
		}
	case sec.pseudos&pseudoRequest != pseudoRequest:
		return errPseudoMissing
	}
	return nil
}

// target checks :scheme and :path. Only the schemes that a reverse proxy serves are taken.
func (sec *section) target() *Error {
	h := sec.head
	if !sec.has(hpack.PseudoPath) {
		return nil // CONNECT
	}
	switch scheme := h.Bytes(sec.scheme); {
	case msg.EqualFold(scheme, []byte("https")):
		h.Scheme = msg.SchemeHTTPS
	case msg.EqualFold(scheme, []byte("http")):
		h.Scheme = msg.SchemeHTTP
	default:
		return errScheme
	}
	if !msg.ValidTarget(h.Method, h.Bytes(h.Target)) {
		return errPath
	}
	return nil
}

// authority: :authority or host; where both are given they must agree (RFC 9113 section 8.3.1).
func (sec *section) authority() *Error {
	h := sec.head
	if sec.host != 0 {
		host := h.Fields[sec.host-1].Value
		if !sec.has(hpack.PseudoAuthority) {
			h.Authority = host
		} else if !msg.EqualFold(h.Bytes(host), h.Bytes(h.Authority)) {
			return errHost
		}
	}
	if !msg.ValidAuthority(h.Bytes(h.Authority)) {
		return errAuthority
	}
	return nil
}
