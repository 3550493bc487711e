package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"
)

// execute runs one command line and returns its exit status.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(shielded(root, args))
	root.SetOut(stdout)
	root.SetErr(stderr)
	return statusOf(root.ExecuteContext(ctx), stderr)
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "weir",
		Short: "A reverse proxy: many client connections over few shared server connections",
		Long: `weir is a reverse proxy that multiplexes many client connections (HTTP/1.1, HTTP/2, HTTP/3)
over few, long-lived, shared server connections.

'weir run' without a file shows it at work. Exit status: 0 done, 1 refused (the reason is on
standard error), 2 usage, 3 nothing answers at the runtime socket.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       buildLine(),
		Args:          cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("a command is missing")
			}
			return unknownCommand(c, args[0])
		},
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.AddGroup(&cobra.Group{ID: "run", Title: "Running:"}, &cobra.Group{ID: "file", Title: "Configuration:"},
		&cobra.Group{ID: "talk", Title: "Talking to a running weir:"})
	for group, commands := range map[string][]*cobra.Command{
		"run":  {newRun()},
		"file": {newCheck(), newConfig(), newSysctl()},
		"talk": {newShow(), newTop(), newSet(), newReload(), newDrain(), newStop(), newUpgrade()},
	} {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	root.AddCommand(newVersion())
	root.SetHelpCommand(newHelp(root))
	root.InitDefaultCompletionCmd()
	if c, _, err := root.Find([]string{"completion"}); err == nil {
		// The library prints the help text and is content.
		c.Args = cobra.ArbitraryArgs
		c.RunE = func(*cobra.Command, []string) error {
			return usage("completion needs a shell: bash, zsh, fish, powershell")
		}
	}
	return root
}

// noArgs refuses words behind a command that takes none, and guesses what a file is doing there.
func noArgs(c *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case c.Flags().Lookup("config") != nil || c.InheritedFlags().Lookup("config") != nil:
		return usage("%s takes no arguments, but %q is one; a file is given by -c", c.CommandPath(), args[0])
	}
	return usage("%s takes no arguments, but %q is one", c.CommandPath(), args[0])
}

// unknownCommand is the complaint about a word where a command of c belongs.
func unknownCommand(c *cobra.Command, word string) error {
	c.SuggestionsMinimumDistance = 2
	if near := c.SuggestionsFor(word); len(near) > 0 {
		return usage("there is no command %q; did you mean %q?", word, near[0])
	}
	return usage("there is no command %q", word)
}

// newHelp is the library's help command, but for the exit status of a topic that there is not.
func newHelp(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Help about any command",
		ValidArgsFunction: func(*cobra.Command, []string, string) (words []cobra.Completion, _ cobra.ShellCompDirective) {
			for _, c := range root.Commands() {
				if c.IsAvailableCommand() {
					words = append(words, c.Name())
				}
			}
			return words, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			c, rest, err := root.Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 && c.HasAvailableSubCommands() {
				return unknownCommand(c, rest[0])
			}
			c.InitDefaultHelpFlag()
			return c.Help()
		},
	}
}
