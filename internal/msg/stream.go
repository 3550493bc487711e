package msg

// FieldsMax bounds the field lines of a head, and of a trailer section.
const FieldsMax = 256

// vetStreamRequest checks what an HTTP/2 or HTTP/3 request that is right by its own version may not have here. Its Section has
// judged all else.
func vetStreamRequest(h *Head) Fault {
	switch {
	case h.Name.Len() > MethodBytesMax:
		return FaultMethodSize
	case h.Method == MethodConnect && h.Protocol.Len() == 0:
		return FaultConnect
	case h.Protocol.Len() > 0 && !EqualLower(h.Bytes(h.Protocol), "websocket"):
		return FaultProtocol
	}
	return vetStreamFields(h)
}

// vetStreamFields checks what any section may have too much of.
func vetStreamFields(h *Head) Fault {
	if len(h.Fields) > FieldsMax {
		return FaultFieldCount
	}
	return 0
}
