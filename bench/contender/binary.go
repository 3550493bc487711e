package contender

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Spec names a contender: what it is called in tables, its kind, and where its binary is.
type Spec struct {
	Name string
	Kind string
	Path string // "" looks in PATH (weir: bin/weir)
}

// ParseSpec reads NAME, NAME=PATH or NAME=KIND:PATH, so that two builds of one kind can stand in one table.
func ParseSpec(s string) (Spec, error) {
	name, rest, given := strings.Cut(s, "=")
	spec := Spec{Name: name, Kind: name, Path: rest}
	if kind, path, ok := strings.Cut(rest, ":"); ok {
		spec.Kind, spec.Path = kind, path
	}
	switch {
	case kindOf(spec.Kind) == nil:
		return spec, fmt.Errorf("no contender of kind %q: want one of %s", spec.Kind, strings.Join(Kinds(), ", "))
	case given && spec.Path == "" && spec.Kind == name:
		return spec, fmt.Errorf("%q: a path should follow", s)
	case name == "":
		return spec, fmt.Errorf("%q: a contender needs a name", s)
	}
	return spec, nil
}

// Binary is a contender that was found.
type Binary struct {
	Spec
	About   string
	Version string // the first line it prints about itself
	Details string // all of it
	kind    *kind
}

// Find looks for the contender's binary and asks it what it is.
func Find(s Spec) (*Binary, error) {
	k := kindOf(s.Kind)
	if k == nil {
		return nil, fmt.Errorf("no contender of kind %q", s.Kind)
	}
	b := &Binary{Spec: s, About: k.about, kind: k}
	if k.program == "" {
		self, err := os.Executable()
		b.Path, b.Version = self, "of this bench"
		return b, err
	}
	if b.Path == "" {
		b.Path = k.program
	}
	path, err := exec.LookPath(b.Path)
	if err != nil && !strings.Contains(b.Path, "/") {
		path, err = exec.LookPath("/usr/sbin/" + b.Path) // Debian's place for daemons, which is not in every PATH
	}
	if err != nil {
		return nil, errors.New("not installed")
	}
	if b.Path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	out, err := exec.Command(b.Path, k.version...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", b.Path, strings.Join(k.version, " "), err)
	}
	b.Details = string(out)
	b.Version, _, _ = strings.Cut(strings.TrimSpace(b.Details), "\n")
	return b, nil
}

// Lacks says why the contender cannot do what a scenario needs; "" when it can.
func (b *Binary) Lacks(s Setup) string {
	if b.kind.lacks == nil {
		return ""
	}
	return b.kind.lacks(b, s)
}
