package msg

// FinishRequest judges a request as a whole and says how its body is framed. connect: extended CONNECT was offered (RFC 8441
// section 3); end: the stream has ended behind the section, so that there is no content.
func (s *Section) FinishRequest(connect, end bool) Fault {
	if f := s.method(connect); f != 0 {
		return f
	}
	if f := s.target(); f != 0 {
		return f
	}
	if f := s.authority(); f != 0 {
		return f
	}
	s.joinCookies()
	if s.Head.Method == MethodConnect {
		if s.Length != LengthUnsaid {
			return FaultLength // a tunnel has no content (RFC 9110 section 9.3.6)
		}
		s.frameTunnel(end)
		return 0
	}
	return s.frame(end)
}

// FinishResponse judges a response as a whole and says how its body is framed, knowing the request's method (RFC 9110 section
// 6.4.1).
func (s *Section) FinishResponse(to Method, end bool) Fault {
	h := s.Head
	switch {
	case !s.seen.has(PseudoStatus):
		return FaultPseudoMissing
	case h.Status < 200 && end:
		return FaultInterim // RFC 9113 section 8.1
	case h.Status < 200:
	case to == MethodConnect && h.Status < 300:
		s.Length = LengthUnsaid
		s.frameTunnel(end)
	case to == MethodHead || h.Status == 204 || h.Status == 304:
		s.Length = 0 // whatever content-length says, no content may follow
	default:
		return s.frame(end)
	}
	return 0
}

// frame says how the content comes.
func (s *Section) frame(end bool) Fault {
	h := s.Head
	switch {
	case end && s.Length > 0:
		return FaultLengthDiffers
	case end:
	case s.Length != LengthUnsaid:
		h.Framing, h.Length = BodyLength, s.Length
	default:
		h.Framing = BodyStream
	}
	return 0
}

func (s *Section) frameTunnel(end bool) {
	if !end {
		s.Head.Framing = BodyTunnel
	}
}

// method checks :method, and which other pseudo-header fields go with it.
func (s *Section) method(connect bool) Fault {
	h := s.Head
	name := h.Bytes(h.Name)
	switch h.Method = LookupMethod(name); {
	case !s.seen.has(PseudoMethod):
		return FaultPseudoMissing
	case h.Method == MethodOther && !ValidToken(name):
		return FaultMethod
	case s.seen.has(PseudoProtocol):
		// RFC 8441 section 4: an extended CONNECT has all of them.
		if !connect || h.Method != MethodConnect {
			return FaultPseudoSurplus
		}
		if !ValidToken(h.Bytes(h.Protocol)) {
			return FaultProtocol
		}
		if s.seen != pseudosAll {
			return FaultPseudoMissing
		}
	case h.Method == MethodConnect:
		if s.seen&^pseudosConnect != 0 {
			return FaultPseudoSurplus // RFC 9113 section 8.5, RFC 9114 section 4.4
		}
		if s.seen != pseudosConnect {
			return FaultPseudoMissing
		}
	case s.seen&pseudosRequest != pseudosRequest:
		return FaultPseudoMissing
	}
	return 0
}

// target checks :scheme and :path. Only the schemes that a reverse proxy serves are taken; "http" is one of them over QUIC too,
// for clients that came by an alternative service of a cleartext origin.
func (s *Section) target() Fault {
	h := s.Head
	if !s.seen.has(PseudoPath) {
		return 0 // CONNECT
	}
	switch scheme := h.Bytes(s.scheme); {
	case EqualLower(scheme, "https"):
		h.Scheme = SchemeHTTPS
	case EqualLower(scheme, "http"):
		h.Scheme = SchemeHTTP
	default:
		return FaultScheme
	}
	if !ValidTarget(h.Method, h.Bytes(h.Target)) {
		return FaultTarget
	}
	return 0
}

// authority: :authority or host; where both are given they must agree (RFC 9113 section 8.3.1, RFC 9114 section 4.3.1).
func (s *Section) authority() Fault {
	h := s.Head
	if s.host != 0 {
		host := h.Fields[s.host-1].Value
		if !s.seen.has(PseudoAuthority) {
			h.Authority = host
		} else if !EqualFold(h.Bytes(host), h.Bytes(h.Authority)) {
			return FaultHostDiffers
		}
	}
	switch {
	case h.Authority.Len() == 0:
		return FaultHostMissing
	case !ValidAuthority(h.Bytes(h.Authority)):
		return FaultHost
	}
	return 0
}

// ValidTarget reports whether a request target is in origin-form, or "*" for OPTIONS (RFC 9112 section 3.2).
func ValidTarget(m Method, b []byte) bool {
	if len(b) == 0 {
		return false
	}
	if b[0] != '/' {
		return m == MethodOptions && len(b) == 1 && b[0] == '*'
	}
	return all(b, octetTarget)
}
