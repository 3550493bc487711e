package config

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Load reads a file and everything it names. The Config is nil exactly when the Report has errors.
func Load(path string) (*Config, *Report) {
	text, err := readFile(path, fileBytesMax)
	if err != nil {
		r := &Report{File: path, Problems: []Problem{{File: path, Severity: Error, Message: err.Error()}}}
		r.finish()
		return nil, r
	}
	return Parse(path, text, filepath.Dir(path))
}

// Parse reads a configuration out of memory. name is how problems call it; files that it names are found relative to dir.
func Parse(name string, text []byte, dir string) (*Config, *Report) {
	return parse(name, text, dir, time.Now())
}

func parse(name string, text []byte, dir string, now time.Time) (*Config, *Report) {
	l := newLoader(name, text, dir)
	l.now = now
	return l.load()
}

func newLoader(name string, text []byte, dir string) *loader {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs // a working directory that is gone leaves names relative to it
	}
	return &loader{
		src: newSource(name, text), dir: dir, schema: Schema(),
		written: map[any]*table{}, wrong: map[*table]bool{},
		report: &Report{File: name, Problems: []Problem{}},
		cfg: &Config{
			File: name, Global: DefaultGlobal(),
			Limits: map[string]*Limits{}, Timeouts: map[string]*Timeouts{}, TLS: map[string]*TLS{},
		},
	}
}

// load does everything, in the order of the drawing in doc.go.
func (l *loader) load() (*Config, *Report) {
	root, lost := l.parseTree()
	legible := len(l.report.Problems) == 0
	if legible && len(root.entries) == 0 {
		// Whoever writes the file anew has emptied it first: a reload at that moment must not take every listener away.
		l.whole(Error, "", "the file is empty")
		legible = false
	}
	l.sections(root)
	l.resolve(lost)
	l.checkWhole()
	if legible { // otherwise a warning might be about what could not be read
		l.lint()
	}
	l.report.finish()
	if !l.report.OK() {
		return nil, l.report
	}
	return l.cfg, l.report
}

// loader is the state of reading one file.
type loader struct {
	src    *source
	dir    string
	now    time.Time
	report *Report
	cfg    *Config
	blind  bool // files that are named are not looked at: names are all that is asked for

	// schema is handed in rather than asked for, as the lists of keys would otherwise depend on themselves.
	schema []Section

	key     string // being read, for messages
	later   []func(lost bool)
	unknown bool // some reference could not be resolved
	// wrong marks the tables that had an error: nothing is concluded from their other keys.
	wrong map[*table]bool
	// written finds the table of a struct (by pointer), for what is checked after everything was read.
	written map[any]*table
}

// Bounds of a report, for files that were never meant to be a configuration.
const (
	problemsMax    = 1000
	sourceBytesMax = 1000
)

func (l *loader) problem(sev Severity, at span, hint, message string) {
	if len(l.report.Problems) >= problemsMax {
		if len(l.report.Problems) == problemsMax {
			l.whole(Error, "", fmt.Sprintf("more than %d problems, the rest is not listed", problemsMax))
		}
		return
	}
	line, col := l.src.position(at.off)
	p := Problem{
		File: l.src.name, Line: line, Column: col, Width: l.src.width(at),
		Severity: sev, Message: printable(message), Hint: printable(hint), Source: l.src.line(line),
	}
	if len(p.Source) > sourceBytesMax { // no caret is found under such a line
		p.Source, p.Width = "", 0
	}
	l.report.Problems = append(l.report.Problems, p)
}

// whole is a problem of the file as a whole: it stands at its start and shows no line.
func (l *loader) whole(sev Severity, hint, message string) {
	l.report.Problems = append(l.report.Problems, Problem{
		File: l.src.name, Line: 1, Column: 1, Severity: sev, Message: message, Hint: hint,
	})
}

func (l *loader) errorf(at span, format string, args ...any) {
	l.problem(Error, at, "", fmt.Sprintf(format, args...))
}

// place names a line for messages that point at another one.
func (l *loader) place(off int) string {
	line, _ := l.src.position(off)
	return fmt.Sprintf("line %d", line)
}

// path is where a file named in the configuration is.
func (l *loader) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(l.dir, name)
}

// sectionNames are the tables that may stand at the top of a file.
var sectionNames = []string{"global", "limits", "timeouts", "tls", "frontend", "backend"}

// sections reads every table of the file into its struct.
func (l *loader) sections(root *table) {
	for _, e := range root.entries {
		switch {
		case !slices.Contains(sectionNames, e.key):
			l.unknownSection(e)
		case e.val.kind != kindTable:
			l.errorf(e.at, "%q must be a table, not %s", e.key, kindNames[e.val.kind])
		case e.key == "global":
			l.written[&l.cfg.Global] = e.val.tab
			l.marking(e.val.tab, func() { read(l, "[global]", globalKeys, e.val.tab, &l.cfg.Global) })
		default:
			l.named(e)
		}
	}
}

func (l *loader) unknownSection(e entry) {
	hint := didYouMean(e.key, sectionNames)
	if e.val.kind != kindTable {
		if hint = l.elsewhere(e.key); hint == "" {
			hint = didYouMean(e.key, l.everyKey())
		}
		l.problem(Error, e.at, hint, fmt.Sprintf("key %q stands outside of any table", e.key))
		return
	}
	l.problem(Error, e.at, hint, fmt.Sprintf("unknown table [%s]", e.key))
}

// named reads the tables of one kind, such as every [backend.NAME].
func (l *loader) named(kind entry) {
	for _, e := range kind.val.tab.entries {
		where := "[" + kind.key + "." + e.key + "]"
		switch {
		case e.val.kind != kindTable:
			l.problem(Error, e.at, "write ["+kind.key+".NAME] above it",
				fmt.Sprintf("key %q stands in [%s], which holds only named tables", e.key, kind.key))
			continue
		case !validName(e.key):
			l.problem(Error, e.at, `letters, digits and - _ . : [ ] are allowed, 64 at most`,
				fmt.Sprintf("%q cannot be a name", e.key))
			continue
		}
		l.marking(e.val.tab, func() { l.namedTable(kind.key, e.key, where, e.val.tab) })
	}
}

// marking notes whether reading a table reported an error.
func (l *loader) marking(tab *table, read func()) {
	before := len(l.report.Problems)
	read()
	l.wrong[tab] = slices.ContainsFunc(l.report.Problems[before:], func(p Problem) bool { return p.Severity == Error })
}

func (l *loader) namedTable(kind, name, where string, tab *table) {
	switch kind {
	case "limits":
		t := DefaultLimits(name)
		l.cfg.Limits[name], l.written[t] = t, tab
		read(l, where, limitsKeys, tab, t)
	case "timeouts":
		t := DefaultTimeouts(name)
		l.cfg.Timeouts[name], l.written[t] = t, tab
		read(l, where, timeoutsKeys, tab, t)
	case "tls":
		t := &TLS{Name: name, MinVersion: VersionTLS12}
		l.cfg.TLS[name], l.written[t] = t, tab
		read(l, where, tlsKeys, tab, t)
	case "frontend":
		t := DefaultFrontend(name)
		l.cfg.Frontends, l.written[t] = append(l.cfg.Frontends, t), tab
		read(l, where, frontendKeys, tab, t)
	case "backend":
		t := DefaultBackend(name)
		l.cfg.Backends, l.written[t] = append(l.cfg.Backends, t), tab
		read(l, where, backendKeys, tab, t)
		l.effective(t, tab)
	}
}

// refer resolves a name once every table was read. An empty name leaves what is there.
func refer[P any](l *loader, v *value, kind string, in map[string]P, to *P) {
	name, ok := l.text(v)
	if !ok || name == "" {
		return
	}
	key := l.key
	l.later = append(l.later, func(lost bool) {
		if p, ok := in[name]; ok {
			*to = p
			return
		}
		l.unresolved(v, key, kind, name, slices.Collect(maps.Keys(in)), lost)
	})
}

// referBackend is refer for backends, which are kept in the order of the file.
func referBackend(l *loader, v *value, to **Backend) {
	name, ok := l.text(v)
	if !ok {
		return
	}
	key := l.key
	l.later = append(l.later, func(lost bool) {
		if b := l.cfg.Backend(name); b != nil {
			*to = b
			return
		}
		var names []string
		for _, b := range l.cfg.Backends {
			names = append(names, b.Name)
		}
		l.unresolved(v, key, "backend", name, names, lost)
	})
}

func (l *loader) unresolved(v *value, key, kind, name string, names []string, lost bool) {
	l.unknown = true
	if lost {
		return // it may stand in what a syntax error hid
	}
	hint := didYouMean(name, names)
	if hint == "" && len(names) == 0 {
		hint = "add a table [" + kind + "." + name + "]"
	}
	l.problem(Error, v.at, hint, fmt.Sprintf("%s: there is no [%s.%s]", key, kind, name))
}

func (l *loader) resolve(lost bool) {
	for _, f := range l.later {
		f(lost)
	}
}

// readFile reads a whole file that may not be larger than limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(b)) > limit:
		return nil, fmt.Errorf("%s is larger than %s", path, formatSize(int(limit)))
	}
	return b, nil
}
