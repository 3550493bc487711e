// Package arch keeps the architecture true: who may import whom, how long a file and a function may be, and what may not be
// called where. docs/architecture.md says why.
package arch

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// words are the packages that every layer may use: no I/O, and of weir only each other.
var words = []string{"internal/msg", "internal/buf", "internal/limit", "internal/stats", "internal/config", "internal/mono", "internal/proxyproto"}

// mayImport says which packages of weir each package may use, besides words. Arrows point down only. What is not listed
// may use words alone.
var mayImport = map[string][]string{
	"cmd/weir":         {"engine", "internal/admin", "sysctl", "netio", "bench/origin", "h1"},
	"engine":           {"h1", "h2", "h3", "netio", "netio/tlsio", "pool"},
	"h2":               {"h2/hpack"},
	"h2/hpack":         {},
	"h3":               {"netio"},
	"internal/admin":   {"h1"},
	"internal/sim":     {"netio", "h1"},
	"netio/tlsio":      {"netio"},
	"netio/kerneltest": {"netio"},
}

// owners says which packages may use a module or a part of the standard library that is somebody's business alone. Test
// files may use all of them as oracles.
var owners = map[string][]string{
	"net/http":                        {"bench/"},
	"crypto/tls":                      {"netio/tlsio", "h3", "bench/"},
	"github.com/quic-go/quic-go":      {"h3", "bench/"},
	"github.com/quic-go/qpack":        {"h3", "bench/"},
	"github.com/pelletier/go-toml/v2": {"internal/config"},
	"github.com/spf13/cobra":          {"cmd/weir"},
	"github.com/cloudwego/netpoll":    {"internal/admin", "bench/"},
	"github.com/prometheus/":          {"internal/admin"},
	"golang.org/x/sys/unix":           {"netio", "netio/kerneltest", "sysctl", "cmd/weir", "internal/admin", "h3", "bench/"},
	"golang.org/x/net/":               {"h3", "bench/"},
	"unsafe":                          {"netio", "netio/tlsio", "h2", "h3", "sysctl", "cmd/weir", "internal/msg", "bench/"},
}

const (
	fileLinesMax     = 800
	functionLinesMax = 70
)

// bannedNames are what a file or package says nothing with.
var bannedNames = []string{"util", "utils", "common", "helpers", "helper", "misc", "impl"}

// sleepers are the packages whose code may sleep: never a worker.
var sleepers = []string{"cmd/weir", "bench/", "internal/admin", "internal/sim"}

type source struct {
	pkg, path string
	test      bool
	text      []byte
	file      *ast.File
	set       *token.FileSet
}

// sources parses every Go file of the module.
func sources(t *testing.T) (all []source) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == "bin" || strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, text, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		all = append(all, source{filepath.ToSlash(filepath.Dir(rel)), filepath.ToSlash(rel), strings.HasSuffix(path, "_test.go"), text, file, set})
		return nil
	})
	if err != nil || len(all) == 0 {
		t.Fatalf("no sources: %v", err)
	}
	return all
}

func TestImportsPointDown(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || strings.HasPrefix(s.pkg, "bench") {
			continue
		}
		for _, imp := range s.file.Imports {
			path, _ := strconv.Unquote(imp.Path.Value)
			own, ok := strings.CutPrefix(path, "weir/")
			if !ok {
				continue
			}
			if !slices.Contains(words, own) && !slices.Contains(mayImport[s.pkg], own) {
				t.Errorf("%s imports %s: that is not below it", s.path, path)
			}
		}
	}
}

func TestDangersHaveOneOwner(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, imp := range s.file.Imports {
			path, _ := strconv.Unquote(imp.Path.Value)
			for danger, who := range owners {
				if path != danger && !(strings.HasSuffix(danger, "/") && strings.HasPrefix(path, danger)) {
					continue
				}
				if !slices.ContainsFunc(who, func(w string) bool { return within(s.pkg, w) }) {
					t.Errorf("%s imports %s, which belongs to %v", s.path, path, who)
				}
			}
		}
	}
}

// within reports whether a package is the one named, or below it if the name ends in a slash.
func within(pkg, name string) bool {
	if dir, ok := strings.CutSuffix(name, "/"); ok {
		return pkg == dir || strings.HasPrefix(pkg, name)
	}
	return pkg == name
}

func TestFilesAndFunctionsFitInTheHead(t *testing.T) {
	for _, s := range sources(t) {
		if n := bytes.Count(s.text, []byte("\n")); n > fileLinesMax {
			t.Errorf("%s has %d lines, more than %d: one idea a file", s.path, n, fileLinesMax)
		}
		base := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(s.path), ".go"), "_test")
		if slices.Contains(bannedNames, base) || slices.Contains(bannedNames, filepath.Base(s.pkg)) {
			t.Errorf("%s is named after nothing", s.path)
		}
		if s.test {
			continue
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil || excused(f) {
				continue
			}
			if n := s.set.Position(f.End()).Line - s.set.Position(f.Pos()).Line + 1; n > functionLinesMax {
				t.Errorf("%s: %s has %d lines, more than %d", s.path, f.Name.Name, n, functionLinesMax)
			}
		}
	}
}

// excused reports whether a function's comment says why it is long.
func excused(f *ast.FuncDecl) bool {
	return f.Doc != nil && strings.Contains(f.Doc.Text(), "long: ")
}

// TestBannedCalls: a worker never sleeps and never waits for a lock, and nothing is left to be done later.
func TestBannedCalls(t *testing.T) {
	marks := []string{"TO" + "DO", "FIX" + "ME", "XX" + "X"}
	for _, s := range sources(t) {
		for _, mark := range marks {
			if i := bytes.Index(s.text, []byte(mark)); i >= 0 && !bytes.Contains(s.text[max(0, i-20):i], []byte("X-")) {
				t.Errorf("%s says %s", s.path, mark)
			}
		}
		if s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if name := callee(call); name == "time.Sleep" && !slices.ContainsFunc(sleepers, func(w string) bool { return within(s.pkg, w) }) {
				t.Errorf("%s: %s: workers run to completion, what waits uses a timer", s.set.Position(n.Pos()), name)
			}
			return true
		})
	}
}

func callee(c *ast.CallExpr) string {
	if sel, ok := c.Fun.(*ast.SelectorExpr); ok {
		if x, ok := sel.X.(*ast.Ident); ok {
			return fmt.Sprintf("%s.%s", x.Name, sel.Sel.Name)
		}
	}
	return ""
}

// goStatements are the places where goroutines begin; docs/architecture.md says why each one exists.
var goStatements = map[string]int{}

// TestGoStatementsAreListed: every go statement outside tests and bench stands in docs/architecture.md.
func TestGoStatementsAreListed(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sources(t) {
		if s.test || strings.HasPrefix(s.pkg, "bench") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if _, ok := n.(*ast.GoStmt); ok {
				goStatements[s.path]++
			}
			return true
		})
	}
	for path := range goStatements {
		if !bytes.Contains(doc, []byte("`"+path+"`")) {
			t.Errorf("%s starts goroutines and is not listed in docs/architecture.md", path)
		}
	}
}
