package msg

// vetStreamRequest checks an HTTP/2 or HTTP/3 request for what HTTP/1 heads are checked for while they are parsed, and for
// what only these versions forbid (RFC 9113 sections 8.2 and 8.3, RFC 9114 sections 4.2 and 4.3).
func vetStreamRequest(h *Head) Fault {
	switch {
	case !ValidToken(h.Bytes(h.Name)):
		return FaultMethod
	case h.Name.Len() > MethodBytesMax:
		return FaultMethodSize
	case h.Method == MethodConnect && h.Protocol.Len() == 0:
		return FaultConnect
	case h.Protocol.Len() > 0 && h.Method != MethodConnect:
		return FaultRequestLine
	case h.Protocol.Len() > 0 && !equalLower(h.Bytes(h.Protocol), "websocket"):
		return FaultProtocol
	case !ValidTarget(h.Method, h.Bytes(h.Target)):
		return FaultTarget
	}
	if f := vetStreamFields(h, true); f != 0 {
		return f
	}
	return streamHost(h)
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

// streamHost settles the authority: :authority, else Host; both only if they agree (RFC 9113 section 8.3.1).
func streamHost(h *Head) Fault {
	host := -1
	for i := range h.Fields {
		if h.Fields[i].ID != FieldHost {
			continue
		}
		if host >= 0 {
			return FaultHostTwice
		}
		host = i
	}
	if host >= 0 {
		v := h.Fields[host].Value
		if h.Authority.Len() == 0 {
			h.Authority = v
		} else if !EqualFold(h.Bytes(h.Authority), h.Bytes(v)) {
			return FaultHostDiffers
		}
	}
	if h.Authority.Len() == 0 {
		return FaultHostMissing
	}
	if !ValidAuthority(h.Bytes(h.Authority)) {
		return FaultHost
	}
	return 0
}

func vetStreamResponse(h *Head) Fault {
	if h.Status < 100 || h.Status > 599 || h.Status == 101 { // RFC 9113 section 8.6: 101 does not exist
		return FaultStatus
	}
	return vetStreamFields(h, false)
}

// FieldsMax bounds the field lines of a head, and of a trailer section.
const FieldsMax = 256

// vetStreamFields checks names, values and lengths, and names the fields that have an identity.
func vetStreamFields(h *Head, request bool) Fault {
	if len(h.Fields) > FieldsMax {
		return FaultFieldCount
	}
	lengths := 0
	for i := range h.Fields {
		f := &h.Fields[i]
		if fault := vetStreamField(h, f); fault != 0 {
			return fault
		}
		switch f.ID {
		case FieldConnection, FieldKeepAlive, FieldProxyConnection, FieldTransferEncoding, FieldUpgrade:
			return FaultHopField // RFC 9113 section 8.2.2
		case FieldTE:
			if request && !equalLower(h.Bytes(f.Value), "trailers") {
				return FaultHopField
			}
		case FieldContentLength:
			if lengths++; lengths > 1 {
				return FaultLengthTwice
			}
			if fault := streamLength(h, f, request); fault != 0 {
				return fault
			}
		}
	}
	return 0
}

// vetStreamField checks one name and value (RFC 9113 section 8.2.1).
func vetStreamField(h *Head, f *Field) Fault {
	name, v := h.Bytes(f.Name), h.Bytes(f.Value)
	if len(name) == 0 {
		return FaultFieldName
	}
	for _, c := range name {
		if octets[c]&(octetToken|octetUpper) != octetToken {
			return FaultFieldName
		}
	}
	if ScanValue(v, 0) != len(v) {
		return FaultFieldValue
	}
	if n := len(v); n > 0 && (v[0] == ' ' || v[0] == '\t' || v[n-1] == ' ' || v[n-1] == '\t') {
		return FaultFieldValue
	}
	if f.ID == FieldOther {
		f.ID = LookupField(name)
	}
	return 0
}

// streamLength takes Content-Length for what it says about DATA (RFC 9113 section 8.1.1). The codec counts.
func streamLength(h *Head, f *Field, request bool) Fault {
	n, ok := ParseLength(h.Bytes(f.Value))
	if !ok {
		return FaultLength
	}
	switch h.Framing {
	case BodyStream, BodyLength:
		h.Framing, h.Length = BodyLength, n
	case BodyNone:
		if request && n != 0 {
			return FaultLength
		}
	}
	return 0
}
