package limit

// FDs are the process's descriptors, divided so that clients cannot take those that the pools need: an idle pool that
// collapses when clients come makes every request pay for a connect just when there is least to spare.
type FDs struct {
	Client *Count // client connections
	Server *Count // server connections
}

// NewFDs makes counts without a maximum; call Carve.
func NewFDs() *FDs { return &FDs{Client: new(Count), Server: new(Count)} }

// serverShareMin is the part of the descriptors, one in so many, that servers have at least, however many clients are
// configured.
const serverShareMin = 4

// Carve divides limit, which is RLIMIT_NOFILE, when reserved are for everything else: listeners, epoll, logs, control.
// clients and servers are how many connections the configuration allows on each side, 0 meaning any number. If both fit,
// clients get what they ask for and servers the rest; else each side gets its part in proportion to what it asks, but
// servers at least a quarter or all they ask. The maxima can be changed while descriptors are out.
func (f *FDs) Carve(limit, reserved, clients, servers int) {
	free := max(limit-reserved, 2)
	clients, servers = askedOf(clients, free), askedOf(servers, free)
	client := clients
	if clients+servers > free {
		server := max(free*servers/(clients+servers), min(free/serverShareMin, servers), 1)
		client = max(free-server, 1)
	}
	f.Client.SetMax(client)
	f.Server.SetMax(free - client)
}

func askedOf(n, free int) int {
	if n <= 0 {
		return free
	}
	return n
}
