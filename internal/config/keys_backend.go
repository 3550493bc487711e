package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

var backendKeys = []key[Backend]{
	{name: "servers", kind: "array of tables", set: setServers, get: func(b *Backend) string {
		servers := make([]Server, len(b.Servers))
		for i, s := range b.Servers {
			servers[i] = *s
		}
		return arrayOf(serverKeys, servers)
	}},
	{name: "balance", kind: "word", allowed: `"round-robin", "least-conn", "random-2", "hash-source" or "hash-header:NAME"`, set: setBalance,
		get: func(b *Backend) string {
			if b.Balance == BalanceHashHeader {
				return quote(b.Balance.String() + ":" + b.BalanceHeader)
			}
			return quote(b.Balance.String())
		}},
	wordKey("reuse", reuseWords, func(b *Backend) *Reuse { return &b.Reuse }),
	overrideKey("reuse-methods", reuseMethodsWords, ReuseMethodsSafe, func(b *Backend) *ReuseMethods { return &b.ReuseMethods }),
	overrideKey("reuse-first-request", reuseFirstWords, ReuseFirstNever, func(b *Backend) *ReuseFirst { return &b.ReuseFirst }),
	boolKey("multiplex", func(b *Backend) *bool { return &b.Multiplex }),
	boolKey("forward-close", func(b *Backend) *bool { return &b.ForwardClose }),
	{name: "persistence", kind: "table", set: setPersistence,
		get: func(b *Backend) string { return inlineOf(persistenceKeys, &b.Persistence) }},
	integerKey("pool-low-conn", 0, maxConnMax, func(b *Backend) *int { return &b.PoolLowConn }),
	integerKey("pool-max-conn", -1, maxConnMax, func(b *Backend) *int { return &b.PoolMaxConn }),
	durationKey("pool-purge-delay", func(b *Backend) *time.Duration { return &b.PoolPurgeDelay }),
	integerKey("pool-warm-conn", 0, maxConnMax, func(b *Backend) *int { return &b.PoolWarmConn }),
	integerKey("max-reuse", 0, 1_000_000_000, func(b *Backend) *int { return &b.MaxReuse }),
	durationKey("pool-max-age", func(b *Backend) *time.Duration { return &b.PoolMaxAge }),
	durationKey("idle-ping", func(b *Backend) *time.Duration { return &b.IdlePing }),
	integerKey("max-errors", 0, 1_000_000, func(b *Backend) *int { return &b.MaxErrors }),
	durationKey("slow-start", func(b *Backend) *time.Duration { return &b.SlowStart }),
	integerKey("session-cache", 0, 10_000_000, func(b *Backend) *int { return &b.SessionCache }),
	durationKey("resolve", func(b *Backend) *time.Duration { return &b.Resolve }),
	{name: "h2", kind: "boolean or word", allowed: `false, true or "h2c"`, set: setH2, get: func(b *Backend) string {
		if b.H2 == BackendH2C {
			return quote("h2c")
		}
		return b.H2.String()
	}},
	{name: "tls", kind: "table", set: setServerTLS, get: func(b *Backend) string { return inlineOf(serverTLSKeys, &b.TLS) }},
	{name: "source", kind: "string", allowed: `"", a local address, or "client"`, set: setSource, get: getSource},
	wordKey("send-proxy", sendProxyWords, func(b *Backend) *SendProxy { return &b.SendProxy }),
	{name: "health", kind: "table", set: func(l *loader, b *Backend, v *value) {
		if tab, ok := l.table(v, `{ path = "/healthz" }`); ok {
			l.written[&b.Health] = tab
			read(l, "health", healthKeys, tab, &b.Health)
		}
	}, get: func(b *Backend) string { return inlineOf(healthKeys, &b.Health) }},
	limitsKey(func(b *Backend) **Limits { return &b.Limits }),
	timeoutsKey(func(b *Backend) **Timeouts { return &b.Timeouts }),
	{name: "early-hints", kind: "array of strings", allowed: "Link values", set: func(l *loader, b *Backend, v *value) {
		ss, vs, _ := l.texts(v)
		for i, s := range ss {
			if s == "" || !validFieldValue(s) || s[0] != '<' {
				l.badValue(vs[i], `write "</style.css>; rel=preload; as=style"`, "%q is not a Link value (RFC 8288)", s)
			}
		}
		b.EarlyHints = ss
	}, get: func(b *Backend) string { return quoteAll(b.EarlyHints) }},
}

// overrideKey is one of words from first on, which replaces what the reuse mode says; see effective.
func overrideKey[E ~uint8](name string, words []string, first E, at func(*Backend) *E) key[Backend] {
	k := wordKey(name, words, at)
	k.allowed = quotedList(words[first:])
	k.set = func(l *loader, b *Backend, v *value) {
		if i, ok := l.word(v, words[first:]); ok {
			*at(b) = first + E(i)
		}
	}
	written := k.get
	k.get = func(b *Backend) string {
		if !b.Reuse.Shared() {
			return "" // there is nothing that could be written
		}
		return written(b)
	}
	return k
}

// effective folds what was written into what holds: the reuse mode and its overrides, and keys that need one another.
func (l *loader) effective(b *Backend, tab *table) {
	methods, first := b.Reuse.defaults()
	if !tab.has("reuse-methods") || !b.Reuse.Shared() {
		b.ReuseMethods = methods
	}
	if !tab.has("reuse-first-request") || !b.Reuse.Shared() {
		b.ReuseFirst = first
	}
	l.inert(b, tab)
}

// inert switches off, with a warning, what cannot have an effect for reasons of protocol.
func (l *loader) inert(b *Backend, tab *table) {
	switch {
	case b.H2 == BackendH2ALPN && !b.TLS.Enabled:
		l.problem(Warning, tab.get("h2").val.at, `write h2 = "h2c" for HTTP/2 over cleartext, or enable tls`,
			"h2: without TLS there is no ALPN to agree on HTTP/2, servers are spoken to in HTTP/1.1")
		b.H2 = BackendH2Off
	case b.H2 == BackendH2C && b.TLS.Enabled:
		l.problem(Warning, tab.get("h2").val.at, "write h2 = true",
			"h2: \"h2c\" is HTTP/2 over cleartext, over TLS it is agreed on by ALPN; true is meant")
		b.H2 = BackendH2ALPN
	}
}

// defaults are the columns of a reuse mode.
func (v Reuse) defaults() (ReuseMethods, ReuseFirst) {
	switch v {
	case ReuseSafe:
		return ReuseMethodsSafe, ReuseFirstNever
	case ReuseAggressive:
		return ReuseMethodsAll, ReuseFirstProven
	case ReuseAlways:
		return ReuseMethodsAll, ReuseFirstAny
	}
	return ReuseMethodsNone, ReuseFirstNever
}

var serverKeys = []key[Server]{
	textKey("name", "letters, digits and - _ . : [ ]; default: the address", func(s string) error {
		if !validName(s) {
			return fmt.Errorf("%q cannot be a name", s)
		}
		return nil
	}, func(s *Server) *string { return &s.Name }),
	{name: "address", kind: "address", allowed: "a name or address, and a port", required: true,
		set: setServerAddress, get: func(s *Server) string { return quote(s.Address) }},
	integerKey("weight", 0, weightMax, func(s *Server) *int { return &s.Weight }),
	integerKey("max-conn", 0, maxConnMax, func(s *Server) *int { return &s.MaxConn }),
}

func setServers(l *loader, b *Backend, v *value) {
	for _, tab := range l.tables(v, `{ name = "s1", address = "127.0.0.1:9001" }`) {
		s := &Server{Weight: 1}
		l.written[s] = tab
		read(l, "servers", serverKeys, tab, s)
		if s.Name == "" {
			s.Name = s.Address
		}
		if first := b.Server(s.Name); first != nil && s.Name != "" {
			at := tab.at
			if e := tab.get("name"); e != nil {
				at = e.val.at
			}
			l.errorf(at, "servers: %q stands twice, first on %s", s.Name, l.place(l.written[first].at.off))
			continue
		}
		b.Servers = append(b.Servers, s)
	}
}

func setServerAddress(l *loader, s *Server, v *value) {
	text, ok := l.text(v)
	if !ok {
		return
	}
	host, port, err := splitHostPort(text)
	if err == nil && host == "" {
		err = fmt.Errorf("the host is missing, e.g. %q", "127.0.0.1"+text)
	}
	if err != nil {
		l.badValue(v, "", "%v", err)
		return
	}
	s.Address, s.Host, s.Port = text, host, port
	if a, err := netip.ParseAddr(host); err == nil {
		s.Addr = netip.AddrPortFrom(a.Unmap(), port)
		if a.IsUnspecified() {
			l.badValue(v, "", "%s is where one listens, nothing can be reached there", host)
		}
	} else if !validHostname(host) || allDigits(host) {
		l.badValue(v, "", "%q is neither an address nor a host name", host)
	}
}

// allDigits tells 10.0.0.256 and the like from names: the last label of a name is never a number.
func allDigits(host string) bool {
	return strings.Trim(host, "0123456789.") == ""
}

func setBalance(l *loader, b *Backend, v *value) {
	name, isHeader := strings.CutPrefix(v.text, "hash-header:")
	if v.kind == kindString && isHeader {
		if !validToken(name) {
			l.badValue(v, "", "%q is not a field name", name)
			return
		}
		b.Balance, b.BalanceHeader = BalanceHashHeader, strings.ToLower(name)
		return
	}
	if v.kind == kindString && v.text == "hash-header" {
		l.badValue(v, `write "hash-header:NAME"`, "the field to hash is missing")
		return
	}
	words := append(slices.Clone(balanceWords[:BalanceHashHeader]), "hash-header:NAME")
	if i, ok := l.word(v, words); ok {
		b.Balance = Balance(i)
	}
}

var persistenceKeys = []key[Persistence]{
	wordKey("type", persistenceWords, func(p *Persistence) *PersistenceType { return &p.Type }),
	{name: "name", kind: "string", allowed: `a cookie or field name; default of a cookie "SERVERID"`, set: func(l *loader, p *Persistence, v *value) {
		s, ok := l.text(v)
		if ok && !validToken(s) {
			l.badValue(v, "", "%q is not a token (RFC 9110 section 5.6.2)", s)
		} else if ok {
			p.Name = s
		}
	}, get: func(p *Persistence) string {
		if p.Name == "" {
			return ""
		}
		return quote(p.Name)
	}},
}

// persistenceCookie is the name of the cookie when none was given.
const persistenceCookie = "SERVERID"

func setPersistence(l *loader, b *Backend, v *value) {
	tab, ok := l.table(v, `{ type = "cookie" }`)
	if !ok {
		return
	}
	read(l, "persistence", persistenceKeys, tab, &b.Persistence)
	p := &b.Persistence
	switch p.Type {
	case PersistenceCookie:
		if !tab.has("name") {
			p.Name = persistenceCookie
		}
	case PersistenceHeader:
		if !tab.has("name") && !tab.broken {
			l.errorf(tab.at, `persistence: the type "header" needs the key "name"`)
		}
		p.Name = strings.ToLower(p.Name)
	default:
		if e := tab.get("name"); e != nil {
			l.problem(Warning, e.at, "", fmt.Sprintf("persistence: name has no effect with the type %q", p.Type))
		}
		p.Name = ""
	}
}

func setH2(l *loader, b *Backend, v *value) {
	switch {
	case v.kind == kindBool && v.text == "true":
		b.H2 = BackendH2ALPN
	case v.kind == kindBool:
		b.H2 = BackendH2Off
	case v.kind == kindString && v.text == "h2c":
		b.H2 = BackendH2C
	case v.kind == kindString:
		l.badValue(v, didYouMean(v.text, []string{"h2c"}), `%q is not true, false or "h2c"`, v.text)
	default:
		l.wrongType(v, `true, false or "h2c"`, "")
	}
}

func setSource(l *loader, b *Backend, v *value) {
	s, ok := l.text(v)
	if !ok {
		return
	}
	switch s {
	case "":
		b.Source, b.SourceAddr = SourceKernel, netip.Addr{}
		return
	case "client":
		b.Source = SourceClient
		return
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		l.badValue(v, didYouMean(s, []string{"client"}), `%q is neither an address nor "client"`, s)
		return
	}
	b.Source, b.SourceAddr = SourceAddress, a.Unmap()
}

func getSource(b *Backend) string {
	switch b.Source {
	case SourceClient:
		return quote("client")
	case SourceAddress:
		return quote(b.SourceAddr.String())
	}
	return quote("")
}

var healthKeys = []key[Health]{
	textKey("path", `a path that starts with "/"; "" no checks of HTTP`, checkPathPrefix, func(h *Health) *string { return &h.Path }),
	boolKey("tcp", func(h *Health) *bool { return &h.TCP }),
	{name: "interval", kind: "duration", allowed: "10ms or more", set: func(l *loader, h *Health, v *value) {
		d, ok := l.duration(v)
		if ok && d < 10*time.Millisecond {
			l.badValue(v, "", "%s is out of range, allowed 10ms or more", formatDuration(d))
		} else if ok {
			h.Interval = d
		}
	}, get: func(h *Health) string { return quote(formatDuration(h.Interval)) }},
	integerKey("rise", 1, 1000, func(h *Health) *int { return &h.Rise }),
	integerKey("fall", 1, 1000, func(h *Health) *int { return &h.Fall }),
}

var serverTLSKeys = []key[ServerTLS]{
	boolKey("enabled", func(t *ServerTLS) *bool { return &t.Enabled }),
	{name: "sni", kind: "string", allowed: `"host" for the request's host, a name, or "" for none`, set: setSNI, get: func(t *ServerTLS) string {
		switch t.SNI {
		case SNIFixed:
			return quote(t.SNIName)
		case SNINone:
			return quote("")
		}
		return quote("host")
	}},
	wordKey("verify", verifyWords, func(t *ServerTLS) *Verify { return &t.Verify }),
	{name: "ca", kind: "string", allowed: `a PEM file; "" the system's authorities`, set: func(l *loader, t *ServerTLS, v *value) {
		t.CAFile, t.CAPEM = l.authorities(v)
	}, get: func(t *ServerTLS) string { return quote(t.CAFile) }},
	clientCertKey("cert", `a PEM file; "" none`, false, func(c *Certificate) (*string, *[]byte) { return &c.CertFile, &c.CertPEM }),
	clientCertKey("key", `a PEM file; "" none`, true, func(c *Certificate) (*string, *[]byte) { return &c.KeyFile, &c.KeyPEM }),
}

// clientCertKey is one of the two files of the certificate that is presented to servers.
func clientCertKey(name, allowed string, secret bool, at func(*Certificate) (*string, *[]byte)) key[ServerTLS] {
	return key[ServerTLS]{
		name: name, kind: "string", allowed: allowed, secret: secret,
		set: func(l *loader, t *ServerTLS, v *value) {
			if s, ok := l.text(v); !ok || s == "" {
				return
			}
			if t.Cert == nil {
				t.Cert = &Certificate{}
			}
			file, content := at(t.Cert)
			*content = l.file(v, file)
		},
		get: func(t *ServerTLS) string {
			if t.Cert == nil {
				return quote("")
			}
			file, _ := at(t.Cert)
			return quote(*file)
		},
	}
}

func setSNI(l *loader, t *ServerTLS, v *value) {
	s, ok := l.text(v)
	switch {
	case !ok:
	case s == "host":
		t.SNI, t.SNIName = SNIHost, ""
	case s == "":
		t.SNI, t.SNIName = SNINone, ""
	case !validHostname(s) || allDigits(s):
		l.badValue(v, "", "%q is not a host name (RFC 6066 section 3)", s)
	default:
		t.SNI, t.SNIName = SNIFixed, strings.ToLower(s)
	}
}

func setServerTLS(l *loader, b *Backend, v *value) {
	tab, ok := l.table(v, "{ enabled = true }")
	if !ok {
		return
	}
	l.written[&b.TLS] = tab
	read(l, "tls", serverTLSKeys, tab, &b.TLS)
	if b.TLS.Cert == nil {
		return
	}
	if b.TLS.Cert.CertFile == "" || b.TLS.Cert.KeyFile == "" {
		l.errorf(tab.at, "tls: cert and key are given together or not at all")
		return
	}
	l.certificate(tab, b.TLS.Cert)
}
