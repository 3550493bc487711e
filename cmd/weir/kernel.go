package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"weir/internal/config"
	"weir/sysctl"
)

// kernelCheck is the JSON form of `weir sysctl`.
type kernelCheck struct {
	Settings []sysctl.Setting `json:"settings"`
	Short    int              `json:"short"`
}

func newSysctl() *cobra.Command {
	return newSysctlOf(sysctl.Kernel)
}

// newSysctlOf has the commands work on a tree of settings, which is the kernel's but for tests.
func newSysctlOf(tree sysctl.Tree) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "sysctl", Short: "Print, check or apply the kernel settings that a configuration needs",
		Long: `Print, check or apply the kernel settings that a configuration needs. Without -c the defaults of a limit profile count.

  print   the settings as a file for /etc/sysctl.d
  check   which settings fall short, and what breaks; exit status 1 if any does
  apply   write those that fall short; the others are left alone`,
		RunE: func(*cobra.Command, []string) error { return usage("sysctl needs a command: print, check, apply") },
	}
	c.PersistentFlags().StringVarP(&file, "config", "c", "", "configuration `file`")
	needs := func() (sysctl.Needs, error) {
		cfg := &config.Config{Global: config.DefaultGlobal()}
		if file != "" {
			var err error
			if cfg, err = load(file); err != nil {
				return sysctl.Needs{}, err
			}
		}
		return sysctl.NeedsOf(cfg, workersOf(cfg)), nil
	}
	c.AddCommand(newSysctlPrint(tree, needs), newSysctlCheck(tree, needs), newSysctlApply(tree, needs))
	return c
}

type needsFunc func() (sysctl.Needs, error)

func newSysctlPrint(tree sysctl.Tree, needs needsFunc) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "print", Short: "Print the settings as a file for /etc/sysctl.d", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			n, err := needs()
			if err != nil {
				return err
			}
			settings := tree.Check(n)
			if asJSON {
				return writeJSON(c.OutOrStdout(), kernelCheck{settings, len(sysctl.Short(settings))})
			}
			_, err = io.WriteString(c.OutOrStdout(), sysctl.Format(settings))
			return refused(err)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func newSysctlCheck(tree sysctl.Tree, needs needsFunc) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "check", Short: "Say which settings fall short, and what breaks", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			n, err := needs()
			if err != nil {
				return err
			}
			settings := append(tree.Check(n), sysctl.NoFile(n))
			short := sysctl.Short(settings)
			if asJSON {
				err = writeJSON(c.OutOrStdout(), kernelCheck{settings, len(short)})
			} else {
				err = writeSettings(c.OutOrStdout(), settings)
			}
			if err == nil && len(short) > 0 {
				err = &exit{status: exitRefused}
			}
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// writeSettings prints every setting, and below each that falls short what it is for and what breaks.
func writeSettings(w io.Writer, settings []sysctl.Setting) error {
	var b strings.Builder
	short := 0
	for _, s := range settings {
		if s.OK {
			fmt.Fprintf(&b, "ok     %s = %s\n", s.Name, oneLine(s.Current))
			continue
		}
		short++
		current := oneLine(s.Current)
		if s.Error != "" {
			current = s.Error
		}
		fmt.Fprintf(&b, "short  %s is %s, wanted %s\n       for: %s\n       breaks: %s\n", s.Name, orNone(current), oneLine(s.Wanted), s.For, s.Breaks)
	}
	fmt.Fprintf(&b, "%d of %d settings fall short\n", short, len(settings))
	_, err := io.WriteString(w, b.String())
	return refused(err)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func newSysctlApply(tree sysctl.Tree, needs needsFunc) *cobra.Command {
	return &cobra.Command{
		Use: "apply", Short: "Write the settings that fall short", Args: noArgs,
		Long: `Write the settings that fall short, and read each again to see that the kernel took it. They last until the next boot;
'weir sysctl print > /etc/sysctl.d/90-weir.conf' makes them last longer.`,
		RunE: func(c *cobra.Command, _ []string) error {
			n, err := needs()
			if err != nil {
				return err
			}
			changed, err := tree.Apply(tree.Check(n))
			for _, s := range changed {
				fmt.Fprintf(c.OutOrStdout(), "%s = %s\n", s.Name, oneLine(s.Current))
			}
			if err == nil && len(changed) == 0 {
				fmt.Fprintln(c.OutOrStdout(), "nothing falls short")
			}
			return refused(err)
		},
	}
}
