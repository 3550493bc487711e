package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// key is one key of a table whose struct is T: how its value is read, and how the effective value is written again. The
// lists of keys are the schema: the loader, `show config`, Diff and the reference in the documentation all follow them.
type key[T any] struct {
	name     string
	kind     string // as the reference calls the type
	allowed  string // as the reference and messages call the range; "" anything of the type
	required bool
	set      func(l *loader, t *T, v *value)
	get      func(t *T) string // TOML literal of the effective value; "" when there is none
	secret   bool              // names a file whose content is never shown
}

// read fills *t from a table: each entry goes to its key, unknown keys are reported.
func read[T any](l *loader, where string, keys []key[T], tab *table, t *T) {
	meant := map[string]bool{} // keys that an unknown one is probably a misspelling of
	for _, e := range tab.entries {
		i := slices.IndexFunc(keys, func(k key[T]) bool { return k.name == e.key })
		if i < 0 {
			l.unknownKey(where, e, keyNames(keys))
			meant[nearest(e.key, keyNames(keys))] = true
			continue
		}
		l.key = e.key
		keys[i].set(l, t, e.val)
	}
	for _, k := range keys {
		if k.required && !tab.has(k.name) && !meant[k.name] && !tab.broken {
			l.errorf(tab.at, "%s needs the key %q", where, k.name)
		}
	}
}

func keyNames[T any](keys []key[T]) []string {
	names := make([]string, len(keys))
	for i := range keys {
		names[i] = keys[i].name
	}
	return names
}

func (l *loader) unknownKey(where string, e entry, names []string) {
	hint := didYouMean(e.key, names)
	if hint == "" {
		hint = l.elsewhere(e.key)
	}
	l.problem(Error, e.at, hint, fmt.Sprintf("unknown key %q in %s", e.key, where))
}

// elsewhere says in which kind of table a key belongs that is unknown where it stands.
func (l *loader) elsewhere(name string) string {
	var in []string
	for _, s := range l.schema {
		for _, k := range s.Keys {
			if k.Name == name {
				in = append(in, s.Name)
			}
		}
	}
	if len(in) == 0 {
		return ""
	}
	return "it belongs in " + strings.Join(in, " or ")
}

// everyKey is the names of all keys of all tables.
func (l *loader) everyKey() (names []string) {
	for _, s := range l.schema {
		for _, k := range s.Keys {
			names = append(names, k.Name)
		}
	}
	return names
}

// The constructors below cover the types that many keys share.

func integerKey[T any](name string, lo, hi int, at func(*T) *int) key[T] {
	return key[T]{
		name: name, kind: "integer", allowed: fmt.Sprintf("%d to %d", lo, hi),
		set: func(l *loader, t *T, v *value) {
			if n, ok := l.integer(v, lo, hi); ok {
				*at(t) = n
			}
		},
		get: func(t *T) string { return strconv.Itoa(*at(t)) },
	}
}

// rateKey is an integer that may also be written "100/s".
func rateKey[T any](name string, at func(*T) *int) key[T] {
	k := integerKey(name, 0, maxRateMax, at)
	k.allowed += " per second"
	k.set = func(l *loader, t *T, v *value) {
		if v.kind == kindString {
			if digits, ok := strings.CutSuffix(v.text, "/s"); ok {
				v = &value{kind: kindInteger, at: v.at, text: digits}
			}
		}
		if n, ok := l.integer(v, 0, maxRateMax); ok {
			*at(t) = n
		}
	}
	return k
}

func boolKey[T any](name string, at func(*T) *bool) key[T] {
	return key[T]{
		name: name, kind: "boolean",
		set: func(l *loader, t *T, v *value) {
			if b, ok := l.boolean(v); ok {
				*at(t) = b
			}
		},
		get: func(t *T) string { return strconv.FormatBool(*at(t)) },
	}
}

func durationKey[T any](name string, at func(*T) *time.Duration) key[T] {
	return key[T]{
		name: name, kind: "duration",
		set: func(l *loader, t *T, v *value) {
			if d, ok := l.duration(v); ok {
				*at(t) = d
			}
		},
		get: func(t *T) string { return quote(formatDuration(*at(t))) },
	}
}

// sizeKey is a size between two bounds; off allows 0 as well.
func sizeKey[T any](name string, lo, hi int, off bool, at func(*T) *int) key[T] {
	allowed := formatSize(lo) + " to " + formatSize(hi)
	if off {
		allowed = "0, " + allowed
	}
	return key[T]{
		name: name, kind: "size", allowed: allowed,
		set: func(l *loader, t *T, v *value) {
			n, ok := l.size(v)
			if !ok {
				return
			}
			if (n < lo || n > hi) && !(off && n == 0) {
				l.badValue(v, "", "%s is out of range, allowed %s", formatSize(n), allowed)
				return
			}
			*at(t) = n
		},
		get: func(t *T) string {
			if *at(t) == 0 {
				return "0"
			}
			return quote(formatSize(*at(t)))
		},
	}
}

// wordKey is one of a list of words, whose index is the value.
func wordKey[T any, E ~uint8](name string, words []string, at func(*T) *E) key[T] {
	return key[T]{
		name: name, kind: "word", allowed: quotedList(words),
		set: func(l *loader, t *T, v *value) {
			if i, ok := l.word(v, words); ok {
				*at(t) = E(i)
			}
		},
		get: func(t *T) string { return quote(words[*at(t)]) },
	}
}

// textKey is a string that check, if there is one, finds a fault in or not.
func textKey[T any](name, allowed string, check func(string) error, at func(*T) *string) key[T] {
	return key[T]{
		name: name, kind: "string", allowed: allowed,
		set: func(l *loader, t *T, v *value) {
			s, ok := l.text(v)
			if !ok {
				return
			}
			if check != nil {
				if err := check(s); err != nil {
					l.badValue(v, "", "%v", err)
					return
				}
			}
			*at(t) = s
		},
		get: func(t *T) string { return quote(*at(t)) },
	}
}

// limitsKey and timeoutsKey attach a profile; "" is none.
func limitsKey[T any](at func(*T) **Limits) key[T] {
	return key[T]{
		name: "limits", kind: "string", allowed: "the name of a [limits.NAME]",
		set: func(l *loader, t *T, v *value) { refer(l, v, "limits", l.cfg.Limits, at(t)) },
		get: func(t *T) string { return quote((*at(t)).Name) },
	}
}

func timeoutsKey[T any](at func(*T) **Timeouts) key[T] {
	return key[T]{
		name: "timeouts", kind: "string", allowed: "the name of a [timeouts.NAME]",
		set: func(l *loader, t *T, v *value) { refer(l, v, "timeouts", l.cfg.Timeouts, at(t)) },
		get: func(t *T) string { return quote((*at(t)).Name) },
	}
}

// quote writes a TOML basic string.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func quoteAll(ss []string) string {
	out := make([]string, len(ss))
	for i, s := range ss {
		out[i] = quote(s)
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// quotedList is for messages: "a", "b" or "c".
func quotedList(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = quote(w)
	}
	if len(out) < 2 {
		return strings.Join(out, "")
	}
	return strings.Join(out[:len(out)-1], ", ") + " or " + out[len(out)-1]
}

// inlineOf writes a table in braces, leaving out keys without a value.
func inlineOf[T any](keys []key[T], t *T) string {
	var parts []string
	for _, k := range keys {
		if s := k.get(t); s != "" {
			parts = append(parts, k.name+" = "+s)
		}
	}
	return "{ " + strings.Join(parts, ", ") + " }"
}

// arrayOf writes an array of tables in braces.
func arrayOf[T any](keys []key[T], ts []T) string {
	if len(ts) == 0 {
		return "[]"
	}
	parts := make([]string, len(ts))
	for i := range ts {
		parts[i] = inlineOf(keys, &ts[i])
	}
	return "[" + strings.Join(parts, ", ") + "]"
}
