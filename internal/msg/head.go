package msg

// Span is a range of bytes of a Head's Buf. The zero Span is empty.
type Span struct{ Off, End uint32 }

// Len is the number of bytes in the span.
func (s Span) Len() int { return int(s.End - s.Off) }

// Field is one field line: its name as it was received, its value without the surrounding white space.
type Field struct {
	Name, Value Span
	ID          FieldID // what the name is, when weir has to know it; FieldOther otherwise
	Drop        bool    // not to be sent on: hop-by-hop, named by Connection, framing, or replaced
	Sensitive   bool    // its sender forbade putting it into a compression table (RFC 7541 section 6.2.3, RFC 9204 section 4.5.4)
	Line        bool    // Buf holds "name: value CRLF" in one piece, as h1 sends it; set by the h1 reader only
}

// Head is the start of a message (or its trailer section): where it goes, what it is, how its body is framed.
//
// All text is spans into Buf. A codec that yields a Head lets Buf alias its input: the Head is valid until the codec is
// called again. Who keeps it copies it with CopyFrom. Nothing in a Head is shared between workers.
type Head struct {
	Buf    []byte
	Fields []Field

	Version Version // of the peer that sent the message
	Method  Method  // requests: the method's identity
	Name    Span    // requests: the method as it was sent

	Scheme    Scheme // requests
	Authority Span   // requests: host[:port] from the target or Host; empty only in HTTP/1.0
	Target    Span   // requests: origin-form target with its query, "*", or empty (CONNECT without a path)
	Protocol  Span   // requests: the token of Upgrade or :protocol that is kept, e.g. "websocket"; 101 responses: the same

	Status uint16 // responses
	Reason Span   // responses over HTTP/1

	Framing Framing
	Length  int64 // body bytes when Framing is BodyLength; else of no meaning
	Flags   Flags
}

// Version is the protocol a message came in.
type Version uint8

// The versions, in the order of their age.
const (
	HTTP10 Version = iota + 1
	HTTP11
	HTTP2
	HTTP3
)

// Scheme is the scheme of a request's target URI.
type Scheme uint8

// The schemes a request can have. SchemeNone: the message did not say (origin-form).
const (
	SchemeNone Scheme = iota
	SchemeHTTP
	SchemeHTTPS
)

// Framing says how the end of a body is known (RFC 9112 section 6.3, RFC 9113 section 8.1).
type Framing uint8

const (
	BodyNone    Framing = iota // there is no body, and the message says so
	BodyLength                 // Length bytes follow
	BodyChunked                // h1 chunked coding
	BodyClose                  // h1 response that ends with the connection
	BodyStream                 // h2 or h3 without a length: ends with the stream's end
	BodyTunnel                 // bytes both ways until either side ends: 101, 2xx to CONNECT
)

// Flags are the facts about a head that decide what happens to connection and body.
type Flags uint16

const (
	FlagKeepAlive   Flags = 1 << iota // the sender's connection persists after this message (RFC 9112 section 9.3)
	FlagExpect100                     // Expect: 100-continue, from an HTTP/1.1 or later client
	FlagTETrailers                    // TE: trailers
	FlagUpgrade                       // a vetted Upgrade that may become a tunnel; Protocol holds the token
	FlagNTLM                          // carries NTLM or Negotiate credentials or challenge: ties identity to a connection
	FlagEarlyData                     // arrived in TLS 0-RTT
	FlagMaxForwards                   // has a Max-Forwards field (TRACE, OPTIONS)
	FlagCloseSaid                     // Connection: close was said in so many words
	FlagPrivate                       // reserved for the engine: must not ride on a shared connection
)

// Has reports whether all flags of g are set.
func (f Flags) Has(g Flags) bool { return f&g == g }

// Bytes returns the text of s. It aliases Buf.
func (h *Head) Bytes(s Span) []byte { return h.Buf[s.Off:s.End] }

// Reset empties h and keeps its memory.
func (h *Head) Reset() {
	*h = Head{Buf: h.Buf[:0], Fields: h.Fields[:0]}
}

// CopyFrom makes h a copy of src with its own bytes; h's memory is used again.
func (h *Head) CopyFrom(src *Head) {
	buf, fields := append(h.Buf[:0], src.Buf...), append(h.Fields[:0], src.Fields...)
	*h = *src
	h.Buf, h.Fields = buf, fields
}

// Put appends bytes to Buf and returns their span. Buf must be owned, not aliased to input.
func (h *Head) Put(b []byte) Span {
	off := len(h.Buf)
	h.Buf = append(h.Buf, b...)
	return Span{uint32(off), uint32(len(h.Buf))}
}

// PutString is Put for a string.
func (h *Head) PutString(s string) Span {
	off := len(h.Buf)
	h.Buf = append(h.Buf, s...)
	return Span{uint32(off), uint32(len(h.Buf))}
}

// Add appends a field. Buf must be owned.
func (h *Head) Add(id FieldID, name string, value []byte) {
	n := h.PutString(name)
	v := h.Put(value)
	h.Fields = append(h.Fields, Field{Name: n, Value: v, ID: id})
}

// Get returns the value of the first kept field with this id, or nil. It aliases Buf.
func (h *Head) Get(id FieldID) []byte {
	for i := range h.Fields {
		if f := &h.Fields[i]; f.ID == id && !f.Drop {
			return h.Bytes(f.Value)
		}
	}
	return nil
}

// DropAll marks every field with this id as not to be sent on, and returns how many there were.
func (h *Head) DropAll(id FieldID) (n int) {
	for i := range h.Fields {
		if f := &h.Fields[i]; f.ID == id && !f.Drop {
			f.Drop = true
			n++
		}
	}
	return n
}
