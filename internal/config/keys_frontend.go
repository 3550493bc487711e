package config

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

var frontendKeys = []key[Frontend]{
	{name: "bind", kind: "array of tables", required: true, set: setBind, get: func(f *Frontend) string {
		binds := make([]Bind, len(f.Binds))
		for i, b := range f.Binds {
			binds[i] = *b
		}
		return arrayOf(bindKeys, binds)
	}},
	{name: "backend", kind: "string", allowed: "the name of a [backend.NAME]",
		set: func(l *loader, f *Frontend, v *value) { referBackend(l, v, &f.Backend) },
		get: func(f *Frontend) string { return backendName(f.Backend) }},
	{name: "routes", kind: "array of tables", set: setRoutes,
		get: func(f *Frontend) string { return arrayOf(routeKeys, f.Routes) }},
	limitsKey(func(f *Frontend) **Limits { return &f.Limits }),
	timeoutsKey(func(f *Frontend) **Timeouts { return &f.Timeouts }),
	integerKey("h2-max-concurrent-streams", 1, 100000, func(f *Frontend) *int { return &f.H2MaxConcurrentStreams }),
	sizeKey("max-head-size", headSizeMin, headSizeMax, false, func(f *Frontend) *int { return &f.MaxHeadSize }),
	wordKey("forwarded", forwardedWords, func(f *Frontend) *Forwarded { return &f.Forwarded }),
	{name: "trusted-proxies", kind: "array of strings", allowed: "networks such as \"10.0.0.0/8\", or addresses",
		set: setTrustedProxies, get: func(f *Frontend) string {
			var ss []string
			for _, p := range f.TrustedProxies {
				ss = append(ss, p.String())
			}
			return quoteAll(ss)
		}},
	boolKey("accept-proxy", func(f *Frontend) *bool { return &f.AcceptProxy }),
	{name: "error-pages", kind: "table", allowed: "status codes of answers that weir makes itself", set: setErrorPages, get: getErrorPages},
	textKey("via", `a token; "" adds no Via`, checkVia, func(f *Frontend) *string { return &f.Via }),
	boolKey("request-id", func(f *Frontend) *bool { return &f.RequestID }),
	{name: "retry-after", kind: "duration", allowed: "whole seconds, 1s to 1h", set: func(l *loader, f *Frontend, v *value) {
		d, ok := l.duration(v)
		if ok && (d < time.Second || d > time.Hour || d%time.Second != 0) {
			l.badValue(v, "", "%s is out of range, allowed whole seconds from 1s to 1h", formatDuration(d))
		} else if ok {
			f.RetryAfter = d
		}
	}, get: func(f *Frontend) string { return quote(formatDuration(f.RetryAfter)) }},
}

// backendName is empty where there is no backend, which leaves the key out.
func backendName(b *Backend) string {
	if b == nil {
		return ""
	}
	return quote(b.Name)
}

func checkVia(s string) error {
	if s != "" && !validToken(s) {
		return fmt.Errorf("%q is not a token (RFC 9110 section 7.6.3)", s)
	}
	return nil
}

var alpnWords = []string{"h2", "http/1.1"}

var bindKeys = []key[Bind]{
	{name: "address", kind: "address", allowed: "numeric address and port", required: true, set: func(l *loader, b *Bind, v *value) {
		if s, ok := l.text(v); ok {
			a, err := parseListen(s)
			if err != nil {
				l.badValue(v, "", "%v", err)
				return
			}
			b.Address = a
		}
	}, get: func(b *Bind) string { return quote(b.Address.String()) }},
	{name: "tls", kind: "string", allowed: "the name of a [tls.NAME]",
		set: func(l *loader, b *Bind, v *value) { refer(l, v, "tls", l.cfg.TLS, &b.TLS) },
		get: func(b *Bind) string {
			if b.TLS == nil {
				return ""
			}
			return quote(b.TLS.Name)
		}},
	{name: "alpn", kind: "array of strings", allowed: quotedList(alpnWords), set: setALPN,
		get: func(b *Bind) string { return quoteAll(b.ALPN) }},
	boolKey("h3", func(b *Bind) *bool { return &b.H3 }),
}

func setBind(l *loader, f *Frontend, v *value) {
	for _, tab := range l.tables(v, `{ address = "0.0.0.0:8080" }`) {
		b := &Bind{ALPN: slices.Clone(alpnWords)}
		l.written[b] = tab
		read(l, "bind", bindKeys, tab, b)
		f.Binds = append(f.Binds, b)
		if b.H3 && !tab.has("tls") {
			l.problem(Error, tab.get("h3").at, `add tls = "NAME" to the bind`, "h3: HTTP/3 is always encrypted, the bind has no tls")
		}
	}
	if v.kind == kindArray && len(v.list) == 0 {
		l.badValue(v, "", "at least one address is needed")
	}
}

func setALPN(l *loader, b *Bind, v *value) {
	ss, vs, ok := l.texts(v)
	if !ok {
		return
	}
	for i, s := range ss {
		switch {
		case s == "h3":
			l.badValue(vs[i], "write h3 = true in the bind", `"h3" is negotiated over QUIC, not here`)
		case !slices.Contains(alpnWords, s):
			l.badValue(vs[i], didYouMean(s, alpnWords), "%q is not one of %s", s, quotedList(alpnWords))
		case slices.Contains(ss[:i], s):
			l.badValue(vs[i], "", "%q stands twice", s)
		}
	}
	if len(ss) == 0 {
		l.badValue(v, "", "at least one protocol is needed")
	}
	b.ALPN = ss
}

var routeKeys = []key[Route]{
	{name: "host", kind: "string", allowed: `a name, or "*.NAME" for every name below it; "" any`, set: func(l *loader, r *Route, v *value) {
		s, ok := l.text(v)
		if !ok {
			return
		}
		if err := checkRouteHost(s); err != nil {
			l.badValue(v, "", "%v", err)
			return
		}
		r.Host = strings.TrimSuffix(strings.ToLower(s), ".")
	}, get: func(r *Route) string { return quote(r.Host) }},
	textKey("path-prefix", `a path that starts with "/"; "" any`, checkPathPrefix, func(r *Route) *string { return &r.PathPrefix }),
	{name: "backend", kind: "string", allowed: "the name of a [backend.NAME]", required: true,
		set: func(l *loader, r *Route, v *value) { referBackend(l, v, &r.Backend) },
		get: func(r *Route) string { return backendName(r.Backend) }},
}

func checkRouteHost(s string) error {
	if s == "" {
		return nil
	}
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		if a.Is6() && !strings.HasPrefix(s, "[") {
			return errors.New("an IPv6 address stands in brackets")
		}
		return nil
	}
	if strings.ContainsRune(s, ':') {
		return errors.New("a host is given without its port")
	}
	if name := strings.TrimPrefix(s, "*."); !validHostname(name) {
		return fmt.Errorf("%q is not a host name", name)
	}
	return nil
}

func checkPathPrefix(s string) error {
	if s != "" && s[0] != '/' {
		return errors.New(`a path starts with "/"`)
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || c == '?' || c == '#' {
			return fmt.Errorf("%q cannot stand in a path as requests carry it; percent-encode it", c)
		}
	}
	return nil
}

func setRoutes(l *loader, f *Frontend, v *value) {
	tabs := l.tables(v, `{ host = "static.example.com", path-prefix = "/img/", backend = "static" }`)
	// The whole slice first: references are resolved later through pointers into it.
	f.Routes = make([]Route, len(tabs))
	for i, tab := range tabs {
		l.written[&f.Routes[i]] = tab
		read(l, "routes", routeKeys, tab, &f.Routes[i])
	}
}

func setTrustedProxies(l *loader, f *Frontend, v *value) {
	ss, vs, _ := l.texts(v)
	f.TrustedProxies = nil
	for i, s := range ss {
		p, err := netip.ParsePrefix(s)
		if a, aerr := netip.ParseAddr(s); err != nil && aerr == nil {
			a = a.Unmap()
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			l.badValue(vs[i], "", `%q is not a network such as "10.0.0.0/8"`, s)
			continue
		}
		if p != p.Masked() {
			l.badValue(vs[i], "write "+quote(p.Masked().String()), "%q has bits set outside of its mask", s)
			continue
		}
		f.TrustedProxies = append(f.TrustedProxies, p)
	}
}

// ownStatus are the codes of answers that weir makes itself.
var ownStatus = []int{400, 408, 413, 414, 417, 421, 425, 429, 431, 501, 502, 503, 504}

var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".htm": "text/html; charset=utf-8", ".txt": "text/plain; charset=utf-8",
	".json": "application/json", ".xml": "application/xml", ".svg": "image/svg+xml",
}

func setErrorPages(l *loader, f *Frontend, v *value) {
	tab, ok := l.table(v, `{ 503 = "sorry.html" }`)
	if !ok {
		return
	}
	f.ErrorPages = map[int]ErrorPage{}
	for _, e := range tab.entries {
		code, err := strconv.Atoi(e.key)
		if err != nil || !slices.Contains(ownStatus, code) {
			l.problem(Error, e.at, "weir answers with "+strings.Trim(fmt.Sprint(ownStatus), "[]"),
				fmt.Sprintf("error-pages: weir makes no answer with the status %q", e.key))
			continue
		}
		l.key = "error-pages"
		var page ErrorPage
		page.Body = l.file(e.val, &page.File)
		if len(page.Body) > errorPageBytesMax {
			l.badValue(e.val, "", "%s is larger than %s", page.File, formatSize(errorPageBytesMax))
		}
		page.ContentType = contentTypes[strings.ToLower(filepath.Ext(page.File))]
		if page.ContentType == "" {
			page.ContentType = "text/plain; charset=utf-8"
		}
		f.ErrorPages[code] = page
	}
}

func getErrorPages(f *Frontend) string {
	var parts []string
	for _, code := range slices.Sorted(maps.Keys(f.ErrorPages)) {
		parts = append(parts, fmt.Sprintf("%d = %s", code, quote(f.ErrorPages[code].File)))
	}
	if len(parts) == 0 {
		return "{}"
	}
	return "{ " + strings.Join(parts, ", ") + " }"
}
