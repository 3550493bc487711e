package config

import (
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// kind is the TOML type of a value.
type kind uint8

const (
	kindString kind = iota + 1
	kindInteger
	kindFloat
	kindBool
	kindTime
	kindArray
	kindTable
)

// kindNames read after "not".
var kindNames = [...]string{
	kindString: "a string", kindInteger: "an integer", kindFloat: "a float", kindBool: "a boolean",
	kindTime: "a date", kindArray: "an array", kindTable: "a table",
}

// value is a TOML value and where it stands.
type value struct {
	kind kind
	at   span
	text string   // of scalars: the content of a string, the literal of anything else
	list []*value // kindArray
	tab  *table   // kindTable
}

// origin says how a table came to be, which decides what may still be added to it (TOML 1.0, "Table", "Keys").
type origin uint8

const (
	implicit origin = iota // parent of a [header]: may get a header of its own
	header                 // [header] or element of [[header]]: complete, but for tables below it
	dotted                 // made by a.b = 1: only dotted keys of the same table add to it
	inline                 // { … }: nothing adds to it
)

// table is a TOML table with its entries in the order of the file.
type table struct {
	origin  origin
	at      span // header, or the key that made it
	entries []entry
	section int  // number of the header under which dotted keys made it
	broken  bool // some of what was written here could not be read: that a key is not among entries means nothing
}

// entry is one key of a table.
type entry struct {
	key string
	at  span // of the key
	val *value
}

// get returns the entry of that key, or nil.
func (t *table) get(key string) *entry {
	for i := range t.entries {
		if t.entries[i].key == key {
			return &t.entries[i]
		}
	}
	return nil
}

// has reports whether the key was written in the file.
func (t *table) has(key string) bool { return t != nil && t.get(key) != nil }

func (t *table) add(key string, at span, v *value) {
	t.entries = append(t.entries, entry{key, at, v})
}

// tree builds tables out of the expressions of a file, in their order, and reports what TOML forbids: keys and tables
// that are defined twice. A wrong expression is left out and the rest goes on.
type tree struct {
	p       *unstable.Parser
	errorf  func(at span, format string, args ...any)
	place   func(off int) string // "line 7", for pointing at an earlier definition
	root    *table
	current *table // nil: the last header was wrong, what follows it is skipped
	section int
}

// part is one part of a dotted key.
type part struct {
	name string
	at   span
}

func (t *tree) expression(n *unstable.Node) {
	switch n.Kind {
	case unstable.Table:
		t.section++
		t.current = t.header(t.parts(n.Key()))
	case unstable.ArrayTable:
		t.section++
		t.current = t.arrayHeader(t.parts(n.Key()))
	case unstable.KeyValue:
		if t.current != nil {
			t.keyValue(t.current, n)
		}
	}
}

func (t *tree) parts(it unstable.Iterator) (ps []part) {
	for it.Next() {
		n := it.Node()
		ps = append(ps, part{string(n.Data), rangeSpan(n.Raw)})
	}
	return ps
}

func rangeSpan(r unstable.Range) span {
	return span{int(r.Offset), int(r.Offset) + int(r.Length)}
}

func joined(ps []part) (name string, at span) {
	names := make([]string, len(ps))
	for i := range ps {
		names[i] = ps[i].name
	}
	return strings.Join(names, "."), span{ps[0].at.off, ps[len(ps)-1].at.end}
}

// parent walks to the table that a header names a child of. It returns nil after reporting an error.
func (t *tree) parent(ps []part) *table {
	cur := t.root
	for _, p := range ps[:len(ps)-1] {
		e := cur.get(p.name)
		if e == nil {
			next := &table{origin: implicit, at: p.at}
			cur.add(p.name, p.at, &value{kind: kindTable, at: p.at, tab: next})
			cur = next
			continue
		}
		if cur = openTable(e.val); cur == nil {
			t.errorf(p.at, "%q is not a table that can be added to, it was given a value on %s", p.name, t.place(e.at.off))
			return nil
		}
	}
	return cur
}

// openTable is the table that a header path goes through at this value: the table itself, or the last of [[array]]
// elements. It returns nil if there is none.
func openTable(v *value) *table {
	if v.kind == kindArray && len(v.list) > 0 && v.list[0].kind == kindTable {
		v = v.list[len(v.list)-1]
	}
	if v.kind != kindTable || v.tab.origin == inline {
		return nil
	}
	return v.tab
}

func (t *tree) header(ps []part) *table {
	par := t.parent(ps)
	if par == nil {
		return nil
	}
	name, at := joined(ps)
	last := ps[len(ps)-1]
	e := par.get(last.name)
	switch {
	case e == nil:
		tab := &table{origin: header, at: at}
		par.add(last.name, last.at, &value{kind: kindTable, at: at, tab: tab})
		return tab
	case e.val.kind == kindTable && e.val.tab.origin == implicit:
		e.val.tab.origin, e.val.tab.at = header, at
		return e.val.tab
	}
	t.errorf(at, "[%s] is defined twice, first on %s", name, t.place(e.at.off))
	return nil
}

func (t *tree) arrayHeader(ps []part) *table {
	par := t.parent(ps)
	if par == nil {
		return nil
	}
	name, at := joined(ps)
	last := ps[len(ps)-1]
	tab := &table{origin: header, at: at}
	elem := &value{kind: kindTable, at: at, tab: tab}
	e := par.get(last.name)
	switch {
	case e == nil:
		par.add(last.name, last.at, &value{kind: kindArray, at: at, list: []*value{elem}})
	case e.val.kind == kindArray && len(e.val.list) > 0 && e.val.list[0].kind == kindTable && e.val.list[0].tab.origin == header:
		e.val.list = append(e.val.list, elem)
	default:
		t.errorf(at, "[[%s]] cannot be added to what was defined on %s", name, t.place(e.at.off))
		return nil
	}
	return tab
}

// keyValue adds a key, which may be dotted, and its value to a table.
func (t *tree) keyValue(tab *table, n *unstable.Node) {
	ps := t.parts(n.Key())
	for _, p := range ps[:len(ps)-1] {
		e := tab.get(p.name)
		if e == nil {
			next := &table{origin: dotted, at: p.at, section: t.section}
			tab.add(p.name, p.at, &value{kind: kindTable, at: p.at, tab: next})
			tab = next
			continue
		}
		if e.val.kind != kindTable || e.val.tab.origin != dotted || e.val.tab.section != t.section {
			t.errorf(p.at, "%q cannot be added to, it was defined on %s", p.name, t.place(e.at.off))
			return
		}
		tab = e.val.tab
	}
	last := ps[len(ps)-1]
	if e := tab.get(last.name); e != nil {
		t.errorf(last.at, "%q is defined twice, first on %s", last.name, t.place(e.at.off))
		return
	}
	tab.add(last.name, last.at, t.value(n.Value(), t.valueStart(last.at.end)))
}

// valueStart finds where the value after a key begins; the parser does not say so for arrays.
func (t *tree) valueStart(off int) int {
	data := t.p.Data()
	for off < len(data) && strings.IndexByte(" \t=", data[off]) >= 0 {
		off++
	}
	return off
}

// value converts a parsed value. start is where it begins, of use to arrays only.
func (t *tree) value(n *unstable.Node, start int) *value {
	v := &value{at: rangeSpan(n.Raw), text: string(n.Data)}
	switch n.Kind {
	case unstable.String:
		v.kind = kindString
	case unstable.Integer:
		v.kind = kindInteger
	case unstable.Float:
		v.kind = kindFloat
	case unstable.Bool:
		v.kind = kindBool
	case unstable.Array:
		v.kind, v.at, v.text = kindArray, span{start, start + 1}, ""
		for it := n.Children(); it.Next(); {
			v.list = append(v.list, t.value(it.Node(), start))
		}
	case unstable.InlineTable:
		v.kind, v.text = kindTable, ""
		v.tab = t.inlineTable(n, v.at)
	default:
		v.kind = kindTime
	}
	return v
}

func (t *tree) inlineTable(n *unstable.Node, at span) *table {
	// A section of its own: dotted keys inside the braces must not meet those of the table around them.
	outer := t.section
	t.section = -at.off - 1
	tab := &table{origin: inline, at: at}
	for it := n.Children(); it.Next(); {
		t.keyValue(tab, it.Node())
	}
	t.section = outer
	return tab
}
