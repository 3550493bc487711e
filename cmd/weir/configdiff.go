package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"weir/internal/admin"
	"weir/internal/config"
)

func newConfig() *cobra.Command {
	c := &cobra.Command{
		Use: "config", Short: "Compare and print configurations",
		RunE: func(*cobra.Command, []string) error { return usage("config needs a command: diff, print") },
	}
	c.AddCommand(newConfigDiff(), newConfigPrint())
	return c
}

func newConfigDiff() *cobra.Command {
	var file, old, socket string
	var asJSON bool
	c := &cobra.Command{
		Use:   "diff -c NEW",
		Short: "Say what a reload would keep, change and drain",
		Long: `Compare a configuration file with the one that a running weir has in force, or with another file (--old), and say what a
reload would keep, change, drain and add. Nothing is changed. Exit status 1 means that NEW could not be used.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if file == "" {
				return usage("config diff needs -c NEW")
			}
			to, err := load(file)
			if err != nil {
				return err
			}
			changes, err := changesFrom(c, old, socket, to)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(c.OutOrStdout(), changes)
			}
			return writeChanges(c.OutOrStdout(), changes)
		},
	}
	c.Flags().StringVarP(&file, "config", "c", "", "the new `file`")
	c.Flags().StringVar(&old, "old", "", "compare with this `file` instead of a running weir")
	c.Flags().StringVar(&socket, "runtime-socket", "", "`path` of the runtime socket (default: the one that NEW names)")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.MarkFlagsMutuallyExclusive("old", "runtime-socket")
	return c
}

// load reads a file that has to be good. Its errors go to standard error as `weir check` prints them.
func load(file string) (*config.Config, error) {
	cfg, report := config.Load(file)
	if report.OK() {
		return cfg, nil
	}
	var b strings.Builder
	_, _ = report.WriteTo(&b) // a Builder never fails
	return nil, refused(fmt.Errorf("%s cannot be used\n%s", file, strings.TrimSuffix(b.String(), "\n")))
}

func changesFrom(c *cobra.Command, old, socket string, to *config.Config) ([]config.Change, error) {
	if old != "" {
		from, err := load(old)
		if err != nil {
			return nil, err
		}
		return config.Diff(from, to), nil
	}
	t := target{socket: socket}
	if socket == "" {
		t.socket = to.Global.RuntimeSocket
	}
	rsp, err := t.ask(c, admin.Request{Cmd: "show", Args: []string{"config"}})
	if err != nil {
		return nil, err
	}
	changes, err := config.DiffText(rsp.Text(), to)
	return changes, refused(err)
}

// writeChanges prints a line for each part, and one for each key that differs.
func writeChanges(w io.Writer, changes []config.Change) error {
	var b strings.Builder
	count := map[config.Action]int{}
	for i := range changes {
		ch := &changes[i]
		count[ch.Action]++
		fmt.Fprintf(&b, "%-7s %s", ch.Action, ch.Kind)
		if ch.Name != "" {
			b.WriteString(" " + ch.Name)
		}
		if ch.Note != "" {
			b.WriteString(" (" + ch.Note + ")")
		}
		b.WriteByte('\n')
		for _, k := range ch.Keys {
			fmt.Fprintf(&b, "        %s: %s -> %s\n", k.Key, orNone(k.Old), orNone(k.New))
		}
	}
	fmt.Fprintf(&b, "%d keep, %d change, %d drain, %d add\n", count[config.Keep], count[config.Modify], count[config.Drain], count[config.Add])
	_, err := io.WriteString(w, b.String())
	return refused(err)
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func newConfigPrint() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "print -c FILE", Short: "Print a file with every default filled in", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if file == "" {
				return usage("config print needs -c FILE")
			}
			cfg, err := load(file)
			if err != nil {
				return err
			}
			_, err = io.WriteString(c.OutOrStdout(), cfg.WriteTOML())
			return refused(err)
		},
	}
	c.Flags().StringVarP(&file, "config", "c", "", "configuration `file`")
	return c
}
