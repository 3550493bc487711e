package config

import (
	"fmt"
	"net/netip"
)

// checkWhole reports errors that only show between tables: addresses that are taken twice, demands without their means.
func (l *loader) checkWhole() {
	l.addresses()
	for _, t := range l.cfg.TLS {
		if tab := l.written[t]; t.ClientAuth != ClientAuthNone && !tab.has("client-ca") {
			l.problem(Error, tab.get("client-auth").val.at, `add client-ca = "ca.pem"`,
				fmt.Sprintf("client-auth: %q needs client-ca, the authorities that clients are verified against", t.ClientAuth))
		}
	}
	for _, f := range l.cfg.Frontends {
		tab := l.written[f]
		if !tab.has("backend") && len(f.Routes) == 0 && !tab.has("routes") {
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
	o, ok := taken[l.cfg.Global.Admin]
	if !ok {
		return
	}
	if e := l.written[&l.cfg.Global]; e.has("admin") {
		l.errorf(e.get("admin").val.at, "admin: %s is taken by %s on %s", l.cfg.Global.Admin, o.who, l.place(o.at.off))
		return
	}
	l.problem(Error, o.at, `set admin in [global] to another address, or to ""`,
		fmt.Sprintf("address: %s is where the admin listener is by default", l.cfg.Global.Admin))
}
