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
		Args:          cobra.NoArgs,
		RunE:          func(*cobra.Command, []string) error { return usage("a command is missing") },
	}
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
	return root
}
