package config

import (
	"net/netip"
	"slices"
)

// poolKeys say how connections are kept; they mean nothing where none is shared.
var poolKeys = []string{"pool-low-conn", "pool-max-conn", "pool-purge-delay", "pool-warm-conn", "reuse-methods", "reuse-first-request"}

func (l *loader) lintBackend(b *Backend, tab *table) {
	l.lintSharing(b, tab)
	l.lintPool(b, tab)
	l.lintServers(b, tab)
	l.lintBalance(b, tab)
	l.lintServerTLS(b, tab)
	if b.Multiplex {
		l.pointless(tab, changed(backendKeys, b, DefaultBackend(""), "forward-close"), "multiplex = true shares server connections")
	}
	if !b.Health.Active() {
		names := changed(healthKeys, &b.Health, &DefaultBackend("").Health, "interval", "rise", "fall")
		l.pointless(l.written[&b.Health], names, "health has no path, there are no checks")
	}
	if d := b.QueueTimeout(); d > 0 && b.Timeouts.Server > 0 && tab.has("timeouts") && b.Timeouts.QueueSet && d > 10*b.Timeouts.Server {
		l.warnKey(tab, "timeouts", "", "an exchange may wait in the queue (%s) far longer than it may take (server %s)",
			formatDuration(d), formatDuration(b.Timeouts.Server))
	}
}

// lintSharing finds pool settings of a backend whose connections are all private.
func (l *loader) lintSharing(b *Backend, tab *table) {
	why := ""
	switch {
	case b.Source == SourceClient:
		why = `source = "client" makes every server connection private to its client`
	case b.SendProxy != SendProxyOff:
		why = "send-proxy makes every server connection private to its client"
	case !b.Reuse.Shared():
		why = `reuse = "never" shares no server connection`
	case !b.Multiplex:
		why = "multiplex = false ties each server connection to one client connection"
	default:
		return
	}
	l.pointless(tab, poolKeys, why)
	if b.Reuse.Shared() {
		l.pointless(tab, []string{"reuse"}, why)
	}
}

func (l *loader) lintPool(b *Backend, tab *table) {
	limit := b.PoolMaxConn
	switch {
	case limit == 0 && b.Reuse.Shared() && b.Multiplex && b.H2 == BackendH2Off:
		l.warnKey(tab, "pool-max-conn", "", "pool-max-conn is 0: no connection is kept, so none is ever used again")
	case limit > 0 && b.PoolLowConn > limit:
		l.warnKey(tab, "pool-low-conn", "", "pool-low-conn (%d) is more than pool-max-conn (%d): no worker ever takes a connection from another", b.PoolLowConn, limit)
	}
	if limit >= 0 && b.PoolWarmConn > limit {
		l.warnKey(tab, "pool-warm-conn", "", "pool-warm-conn (%d) is more than pool-max-conn (%d) lets be kept", b.PoolWarmConn, limit)
	}
	if n := b.PoolWarmConn * len(b.Servers); b.Limits.MaxConn > 0 && n > b.Limits.MaxConn {
		l.warnKey(tab, "pool-warm-conn", "", "pool-warm-conn asks for %d connections to %d servers, max-conn of its limits is %d", n, len(b.Servers), b.Limits.MaxConn)
	}
	if b.PoolMaxAge > 0 && b.PoolMaxAge < b.PoolPurgeDelay && tab.has("pool-purge-delay") {
		l.warnKey(tab, "pool-purge-delay", "", "pool-purge-delay (%s) never acts: connections are recycled after pool-max-age (%s)",
			formatDuration(b.PoolPurgeDelay), formatDuration(b.PoolMaxAge))
	}
	if b.MaxReuse == 1 && b.Reuse.Shared() {
		l.warnKey(tab, "max-reuse", "", "max-reuse is 1: every connection is closed after its first exchange")
	}
}

func (l *loader) lintServers(b *Backend, tab *table) {
	if len(b.Servers) == 0 {
		l.warnKey(tab, "servers", "", "[backend.%s] has no servers: every request is answered 503 no-server", b.Name)
		return
	}
	weights, names := 0, 0
	seen := map[string]*Server{}
	for _, s := range b.Servers {
		weights += s.Weight
		if !s.Addr.IsValid() {
			names++
		}
		if first := seen[s.Address]; first != nil {
			l.warnKey(l.written[s], "address", "", "servers: %q and %q are the same address", first.Name, s.Name)
		}
		seen[s.Address] = s
		l.lintLoop(s)
	}
	if weights == 0 {
		l.warnKey(tab, "servers", "", "every server of [backend.%s] has weight 0: none gets a new session", b.Name)
	}
	if names == 0 {
		l.pointless(tab, changed(backendKeys, b, DefaultBackend(""), "resolve"), "every server is a numeric address")
	}
}

// lintLoop finds a server that is weir itself.
func (l *loader) lintLoop(s *Server) {
	for _, f := range l.cfg.Frontends {
		for _, bind := range f.Binds {
			here := bind.Address == s.Addr || bind.Address.Port() == s.Port && bind.Address.Addr().IsUnspecified() && s.Addr.Addr().IsLoopback()
			if here && s.Addr != (netip.AddrPort{}) {
				l.warnKey(l.written[s], "address", "", "servers: %s is where [frontend.%s] listens: requests go round in a circle", s.Address, f.Name)
			}
		}
	}
}

func (l *loader) lintBalance(b *Backend, tab *table) {
	if len(b.Servers) == 1 {
		why := "[backend." + b.Name + "] has one server"
		l.pointless(tab, changed(backendKeys, b, DefaultBackend(""), "balance", "slow-start"), why)
		if b.Persistence.Type != PersistenceNone {
			l.pointless(tab, []string{"persistence"}, why)
		}
		return
	}
	if b.Persistence.Type != PersistenceNone && slices.Contains([]Balance{BalanceHashSource, BalanceHashHeader}, b.Balance) {
		l.warnKey(tab, "balance", "", "balance = %q decides only a client's first request: persistence decides the rest", b.Balance)
	}
	if b.Persistence.Type == PersistenceSourceIP && b.Source == SourceClient && !b.Multiplex {
		l.pointless(tab, []string{"multiplex"}, "source = \"client\" is private already")
	}
}

func (l *loader) lintServerTLS(b *Backend, tab *table) {
	inner := l.written[&b.TLS]
	if !b.TLS.Enabled {
		names := changed(serverTLSKeys, &b.TLS, &ServerTLS{}, "sni", "verify", "ca", "cert", "key")
		l.pointless(inner, names, "enabled is false, servers are spoken to in cleartext")
		l.pointless(tab, changed(backendKeys, b, DefaultBackend(""), "session-cache"), "tls is not enabled")
		return
	}
	if b.TLS.Verify == VerifyNone {
		l.warnKey(inner, "verify", "", "verify = \"none\": whoever answers at a server's address is believed to be it")
		l.pointless(inner, changed(serverTLSKeys, &b.TLS, &ServerTLS{}, "ca"), `verify = "none"`)
	}
}
