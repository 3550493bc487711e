package msg

// Pseudo is the identity of a pseudo-header field (RFC 9113 section 8.3, RFC 9114 section 4.3, RFC 8441 section 4).
type Pseudo uint8

// The pseudo-header fields. PseudoUnknown is any other name that starts with a colon.
const (
	PseudoNone Pseudo = iota
	PseudoAuthority
	PseudoMethod
	PseudoPath
	PseudoScheme
	PseudoStatus
	PseudoProtocol
	PseudoUnknown
)

// LookupPseudo returns the identity of a name that starts with a colon; PseudoNone for one that does not.
func LookupPseudo(name []byte) Pseudo {
	if len(name) == 0 || name[0] != ':' {
		return PseudoNone
	}
	switch string(name) {
	case ":authority":
		return PseudoAuthority
	case ":method":
		return PseudoMethod
	case ":path":
		return PseudoPath
	case ":scheme":
		return PseudoScheme
	case ":status":
		return PseudoStatus
	case ":protocol":
		return PseudoProtocol
	}
	return PseudoUnknown
}

// pseudos is a set of pseudo-header fields.
type pseudos uint8

const (
	pseudosRequest = pseudos(1<<PseudoMethod | 1<<PseudoScheme | 1<<PseudoPath)
	pseudosConnect = pseudos(1<<PseudoMethod | 1<<PseudoAuthority)
	pseudosAll     = pseudosRequest | pseudosConnect | 1<<PseudoProtocol
)

func (set pseudos) has(p Pseudo) bool { return set&(1<<p) != 0 }
