package config

import (
	"slices"
	"strings"
)

func (l *loader) lintFrontend(f *Frontend, tab *table) {
	if f.Backend == nil && !tab.has("backend") {
		l.warnKey(tab, "routes", `add backend = "NAME" for the rest`,
			"[frontend.%s] has no backend: a request that no route takes is answered 503 no-server", f.Name)
	}
	for i, p := range f.TrustedProxies {
		if p.Bits() == 0 {
			l.problem(Warning, tab.get("trusted-proxies").val.list[i].at, "", "trusted-proxies: "+p.String()+" lets every client say who it is")
		}
	}
	if f.Forwarded == ForwardedOff {
		l.pointless(tab, []string{"trusted-proxies"}, `forwarded = "off"`)
	}
	if f.Limits.MaxBufferSize > 0 && f.MaxHeadSize > f.Limits.MaxBufferSize {
		l.warnKey(tab, "max-head-size", "", "max-head-size (%s) is never reached: max-buffer-size (%s) of its limits is",
			formatSize(f.MaxHeadSize), formatSize(f.Limits.MaxBufferSize))
	}
	if d := f.QueueTimeout(); f.Timeouts.Client > 0 && d > f.Timeouts.Client {
		l.warnKey(tab, "timeouts", "", "the queue timeout (%s) is never reached: the client timeout (%s) is",
			formatDuration(d), formatDuration(f.Timeouts.Client))
	}
	l.lintBinds(f, tab)
	l.lintRoutes(f)
}

func (l *loader) lintBinds(f *Frontend, tab *table) {
	h2 := false
	for _, b := range f.Binds {
		h2 = h2 || slices.Contains(b.ALPN, "h2") || b.H3
		if b.H3 && f.AcceptProxy {
			l.warnKey(l.written[b], "h3", "", "h3: QUIC carries no PROXY header, clients over HTTP/3 come with their own address in spite of accept-proxy")
		}
	}
	if !h2 {
		l.pointless(tab, changed(frontendKeys, f, DefaultFrontend(""), "h2-max-concurrent-streams"), "no bind speaks h2 or h3")
	}
}

// lintRoutes finds routes that an earlier one takes everything from.
func (l *loader) lintRoutes(f *Frontend) {
	for j := range f.Routes {
		for i := range j {
			if f.Routes[i].covers(&f.Routes[j]) {
				first := l.written[&f.Routes[i]]
				l.problem(Warning, l.written[&f.Routes[j]].at, "", "routes: no request comes this far, the route on "+l.place(first.at.off)+" takes them all")
				break
			}
		}
	}
}

// covers reports whether every request that o would take is taken by r.
func (r *Route) covers(o *Route) bool {
	return strings.HasPrefix(o.pathStart(), r.pathStart()) && hostCovers(r.Host, o.Host)
}

// pathStart is the prefix, where none is the same as "/".
func (r *Route) pathStart() string {
	if r.PathPrefix == "" {
		return "/"
	}
	return r.PathPrefix
}

func hostCovers(a, b string) bool {
	if a == "" || a == b {
		return true
	}
	suffix, wild := strings.CutPrefix(a, "*")
	return wild && strings.HasSuffix(strings.TrimPrefix(b, "*"), suffix) && b != a[2:]
}
