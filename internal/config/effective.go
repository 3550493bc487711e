package config

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Table is one table of the effective configuration.
type Table struct {
	Name     string // "global", "backend.api"
	Keys     []KeyValue
	Contents []KeyValue // fingerprints of the files that it names
}

// KeyValue is a key with its effective value as a TOML literal.
type KeyValue struct {
	Key     string `json:"key"`
	Value   string `json:"value"`
	Default bool   `json:"default"` // the value is what it would be had the key been left out
	Secret  bool   `json:"secret,omitempty"`
}

// Effective lists every key of every table with the value that holds, defaults included. It names files and never shows
// what is in them.
func (c *Config) Effective() []Table {
	g := DefaultGlobal()
	tables := []Table{tableOf("global", globalKeys, &c.Global, &g)}
	for _, name := range slices.Sorted(maps.Keys(c.Limits)) {
		tables = append(tables, tableOf("limits."+name, limitsKeys, c.Limits[name], DefaultLimits("")))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Timeouts)) {
		tables = append(tables, tableOf("timeouts."+name, timeoutsKeys, c.Timeouts[name], DefaultTimeouts("")))
	}
	for _, name := range slices.Sorted(maps.Keys(c.TLS)) {
		t := tableOf("tls."+name, tlsKeys, c.TLS[name], &TLS{MinVersion: VersionTLS12})
		t.Contents = c.TLS[name].contents()
		tables = append(tables, t)
	}
	for _, f := range c.Frontends {
		t := tableOf("frontend."+f.Name, frontendKeys, f, DefaultFrontend(""))
		t.Contents = f.contents()
		tables = append(tables, t)
	}
	for _, b := range c.Backends {
		t := tableOf("backend."+b.Name, backendKeys, b, DefaultBackend(""))
		t.Contents = b.contents()
		tables = append(tables, t)
	}
	return tables
}

func tableOf[T any](name string, keys []key[T], t, def *T) Table {
	tab := Table{Name: name}
	for _, k := range keys {
		if v := k.get(t); v != "" {
			tab.Keys = append(tab.Keys, KeyValue{Key: k.name, Value: v, Default: v == k.get(def), Secret: k.secret})
		}
	}
	return tab
}

// contentMark begins the comments by which a written configuration says which files it was made of.
const contentMark = "# content: "

// WriteTOML writes the effective configuration as a file that means the same. Values that are defaults are marked. Files
// are named, and their content is told apart by a fingerprint in a comment, by which DiffText sees that one was renewed.
func (c *Config) WriteTOML() string {
	var b strings.Builder
	for i, t := range c.Effective() {
		if i > 0 {
			b.WriteByte('\n')
		}
		kind, name, named := strings.Cut(t.Name, ".")
		b.WriteString("[" + kind)
		if named {
			b.WriteString("." + tomlKey(name))
		}
		b.WriteString("]\n")
		for _, k := range t.Keys {
			b.WriteString(k.Key + " = " + k.Value)
			if k.Default {
				b.WriteString(" # default")
			}
			b.WriteByte('\n')
		}
		for _, k := range t.Contents {
			if k.Value != noContent {
				b.WriteString(contentMark + quote(k.Key) + " " + k.Value + "\n")
			}
		}
	}
	return b.String()
}

// WriteJSON writes the effective configuration for programs: the tables and keys of the file as objects.
func (c *Config) WriteJSON() []byte {
	var tables map[string]any
	err := toml.Unmarshal([]byte(c.WriteTOML()), &tables)
	if err != nil {
		panic("config: what WriteTOML writes is no TOML: " + err.Error())
	}
	b, err := json.Marshal(tables)
	if err != nil {
		panic("config: a configuration that is no JSON: " + err.Error())
	}
	return b
}

// tomlKey quotes a name that cannot stand bare.
func tomlKey(name string) string {
	for _, c := range []byte(name) {
		if !isAlnum(c) && c != '-' && c != '_' {
			return quote(name)
		}
	}
	return name
}
