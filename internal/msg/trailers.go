package msg

// trailersForbidden are names that RFC 9110 section 6.5.1 keeps out of trailers and that have no identity of their own:
// request modifiers, response control data, and what says how to process the content. A recipient that merged them into
// the head would be deceived.
var trailersForbidden = [...]string{
	"age", "cache-control", "content-encoding", "content-language", "content-location", "content-range", "date", "expires",
	"if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "location", "pragma", "range",
	"retry-after", "vary", "warning", "www-authenticate", "authentication-info", "cookie2", "set-cookie2", "clear-site-data",
	"strict-transport-security", "content-security-policy", "access-control-allow-origin",
	"access-control-allow-credentials",
}

// DropTrailers drops the trailer fields that may not stand there: framing, routing, authentication, control data (RFC 9110
// section 6.5.1), and everything that speaks for one hop or for the proxies before it. What is left may be sent on as
// trailers, never as header fields. It may be called again on the same section.
func DropTrailers(h *Head) {
	for i := range h.Fields {
		f := &h.Fields[i]
		if !trailerAllowed(f.ID, h.Bytes(f.Name)) {
			f.Drop = true
		}
	}
}

// trailerAllowed: of the names with an identity only these are known to be harmless after the content.
func trailerAllowed(id FieldID, name []byte) bool {
	switch id {
	case FieldOther:
	case FieldLink:
		return true
	default:
		return false
	}
	for _, s := range trailersForbidden {
		if EqualLower(name, s) {
			return false
		}
	}
	return true
}
