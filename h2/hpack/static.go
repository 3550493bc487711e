package hpack

import "weir/internal/msg"

type staticEntry struct {
	name, value string
	id          msg.FieldID
	pseudo      msg.Pseudo
}

// staticCount is the number of entries of the static table; the dynamic table's indices follow (RFC 7541 section 2.3.3).
const staticCount = 61

// The indices of the static table that the encoder refers to by name (RFC 7541 appendix A).
const (
	staticAuthority  = 1
	staticMethodGet  = 2
	staticMethodPost = 3
	staticPathRoot   = 4
	staticPathIndex  = 5
	staticSchemeHTTP = 6
	staticSchemeTLS  = 7
	staticStatus200  = 8
)

// staticTable is RFC 7541 appendix A; index 0 is not used.
var staticTable = [staticCount + 1]staticEntry{
	1:  {name: ":authority"},
	2:  {name: ":method", value: "GET"},
	3:  {name: ":method", value: "POST"},
	4:  {name: ":path", value: "/"},
	5:  {name: ":path", value: "/index.html"},
	6:  {name: ":scheme", value: "http"},
	7:  {name: ":scheme", value: "https"},
	8:  {name: ":status", value: "200"},
	9:  {name: ":status", value: "204"},
	10: {name: ":status", value: "206"},
	11: {name: ":status", value: "304"},
	12: {name: ":status", value: "400"},
	13: {name: ":status", value: "404"},
	14: {name: ":status", value: "500"},
	15: {name: "accept-charset"},
	16: {name: "accept-encoding", value: "gzip, deflate"},
	17: {name: "accept-language"},
	18: {name: "accept-ranges"},
	19: {name: "accept"},
	20: {name: "access-control-allow-origin"},
	21: {name: "age"},
	22: {name: "allow"},
	23: {name: "authorization"},
	24: {name: "cache-control"},
	25: {name: "content-disposition"},
	26: {name: "content-encoding"},
	27: {name: "content-language"},
	28: {name: "content-length"},
	29: {name: "content-location"},
	30: {name: "content-range"},
	31: {name: "content-type"},
	32: {name: "cookie"},
	33: {name: "date"},
	34: {name: "etag"},
	35: {name: "expect"},
	36: {name: "expires"},
	37: {name: "from"},
	38: {name: "host"},
	39: {name: "if-match"},
	40: {name: "if-modified-since"},
	41: {name: "if-none-match"},
	42: {name: "if-range"},
	43: {name: "if-unmodified-since"},
	44: {name: "last-modified"},
	45: {name: "link"},
	46: {name: "location"},
	47: {name: "max-forwards"},
	48: {name: "proxy-authenticate"},
	49: {name: "proxy-authorization"},
	50: {name: "range"},
	51: {name: "referer"},
	52: {name: "refresh"},
	53: {name: "retry-after"},
	54: {name: "server"},
	55: {name: "set-cookie"},
	56: {name: "strict-transport-security"},
	57: {name: "transfer-encoding"},
	58: {name: "user-agent"},
	59: {name: "vary"},
	60: {name: "via"},
	61: {name: "www-authenticate"},
}

// staticNameSlots finds the first static entry of a field name by its length and three of its letters; it is sparse
// enough that few names need a second look. Zero is empty. staticByID does the same for names with an identity.
var (
	staticNameSlots [256]uint8
	staticByID      [256]uint8
)

// staticNameMax is the length of "access-control-allow-origin".
const staticNameMax = 27

func staticSlot(name []byte) uint8 {
	n := len(name)
	return uint8(uint32(name[0]|0x20)*11 + uint32(name[n-1]|0x20)*37 + uint32(name[n/2]|0x20)*83 + uint32(n)*59)
}

func init() {
	for i := staticCount; i >= 1; i-- { // downwards, so that the first of several entries with one name wins
		e := &staticTable[i]
		name := []byte(e.name)
		if e.name[0] == ':' {
			e.pseudo = msg.LookupPseudo(name)
			continue
		}
		e.id = msg.LookupField(name)
		if e.id != msg.FieldOther {
			staticByID[e.id] = uint8(i)
		}
		slot := staticSlot(name)
		for staticNameSlots[slot] != 0 {
			slot++
		}
		staticNameSlots[slot] = uint8(i)
	}
}

// staticName returns the index of a static entry with this name, compared without case; 0 if there is none.
func staticName(id msg.FieldID, name []byte) uint8 {
	if id != msg.FieldOther {
		return staticByID[id]
	}
	if len(name) == 0 || len(name) > staticNameMax {
		return 0
	}
	for slot := staticSlot(name); staticNameSlots[slot] != 0; slot++ {
		i := staticNameSlots[slot]
		if equalLower(staticTable[i].name, name) {
			return i
		}
	}
	return 0
}

// equalLower reports whether the lower-case string s equals name without regard to the case of name's letters.
func equalLower(s string, name []byte) bool {
	if len(s) != len(name) {
		return false
	}
	for i, c := range name {
		if s[i] != lower[c] {
			return false
		}
	}
	return true
}

// lower maps an octet to itself, but upper-case letters to lower-case ones.
var lower = func() (t [256]byte) {
	for c := range t {
		t[c] = byte(c)
		if 'A' <= c && c <= 'Z' {
			t[c] |= 0x20
		}
	}
	return t
}()
