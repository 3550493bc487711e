package config

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// lint warns about what a file may say without meaning it: settings that have no effect beside others, and settings
// whose effect surprises. Nothing here keeps a file from being used.
func (l *loader) lint() {
	l.lintGlobal()
	for _, name := range slices.Sorted(maps.Keys(l.cfg.Limits)) {
		l.lintLimits(l.cfg.Limits[name])
	}
	for _, name := range slices.Sorted(maps.Keys(l.cfg.Timeouts)) {
		l.lintTimeouts(l.cfg.Timeouts[name])
	}
	for _, name := range slices.Sorted(maps.Keys(l.cfg.TLS)) {
		if t := l.cfg.TLS[name]; t.ClientAuth == ClientAuthNone && !l.wrong[l.written[t]] {
			l.pointless(l.written[t], changed(tlsKeys, t, &TLS{}, "client-ca"), `client-auth = "none" asks no client for a certificate`)
		}
	}
	for _, f := range l.cfg.Frontends {
		if tab := l.written[f]; !l.wrong[tab] {
			l.lintFrontend(f, tab)
		}
	}
	for _, b := range l.cfg.Backends {
		if tab := l.written[b]; !l.wrong[tab] {
			l.lintBackend(b, tab)
		}
	}
	if !l.unknown {
		l.lintUnused()
	}
}

// warnKey warns at a key of a table; at the table itself when the key was left out.
func (l *loader) warnKey(tab *table, name, hint, format string, args ...any) {
	if tab == nil {
		l.whole(Warning, hint, fmt.Sprintf(format, args...))
		return
	}
	at := tab.at
	if e := tab.get(name); e != nil {
		at = e.at
	}
	l.problem(Warning, at, hint, fmt.Sprintf(format, args...))
}

// pointless warns that a key was written which has no effect, and why.
func (l *loader) pointless(tab *table, names []string, why string) {
	for _, name := range names {
		if tab.has(name) {
			l.warnKey(tab, name, "", "%s has no effect: %s", name, why)
		}
	}
}

// changed picks the keys whose value is not the default: who writes a default down where it means nothing has said nothing
// wrong.
func changed[T any](keys []key[T], t, def *T, names ...string) (out []string) {
	for _, k := range keys {
		if slices.Contains(names, k.name) && k.get(t) != k.get(def) {
			out = append(out, k.name)
		}
	}
	return out
}

func (l *loader) lintGlobal() {
	g := l.written[&l.cfg.Global]
	if l.cfg.Global.Limits.Name == "" && !l.wrong[g] && !l.unknown {
		l.warnKey(g, "limits", `add a [limits.NAME] and limits = "NAME" in [global]`,
			"[global] has no limits: clients may take every file descriptor and all memory")
	}
	if len(l.cfg.Frontends) == 0 {
		l.whole(Warning, "", "there is no [frontend.NAME]: nothing is listened on")
	}
	if l.cfg.Global.HardStopAfter == 0 {
		l.warnKey(g, "hard-stop-after", "", "hard-stop-after is 0: a drain waits for the last client, however long it stays")
	}
}

func (l *loader) lintLimits(t *Limits) {
	tab := l.written[t]
	if t.MaxConn > 0 && t.MaxSSLConn > t.MaxConn && tab.has("max-ssl-conn") {
		l.warnKey(tab, "max-ssl-conn", "", "max-ssl-conn (%d) is never reached: max-conn (%d) is", t.MaxSSLConn, t.MaxConn)
	}
	if t.MaxConnRate > 0 && t.MaxSSLRate > t.MaxConnRate && tab.has("max-ssl-rate") {
		l.warnKey(tab, "max-ssl-rate", "", "max-ssl-rate (%d) is never reached: max-conn-rate (%d) is", t.MaxSSLRate, t.MaxConnRate)
	}
	if t.QueueDepth == 0 && t.QueueTimeout == 0 {
		l.warnKey(tab, "queue-timeout", "", "neither queue-depth nor queue-timeout bounds the queue: clients may wait for ever")
	}
}

func (l *loader) lintTimeouts(t *Timeouts) {
	tab := l.written[t]
	for _, c := range []struct {
		key, what string
		value     time.Duration
	}{
		{"http-request", "a client that never ends its request head holds its connection for ever", t.HTTPRequest},
		{"http-keep-alive", "an idle client holds its connection for ever", t.HTTPKeepAlive},
		{"client", "a client that stops reading or sending holds its exchange for ever", t.Client},
		{"connect", "a server that does not answer is waited for until the kernel gives up, minutes later", t.Connect},
		{"server", "a server that stops answering holds its exchange for ever", t.Server},
	} {
		if c.value == 0 {
			l.warnKey(tab, c.key, "", "%s is 0: %s", c.key, c.what)
		}
	}
	if t.HTTPKeepAlive > time.Hour {
		l.warnKey(tab, "http-keep-alive", "", "http-keep-alive is %s: idle clients fill max-conn long before that", formatDuration(t.HTTPKeepAlive))
	}
	if k := t.TCPKeepAlive; k.Idle > 0 && t.HTTPKeepAlive > 0 && t.HTTPKeepAlive < k.Idle && tab.has("tcp-keepalive") {
		l.warnKey(tab, "tcp-keepalive", "", "tcp-keepalive starts after %s, when http-keep-alive (%s) has already closed an idle client",
			formatDuration(k.Idle), formatDuration(t.HTTPKeepAlive))
	}
}

// lintUnused warns about tables that nothing refers to, and about timeouts on the side where they have no meaning.
func (l *loader) lintUnused() {
	used := map[any]bool{l.cfg.Global.Limits: true}
	front, back := map[*Timeouts]bool{}, map[*Timeouts]bool{}
	for _, f := range l.cfg.Frontends {
		used[f.Limits], used[f.Timeouts], used[f.Backend], front[f.Timeouts] = true, true, true, true
		for i := range f.Routes {
			used[f.Routes[i].Backend] = true
		}
		for _, b := range f.Binds {
			used[b.TLS] = true
		}
	}
	for _, b := range l.cfg.Backends {
		used[b.Limits], used[b.Timeouts], back[b.Timeouts] = true, true, true
	}
	unused := func(p any, name string) {
		if !used[p] {
			l.problem(Warning, l.written[p].at, "", name+" is not used")
		}
	}
	for name, t := range l.cfg.Limits {
		unused(t, "[limits."+name+"]")
	}
	for name, t := range l.cfg.Timeouts {
		unused(t, "[timeouts."+name+"]")
		l.lintSide(t, front[t], back[t])
	}
	for name, t := range l.cfg.TLS {
		unused(t, "[tls."+name+"]")
	}
	for _, b := range l.cfg.Backends {
		unused(b, "[backend."+b.Name+"]")
	}
}

func (l *loader) lintSide(t *Timeouts, front, back bool) {
	switch {
	case front && !back:
		l.pointless(l.written[t], []string{"server-fin", "connect", "server"}, "this profile is attached to frontends only")
	case back && !front:
		l.pointless(l.written[t], []string{"http-request", "http-keep-alive", "client", "client-fin"}, "this profile is attached to backends only")
	}
}
