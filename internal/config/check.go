package config

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// checkWhole reports errors that only show between tables: addresses that are taken twice, demands without their means.
func (l *loader) checkWhole() {
	l.addresses()
	for _, t := range l.cfg.TLS {
		if tab := l.written[t]; t.ClientAuth != ClientAuthNone && !tab.has("client-ca") && !tab.broken {
			l.problem(Error, tab.get("client-auth").val.at, `add client-ca = "ca.pem"`,
				fmt.Sprintf("client-auth: %q needs client-ca, the authorities that clients are verified against", t.ClientAuth))
		}
	}
	for _, f := range l.cfg.Frontends {
		tab := l.written[f]
		if !tab.has("backend") && len(f.Routes) == 0 && !tab.has("routes") && !tab.broken {
			l.problem(Error, tab.at, `add backend = "NAME"`, fmt.Sprintf("[frontend.%s] has neither a backend nor routes", f.Name))
		}
	}
}

// addresses reports listeners that would collide.
func (l *loader) addresses() {
	type owner struct {
		who string
		at  span
	}
	taken := map[netip.AddrPort]owner{}
	for _, f := range l.cfg.Frontends {
		for _, b := range f.Binds {
			e := l.written[b].get("address")
			if e == nil || !b.Address.IsValid() {
				continue
			}
			if o, ok := taken[b.Address]; ok {
				l.errorf(e.val.at, "address: %s is taken by %s on %s", b.Address, o.who, l.place(o.at.off))
				continue
			}
			taken[b.Address] = owner{"[frontend." + f.Name + "]", e.val.at}
		}
	}
	for _, a := range slices.SortedFunc(maps.Keys(taken), netip.AddrPort.Compare) {
		if collide(l.cfg.Global.Admin, a) {
			l.adminTaken(a, taken[a].who, taken[a].at)
			return
		}
	}
}

// adminTaken reports that a listener at a leaves no room for the admin listener.
func (l *loader) adminTaken(a netip.AddrPort, who string, at span) {
	admin := l.cfg.Global.Admin
	all := ""
	if a != admin {
		all = " with " + a.String()
	}
	if e := l.written[&l.cfg.Global]; e.has("admin") {
		l.errorf(e.get("admin").val.at, "admin: %s is taken%s by %s on %s", admin, all, who, l.place(at.off))
		return
	}
	if all != "" {
		all = " takes " + admin.String() + " too, which"
	}
	l.problem(Error, at, `set admin in [global] to another address, or to ""`,
		fmt.Sprintf("address: %s%s is where the admin listener is by default", a, all))
}

// collide reports whether the admin listener and a frontend's cannot both be: the kernel lets one address and all addresses
// of a port be bound side by side only where both share their port (SO_REUSEPORT), which the admin listener does not. At [::]
// it takes the port of IPv4 too.
func collide(admin, a netip.AddrPort) bool {
	if !admin.IsValid() || admin.Port() != a.Port() {
		return false
	}
	all := admin.Addr().IsUnspecified()
	return admin == a || (all || a.Addr().IsUnspecified()) && admin.Addr().Is4() == a.Addr().Is4() || all && admin.Addr().Is6()
}
