package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// DiffText is Diff where the old configuration is what a running process shows of itself (WriteTOML). Files that it names
// may have changed or gone since; what was in them is known by the fingerprints it shows.
func DiffText(running string, to *Config) ([]Change, error) {
	l := newLoader("running configuration", []byte(running), "/")
	l.blind = true
	root, _ := l.parseTree()
	l.sections(root)
	l.resolve(false)
	l.report.finish()
	if err := l.report.Err(); err != nil {
		return nil, fmt.Errorf("the running process shows a configuration that this weir does not understand:\n%w", err)
	}
	out := diff(l.cfg, to, false)
	before, after := contentsIn(running), contentsIn(to.WriteTOML())
	for i := range out {
		c := &out[i]
		name := c.Kind + "." + c.Name
		if c.Action != Keep && c.Action != Modify {
			continue
		}
		c.Keys = append(c.Keys, compare(c.Kind, c.Name, before[name], after[name]).Keys...)
		if len(c.Keys) > 0 {
			c.Action = Modify
		}
		if c.Kind == "frontend" {
			c.Note = frontendNote(c)
		}
		if c.Kind == "backend" {
			c.Note = backendNote(c, l.cfg, to)
		}
	}
	return out, nil
}

// contentsIn reads the fingerprints of a written configuration, by table.
func contentsIn(text string) map[string][]KeyValue {
	out := map[string][]KeyValue{}
	table := ""
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "[") {
			table = strings.ReplaceAll(strings.Trim(line, "[]"), `"`, "")
		}
		rest, ok := strings.CutPrefix(line, contentMark)
		if !ok {
			continue
		}
		cut := strings.LastIndexByte(rest, ' ')
		if cut < 0 {
			continue
		}
		key, err := strconv.Unquote(rest[:cut])
		if err != nil {
			key = rest[:cut]
		}
		out[table] = append(out[table], KeyValue{Key: key, Value: rest[cut+1:]})
	}
	return out
}

// RuntimeSocket is where a file says that the runtime socket is, though other parts of the file may be wrong: a command
// that talks to the running process needs no more of it.
func RuntimeSocket(path string) (string, error) {
	text, err := readFile(path, fileBytesMax)
	if err != nil {
		return "", err
	}
	l := newLoader(path, text, filepath.Dir(path))
	root, _ := l.parseTree()
	l.report.Problems = l.report.Problems[:0] // they are `weir check`'s to tell
	g := DefaultGlobal()
	if e := root.get("global"); e != nil && e.val.kind == kindTable {
		if s := e.val.tab.get("runtime-socket"); s != nil {
			l.key = "runtime-socket"
			i := slices.IndexFunc(globalKeys, func(k key[Global]) bool { return k.name == l.key })
			globalKeys[i].set(l, &g, s.val)
		}
	}
	l.report.finish()
	return g.RuntimeSocket, l.report.Err()
}
