package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"weir/internal/admin"
)

func newReload() *cobra.Command {
	return change("reload", "Apply the configuration file anew, all of it or nothing",
		`Apply the configuration file of the running weir anew. A file with an error changes nothing: the errors are printed and
the exit status is 1. What did not change keeps its listeners, connections and pools. 'weir config diff' says beforehand
what a reload would do.`, "reloaded")
}

func newDrain() *cobra.Command {
	return change("drain", "Take no new work, finish what has begun, end",
		`Stop listening, finish what has begun, and end the process. Tunnels and slow clients are cut after hard-stop-after.
Returns when nothing is left.`, "drained")
}

func newStop() *cobra.Command {
	return change("stop", "End at once", `Close every connection and end the process. 'weir drain' is the gentle way.`, "stopped")
}

func newUpgrade() *cobra.Command {
	return change("upgrade", "Start the new binary and hand the listeners over",
		`Start the binary that is now at the running weir's path, hand the listening sockets over to it, and drain the running
process. No connection attempt is refused or lost. If the new process does not become ready, the old one goes on.`, "upgraded")
}

// change is a command that changes the running process and prints the generation before and after.
func change(name, short, long, done string) *cobra.Command {
	var t target
	var asJSON bool
	c := &cobra.Command{
		Use: name, Short: short, Long: long, Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			rsp, err := t.ask(c, admin.Request{Cmd: name})
			if err != nil {
				return err
			}
			g, err := rsp.Generations()
			if err != nil {
				return refused(err)
			}
			if asJSON {
				return writeJSON(c.OutOrStdout(), g)
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: generation %d -> %d\n", done, g.Old, g.New)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	t.addFlags(c)
	return c
}
