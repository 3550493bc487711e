package msg

// FieldID is the identity of a field name that weir has to know. Names compare without case (RFC 9110 section 5.1).
type FieldID uint8

// The known names. FieldOther is any other name; it passes untouched.
const (
	FieldOther FieldID = iota
	FieldHost
	FieldConnection
	FieldKeepAlive
	FieldProxyConnection
	FieldTransferEncoding
	FieldContentLength
	FieldTE
	FieldTrailer
	FieldUpgrade
	FieldExpect
	FieldHTTP2Settings
	FieldAuthorization
	FieldProxyAuthorization
	FieldWWWAuthenticate
	FieldProxyAuthenticate
	FieldProxyAuthenticationInfo
	FieldCookie
	FieldSetCookie
	FieldForwarded
	FieldXForwardedFor
	FieldXForwardedProto
	FieldXForwardedHost
	FieldXForwardedPort
	FieldXRealIP
	FieldXRequestID
	FieldVia
	FieldDate
	FieldServer
	FieldContentType
	FieldMaxForwards
	FieldSecWebSocketKey
	FieldSecWebSocketVersion
	FieldSecWebSocketAccept
	FieldEarlyData
	FieldAltSvc
	FieldLink
	FieldAccept
	FieldSecFetchDest
	FieldPriority
	fieldCount
)

var fieldNames = [fieldCount]string{
	FieldHost:                    "host",
	FieldConnection:              "connection",
	FieldKeepAlive:               "keep-alive",
	FieldProxyConnection:         "proxy-connection",
	FieldTransferEncoding:        "transfer-encoding",
	FieldContentLength:           "content-length",
	FieldTE:                      "te",
	FieldTrailer:                 "trailer",
	FieldUpgrade:                 "upgrade",
	FieldExpect:                  "expect",
	FieldHTTP2Settings:           "http2-settings",
	FieldAuthorization:           "authorization",
	FieldProxyAuthorization:      "proxy-authorization",
	FieldWWWAuthenticate:         "www-authenticate",
	FieldProxyAuthenticate:       "proxy-authenticate",
	FieldProxyAuthenticationInfo: "proxy-authentication-info",
	FieldCookie:                  "cookie",
	FieldSetCookie:               "set-cookie",
	FieldForwarded:               "forwarded",
	FieldXForwardedFor:           "x-forwarded-for",
	FieldXForwardedProto:         "x-forwarded-proto",
	FieldXForwardedHost:          "x-forwarded-host",
	FieldXForwardedPort:          "x-forwarded-port",
	FieldXRealIP:                 "x-real-ip",
	FieldXRequestID:              "x-request-id",
	FieldVia:                     "via",
	FieldDate:                    "date",
	FieldServer:                  "server",
	FieldContentType:             "content-type",
	FieldMaxForwards:             "max-forwards",
	FieldSecWebSocketKey:         "sec-websocket-key",
	FieldSecWebSocketVersion:     "sec-websocket-version",
	FieldSecWebSocketAccept:      "sec-websocket-accept",
	FieldEarlyData:               "early-data",
	FieldAltSvc:                  "alt-svc",
	FieldLink:                    "link",
	FieldAccept:                  "accept",
	FieldSecFetchDest:            "sec-fetch-dest",
	FieldPriority:                "priority",
}

// The longest known name: "proxy-authentication-info".
const fieldNameMax = 25

// fieldTable finds a name by its length and a few of its letters; slots hold identities, zero is empty.
var fieldTable [256]FieldID

func fieldHash(b []byte) uint8 {
	n := len(b)
	return uint8(uint32(b[0]|0x20)*7 + uint32(b[n-1]|0x20)*29 + uint32(b[n/2]|0x20)*101 + uint32(n)*53)
}

func init() {
	for id := FieldHost; id < fieldCount; id++ {
		h := fieldHash([]byte(fieldNames[id]))
		for fieldTable[h] != 0 {
			h++
		}
		fieldTable[h] = id
	}
}

// LookupField returns the identity of a field name, comparing without case.
func LookupField(name []byte) FieldID {
	if len(name) == 0 || len(name) > fieldNameMax {
		return FieldOther
	}
	for h := fieldHash(name); fieldTable[h] != 0; h++ {
		if id := fieldTable[h]; EqualLower(name, fieldNames[id]) {
			return id
		}
	}
	return FieldOther
}

// String returns the name in lower case; empty for FieldOther.
func (id FieldID) String() string { return fieldNames[id] }

// EqualLower reports whether b equals the lower-case string s without regard to case.
func EqualLower(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != s[i] {
			return false
		}
	}
	return true
}
