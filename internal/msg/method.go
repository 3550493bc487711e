package msg

// Method is the identity of a request method.
type Method uint8

// The methods whose semantics weir has to know (RFC 9110 section 9, RFC 5789). MethodOther is any other token.
const (
	MethodOther Method = iota
	MethodGet
	MethodHead
	MethodPost
	MethodPut
	MethodDelete
	MethodConnect
	MethodOptions
	MethodTrace
	MethodPatch
)

// LookupMethod returns the identity of a method token. Methods are case-sensitive (RFC 9110 section 9.1).
func LookupMethod(b []byte) Method {
	switch string(b) {
	case "GET":
		return MethodGet
	case "HEAD":
		return MethodHead
	case "POST":
		return MethodPost
	case "PUT":
		return MethodPut
	case "DELETE":
		return MethodDelete
	case "CONNECT":
		return MethodConnect
	case "OPTIONS":
		return MethodOptions
	case "TRACE":
		return MethodTrace
	case "PATCH":
		return MethodPatch
	}
	return MethodOther
}

// Safe reports whether the method is safe (RFC 9110 section 9.2.1).
func (m Method) Safe() bool {
	return m == MethodGet || m == MethodHead || m == MethodOptions || m == MethodTrace
}

// Idempotent reports whether sending the request twice has the effect of sending it once (RFC 9110 section 9.2.2).
func (m Method) Idempotent() bool { return m.Safe() || m == MethodPut || m == MethodDelete }

// MethodBytesMax is twice the longest registered method; a longer token is no method that any server has.
const MethodBytesMax = 32
