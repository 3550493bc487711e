package msg

// KeepAliveHint reads what a server says about the life of its connection in Keep-Alive: seconds that it will stay idle,
// and exchanges that are left. -1 stands for what it does not say. The field counts although vetting has dropped it; of
// several parameters with one name the smallest counts, and what cannot be read is as good as unsaid.
func KeepAliveHint(h *Head) (seconds, exchanges int) {
	seconds, exchanges = -1, -1
	for i := range h.Fields {
		if h.Fields[i].ID != FieldKeepAlive {
			continue
		}
		for v := h.Bytes(h.Fields[i].Value); len(v) > 0; {
			var m []byte
			m, v = nextMember(v)
			hint(m, "timeout=", &seconds)
			hint(m, "max=", &exchanges)
		}
	}
	return seconds, exchanges
}

// hintDigitsMax: ten digits of seconds are three centuries.
const hintDigitsMax = 9

func hint(m []byte, prefix string, least *int) {
	if len(m) <= len(prefix) || len(m) > len(prefix)+hintDigitsMax || !EqualLower(m[:len(prefix)], prefix) {
		return
	}
	n := 0
	for _, c := range m[len(prefix):] {
		if octets[c]&octetDigit == 0 {
			return
		}
		n = n*10 + int(c-'0')
	}
	if *least < 0 || n < *least {
		*least = n
	}
}
