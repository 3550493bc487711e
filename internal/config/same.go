package config

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
)

// The Same methods compare what two generations say, not the pointers they say it with: every key, the profiles that are
// attached, and the content of the files that were read. A reload keeps what is the same.

// Same reports whether two frontends behave alike. Backends are compared by name only: whether those are the same is
// asked of them.
func (f *Frontend) Same(o *Frontend) bool { return slices.Equal(f.flat(), o.flat()) }

// SameSessions reports whether client connections that began under f may go on under o. What differs concerns nobody who has
// shaken hands already: a certificate that was renewed, ticket keys that were exchanged, an error page that says it better. Or
// it is asked anew with each request, or counted for the frontend as a whole: where requests go, and limits.
func (f *Frontend) SameSessions(o *Frontend) bool {
	return sameSessions(compare("", "", f.flat(), o.flat()).Keys)
}

// sameSessions is SameSessions where the keys that differ are known. Whom clients' certificates are verified against is asked
// once for a connection, and who was trusted then may not be now.
func sameSessions(keys []KeyChange) bool {
	return !slices.ContainsFunc(keys, func(k KeyChange) bool {
		switch {
		case k.Key == "routes", k.Key == "backend", k.Key == "limits", strings.HasPrefix(k.Key, "limits."):
			return false
		}
		return !strings.HasSuffix(k.Key, contentSuffix) || strings.HasSuffix(k.Key, ".client-ca"+contentSuffix)
	})
}

// Same reports whether two backends behave alike.
func (b *Backend) Same(o *Backend) bool { return slices.Equal(b.flat(), o.flat()) }

// Same reports whether two TLS tables present and demand the same; it is false after a certificate was renewed.
func (t *TLS) Same(o *TLS) bool { return slices.Equal(t.flat(), o.flat()) }

// Same reports whether two profiles hold the same numbers.
func (t *Limits) Same(o *Limits) bool {
	return slices.Equal(flatten("", limitsKeys, t), flatten("", limitsKeys, o))
}

// Same reports whether two profiles hold the same times.
func (t *Timeouts) Same(o *Timeouts) bool {
	return slices.Equal(flatten("", timeoutsKeys, t), flatten("", timeoutsKeys, o))
}

// SameConnections reports whether server connections that were opened for b may serve o, address for address: they look
// alike on the wire and are shared by the same rules. It is true when only weights, limits, balancing or the like differ.
func (b *Backend) SameConnections(o *Backend) bool {
	if b.Timeouts.TCPKeepAlive != o.Timeouts.TCPKeepAlive || b.Reuse.Shared() != o.Reuse.Shared() || b.Multiplex != o.Multiplex {
		return false
	}
	wire := func(b *Backend) (out []KeyValue) {
		for _, kv := range b.flat() {
			switch kv.Key {
			case "h2", "source", "send-proxy", "tls", "tls.ca content", "tls.cert content":
				out = append(out, kv)
			}
		}
		return out
	}
	return slices.Equal(wire(b), wire(o))
}

// flatten lists keys and values; those without a value are left out.
func flatten[T any](prefix string, keys []key[T], t *T) (out []KeyValue) {
	for _, k := range keys {
		if v := k.get(t); v != "" {
			out = append(out, KeyValue{Key: prefix + k.name, Value: v})
		}
	}
	return out
}

// noContent is the fingerprint where there is no file.
const noContent = "none"

// contentSuffix ends the keys that stand for what is in a file.
const contentSuffix = " content"

// content stands for what is in a file.
func content(key string, parts ...[]byte) KeyValue {
	h := sha256.New()
	n := 0
	for _, p := range parts {
		n += len(p)
		sum := sha256.Sum256(p) // fixed length: no part can lend bytes to its neighbour
		h.Write(sum[:])
	}
	if n == 0 {
		return KeyValue{Key: key + contentSuffix, Value: noContent}
	}
	return KeyValue{Key: key + contentSuffix, Value: "sha256:" + hex.EncodeToString(h.Sum(nil)[:8])}
}

func (c *Certificate) content(key string) KeyValue {
	if c == nil {
		return content(key)
	}
	return content(key, c.CertPEM, c.KeyPEM, c.OCSP)
}

func (t *TLS) flat() []KeyValue { return append(flatten("", tlsKeys, t), t.contents()...) }

func (t *TLS) contents() (out []KeyValue) {
	for i := range t.Certificates {
		out = append(out, t.Certificates[i].content(t.Certificates[i].CertFile))
	}
	return append(out, content("client-ca", t.ClientCAPEM), content("ticket-keys", t.TicketKeys...))
}

func (f *Frontend) flat() []KeyValue {
	out := flatten("", frontendKeys, f)
	out = append(out, flatten("limits.", limitsKeys, f.Limits)...)
	out = append(out, flatten("timeouts.", timeoutsKeys, f.Timeouts)...)
	for _, b := range f.Binds {
		if b.TLS != nil {
			out = append(out, flatten("tls."+b.TLS.Name+".", tlsKeys, b.TLS)...)
		}
	}
	return append(out, f.contents()...)
}

func (f *Frontend) contents() (out []KeyValue) {
	for _, b := range f.Binds {
		if b.TLS == nil {
			continue
		}
		for _, kv := range b.TLS.contents() {
			out = append(out, KeyValue{Key: "tls." + b.TLS.Name + "." + kv.Key, Value: kv.Value})
		}
	}
	for _, code := range slices.Sorted(maps.Keys(f.ErrorPages)) {
		out = append(out, content(f.ErrorPages[code].File, f.ErrorPages[code].Body))
	}
	return out
}

func (b *Backend) flat() []KeyValue {
	out := flatten("", backendKeys, b)
	out = append(out, flatten("limits.", limitsKeys, b.Limits)...)
	out = append(out, flatten("timeouts.", timeoutsKeys, b.Timeouts)...)
	return append(out, b.contents()...)
}

func (b *Backend) contents() []KeyValue {
	return []KeyValue{content("tls.ca", b.TLS.CAPEM), b.TLS.Cert.content("tls.cert")}
}
