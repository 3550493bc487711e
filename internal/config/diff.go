package config

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Action is what a reload does to one part of the running configuration.
type Action string

// The actions.
const (
	Keep   Action = "keep"   // nothing changes: listeners, connections and pools stay
	Modify Action = "change" // new work follows the new values, what has begun ends under the old ones
	Drain  Action = "drain"  // gone from the file: takes no new work and ends with its last connection
	Add    Action = "add"    // new in the file
)

// Change is what a reload does to one part, and why.
type Change struct {
	Kind   string      `json:"kind"` // "global", "limits", "timeouts", "tls", "frontend", "listener", "backend" or "server"
	Name   string      `json:"name"` // "" for global
	Action Action      `json:"action"`
	Keys   []KeyChange `json:"keys,omitempty"`
	Note   string      `json:"note,omitempty"` // what the action means for connections, where that is not plain
}

// KeyChange is one key whose effective value differs; an empty value is none.
type KeyChange struct {
	Key string `json:"key"`
	Old string `json:"old"`
	New string `json:"new"`
}

// Diff says what going from one configuration to another does to each part, in the order of the tables of a file.
func Diff(from, to *Config) []Change { return diff(from, to, true) }

// diff compares the content of files too, if both sides have read theirs.
func diff(from, to *Config, files bool) []Change {
	tlsFlat, frontFlat, backFlat := (*TLS).flat, (*Frontend).flat, (*Backend).flat
	if !files {
		tlsFlat = func(t *TLS) []KeyValue { return without(t.flat(), t.contents()) }
		frontFlat = func(f *Frontend) []KeyValue { return without(f.flat(), f.contents()) }
		backFlat = func(b *Backend) []KeyValue { return without(b.flat(), b.contents()) }
	}
	out := []Change{compare("global", "", flatten("", globalKeys, &from.Global), flatten("", globalKeys, &to.Global))}
	for i := range out {
		out[i].Note = globalNote(out[i].Keys)
	}
	out = append(out, diffNamed("limits", from.Limits, to.Limits, func(t *Limits) []KeyValue { return flatten("", limitsKeys, t) })...)
	out = append(out, diffNamed("timeouts", from.Timeouts, to.Timeouts, func(t *Timeouts) []KeyValue { return flatten("", timeoutsKeys, t) })...)
	out = append(out, diffNamed("tls", from.TLS, to.TLS, tlsFlat)...)
	frontends := diffNamed("frontend", byName(from.Frontends, frontendName), byName(to.Frontends, frontendName), frontFlat)
	for i := range frontends {
		frontends[i].Note = frontendNote(&frontends[i])
	}
	out = append(out, frontends...)
	out = append(out, diffNamed("listener", from.Listeners(), to.Listeners(), func(l Listener) []KeyValue { return flatten("", bindKeys, l.Bind) })...)
	backends := diffNamed("backend", byName(from.Backends, ownName), byName(to.Backends, ownName), backFlat)
	for i := range backends {
		backends[i].Note = backendNote(&backends[i], from, to)
	}
	out = append(out, backends...)
	return append(out, diffNamed("server", from.servers(), to.servers(), func(s *Server) []KeyValue { return flatten("", serverKeys, s) })...)
}

// without is flat less the contents at its end.
func without(flat, contents []KeyValue) []KeyValue { return flat[:len(flat)-len(contents)] }

// Listener is a bind with the frontend that it belongs to.
type Listener struct {
	Frontend *Frontend
	Bind     *Bind
}

// Listeners returns the binds of all frontends by address. A reload keeps the socket of an address that is in both
// generations, whatever else changed about it.
func (c *Config) Listeners() map[netip.AddrPort]Listener {
	out := map[netip.AddrPort]Listener{}
	for _, f := range c.Frontends {
		for _, b := range f.Binds {
			out[b.Address] = Listener{f, b}
		}
	}
	return out
}

// servers returns the servers of all backends by backend/server.
func (c *Config) servers() map[string]*Server {
	out := map[string]*Server{}
	for _, b := range c.Backends {
		for _, s := range b.Servers {
			out[b.Name+"/"+s.Name] = s
		}
	}
	return out
}

func frontendName(f *Frontend) string { return f.Name }
func ownName(b *Backend) string       { return b.Name }

func byName[T any](all []T, name func(T) string) map[string]T {
	out := make(map[string]T, len(all))
	for _, t := range all {
		out[name(t)] = t
	}
	return out
}

// diffNamed compares two sets of named parts, in the order of the names.
func diffNamed[K comparable, T any](kind string, from, to map[K]T, flat func(T) []KeyValue) (out []Change) {
	for k, t := range from {
		if n, ok := to[k]; ok {
			out = append(out, compare(kind, fmt.Sprint(k), flat(t), flat(n)))
		} else {
			out = append(out, Change{Kind: kind, Name: fmt.Sprint(k), Action: Drain})
		}
	}
	for k := range to {
		if _, ok := from[k]; !ok {
			out = append(out, Change{Kind: kind, Name: fmt.Sprint(k), Action: Add})
		}
	}
	slices.SortFunc(out, func(a, b Change) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}

// compare lists the keys whose values differ.
func compare(kind, name string, from, to []KeyValue) Change {
	c := Change{Kind: kind, Name: name, Action: Keep}
	old, new := values(from), values(to)
	keys := map[string]bool{}
	for _, kv := range from {
		keys[kv.Key] = true
	}
	for _, kv := range to {
		keys[kv.Key] = true
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if old[k] != new[k] {
			c.Keys = append(c.Keys, KeyChange{k, old[k], new[k]})
			c.Action = Modify
		}
	}
	return c
}

func values(kvs []KeyValue) map[string]string {
	out := make(map[string]string, len(kvs))
	for _, kv := range kvs {
		out[kv.Key] = kv.Value
	}
	return out
}

// needsRestart reports whether a change of a key of [global] is beyond a reload: the workers are what they are, and the
// commands have to find the socket.
func (k *KeyChange) needsRestart() bool {
	return k.Key == "workers" || k.Key == "pin-cpus" || k.Key == "runtime-socket"
}

// NeedsRestart returns the keys of [global] that differ and that only a restart or an upgrade puts into force.
func NeedsRestart(from, to *Config) []string {
	var out []string
	for _, k := range compare("global", "", flatten("", globalKeys, &from.Global), flatten("", globalKeys, &to.Global)).Keys {
		if k.needsRestart() {
			out = append(out, k.Key)
		}
	}
	return out
}

// KeepStartKeys gives to the values of from where NeedsRestart says that they differ. It is for a reload, before anyone
// else has seen to.
func KeepStartKeys(from, to *Config) {
	for _, k := range NeedsRestart(from, to) {
		switch k {
		case "workers":
			to.Global.Workers = from.Global.Workers
		case "pin-cpus":
			to.Global.PinCPUs = from.Global.PinCPUs
		case "runtime-socket":
			to.Global.RuntimeSocket = from.Global.RuntimeSocket
		}
	}
}

func globalNote(keys []KeyChange) string {
	var names []string
	for i := range keys {
		if keys[i].needsRestart() {
			names = append(names, keys[i].Key)
		}
	}
	switch len(names) {
	case 0:
		return ""
	case 1:
		return names[0] + " is put into force by an upgrade or a restart, not by a reload"
	}
	return strings.Join(names, ", ") + " are put into force by an upgrade or a restart, not by a reload"
}

func frontendNote(c *Change) string {
	switch {
	case c.Action != Modify:
		return ""
	case sameSessions(c.Keys):
		return "client connections are kept"
	}
	return "client connections that there are drain"
}

func backendNote(c *Change, from, to *Config) string {
	if c.Action != Modify {
		return ""
	}
	if from.Backend(c.Name).SameConnections(to.Backend(c.Name)) {
		return "connections to servers that stay are kept"
	}
	return "server connections are opened anew, the old ones drain"
}
