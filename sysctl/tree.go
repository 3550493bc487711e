package sysctl

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Tree is a directory of kernel settings.
type Tree string

// Kernel is the running kernel's. Tests have their own.
const Kernel Tree = "/proc/sys"

// Setting is one kernel setting: what it is, what it should be, and what for.
type Setting struct {
	Name    string `json:"name"`
	Current string `json:"current"` // "" when it cannot be read
	Wanted  string `json:"wanted"`
	OK      bool   `json:"ok"`
	For     string `json:"for"`
	Breaks  string `json:"breaks"`          // what happens while it is not OK
	Error   string `json:"error,omitempty"` // why it could not be read
}

// Check compares the settings with the needs. Settings that the needs do not concern, or that this kernel may lack and
// does, are left out.
func (t Tree) Check(n Needs) []Setting {
	var out []Setting
	for i := range rules {
		r := &rules[i]
		if r.when != nil && !r.when(&n) {
			continue
		}
		current, err := t.read(r.name)
		if errors.Is(err, fs.ErrNotExist) && r.absent {
			continue
		}
		s := Setting{Name: r.name, Current: current, For: r.use, Breaks: r.breaks}
		s.Wanted, s.OK = r.wanted(&n, current)
		if err != nil {
			s.OK, s.Error = false, reason(err)
		}
		out = append(out, s)
	}
	return out
}

// Apply writes the settings that are not OK, and reads each again to see that the kernel took it. It goes on after a
// failure; the error joins all of them. It returns the settings that it changed, as they are now.
func (t Tree) Apply(settings []Setting) (changed []Setting, err error) {
	var failed []error
	for _, s := range settings {
		if s.OK {
			continue
		}
		if err := t.write(s.Name, s.Wanted); err != nil {
			failed = append(failed, fmt.Errorf("%s: %s", s.Name, reason(err)))
			continue
		}
		now, err := t.read(s.Name)
		if err == nil && fields(now) != fields(s.Wanted) {
			err = fmt.Errorf("the kernel made %q of %q", now, s.Wanted)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %s", s.Name, reason(err)))
			continue
		}
		s.Current, s.OK, s.Error = now, true, ""
		changed = append(changed, s)
	}
	return changed, errors.Join(failed...)
}

func (t Tree) path(name string) string {
	return filepath.Join(string(t), filepath.FromSlash(strings.ReplaceAll(name, ".", "/")))
}

// write sets a setting that exists; it does not make a file of its own.
func (t Tree) write(name, value string) error {
	f, err := os.OpenFile(t.path(name), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value + "\n")
	return errors.Join(err, f.Close())
}

func (t Tree) read(name string) (string, error) {
	b, err := os.ReadFile(t.path(name))
	return strings.TrimSpace(string(b)), err
}

// fields makes values comparable that differ in white space only.
func fields(s string) string { return strings.Join(strings.Fields(s), " ") }

// reason is an error without the path in it, which the name of the setting says already.
func reason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

// Short returns the settings that fall short.
func Short(settings []Setting) []Setting {
	var out []Setting
	for _, s := range settings {
		if !s.OK {
			out = append(out, s)
		}
	}
	return out
}

// Format writes settings as a file for /etc/sysctl.d: every one with its wanted value, and what it is for.
func Format(settings []Setting) string {
	var b strings.Builder
	for _, s := range settings {
		state := "ok"
		if !s.OK {
			state = "is " + orUnknown(s.Current)
		}
		fmt.Fprintf(&b, "# %s (%s)\n%s = %s\n", s.For, state, s.Name, fields(s.Wanted))
	}
	return b.String()
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return fields(s)
}
