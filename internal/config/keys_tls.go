package config

var tlsVersions = []uint16{VersionTLS12, VersionTLS13}
var tlsVersionWords = []string{"1.2", "1.3"}

var tlsKeys = []key[TLS]{
	{name: "certificates", kind: "array of tables", required: true, set: setCertificates,
		get: func(t *TLS) string { return arrayOf(certificateKeys, t.Certificates) }},
	{name: "min-version", kind: "word", allowed: quotedList(tlsVersionWords), set: func(l *loader, t *TLS, v *value) {
		if i, ok := l.word(v, tlsVersionWords); ok {
			t.MinVersion = tlsVersions[i]
		}
	}, get: func(t *TLS) string {
		if t.MinVersion == VersionTLS13 {
			return quote("1.3")
		}
		return quote("1.2")
	}},
	wordKey("client-auth", clientAuthWords, func(t *TLS) *ClientAuth { return &t.ClientAuth }),
	{name: "client-ca", kind: "string", allowed: `a PEM file; "" none`, set: func(l *loader, t *TLS, v *value) {
		t.ClientCAFile, t.ClientCAPEM = l.authorities(v)
	}, get: func(t *TLS) string { return quote(t.ClientCAFile) }},
	{name: "ticket-keys", kind: "string", allowed: `a file of secrets, one a line; "" kept in memory`, secret: true,
		set: setTicketKeys, get: func(t *TLS) string { return quote(t.TicketFile) }},
}

var certificateKeys = []key[Certificate]{
	{name: "cert", kind: "string", allowed: "a PEM file, leaf first", required: true,
		set: func(l *loader, c *Certificate, v *value) { c.CertPEM = l.file(v, &c.CertFile) },
		get: func(c *Certificate) string { return quote(c.CertFile) }},
	{name: "key", kind: "string", allowed: "a PEM file", required: true, secret: true,
		set: func(l *loader, c *Certificate, v *value) { c.KeyPEM = l.file(v, &c.KeyFile) },
		get: func(c *Certificate) string { return quote(c.KeyFile) }},
	{name: "ocsp", kind: "string", allowed: `a DER file; "" none`,
		set: setOCSP, get: func(c *Certificate) string { return quote(c.OCSPFile) }},
}

func setCertificates(l *loader, t *TLS, v *value) {
	for _, tab := range l.tables(v, `{ cert = "site.pem", key = "site.key" }`) {
		var c Certificate
		read(l, "certificates", certificateKeys, tab, &c)
		l.staple(tab, &c, l.certificate(tab, &c))
		t.Certificates = append(t.Certificates, c)
	}
	if v.kind == kindArray && len(v.list) == 0 {
		l.badValue(v, "", "at least one certificate is needed")
	}
}

func setOCSP(l *loader, c *Certificate, v *value) {
	if s, ok := l.text(v); !ok || s == "" {
		return
	}
	c.OCSP = l.file(v, &c.OCSPFile)
}

func setTicketKeys(l *loader, t *TLS, v *value) {
	if s, ok := l.text(v); !ok || s == "" {
		return
	}
	b := l.file(v, &t.TicketFile)
	if b == nil {
		return
	}
	var err error
	if t.TicketKeys, err = parseTicketKeys(b); err != nil {
		l.badValue(v, "openssl rand -base64 48 makes a line of it", "%s: %v", t.TicketFile, err)
	}
}
