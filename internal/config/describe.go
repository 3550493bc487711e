package config

import "slices"

// Section describes one kind of table for the reference, completion and tests.
type Section struct {
	Name string // "[global]", "[backend.NAME]", or the key that holds such tables: "servers"
	Keys []Key
}

// Key describes one key.
type Key struct {
	Name     string
	Kind     string // "integer", "duration", "size", …
	Default  string // TOML literal; "" when there is none
	Allowed  string // "" anything of the kind
	Required bool
}

// Schema describes every key that a configuration file may hold, in the order of the reference.
func Schema() []Section {
	g := DefaultGlobal()
	return []Section{
		describe("[global]", globalKeys, &g),
		describe("[limits.NAME]", limitsKeys, DefaultLimits("")),
		describe("[timeouts.NAME]", timeoutsKeys, DefaultTimeouts("")),
		describe("[tls.NAME]", tlsKeys, &TLS{MinVersion: VersionTLS12}),
		describe("certificates", certificateKeys, &Certificate{}),
		describe("[frontend.NAME]", frontendKeys, DefaultFrontend("")),
		describe("bind", bindKeys, &Bind{ALPN: slices.Clone(alpnWords)}),
		describe("routes", routeKeys, &Route{}),
		describe("[backend.NAME]", backendKeys, DefaultBackend("")),
		describe("servers", serverKeys, &Server{Weight: 1}),
		describe("persistence", persistenceKeys, &Persistence{}),
		describe("tls (of a backend)", serverTLSKeys, &ServerTLS{}),
		describe("health", healthKeys, &DefaultBackend("").Health),
	}
}

func describe[T any](name string, keys []key[T], t *T) Section {
	s := Section{Name: name}
	for _, k := range keys {
		d := Key{Name: k.name, Kind: k.kind, Allowed: k.allowed, Required: k.required}
		if !k.required && k.kind != "table" {
			d.Default = k.get(t)
		}
		s.Keys = append(s.Keys, d)
	}
	return s
}
